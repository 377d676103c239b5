"""`msdd evaluate --samples`: generated images against a reference, without partners."""

import argparse
from functools import partial

from msdd.commands.evaluate_run import (
    check_paths,
    lower_batch,
    origin,
    put_and_show,
    told_what_is_kept,
)


def evaluate(args: argparse.Namespace) -> None:
    """Measure, and print and write the report in the first process."""
    from msdd.device import enough_memory
    from msdd.evaluate import distributed, report, samples_compare, samples_report

    check_paths(args)
    comparison = samples_report.comparison_of(
        args.samples, args.reference, args.protocol, args.features, "--samples"
    )
    samples_report.check_export(comparison, args.export_reference)
    other = samples_compare.read(args.against) if args.against else None
    device = distributed.device(args.device)
    team = distributed.join()
    settings = report.Settings(args.batch, device, args.work, skip=args.missing == "skip")
    document = {} if team.rank else samples_report.opening(comparison, settings) | origin(device)
    if other and team.rank == 0:
        samples_compare.check(document, other)
    with told_what_is_kept(args), enough_memory(lower_batch(document)):
        exported = args.export_reference is not None
        sums = samples_report.measure(comparison, document, settings, team, exported)
    if team.rank == 0:
        publish(args, comparison, document, sums, other)


def publish(args: argparse.Namespace, comparison, document: dict, sums, other) -> None:
    from msdd.evaluate import samples_compare, samples_report, samples_text

    path = args.export_reference
    exports = [partial(samples_report.export, path, comparison, sums)] if path else []
    put_and_show(document, args, exports, other, (samples_text, samples_compare))
