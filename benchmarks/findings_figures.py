"""The figures of docs/findings.md, from what reports/measured/photos64-cpu keeps.

    python benchmarks/findings_figures.py [--to docs]

Writes `findings-{speed,scales,cost,steps,errors,others,systems}.png`. Bars are 95 %
intervals over photographs, of speeds quartiles.
"""

import argparse
import json
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from msdd.params.load import load
from msdd.report.style import COLOURS, GREY, figure_style
from msdd.speed.flops import evaluation_flops
from msdd.speed.rows import config_of, on_card

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "reports/measured/photos64-cpu"
SIDES = (8, 16, 32, 64)
STEPS = (16, 32, 100)
BY_SCALES = ("one-scale-", "two-scales-", "three-scales-", "")  # how rows of as many begin
COMPARED = {  # names, and where their labels begin
    "student-finetuned": "left",
    "student-lpips": "left",
    "student-to-teacher": "left",
    "plain-decoder-on-msdd": "right",
    "plain-decoder-lpips": "right",
    "one-scale-deep-student-finetuned": "left",
    "one-scale-deep-student-lpips": "left",
}
OF_SEED_2 = {  # folder: rows, their names in the figure, and where these stand
    "plain": {
        "student-finetuned": ("four scales", 8, -12),
        "student-lpips": ("four scales, LPIPS", 8, -12),
        "student-end-to-end": ("four scales, end to end", 8, 4),
        "student-end-to-end-lpips": ("four scales, end to end, LPIPS", 8, 4),
        "auto-plain-mse": ("plain autoencoder", -8, 6),
        "auto-plain-lpips": ("plain autoencoder, LPIPS", 8, 10),
    },
    "ssdd": {
        "ssdd-student": ("SSDD", 8, -12),
        "kl-student-finetuned": ("cross", -8, 5),
    },
    "taef2": {
        "taef2-own": ("TAEF2", 8, 4),
        "plain": ("", 8, 4),
        "student-perceptual": ("on TAEF2's latents: two scales, plain", 2, -42),
    },
}
METRICS = {"psnr": "PSNR (dB)", "lpips_alex": "LPIPS alex"}


def bars(row: pd.Series, metric: str) -> list[list[float]]:
    """Of an interval, as matplotlib wants them."""
    return [[row[metric] - row[f"{metric}_low"]], [row[f"{metric}_high"] - row[metric]]]


def point(axes: Axes, x: float, row: pd.Series, metric: str, **looks) -> None:
    looks = {"elinewidth": 1, "markersize": 5, "linestyle": "", **looks}
    axes.errorbar(x, row[metric], yerr=bars(row, metric), **looks)


def two_panels() -> tuple[Figure, list[tuple[Axes, str]]]:
    figure = Figure((7.5, 3.0), facecolor="white", layout="constrained")
    panels = list(zip(figure.subplots(1, 2), METRICS, strict=True))
    for axes, metric in panels:
        axes.set_ylabel(METRICS[metric])
    return figure, panels


def speed(table: pd.DataFrame) -> Figure:
    """Images/s of decoding, alone and in batches of 16, with quartiles."""
    rows = json.loads((KEPT / "throughput.json").read_text())["rows"]
    rows = [row for row in rows if row["region"] == "decode"]
    figure = Figure((7.5, 2.2), facecolor="white", layout="constrained")
    axes = figure.subplots()
    names = list(dict.fromkeys(row["system"] for row in rows))
    for k, batch in enumerate(sorted({row["batch"] for row in rows})):
        of = [row for row in rows if row["batch"] == batch]
        rates = [row["images_per_second"] for row in of]
        low = [rate - batch / row["seconds_high"] for rate, row in zip(rates, of, strict=True)]
        high = [batch / row["seconds_low"] - rate for rate, row in zip(rates, of, strict=True)]
        looks = {"height": 0.35, "color": COLOURS[k], "label": f"batches of {batch}"}
        places = [names.index(row["system"]) + 0.4 * k - 0.2 for row in of]
        axes.barh(places, rates, xerr=[low, high], **looks)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("images/s of 64 px, decoding, on one core")
    axes.legend(labelcolor=GREY)
    return figure


