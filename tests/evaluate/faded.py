"""A tokenizer that needs no network, and evaluations of it."""

from pathlib import Path

import torch

from msdd.evaluate import passes, protocols, reference_statistics, report
from msdd.evaluate.distributed import Team
from msdd.evaluate.sources import Subject

SIDE = 64
CPU = torch.device("cpu")


def faded(images, names=None):
    """A reconstruction that needs no network: less contrast, beyond the range at the top."""
    return images * 0.93 + 0.08 + 0.02 * torch.sin(40 * images)


SUBJECT = Subject({"tokenizer": "faded"}, SIDE, faded)


def small(names: list[str]) -> dict:
    """Protocols on the features of a small network, without KID."""
    found = protocols.load(names).items()
    return {
        name: protocol.with_features("efficientnet-lite0").model_copy(update={"kid": False})
        for name, protocol in found
    }


def evaluated(folder: Path, chosen: dict, team: Team | None = None, subject=SUBJECT, **more):
    """The report on `faded` in batches of 2."""
    return measured(passes.of_tokenizer(subject, folder, chosen, CPU), team, **more)


def measured(
    evaluation: passes.Evaluation, team: Team | None = None, export: Path | None = None, **more
) -> dict:
    """The report of the first process, in batches of 2."""
    settings, team = report.Settings(2, CPU, **more), team or Team()
    reference_statistics.check_options(evaluation.protocols, settings.reference, export)
    found = {} if team.rank else report.opening(evaluation, settings)
    references = report.measure_passes(evaluation, found, settings, team)
    if export:
        reference_statistics.write(export, *references)
    return found
