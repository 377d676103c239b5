import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from faded import evaluated, small
from PIL import Image
from skimage import data
from two_folders import COUNT, SIDE

from msdd.data.photographs import EMBEDDED_TRAIN, embedded_photograph
from msdd.evaluate import protocols, reference_statistics

TWO_CROPS = """
first:
  crop: adm
  fid: { quantisation: shift, features: efficientnet-lite0 }
  kid: true
  frechet: { quantisation: round, networks: [efficientnet-lite2] }
  mind: true
  classes: { quantisation: round, network: efficientnet-lite0 }
second:
  crop: lanczos
  psnr: { quantisation: none, pool: 1 }
  psnr_hvs: { quantisation: round }
  ssim: { quantisation: round, range: 2 }
  gaussian_ssim: { quantisation: none, zero: grey }
  ms_ssim: { quantisation: round }
  dists: { quantisation: round }
"""


@pytest.fixture(scope="session")
def photographs(tmp_path_factory) -> Path:
    """A folder of the embedded photographs."""
    folder = tmp_path_factory.mktemp("photographs")
    for name in EMBEDDED_TRAIN:
        (folder / name).write_bytes(embedded_photograph(name).path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory) -> Iterator[None]:
    """Statistics of reference sets are kept apart from the user's."""
    folder = tmp_path_factory.mktemp("statistics")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            reference_statistics, "cache_path", lambda wanted: folder / f"{wanted.key}.npz"
        )
        yield


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> Path:
    """`o/` with crops of a photograph, `r/` with blurred ones under other endings."""
    root = tmp_path_factory.mktemp("folders")
    (root / "o/deep").mkdir(parents=True)
    (root / "r/deep").mkdir(parents=True)
    for k in range(COUNT):
        image = Image.fromarray(data.astronaut()[50 * k :][:SIDE, 60 * k :][:, :SIDE])
        small = image.resize((16, 16), Image.Resampling.BOX)
        name = f"deep/{k}" if k % 2 else str(k)
        image.save(root / f"o/{name}.png")
        small.resize(image.size, Image.Resampling.BICUBIC).save(
            root / f"r/{name}.webp", lossless=True
        )
    return root


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """The same number of threads everywhere: it may change the last bits of a convolution."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> dict:
    file = tmp_path_factory.mktemp("protocols") / "two.yaml"
    file.write_text(TWO_CROPS)
    return protocols.load([str(file)])


@pytest.fixture(scope="module")
def report_of_two(photographs, two, own_cache, one_thread) -> dict:
    return evaluated(photographs, two)


@pytest.fixture
def ssdd() -> dict:
    found = small(["ssdd"])["ssdd"]
    return {"ssdd": found.model_copy(update={"lpips": None, "dreamsim": None})}


@pytest.fixture
def sigint() -> Iterator[Callable]:
    """Sets what SIGINT does in a test: whatever has started the suite may have it ignored."""
    before = signal.getsignal(signal.SIGINT)
    yield lambda handler: signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGINT, before)
