"""The columns and features that protocols need of each image."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from msdd.evaluate.parts import SIZES
from msdd.evaluate.protocol import EMBEDDING, Protocol
from msdd.metrics.quantisation import level_table
from msdd.weights.representations import key_of


@dataclass(frozen=True)
class MetricColumn:
    """One number an image. What several protocols need is one column."""

    kind: str
    quantisation: str
    variant: str = ""  # LPIPS's trunk, SSIM's range or zero, which of several numbers
    table: str = ""  # of what is known of the images

    def __str__(self) -> str:
        return f"{self.kind} {self.quantisation} {self.variant} {self.table}".rstrip()


RATE = MetricColumn("bpp", "none")


def columns(protocol: Protocol) -> dict[str, MetricColumn]:
    """The columns of a protocol by the names of its metrics."""
    by_name = {}
    if protocol.bpp:
        by_name["bpp"] = RATE
    if protocol.psnr:
        by_name["psnr"] = MetricColumn("squared_error", protocol.psnr.quantisation)
    if protocol.psnr_hvs:
        for name in ("psnr_hvs", "psnr_hvs_m"):
            by_name[name] = MetricColumn(name, protocol.psnr_hvs.quantisation)
    if protocol.ssim:
        by_name["ssim"] = MetricColumn("ssim", protocol.ssim.quantisation, str(protocol.ssim.range))
    if protocol.gaussian_ssim:
        quantisation, zero = protocol.gaussian_ssim.quantisation, protocol.gaussian_ssim.zero
        by_name["gaussian_ssim"] = MetricColumn("gaussian_ssim", quantisation, zero)
    if protocol.ms_ssim:
        by_name["ms_ssim"] = MetricColumn("ms_ssim", protocol.ms_ssim.quantisation)
    if protocol.lpips:
        for net in protocol.lpips.nets:
            by_name[f"lpips_{net}"] = MetricColumn("lpips", protocol.lpips.quantisation, net)
    if protocol.dists:
        by_name["dists"] = MetricColumn("dists", protocol.dists.quantisation)
    if protocol.dreamsim:
        by_name["dreamsim"] = MetricColumn("dreamsim", protocol.dreamsim.quantisation)
    if protocol.classes:
        rule, table = protocol.classes.quantisation, protocol.classes.labels or ""
        by_name |= {name: MetricColumn("classes", rule, name, table) for name in CLASSES}
    if protocol.text:
        names = TEXTS if protocol.text.transcripts else TEXTS[:-2]
        rule, table = protocol.text.quantisation, protocol.text.transcripts or ""
        by_name |= {f"text_{name}": MetricColumn("text", rule, name, table) for name in names}
    if protocol.faces:
        rule = protocol.faces.quantisation
        by_name |= {f"face_{name}": MetricColumn("faces", rule, name) for name in FACES}
    return by_name


# Names of numbers that some images have not, where the mean is that of the others.
CLASSES = ("class_agreement", "top1", "top5", "top1_original", "top5_original")
SIZED = [f"{name}_{size}" for size in SIZES for name in ("accuracy", "ned")]
TEXTS = ("accuracy", "cer", "ned", *SIZED, "cer_truth", "cer_truth_original")
SIZED_FACES = [f"{name}_{size}" for size in SIZES for name in ("same", "distance")]
FACES = ("same", "distance", "similarity", *SIZED_FACES, "count")
PARTIAL = {
    "bpp",
    *CLASSES,
    *(f"text_{name}" for name in TEXTS),
    *(f"face_{name}" for name in FACES),
}


@dataclass(frozen=True)
class Features:
    """Features of one side, `real` or `made`, of the first so many images; with `patch` those of
    patches of that side."""

    side: str
    network: str
    resize: str
    quantisation: str
    first: int | None
    patch: int | None = None

    def __str__(self) -> str:
        first = self.first or "all"
        of = f"{first} patches of {self.patch}" if self.patch else first
        return f"{self.side} {self.network} {self.resize} {self.quantisation} {of}"


Pair = tuple[Features, Features]  # of originals and of reconstructions


def features(protocol: Protocol) -> Pair | None:
    """Those of the originals and of the reconstructions for `fid`."""
    if (of := protocol.fid) is None:
        return None
    return both_sides(Features("made", *of.network, of.quantisation, of.first))


def patch_pair(protocol: Protocol) -> Pair | None:
    """Those of patches."""
    if (of := protocol.patch_fid) is None:
        return None
    return both_sides(Features("made", *of.network, of.quantisation, None, of.side))


def both_sides(made: Features) -> Pair:
    """Originals are the same under all rules that keep their levels."""
    quantisation = "none" if level_table(made.quantisation) is None else made.quantisation
    return replace(made, side="real", quantisation=quantisation), made


def of_network(network: str, quantisation: str) -> Pair:
    """Those of all images by a network, which enlarges in its usual way."""
    resize = "pytorch_fid" if network == "inception" else ""
    return both_sides(Features("made", network, resize, quantisation, None))


def frechet_pairs(protocol: Protocol) -> dict[str, Pair]:
    """Originals and reconstructions for every Fréchet distance, by network; first that of `fid`,
    which goes before another one on the same network."""
    pairs = {protocol.fid.features: features(protocol)} if protocol.fid else {}
    if more := protocol.frechet:
        pairs = {name: of_network(name, more.quantisation) for name in more.networks} | pairs
    first = [protocol.fid.features] if protocol.fid else []
    return {name: pairs[name] for name in dict.fromkeys([*first, *pairs])}


def cmmd_pair(protocol: Protocol) -> Pair | None:
    """Those of CMMD's embeddings."""
    return of_network(EMBEDDING, protocol.cmmd.quantisation) if protocol.cmmd else None


def all_pairs(protocol: Protocol) -> list[Pair]:
    """All that a protocol needs; the same one may be there twice."""
    alone = (patch_pair(protocol), cmmd_pair(protocol))
    return [*frechet_pairs(protocol).values(), *(pair for pair in alone if pair)]


def of_single_images(protocol: Protocol) -> dict[str, tuple[str, Pair]]:
    """The kind of each metric that takes features of single images, and which, by its name."""
    by_name: dict[str, tuple[str, Pair]] = {}
    if protocol.kid:
        by_name[protocol.fid.kid_name] = "kid", features(protocol)
    if protocol.kid_torch_fidelity:
        name = f"kd_torch_fidelity_{key_of(protocol.fid.features)}"
        by_name[name] = "kid_torch_fidelity", features(protocol)
    if protocol.mind:
        for network, pair in frechet_pairs(protocol).items():
            by_name[f"mind_{key_of(network)}"] = "mind", pair
    if protocol.cmmd:
        by_name["cmmd"] = "cmmd", cmmd_pair(protocol)
    return by_name


def features_to_sample(protocols: Iterable[Protocol]) -> set[Features]:
    """The features that are needed of single images."""
    needed = (pair for p in protocols for _, pair in of_single_images(p).values())
    return {side for pair in needed for side in pair}
