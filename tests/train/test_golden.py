"""The curves of short trainings as they are known: a change for speed must not alter them.

On another processor the sums of float32 differ in their last digits, which a few steps amplify.
Where the method itself was changed, the new curve is written with
`python tests/train/test_golden.py FOLDER`, a finished working directory of the tiny preset.
"""

import json
import sys
from pathlib import Path

import pandas
import pytest

from msdd.pipeline import layout

GOLDEN = Path(__file__).with_name("golden_curves.json")
FOLDERS = {
    "stage1": layout.stage1("msdd"),
    "scale0": layout.scale("msdd", "msdd-1step", 0),
    "scale1": layout.scale("msdd", "msdd-1step", 1),
}


def curves(root: Path) -> dict[str, list[dict[str, float]]]:
    files = {name: root / folder / "curves.csv" for name, folder in FOLDERS.items()}
    return {name: pandas.read_csv(file).to_dict("records") for name, file in files.items()}


@pytest.mark.parametrize("name", FOLDERS)
def test_the_curve_is_the_known_one(trained, name):
    known = json.loads(GOLDEN.read_text())[name]
    found = curves(trained)[name]
    assert [point["images"] for point in found] == [point["images"] for point in known]
    for ours, theirs in zip(found, known, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(curves(Path(sys.argv[1])), indent=2) + "\n")
