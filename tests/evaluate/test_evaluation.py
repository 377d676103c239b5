"""A whole evaluation: closed forms, and the same result however the work is dealt."""

import json
import multiprocessing
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from faded import CPU, SIDE, SUBJECT, evaluated, faded, small
from PIL import Image

from msdd.errors import MsddError
from msdd.evaluate import evaluation, processes, protocols, run
from msdd.evaluate.figures import groups
from msdd.evaluate.instruments import Instruments
from msdd.evaluate.processes import Team
from msdd.evaluate.sources import Cropped
from msdd.evaluate.store import Store
from msdd.evaluate.subject import Subject
from msdd.evaluate.tally import Tally

TWO_CROPS = """
first: { crop: adm, fid: { levels: shift, features: efficientnet-lite0 } }
second: { crop: lanczos, psnr: { levels: none, pool: 1 }, ssim: { levels: round, range: 2 } }
"""
pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
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
def report_of_two(photographs, two) -> dict:
    return evaluated(photographs, two)


def test_pooling_more_lowers_psnr(photographs, tmp_path):
    """By Jensen's inequality, and the more so the more images differ."""
    file = tmp_path / "pools.yaml"
    file.write_text(
        "\n".join(
            f"{name}: {{ crop: adm, psnr: {{ levels: round, pool: {pool} }} }}"
            for name, pool in {"image": 1, "five": 5, "three": 3, "all": "all"}.items()
        )
    )
    found = evaluated(photographs, protocols.load([str(file)]))["protocols"]
    means = {name: entry["figures"]["psnr"]["mean"] for name, entry in found.items()}
    assert means["all"] == pytest.approx(means["five"], abs=1e-9)  # there are 5 images
    assert means["all"] < means["three"] < means["image"]


def test_groups_have_the_mean_of_their_images():
    errors = np.array([0.1, 0.2, 0.3, 0.4, 0.6])
    found = groups(errors, 2)
    assert len(found) == 3
    expected = -10 * np.log10([0.15, 0.15, 0.35, 0.35, 0.6])
    assert found.mean() == pytest.approx(expected.mean(), rel=1e-12)


@pytest.mark.parametrize("level", [1, 5, 25])
def test_known_noise_has_known_psnr(tmp_path, level):
    """Half of the pixels up by `level`, half down: the squared error is level^2.

    Images of two sizes in one batch.
    """
    random = np.random.default_rng(level)
    for folder in ("o", "r"):
        (tmp_path / folder).mkdir()
    for name, height in (("a", 32), ("b", 20), ("c", 32)):
        image = random.integers(25, 231, (height, 48, 3))
        Image.fromarray(image.astype(np.uint8)).save(tmp_path / f"o/{name}.png")
        noise = level * random.choice([-1, 1], image.shape)
        Image.fromarray((image + noise).astype(np.uint8)).save(
            tmp_path / f"r/{name}.webp", lossless=True
        )
    entry = of_folders(tmp_path)
    assert len(entry["per_image"]["ssim"]) == 3
    assert entry["figures"]["psnr"]["mean"] == pytest.approx(20 * np.log10(255 / level), rel=1e-12)


def of_folders(root: Path, features: str = "none") -> dict:
    """`primary` without LPIPS."""
    primary = protocols.load(["primary"])["primary"].with_features(features)
    chosen = {"primary": primary.model_copy(update={"lpips": None})}
    report = run.folders(root / "o", root / "r", chosen, run.Settings(2, CPU), Team())
    return report["protocols"]["primary"]


def test_identical_folders_are_at_0_and_infinity(photographs, tmp_path):
    for folder in ("o", "r"):
        (tmp_path / folder).symlink_to(photographs)
    entry = of_folders(tmp_path, "efficientnet-lite0")
    assert entry["figures"]["psnr"] == {"mean": None, "low": None, "high": None, "infinite": True}
    assert entry["per_image"]["psnr"] == [None] * 5
    assert entry["figures"]["ssim"]["mean"] == 1
    assert 0 <= entry["figures"]["fd_efficientnet_lite0"] < 1e-8
    assert entry["figures"]["kd_efficientnet_lite0"]["mean"] == 0
    json.dumps(entry, allow_nan=False)


def one_of_many(rank: int, size: int, port: int, folder: Path, chosen: dict, answer) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1"}
    os.environ["MASTER_PORT"] = str(port)
    report = evaluated(folder, chosen, team=processes.join())
    if report:
        answer.put(report)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.mark.parametrize("size", [2, 4])
def test_any_number_of_processes_gives_the_same_report(photographs, two, report_of_two, size):
    """Five images in batches of 2, 2 and 1: uneven shares, an idle process, a short batch."""
    context = multiprocessing.get_context("fork")
    answer, port = context.Queue(), free_port()
    arguments = [(rank, size, port, photographs, two, answer) for rank in range(size)]
    workers = [context.Process(target=one_of_many, args=a) for a in arguments]
    for worker in workers:
        worker.start()
    found = answer.get(timeout=120)
    for worker in workers:
        worker.join()
    assert found == report_of_two


