"""Whether faces stay those of the same persons, as a network embeds them on both sides.

A face is looked for in the original alone. It is cut out of both images at the landmarks of the
original, as TokBench (arXiv 2505.18142, eval_face.py at a77070c) does at annotated landmarks: what
is measured is likeness, not finding.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from msdd.evaluate.parts import by_size, levels, mean
from msdd.weights.face_networks import FaceNetworks

SAME = 0.6  # distance below which dlib's author takes two faces for those of one person
# TokBench's ranges at 256, 512 and 1,024 px, compute_all_metrics.py at 855802d; a face's size is
# here the side of the detector's square by the longer side of the image. Smaller ones are in none.
EDGES = {256: (0.1, 0.2, 0.3), 512: (0.05, 0.1, 0.2), 1024: (0.02, 0.05, 0.1)}


class Face(NamedTuple):
    """A face, on both sides: the Euclidean distance of its embeddings, their cosine, and its size
    as a share of the image."""

    distance: float
    similarity: float
    size: float


def faces(networks: FaceNetworks, original: Tensor, made: Tensor) -> list[Face]:
    """The faces of an image (3, H, W), in the order in which the detector finds them."""
    first, second = levels(original), levels(made)
    found, side = networks.find(first), max(first.shape[:2])
    pairs = zip(networks.embed(first, found), networks.embed(second, found), strict=True)
    return [
        Face(float(np.linalg.norm(a - b)), cosine(a, b), face.rect.height() / side)
        for face, (a, b) in zip(found, pairs, strict=True)
    ]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def face_numbers(found: Sequence[Face], side: int) -> dict[str, float]:
    """The numbers of an image whose longer side has `side` pixels; NaN where it has no such face.

    count:      faces
    distance:   mean over the faces
    similarity: likewise
    same:       share of the faces whose distance is below SAME
    distance and same also of the faces of each of SIZES
    """
    numbers = {
        "count": float(len(found) or np.nan),
        "similarity": mean([face.similarity for face in found]),
    }
    for suffix, some in by_size(found, EDGES, side).items():
        numbers[f"distance{suffix}"] = mean([face.distance for face in some])
        numbers[f"same{suffix}"] = mean([face.distance < SAME for face in some])
    return numbers


def numbers_of(networks: FaceNetworks, originals: Tensor, made: Tensor) -> dict[str, list[float]]:
    """All numbers of a batch of images by name, a list each."""
    side = max(originals.shape[-2:])
    pairs = zip(originals, made, strict=True)
    rows = [face_numbers(faces(networks, *pair), side) for pair in pairs]
    return {key: [row[key] for row in rows] for key in rows[0]}
