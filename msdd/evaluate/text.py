"""A report as text for people: one line a protocol, and what each of them is."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from tabulate import tabulate

from msdd.evaluate.protocol import OF_PROTOCOL, Fid, GaussianSsim, OfOneNetwork, Protocol
from msdd.evaluate.rows import judged, more_rows
from msdd.files import shown
from msdd.metrics.pooling import LEAST
from msdd.weights.representations import REPRESENTATIONS, key_of

OF_NETWORKS = {  # headings of distances, each on several networks
    "fd": "FD-{}",
    "mind": "MIND-{}",
    "kd": "KD-{} ×1000",
    "kd_torch_fidelity": "KD-{} by torch-fidelity ×1000",
    "patch_fd": "patch FD-{}",
}
NAMES = {
    "bpp": "bpp",
    "psnr": "PSNR ↑",
    "psnr_hvs": "PSNR-HVS ↑",
    "psnr_hvs_m": "PSNR-HVS-M ↑",
    "ssim": "SSIM ↑",
    "gaussian_ssim": "SSIM Gaussian ↑",
    "ms_ssim": "MS-SSIM ↑",
    "lpips_alex": "LPIPS alex ↓",
    "lpips_vgg": "LPIPS vgg ↓",
    "dists": "DISTS ↓",
    "dreamsim": "DreamSim ↓",
    **{
        f"{kind}_{key_of(name)}": f"{heading.format(one.title)} ↓"
        for kind, heading in OF_NETWORKS.items()
        for name, one in REPRESENTATIONS.items()
    },
    "cmmd": "CMMD ↓",
    "patch_fd_inception": "patch FID ↓",
    "fd_inception": "rFID ↓",
    "kd_inception": "KID ×1000 ↓",
    "kd_torch_fidelity_inception": "KID by torch-fidelity ×1000 ↓",
}
QUANTISATION = {
    "round": "rounded to 8 bits",
    "truncate": "truncated to 8 bits",
    "truncate64": "truncated to 8 bits (originals normalised in float64)",
    "truncate_made": "reconstructions truncated to 8 bits",
    "shift": "8 bits by 127.5 x + 128",
    "none": "as they are",
}
UNROUNDED = {"bpp": "bits per pixel", "codes": "use of the codebook", "latents": "latents' moments"}
INFINITY = "∞"
WIDTH = 100  # columns of a terminal that a table may take


def table(report: dict) -> str:
    """The metrics with their 95 % intervals, protocols down and metrics across, or turned."""
    entries = report["protocols"]
    lacking = {name.partition(OF_PROTOCOL)[0] for name in report["not_measured"]}
    has = shown_names(report) | lacking  # a dash, which a note explains
    shown = [name for name in NAMES if name in has]
    shown += sorted(name for name in has if name.startswith("fdr_"))
    rows = [["protocol", *map(heading, shown)]]
    for name, entry in entries.items():
        cells = [cell(key, entry["metrics"].get(key)) for key in shown]
        rows.append([name, *cells])
    tables = [fitted(rows)] if shown else []
    if more := more_rows(entries):
        tables += [aligned(part) for part in parts([["", *entries], *more])]
    return "\n\n".join(tables)


def fitted(rows: Sequence[Sequence[str]]) -> str:
    """A table of at most WIDTH columns: as it is, or turned, or turned and in several parts."""
    turned = list(zip(*rows, strict=True))
    whole = next((one for one in (rows, turned) if width(one) <= WIDTH), None)
    return "\n\n".join(map(aligned, [whole] if whole else parts(turned)))


def parts(rows: Sequence[Sequence[str]]) -> list[list[list[str]]]:
    """Tables of as many columns as fit, each behind the first one."""
    first, *others = zip(*rows, strict=True)
    tables: list[list[Sequence[str]]] = []
    for column in others:
        if not tables or width(list(zip(*tables[-1], column, strict=True))) > WIDTH:
            tables.append([first])
        tables[-1].append(column)
    return [[list(row) for row in zip(*columns, strict=True)] for columns in tables]


def aligned(rows: Sequence[Sequence[str]]) -> str:
    return tabulate(rows, tablefmt="plain", disable_numparse=True)


def width(rows: Sequence[Sequence[str]]) -> int:
    return max(map(len, aligned(rows).splitlines()))


def heading(name: str) -> str:
    """FDr's says over how many networks it is, and a note over which."""
    return NAMES.get(name, f"FDr-{name.split('_')[1]} ↓" if name.startswith("fdr_") else name)


