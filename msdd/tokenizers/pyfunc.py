"""A model folder behind MLflow's interface, for `mlflow models serve` and `mlflow.pyfunc`.

MLflow calls `_load_pyfunc` of the module that a model names.
"""

from pathlib import Path

import numpy as np
import torch

from msdd.data.pixels import from_uint8, to_uint8
from msdd.device import default_device
from msdd.files import read_json
from msdd.tokenizers import msdd
from msdd.tokenizers.tokenizer import Tokenizer

BATCH = 64  # images at once, however many are asked for


class Reconstruction:
    """Images in, their reconstructions out: uint8 (B, R, R, 3), any B."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def predict(self, images: np.ndarray, params: dict | None = None) -> np.ndarray:
        """Reconstruct images; the noise of each depends on its place in the batch alone."""
        pixels = from_uint8(torch.from_numpy(np.array(images, np.uint8)).permute(0, 3, 1, 2))
        ids = list(range(len(pixels)))
        parts = zip(pixels.split(BATCH), torch.tensor(ids).split(BATCH), strict=True)
        made = [self.tokenizer.reconstruct(part, own.tolist()) for part, own in parts]
        return to_uint8(torch.cat(made)).permute(0, 2, 3, 1).cpu().numpy()


def _load_pyfunc(folder: str) -> Reconstruction:
    """The tokenizer in a folder that `msdd.tracking.models` has written."""
    settings = read_json(Path(folder) / "decode.json")
    return Reconstruction(msdd.load(folder, **settings, device=default_device()))