def scales(table: pd.DataFrame) -> Figure:
    """Quality over the number of scales, at equal training FLOPs."""
    figure, panels = two_panels()
    for axes, metric in panels:
        for k, kind in enumerate(("teacher", "student", "student-finetuned")):
            looks = {"color": COLOURS[k], "marker": "oDs"[k]}
            named = {n: f"{prefix}{kind}" for n, prefix in enumerate(BY_SCALES, 1)}
            named = {n: table.loc[name] for n, name in named.items() if name in table.index}
            axes.plot(list(named), [row[metric] for row in named.values()], label=kind, **looks)
            for n, row in named.items():
                point(axes, n, row, metric, **looks)
            point(axes, 0.6, table.loc[f"one-scale-deep-{kind}"], metric, mfc="white", **looks)
        axes.set_xticks([0.6, 1, 2, 3, 4], ["1, deep", "1", "2", "3", "4"])
        axes.set_xlabel("scales")
    panels[0][0].legend(labelcolor=GREY)
    return figure


def cost(table: pd.DataFrame) -> Figure:
    """Quality over the FLOPs of a decode; numbers are scales."""
    params = load(KEPT / "params.yaml")
    figure, panels = two_panels()
    for axes, metric in panels:
        for k, kind in enumerate(("teacher", "student", "student-finetuned")):
            looks = {"color": COLOURS[k], "marker": "oDs"[k]}
            named = {n: f"{prefix}{kind}" for n, prefix in enumerate(BY_SCALES, 1)}
            named |= {"1, deep": f"one-scale-deep-{kind}"}
            for n, name in named.items():
                if name in table.index:
                    x, y = on_card(params, name).flops / 1e9, table.loc[name, metric]
                    hollow = {} if isinstance(n, int) else {"mfc": "white"}
                    point(axes, x, table.loc[name], metric, **looks, **hollow)
                    axes.annotate(str(n), (x, y), (5, 3), textcoords="offset points", size=8)
            axes.plot([], [], label=kind, linestyle="", **looks)
        axes.set_xscale("log")
        axes.set_xticks([0.6, 1, 2, 4, 8, 15], ["0.6", "1", "2", "4", "8", "15"])
        axes.minorticks_off()
        axes.set_xlabel("GFLOP of a decode")
    panels[0][0].legend(labelcolor=GREY)
    return figure


def steps(table: pd.DataFrame) -> Figure:
    """Quality over evaluations of the network: teachers with guidance, and students."""
    figure, panels = two_panels()
    teachers = table.loc[["teacher-4-steps", "teacher", *(f"teacher-{n}-steps" for n in STEPS)]]
    for axes, metric in panels:
        looks = {"color": COLOURS[0], "marker": "o"}
        axes.plot(teachers["nfe"], teachers[metric], label="teacher, guided", **looks)
        for _, row in teachers.iterrows():
            point(axes, row["nfe"], row, metric, **looks)
        for k, name in enumerate(("student", "student-finetuned", "student-lpips"), 1):
            x = 4 * 1.12 ** (k - 2)  # beside, not over each other
            looks = {"color": COLOURS[k], "marker": "oDs^"[k], "label": name}
            point(axes, x, table.loc[name], metric, **looks)
        axes.set_xscale("log")
        axes.set_xlabel("evaluations of the network")
    panels[1][0].legend(labelcolor=GREY)
    return figure


def errors(table: pd.DataFrame) -> Figure:
    """Where FLOPs, time and errors are: a student's shares, and scales begun from the truth."""
    cells = cells_of("scale_errors.md")
    names = [name for name in dict.fromkeys(cell[0] for cell in cells) if "/msdd/" in name]
    figure = Figure((8.5, 2.8), facecolor="white", layout="constrained")
    first, *others = figure.subplots(1, 1 + len(names), width_ratios=[1.5, *[1] * len(names)])
    shares(first)
    for axes, name in zip(others, names, strict=True):
        for k, text in enumerate(("in the chain", "alone", "last image, from here")):
            values = [numbers(cell[2 + k]) for cell in cells if cell[0] == name]
            ends = [[y - low, high - y] for y, low, high in values]
            looks = {"color": COLOURS[k], "marker": "oDs"[k], "ms": 4, "label": text}
            y = [value for value, _, _ in values]
            axes.errorbar(range(4), y, yerr=list(zip(*ends, strict=True)), elinewidth=1, **looks)
        axes.set_title(f"{name.split('/')[-1]} (dB)", size=8.5)
        axes.set_ylim(5, 32)
    others[0].legend(labelcolor=GREY, fontsize=7, loc="lower right")
    for axes in (first, *others):
        axes.set_xticks(range(4), SIDES)
        axes.set_xlabel("scale (px)")
    return figure


