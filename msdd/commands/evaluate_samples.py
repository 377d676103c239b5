"""`msdd evaluate --samples`: generated images against a reference, without partners."""

import argparse
from functools import partial


def evaluate(args: argparse.Namespace) -> None:
    """Measure, and print and write the report in the first process."""
    from msdd.commands.evaluate import check_paths, lower_batch, told_what_is_kept
    from msdd.device import enough_memory
    from msdd.evaluate import distributed, report, samples_compare, samples_report

    check_paths(args)
    comparison = comparison_of(args)
    samples_report.check_export(comparison, args.export_reference)
    other = samples_compare.read(args.against) if args.against else None
    device = distributed.device(args.device)
    team = distributed.join()
    settings = report.Settings(args.batch, device, args.work, skip=args.missing == "skip")
    document = {} if team.rank else opening(comparison, settings)
    if other and team.rank == 0:
        samples_compare.check(document, other)
    with told_what_is_kept(args), enough_memory(lower_batch(document)):
        sums = samples_report.measure(comparison, document, settings, team)
    if team.rank == 0:
        publish(args, comparison, document, sums, other)


def comparison_of(args: argparse.Namespace):
    """What is compared, by the rules that are asked for."""
    from msdd.evaluate import samples_report, samples_rules
    from msdd.evaluate.protocols import listed_names
    from msdd.evaluate.samples_reference import open_reference
    from msdd.evaluate.samples_sets import image_set

    named = listed_names(args.protocol or samples_rules.DEFAULT)
    rules = samples_rules.chosen(named, args.features)
    lost = samples_rules.left_out(named, args.features)
    samples, reference = image_set(args.samples, "--samples"), open_reference(args.reference)
    return samples_report.Comparison(str(args.samples), samples, reference, rules, lost)


def opening(comparison, settings) -> dict:
    from msdd.commands.evaluate import origin
    from msdd.evaluate import samples_report

    return samples_report.opening(comparison, settings) | origin(settings.device)


def publish(args: argparse.Namespace, comparison, document: dict, sums, other) -> None:
    from msdd.commands.evaluate import put_and_show
    from msdd.evaluate import samples_compare, samples_report, samples_text

    path = args.export_reference
    exports = [partial(samples_report.export, path, comparison, sums)] if path else []
    put_and_show(document, args, exports, other, (samples_text, samples_compare))