def cell(name: str, value: dict | float | None) -> str:
    """A mean with its interval, if it has one, or a distance."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return number(value)
    if value["mean"] is None:
        return INFINITY
    scale = scale_of(name)
    digits = 2 if name.startswith("psnr") or scale > 1 else 4
    if value["low"] is None:
        return f"{scale * value['mean']:.{digits}f}"
    mean, low, high = (f"{scale * value[key]:.{digits}f}" for key in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def scale_of(name: str) -> int:
    """What a metric is multiplied by to be read: kernel distances by a thousand."""
    return 1000 if name.startswith("kd_") else 1


def number(value: float) -> str:
    return f"{value:.4f}" if math.fabs(value) < 10 else f"{value:.2f}"


def notes(report: dict) -> list[str]:
    """What the metrics are of."""
    lines = of_intervals(report) + of_rules(report) + not_measured(report["not_measured"])
    lines += of_fdr(report) + of_patches(report) + of_rates(report)
    lines += [line for named in report["protocols"].items() for line in judged(*named)]
    if any(name.startswith(("fd_", "patch_fd_")) for name in shown_names(report)):
        lines.append(f"Distances of features are to {report['reference']}.")
    extremes = [describe_extremes(*one) for one in report["extremes"].items()]
    return lines + exact_images(report) + extremes


def of_intervals(report: dict) -> list[str]:
    """Of what the intervals are, and how KID differs from that of others."""
    kernel = {name for name in shown_names(report) if name.startswith("kd_")}
    theirs = {name for name in kernel if name.startswith("kd_torch_fidelity_")}
    of_kid = kernel - theirs
    lines = [
        f"{report['images']} images; intervals are 95 % bootstrap intervals over images"
        + (", KID's from the jackknife." if of_kid else ".")
    ]
    if of_kid:
        lines.append(
            "KID leaves out the kernel of an image with its own reconstruction. torch-fidelity's "
            "default and torchmetrics keep it, which lowers KID, often below 0: figures of theirs "
            "do not compare (docs/protocols.md)."
        )
    if theirs:
        lines.append("KID by torch-fidelity is its default: it keeps them, and has no interval.")
    return lines


def of_rules(report: dict) -> list[str]:
    """The rules of each protocol."""
    lines, of_files = [], "originals" in report
    if of_files:
        lines.append(
            "Both sides are files: only the metric half of each protocol applies. Its crop and its "
            "8-bit rule would have come before."
        )
    for name, entry in report["protocols"].items():
        protocol = Protocol.model_validate(entry["protocol"], strict=False)
        preparation = "" if of_files else entry["preparation"]
        lines.append(f"{name}: {describe(protocol, preparation)}")
        lines += of_pools(name, protocol, report["images"])
    return lines


def of_pools(name: str, protocol: Protocol, images: int) -> list[str]:
    """What the interval of a PSNR of groups of images is over."""
    pool = protocol.psnr.pool if protocol.psnr else 1
    if pool in (1, "all"):
        return []
    groups = -(-images // pool)
    so = "over which its interval is" if groups >= LEAST else "too few for an interval"
    plural = "s" * (groups != 1)
    return [f"{name}: PSNR is of {groups:,} group{plural} of {pool} images, {so}"]


def not_measured(reasons: dict[str, str]) -> list[str]:
    """A line for each reason, with everything that it rules out."""
    by_reason: dict[str, list[str]] = {}
    for name, why in reasons.items():
        by_reason.setdefault(why, []).append(name)
    return [
        f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} not measured: {why}"
        for why, names in by_reason.items()
    ]


def of_fdr(report: dict) -> list[str]:
    """Which networks a mean over networks holds, with the ratio in each."""
    lines = []
    for name, entry in report["protocols"].items():
        for metric, value in entry["metrics"].items():
            if metric.startswith("fdr_"):
                ratios = [f"{network} {number(x)}" for network, x in value["ratios"].items()]
                lines.append(
                    f"{name}: {heading(metric)[:-2]} is the mean of Fréchet distances, each over "
                    f"that of ImageNet's validation set to its training set: {', '.join(ratios)}"
                )
    return lines


def of_patches(report: dict) -> list[str]:
    """A line for each distance of patches: how many there are, and their side."""
    lines = []
    for name, entry in report["protocols"].items():
        for metric, value in entry["metrics"].items():
            if metric.startswith("patch_fd_"):
                count, side = value["patches"], value["side"]
                lines.append(
                    f"{name}: {heading(metric)[:-2]} is of {count:,} patches of {side} px a side, "
                    "on a grid and on the grid shifted by half of that (HiFiC's FID/256)"
                )
    return lines


def of_rates(report: dict) -> list[str]:
    """What the bits per pixel are of, and of how many images they are known."""
    lines, images = [], report["images"]
    what = "files, as they are" if "originals" in report else "codes, each as likely as any other"
    for name, entry in report["protocols"].items():
        if "bpp" in entry["metrics"]:
            known = entry["images_with"]["bpp"]
            some = f", of the {known} of {images} images that have one" if known < images else ""
            lines.append(f"{name}: bpp is the rate of {what}{some}")
    return lines


def shown_names(report: dict) -> set[str]:
    return {name for entry in report["protocols"].values() for name in entry["metrics"]}


EXACT = {"psnr": "PSNR", "psnr_hvs": "PSNR-HVS", "psnr_hvs_m": "PSNR-HVS-M"}


def exact_images(report: dict) -> list[str]:
    """Which images make a PSNR infinite."""
    lines = []
    for name, entry in report["protocols"].items():
        infinite = [m for m in EXACT if entry["metrics"].get(m, {}).get("infinite")]
        for metric in infinite[:1]:  # those after it only weigh what it sees
            values = zip(report["names"], entry["per_image"][metric], strict=True)
            first, *others = [image for image, value in values if value is None]
            more = f" and {len(others)} others are" if others else " is"
            how = "exactly" if metric == "psnr" else "without a difference that it sees"
            which = f"{shown(first)}{more} reproduced {how}"
            lines.append(f"{name}: {EXACT[metric]} is infinite, because {which}")
    return lines


def describe_extremes(crop: str, images: dict) -> str:
    """Name and PSNR of the worst, the median and the best image."""
    parts = []
    for word, image in images.items():
        decibels = INFINITY if image["psnr"] is None else f"{image['psnr']:.2f}"
        parts.append(f"{word} {shown(image['name'])} ({decibels} dB)")
    return f"{crop}: {', '.join(parts)}"


def describe(protocol: Protocol, preparation: str) -> str:
    """The rules; `preparation`, of what is cropped, is empty for two folders of files."""
    metrics = {key: metric for key in DESCRIBED if (metric := getattr(protocol, key))}
    parts = [preparation] if preparation else []
    parts += [DESCRIBED[key](one) + rule(one, not preparation) for key, one in metrics.items()]
    parts += [what for key, what in UNROUNDED.items() if getattr(protocol, key)]
    return "; ".join(parts) or "no metric is left"


def describe_network(of: OfOneNetwork) -> str:
    name, resize = of.network
    return f"{name}, resize {resize}" if resize else name


def describe_fid(fid: Fid) -> str:
    first = f", first {fid.first} images" if fid.first else ""
    return f"features of {describe_network(fid)}{first}"


def describe_gaussian(ssim: GaussianSsim) -> str:
    return "SSIM Gaussian 11 x 11" + (", means from mid-grey" if ssim.zero == "grey" else "")


DESCRIBED: dict[str, Callable[[Any], str]] = {  # the rules of a metric but for that of its levels
    "psnr": lambda psnr: f"PSNR {pool(psnr.pool)}",
    "psnr_hvs": lambda _: "PSNR-HVS of luma",
    "ssim": lambda ssim: f"SSIM range {ssim.range}",
    "gaussian_ssim": describe_gaussian,
    "ms_ssim": lambda _: "MS-SSIM of 5 scales",
    "lpips": lambda _: "LPIPS",
    "dists": lambda _: "DISTS",
    "fid": describe_fid,
    "patch_fid": lambda of: f"patches of {of.side} px on {describe_network(of)}",
    "frechet": lambda more: f"features of {', '.join(more.networks)}",
    "cmmd": lambda _: "CMMD",
    "classes": lambda classes: f"classes by {classes.network}",
    "text": lambda text: f"text read by {text.ocr}",
    "faces": lambda faces: f"faces by {faces.network}",
}


def pool(images: int | str) -> str:
    if images == "all":
        return "of the error pooled over all images"
    return "image by image" if images == 1 else f"of errors pooled over {images} images"


def rule(metric, of_files: bool) -> str:
    return "" if of_files else f", {QUANTISATION[metric.quantisation]}"
