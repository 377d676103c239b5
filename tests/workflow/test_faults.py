"""Disks that are full, places that cannot be written, and what is deleted under a training.

On file systems of their own, which root may mount.
"""

import json
import shutil
import subprocess
import time

import pytest
import yaml
from command import Command, msdd
from PIL import Image

from msdd.pipeline import layout

FOLDER = layout.stage1("msdd")
ASIDE = layout.checkpoint(FOLDER)


@pytest.fixture
def mounted():
    """Mount an empty tmpfs somewhere for the test: `mounted(place, options)`."""
    places = []

    def mount(place, options):
        place.mkdir(parents=True, exist_ok=True)
        again = f"remount,{options}" if place in places else options
        command = ["mount", "-t", "tmpfs", "-o", again, "tmpfs", place]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting needs root")
        places.append(place)

    yield mount
    for place in dict.fromkeys(places):
        subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def often(tiny_params, workdir):
    """A working directory in which trainings save after every second step."""
    params = tiny_params.raw()
    params["stage1"] |= {"checkpoint_every": 64}
    (workdir / "params.yaml").write_text(yaml.safe_dump(params))
    return workdir


def test_a_full_disk_is_one_line_and_with_space_the_same_command_goes_on(often, mounted):
    mounted(often / "checkpoints", "size=24k")
    status, told = msdd(often, "train", "msdd")
    assert status == 1
    assert f"msdd: error: {ASIDE}/checkpoint.pt: No space left on device\n" in told
    assert not [*(often / ASIDE).glob("*.pt"), *(often / ASIDE).glob(".*.tmp")]
    mounted(often / "checkpoints", "size=64m")
    assert msdd(often, "train", "msdd")[0] == 0
    weights = often / FOLDER / "model.safetensors"
    resumed = weights.read_bytes()

    shutil.rmtree(often / "runs")
    mounted(often / "runs", "size=16k")
    status, told = msdd(often, "train", "msdd")
    assert f"msdd: error: {FOLDER}/model.safetensors: No space left on device" in told
    assert not weights.exists()
    mounted(often / "runs", "size=64m")
    status, told = msdd(often, "train", "msdd")
    assert status == 0 and "resuming after" in told
    assert weights.read_bytes() == resumed


def test_a_folder_that_cannot_be_written_is_named_before_the_training(often, mounted):
    mounted(often / "runs", "ro")
    status, told = msdd(often, "train", "msdd")
    assert status == 1 and "images   " not in told
    why = f"msdd: error: the result {FOLDER}/model.safetensors cannot be written: Read-only file"
    assert why in told


@pytest.mark.parametrize("options", ["ro", "size=4k"])
def test_a_home_that_takes_nothing_ends_nothing(trained, tmp_path, mounted, options):
    """Nor a cache: what would be kept there is made again by the next run."""
    root = shutil.copytree(trained, tmp_path / "work")
    mounted(tmp_path / "home", options)
    home = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home/cache")}
    status, told = msdd(root, "baseline", "mean-colour", **home)
    assert status == 0, told
    assert (root / layout.baseline("mean-colour")).is_file()


def test_checkpoints_that_are_deleted_under_a_training_end_nothing(often):
    training = Command(often, "train", "msdd")
    while not (often / ASIDE / "checkpoint.pt").exists() and training.running():
        time.sleep(0.002)
    shutil.rmtree(often / ASIDE, ignore_errors=True)
    status, told = training.end()
    assert status == 0, told
    assert (often / FOLDER / "model.safetensors").is_file()


def two_sides(root):
    """Arguments that evaluate three images against three others, written to `root`."""
    for folder, level in (("a", 100), ("b", 110)):
        (root / folder).mkdir()
        for k in range(3):
            Image.new("RGB", (32, 32), (level, 40 * k, 0)).save(root / folder / f"{k}.png")
    return "evaluate", "--originals", "a", "--reconstructions", "b", "--protocol", "msdd"


def test_a_full_cache_ends_no_distance(tmp_path, mounted):
    """Neither the network's weights nor the originals' statistics are kept; both are told."""
    mounted(tmp_path / "cache", "size=64k")
    chosen = ("--features", "efficientnet-lite0", "--json", "a.json")
    full = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    status, told = msdd(tmp_path, *two_sides(tmp_path), *chosen, **full)
    assert status == 0, told
    for lost in ("weights of efficientnet-lite0 are", "originals' statistics are"):
        assert f"the {lost} not kept" in told
    assert told.count("No space left on device") == 2
    found = json.loads((tmp_path / "a.json").read_text())["protocols"]["msdd"]["metrics"]
    assert found["fd_efficientnet_lite0"] > 0


def test_an_evaluation_on_a_full_disk_goes_on_with_space(tmp_path, mounted):
    """Neither pictures nor what it would resume from end it; its results are whole or not there."""
    sides = two_sides(tmp_path)
    mounted(tmp_path / "state", "size=4k")
    mounted(tmp_path / "made", "size=4k")
    (tmp_path / "state/full").write_bytes(bytes(4096))
    (tmp_path / "made/full").write_bytes(bytes(4096))
    command = (*sides, "--features", "none", "--work", "state", "--json", "made/a.json")
    status, told = msdd(tmp_path, *command)
    assert status == 1 and "No space left on device" in told
    assert told.splitlines()[-1] == "msdd: error: made/a.json: No space left on device"
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["full"]
    (tmp_path / "made/full").unlink()  # the state's disk stays full
    assert msdd(tmp_path, *command)[0] == 0
    assert json.loads((tmp_path / "made/a.json").read_text())["images"] == 3
