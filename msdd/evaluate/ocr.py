"""What becomes of the text in images: the lines that an OCR finds in originals, read on both sides.

The OCR is RapidOCR with PP-OCRv4's networks, whose weights come in its package. A line is looked
for in the original alone and cut out of both images at the same place, as TokBench (arXiv
2505.18142) cuts out its annotated words: what is measured is reading, not finding.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from msdd.errors import MsddError
from msdd.evaluate.name_tables import read_table
from msdd.evaluate.parts import by_size, levels, mean
from msdd.metrics.text import character_error_rate, edit_distance, one_minus_ned

NAN = float("nan")
SURE = 0.5  # the score from which RapidOCR takes a line for text
# TokBench's ranges of size at 256, 512 and 1,024 px, compute_all_metrics.py at a77070c; a line's is
# here its height by the longer side of the image. Smaller ones are in none.
EDGES = {256: (0.02, 0.03, 0.04), 512: (0.01, 0.02, 0.03), 1024: (0.005, 0.01, 0.02)}


class Line(NamedTuple):
    """A line of text, read on both sides without its blanks; its size as a share of the image."""

    original: str
    made: str
    size: float


class Reader:
    """RapidOCR on one thread, so that the same image is read alike everywhere.

    MsddError where the package is not installed.
    """

    def __init__(self) -> None:
        try:
            from rapidocr_onnxruntime import RapidOCR
        except ImportError as error:
            raise MsddError(
                f"text needs rapidocr-onnxruntime, `pip install 'msdd[judges]'` ({error})"
            ) from error
        self.engine = RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1)

    def lines(self, original: Tensor, made: Tensor) -> list[Line]:
        """The lines of an image (3, H, W) and of its reconstruction, in the order of reading.

        Lines that run upside down are not turned.
        """
        first, second = (self.engine.preprocess(pixels(side))[0] for side in (original, made))
        boxes, _ = self.engine.auto_text_det(first)
        if boxes is None:
            return []
        reads = [self.read(side, boxes) for side in (first, second)]
        sizes = [height(box) / max(first.shape[:2]) for box in boxes]
        rows = zip(*reads, sizes, strict=True)
        return [Line(a.text, b.text, size) for a, b, size in rows if a.text and a.score >= SURE]

    def read(self, image: np.ndarray, boxes: Sequence[np.ndarray]) -> list["Read"]:
        found, _ = self.engine.text_rec(self.engine.get_crop_img_list(image, boxes))
        return [Read("".join(text.split()), float(score)) for text, score, *_ in found]


class Read(NamedTuple):
    text: str
    score: float


def pixels(image: Tensor) -> np.ndarray:
    """(H, W, 3), blue first, as OpenCV has them."""
    return np.ascontiguousarray(levels(image)[..., ::-1])


def height(box: np.ndarray) -> float:
    """Height in pixels of the text line in a box (4, 2): its shorter pair of sides, as a line may
    be upright."""
    return float(min(np.linalg.norm(box[0] - box[1]), np.linalg.norm(box[0] - box[3])))


def text_numbers(lines: Sequence[Line], side: int) -> dict[str, float]:
    """The numbers of an image whose longer side has `side` pixels; NaN where it has no such line.

    accuracy: share of the lines that are read alike
    cer:      edits by the characters of the original's lines, all lines together
    ned:      mean of 1 - NED of the lines
    accuracy and ned also of the lines of each of SIZES
    """
    edits = sum(edit_distance(line.original, line.made) for line in lines)
    numbers = {"cer": edits / sum(len(line.original) for line in lines) if lines else NAN}
    for suffix, some in by_size(lines, EDGES, side).items():
        numbers[f"accuracy{suffix}"] = mean([line.original == line.made for line in some])
        numbers[f"ned{suffix}"] = mean([one_minus_ned(line.original, line.made) for line in some])
    return numbers


def transcript_numbers(lines: Sequence[Line], transcript: str | None) -> dict[str, float]:
    """CER of both sides against what is known to be written there, blanks left out; NaN for an
    image without a transcript."""
    truth = "".join((transcript or "").split())
    sides = {"cer_truth_original": "original", "cer_truth": "made"}
    return {
        name: character_error_rate(truth, "".join(getattr(line, side) for line in lines))
        if truth
        else NAN
        for name, side in sides.items()
    }


def numbers_of(
    reader: Reader,
    names: Sequence[str],
    originals: Tensor,
    made: Tensor,
    transcripts: str | None,
) -> dict[str, list[float]]:
    """All numbers of a batch of images by name, a list each."""
    known = read_table(transcripts) if transcripts is not None else {}
    side, rows = max(originals.shape[-2:]), []
    for name, original, other in zip(names, originals, made, strict=True):
        lines = reader.lines(original, other)
        rows.append(text_numbers(lines, side) | transcript_numbers(lines, known.get(name)))
    return {key: [row[key] for row in rows] for key in rows[0]}