def shares(axes: Axes) -> None:
    """Of each scale in FLOPs and in time, in per cent."""
    config = config_of(load(KEPT / "params.yaml"), "msdd")
    costs = [evaluation_flops(config, side) for side in SIDES]
    columns = {"FLOPs": [100 * cost / sum(costs) for cost in costs]}
    times = cells_of("scale_times.md")
    for batch, name in (("16", "time, 16 images"), ("1", "time, 1 image")):
        of = {cell[1]: numbers(cell[2])[0] for cell in times if cell[0] == batch}
        columns[name] = [100 * of[f"{side} px"] / of["decode"] for side in SIDES]
    for k, (name, values) in enumerate(columns.items()):
        places = [place + 0.27 * (k - 1) for place in range(4)]
        axes.bar(places, values, 0.25, color=(GREY, *COLOURS)[k], label=name)
    axes.set_title("shares (%)", size=8.5)
    axes.legend(labelcolor=GREY, fontsize=7)


def cells_of(name: str) -> list[list[str]]:
    """The rows of a kept table in Markdown."""
    lines = (KEPT / name).read_text("utf-8").splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def numbers(cell: str) -> tuple[float, float, float]:
    """A figure and its ends, of `1.0 [0.9, 1.1]`."""
    value, low, high = (float(part.strip("[],")) for part in cell.split())
    return value, low, high


def others(table: pd.DataFrame) -> Figure:
    """PSNR against LPIPS of decoders of one pass and of one step a scale."""
    figure = Figure((7.5, 3.4), facecolor="white", layout="constrained")
    axes = figure.subplots()
    for name, side in COMPARED.items():
        row, plain = table.loc[name], "plain" in name
        looks = {"color": COLOURS[plain], "marker": "oD"[plain]}
        point(axes, row["lpips_alex"], row, "psnr", xerr=bars(row, "lpips_alex"), **looks)
        near = {"textcoords": "offset points", "ha": side, "size": 8}
        axes.annotate(
            name, (row["lpips_alex"], row["psnr"]), (8 if side == "left" else -8, 5), **near
        )
    axes.set_xlim(0.03, 0.49)
    axes.set_xlabel("LPIPS alex (less is better)")
    axes.set_ylabel(METRICS["psnr"])
    return figure


def systems(table: pd.DataFrame) -> Figure:
    """The same of all systems on the crops of seed 2; filled: latents of 1,024 numbers."""
    figure = Figure((7.5, 4.2), facecolor="white", layout="constrained")
    axes = figure.subplots()
    for k, (folder, names) in enumerate(OF_SEED_2.items()):
        rows = pd.read_csv(KEPT / folder / "table2.csv").set_index("decode")
        for name, (label, right, up) in names.items():
            row, x = rows.loc[name], rows.loc[name, "lpips_alex"]
            looks = {"color": COLOURS[k], "marker": "oD^"[k]}
            looks |= {"mfc": "white"} if folder == "taef2" else {}
            point(axes, x, row, "psnr", xerr=bars(row, "lpips_alex"), **looks)
            near = {"textcoords": "offset points", "ha": "left" if right > 0 else "right"}
            axes.annotate(label, (x, row["psnr"]), (right, up), size=8, **near)
    axes.set_xlim(0.0, 0.5)
    axes.set_xlabel("LPIPS alex (less is better)")
    axes.set_ylabel(METRICS["psnr"])
    return figure


FIGURES = {
    "speed": speed,
    "scales": scales,
    "cost": cost,
    "steps": steps,
    "errors": errors,
    "others": others,
    "systems": systems,
}


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=120, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=ROOT / "docs")
    folder = parser.parse_args().to
    table = pd.read_csv(KEPT / "table2.csv").set_index("decode")
    with figure_style():
        for name, draw in FIGURES.items():
            save(draw(table), folder / f"findings-{name}.png")


if __name__ == "__main__":
    main()
