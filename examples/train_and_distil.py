"""Train a tokenizer on a folder of photographs, distil it to one step a scale, and measure both.

    python examples/train_and_distil.py FOLDER WORK

The sizes are those of the preset tiny, 16 px and seconds for each training, so images are poor.
`snakemake` runs the same stages, in parallel and with tables (README.md); this is how they are
called from Python. A second run with the same WORK goes on where the first one stopped.
"""

import sys
from pathlib import Path

import msdd
from msdd.commands.stages import run_stage
from msdd.evaluate import text
from msdd.params import presets
from msdd.params.load import load, parse
from msdd.params.schema import Params

TEACHER, STUDENT = "msdd", "msdd-1step"  # rows of `models` and `students`


def params_for(folder: str) -> Params:
    """The preset with another folder of photographs, checked as a params file is."""
    raw = load(presets.find("tiny", Path())).raw()
    raw["data"]["photographs"] = str(Path(folder).absolute())
    return parse(raw)


def train(params: Params, work: Path) -> None:
    """From photographs to a teacher and its student, below `work`."""
    run_stage(params, "prepare", work)
    run_stage(params, "train", work, model=TEACHER)
    for scale in range(params.model_of(TEACHER).scales):
        run_stage(params, "distil", work, student=STUDENT, scale=scale)
    run_stage(params, "assemble", work, student=STUDENT)


def main(folder: str, target: str) -> None:
    work = Path(target)
    work.mkdir(parents=True, exist_ok=True)
    train(params_for(folder), work)
    for name in ("stage1", STUDENT):
        tokenizer = msdd.load(work / "runs" / TEACHER / name)
        report = msdd.evaluate(tokenizer, folder, protocol="msdd", features="none")
        print(f"{name}: {tokenizer.describe().nfe} passes (NFE)")
        print(text.table(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