class StoppedError(Exception):
    pass


def test_a_stopped_run_goes_on_and_ends_with_the_same_report(
    photographs, two, report_of_two, tmp_path, monkeypatch
):
    """A pass has 3 batches, and 3 more for its pictures: it stops in the second of two passes."""
    monkeypatch.setattr(evaluation, "SAVE_EVERY", 2)
    seen = []

    def stopping(images, names):
        seen.append(names)
        if len(seen) == 8:
            raise StoppedError
        return faded(images)

    how = {"work": tmp_path / "work", "subject": Subject(SUBJECT.about, SIDE, stopping)}
    with pytest.raises(StoppedError):
        evaluated(photographs, two, **how)
    assert evaluated(photographs, two, **how) == report_of_two
    assert len(seen) == 8 + 3 + 5
    pictures = {path.name for path in how["work"].glob("*.png")}
    assert pictures == {
        f"{c}-{word}.png" for c in ("adm", "lanczos") for word in ("worst", "median", "best")
    }
    assert Image.open(how["work"] / "adm-best.png").size == (2 * SIDE, SIDE)


@pytest.fixture
def ssdd() -> dict:
    found = small(["ssdd"])["ssdd"]
    return {"ssdd": found.model_copy(update={"lpips": None, "dreamsim": None})}


def new_tally(chosen: dict) -> Tally:
    return Tally(chosen, Instruments(chosen.values(), CPU))


def test_fewer_processes_go_on_where_more_were_stopped(photographs, tmp_path, ssdd):
    """Each of two has saved its batches; one takes over, also when it stops in between."""
    source = Cropped(photographs, "bilinear", SIDE, faded, CPU)
    store, whole = Store(tmp_path, "key"), new_tally(ssdd)
    assert evaluation.measure(source, whole, 2)
    for rank in range(2):
        ranges = evaluation.split(5, 2)[rank:2:2]
        evaluation.take(source, new_tally(ssdd), ranges, "", Team(rank, 2), store)
    both = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    resumed = new_tally(ssdd)
    store.resume(resumed)
    assert sorted(resumed.ids) == [0, 1, 2, 3] and len(list(tmp_path.iterdir())) == 1
    (tmp_path / "process1.safetensors").write_bytes(both[1])
    assert evaluation.measure(source, again := new_tally(ssdd), 2, store=store)
    for side in whole.features:
        ends = [tally.sums[str(side)].moments for tally in (again, whole)]
        assert torch.equal(ends[0].covariance, ends[1].covariance)
    for key, values in whole.sorted_values().items():
        assert torch.equal(again.sorted_values()[key], values)


def test_the_state_of_another_evaluation_is_left_out(photographs, tmp_path, ssdd, capsys):
    source = Cropped(photographs, "bilinear", SIDE, faded, CPU)
    evaluation.measure(source, new_tally(ssdd), 2, store=Store(tmp_path, "one"))
    Store(tmp_path, "another").resume(fresh := new_tally(ssdd))
    assert not fresh.ids and "is of another evaluation" in capsys.readouterr().err


def test_statistics_of_the_originals_are_kept_exported_and_read(photographs, tmp_path, ssdd):
    """The second run finds them, the third is given them; the figures are the same bits."""
    file = tmp_path / "reference.npz"
    first = evaluated(photographs, ssdd, export=file)
    found = evaluated(photographs, ssdd)
    given = evaluated(photographs, ssdd, reference=file)
    assert first == found
    assert given["protocols"] == first["protocols"] and given["reference"] == str(file)
    with pytest.raises(
        MsddError, match="statistics of preparation 'bilinear crop of 64 px, levels"
    ):
        evaluated(photographs, small(["msdd"]), reference=file)
    np.savez(file, mu=np.zeros(2048), sigma=np.eye(2048))
    with pytest.raises(MsddError, match="is of 2048 features; efficientnet-lite0 makes 1280"):
        evaluated(photographs, ssdd, reference=file)
    with pytest.raises(MsddError, match="these protocols need 2: choose one protocol"):
        evaluated(photographs, small(["ssdd", "dito"]), export=file)


def test_fewer_than_2_images_are_refused(tmp_path):
    Image.new("RGB", (80, 80)).save(tmp_path / "one.png")
    with pytest.raises(MsddError, match="at least 2 images, not 1"):
        evaluated(tmp_path, small(["titok"]))


def test_a_tokenizer_that_diverges_or_makes_other_shapes_is_named(photographs):
    def diverging(images, names):
        coffee = torch.tensor([name == "coffee" for name in names])
        return images.masked_fill(coffee.view(-1, 1, 1, 1), torch.nan)

    for reconstruct, message in (
        (diverging, "image .*coffee.png contains nan"),
        (
            lambda images, names: images[:, :, ::2],
            r"made \(2, 3, 32, 64\) of images \(2, 3, 64, 64\)",
        ),
        (lambda images, names: images.numpy(), "made ndarray of images"),
    ):
        with pytest.raises(MsddError, match=message):
            evaluated(photographs, small(["titok"]), subject=Subject({}, SIDE, reconstruct))
