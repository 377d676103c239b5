"""Where everything lies: one small function for every path, relative to the working directory.

The workflow's rules write the same paths as patterns, for readability; a test holds them together.
"""

from pathlib import Path

RUNS = Path("runs")
RECEIPTS = Path(".made")
RECORDS = Path("provenance")
MODEL_FILES = ("config.json", "model.safetensors")
TRAINING_FILES = (*MODEL_FILES, "curves.csv")
TABLES = ("table1", "table2", "ablation")
TABLE_KINDS = ("csv", "html", "md", "tex")
LATENT_FILES = ("latents.npy", "encoder.safetensors", "manifest.json")
FIGURES = ("reconstructions", "pyramid", "quality_speed", "curves")
REPORTS = (
    *TABLES,
    "figures",
    "throughput",
    "speed",
    "report",
)  # each made by the stage of its name


def prepared() -> Path:
    """The folder of shards, which its `manifest.json` represents as an input."""
    return Path("data/prepared")


def part(k: int) -> Path:
    """What job `k` of several prepares; its shards lie in the checkpoint of `prepared`."""
    return Path(f"data/prepared/part{k}")


def parts(jobs: int) -> list[Path]:
    """The parts of `prepare_jobs`; none where `prepare` does all by itself."""
    return [part(k) for k in range(jobs)] if jobs > 1 else []


def latents(name: str) -> Path:
    """The folder of what another tokenizer has made of the crops, by `Given.latents`; its
    `manifest.json` stands for the whole."""
    return Path("data/latents") / name


def images(stored: str | None) -> Path:
    """What stands for all that a training reads of images: the manifest of stored latents, which
    has the digest of the crops, or of the crops alone."""
    return (latents(stored) if stored else prepared()) / "manifest.json"


def stage1(model: str) -> Path:
    """The folder of a model after stage 1: encoder and teacher."""
    return RUNS / model / "stage1"


def scale(model: str, student: str, k: int) -> Path:
    """The folder of a student's denoiser of scale `k` (0 is the coarsest)."""
    return RUNS / model / student / f"scale{k}"


def assembled(model: str, student: str) -> Path:
    """The folder of a whole student."""
    return RUNS / model / student


def evaluation(model: str | None, student: str | None, decode: str) -> Path:
    """The metrics of a decode, beside the model that decodes if it was trained here."""
    if model is None:
        return RUNS / "elsewhere" / "eval" / f"{decode}.json"
    folder = stage1(model) if student is None else assembled(model, student)
    return folder / "eval" / f"{decode}.json"


def baseline(name: str) -> Path:
    """The metrics of one of `BASELINES`, which need no model."""
    return RUNS / "baseline" / "eval" / f"{name}.json"


def timing(evaluation: Path) -> Path:
    """Decode time and provenance beside an evaluation: no reproducible bytes."""
    return evaluation.with_suffix(".timing.json")


def samples(evaluation: Path) -> Path:
    """The first reconstructions beside an evaluation: uint8 (K, H, W, 3)."""
    return evaluation.with_suffix(".samples.npy")


def extremes(evaluation: Path) -> Path:
    """The worst, the median and the best image: originals, then reconstructions, uint8
    (6, H, W, 3)."""
    return evaluation.with_suffix(".extremes.npy")


def pyramid(evaluation: Path) -> Path:
    """Clean estimates of the first images at every scale, `scale<k>`: uint8 (K, side, side, 3)."""
    return evaluation.with_suffix(".pyramid.npz")


def checkpoint(artefact: Path) -> Path:
    """Checkpoint, lock and running log of what will become `artefact` (relative, too).

    Both workflow engines delete declared outputs before a retry, so this is none.
    """
    return Path("checkpoints") / artefact


def receipt(kind: str, artefact: Path) -> Path:
    """Digests of what a job made: `trainings` of a folder, `evaluations` of a metrics file, `parts`
    of shards."""
    return RECEIPTS / kind / artefact


def provenance(artefact: Path) -> Path:
    """The record of the job that made `artefact`, a file or a folder: no reproducible bytes."""
    return RECORDS / artefact.with_suffix(".json")


def code(stage: str) -> Path:
    """The digest of a stage's code."""
    return Path(".code") / stage


def weights() -> Path:
    """A file for each decode that was trained elsewhere, with the digest of its weights."""
    return code("weights")


def encoders() -> Path:
    """A file for each folder of stored latents, with the digest of what encodes."""
    return code("encoders")


def table(name: str, kind: str) -> Path:
    """One of `TABLES` as one of `TABLE_KINDS`."""
    return Path("reports") / f"{name}.{kind}"


def numbers(table: str) -> Path:
    """The figures of a table as macros for LaTeX: those of table2 are the plain `numbers`."""
    return Path("reports") / {"table2": "numbers.tex", "ablation": "numbers_ablation.tex"}[table]


def figure(name: str, kind: str) -> Path:
    """One of `FIGURES` as `png` or `svg`."""
    return Path("reports") / f"{name}.{kind}"


def throughput() -> Path:
    """What was timed, with its circumstances: no reproducible bytes."""
    return Path("reports/throughput.json")


def report(name: str) -> list[Path]:
    """All files of one of `REPORTS`; `speed` renders what `throughput` has measured."""
    if name == "throughput":
        return [throughput()]
    if name == "report":
        return [Path("reports/report.html")]
    stem = {"figures": None, "speed": "throughput"}.get(name, name)
    tables = [table(stem, kind) for kind in TABLE_KINDS if stem]
    tables += [numbers(name)] if name in ("table2", "ablation") else []
    pictures = {"figures": FIGURES, "speed": ("throughput",)}.get(name, ())
    return tables + [figure(one, kind) for one in pictures for kind in ("png", "svg")]


def systems() -> Path:
    """The folder of what was measured of other systems, `<name>.json`: the user's, no output."""
    return Path("reports/systems")


def systems_timed() -> Path:
    """The speed of other systems, in the form of `throughput`."""
    return systems() / "throughput.json"


def published() -> Path:
    """The papers' own figures, written by hand: part of the repository, no output."""
    return Path("reports/published.yaml")


def rows() -> Path:
    """The flat tables of jobs derived from the params."""
    return Path("workflow/rows.yaml")
