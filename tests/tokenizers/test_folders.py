"""`msdd encode`, `decode` and `reconstruct`: a folder there and back, and what cannot be read."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from skimage.data import astronaut, rocket

from msdd import cli
from msdd.data.centre_crops import adm
from msdd.errors import MsddError
from msdd.tokenizers import folders
from msdd.tokenizers.catalogue import load
from msdd.tokenizers.folders import Cut
from msdd.tokenizers.llamagen import LlamaGen, LlamaGenConfig
from msdd.tokenizers.own import Own
from msdd.weights.metadata import unpack

SIDE = 16  # of the tiny model


@pytest.fixture
def images(tmp_path) -> Path:
    """Photographs of several shapes, one of them below a folder."""
    folder = tmp_path / "in"
    (folder / "more").mkdir(parents=True)
    for name, pixels in {
        "a.png": astronaut(),
        "b.jpg": rocket(),
        "more/c.png": astronaut()[:200, 50:90],
        "more/d.png": rocket()[100:300, 200:300],
        "e.png": astronaut()[:9, :9],
    }.items():
        Image.fromarray(pixels).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def model(trained) -> Path:
    return trained / "runs/msdd/msdd-1step"


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_there_and_back_is_a_reconstruction(images, model, tmp_path, capsys):
    options = ["--tokenizer", model, "--batch", 2]
    latents, back, both = (tmp_path / name for name in ("z", "back", "both"))
    assert run("encode", images, latents, *options) == 0
    assert "centre square of 16 x 16 px, resized by box means" in capsys.readouterr().out
    assert files(latents) == [f"{name}.safetensors" for name in ("a", "b", "e", "more/c", "more/d")]
    assert run("decode", latents, back, *options, "--seed", 3) == 0
    assert run("reconstruct", images, both, *options, "--seed", 3) == 0
    assert files(back) == files(both) == ["a.png", "b.png", "e.png", "more/c.png", "more/d.png"]
    for name in files(back):
        assert (back / name).read_bytes() == (both / name).read_bytes()


def test_latents_are_those_of_the_crop_and_say_whose(images, model, tmp_path):
    assert run("encode", images, tmp_path / "z", "--tokenizer", model) == 0
    path, made = tmp_path / "z/more/c.safetensors", load(model)
    crop = adm(Image.open(images / "more/c.png"), SIDE)
    pixels = torch.from_numpy(np.asarray(crop).copy()).permute(2, 0, 1)[None] / 127.5 - 1
    torch.testing.assert_close(load_file(path)["latents"], made.encode(pixels)[0])
    with safe_open(path, "pt") as file:
        assert made.files["model.safetensors"] in unpack(file.metadata())["files"]


def test_a_reconstruction_depends_on_its_image_and_seed_alone(images, model, tmp_path):
    options = ["--tokenizer", model]
    run("reconstruct", images, tmp_path / "all", *options, "--batch", 3)
    (images / "a.png").unlink()
    run("reconstruct", images, tmp_path / "fewer", *options, "--batch", 1)
    run("reconstruct", images, tmp_path / "other", *options, "--seed", 1)
    for name in files(tmp_path / "fewer"):
        one, same, other = (
            np.asarray(Image.open(tmp_path / folder / name), int)
            for folder in ("all", "fewer", "other")
        )
        assert abs(one - same).max() <= 1 and abs(one - other).max() > 1


def test_what_cannot_be_read_is_named_and_the_rest_is_done(images, model, tmp_path, capsys):
    (images / "broken.png").write_bytes((images / "a.png").read_bytes()[:500])
    (images / "page.jpg").write_text("<html></html>")
    assert run("reconstruct", images, tmp_path / "out", "--tokenizer", model) == 1
    told = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert [name in line for name, line in zip(("broken.png", "page.jpg"), told, strict=False)]
    assert told[-1] == "msdd: error: 2 of 7 files were left out"
    assert len(files(tmp_path / "out")) == 5


@pytest.mark.parametrize(
    "latents",
    [
        torch.zeros(9, 4),
        torch.zeros(8, 4, dtype=torch.int64),
        torch.zeros(4, 8),
        torch.zeros(8, 4, 1),
    ],
)
def test_latents_of_another_tokenizer_are_refused(latents, model, tmp_path, capsys):
    (tmp_path / "z").mkdir()
    save_file({"latents": latents}, tmp_path / "z/x.safetensors")
    assert run("decode", tmp_path / "z", tmp_path / "out", "--tokenizer", model) == 1
    assert "x.safetensors: " in (told := capsys.readouterr().err)
    assert "are not latents of MSDD, which has [8, 4] of torch.float32" in told


def test_mistakes_are_one_line(images, model, tmp_path, capsys, monkeypatch):
    def told(*arguments: object) -> str:
        assert run(*arguments) == 1
        (line,) = [one for one in capsys.readouterr().err.splitlines() if "error" in one]
        return line

    out, of = tmp_path / "out", ("--tokenizer", model)
    assert "IN_DIR: there is no folder" in told("encode", tmp_path / "no", out, *of)
    assert "lies in IN_DIR" in told("reconstruct", images, images / "out", *of)
    assert "takes images of 16x16 px, not 32x32" in told(
        "encode", images, out, *of, "--resolution", 32
    )
    assert "holds a student: it makes one unguided step a scale" in told(
        "reconstruct", images, out, *of, "--steps", "2"
    )
    assert "'titok' is no system" in told("encode", images, out, "--tokenizer", "titok")
    (tmp_path / "z").mkdir()
    assert "IN_DIR holds nothing to decode" in told("decode", tmp_path / "z", out, *of)
    (tmp_path / "z/x.safetensors").write_bytes(b"no")
    assert run("decode", tmp_path / "z", out, *of) == 1
    assert "x.safetensors: cannot be read as latents" in capsys.readouterr().err
    assert "--device gpu is unknown; it may be cpu" in told(
        "encode", images, out, *of, "--device", "gpu"
    )
    with monkeypatch.context() as environment:
        environment.setenv("MSDD_DEVICE", "gpu")
        assert "MSDD_DEVICE is gpu" in told("reconstruct", images, out, *of)
    Image.fromarray(rocket()).save(images / "a.jpg")
    assert "have the same name" in told("encode", images, out, *of)
    assert not out.exists()


def test_a_line_of_pixels_is_left_out_before_it_takes_all_memory(images, model, tmp_path, capsys):
    Image.new("RGB", (2**24, 1)).save(images / "line.png")
    assert run("reconstruct", images, tmp_path / "out", "--tokenizer", model) == 1
    told = capsys.readouterr().err
    assert "line.png has 16777216 x 1 pixels: with a short side of" in told
    assert "1 of 6 files were left out" in told


def test_nan_is_no_pixel(images, model, tmp_path, capsys):
    broken = shutil.copytree(model, tmp_path / "broken")
    state = load_file(broken / "model.safetensors")
    state["decoders.0.head.bias"][0] = torch.nan
    save_file(state, broken / "model.safetensors")
    assert run("reconstruct", images, tmp_path / "out", "--tokenizer", broken) == 1
    assert "image a contains nan" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


LONGEST = 255  # bytes of a name on Linux's file systems


def test_names_of_any_length_are_made(images, model, tmp_path):
    name = "e" + "ä" * ((LONGEST - 5) // 2)
    (images / "e.png").rename(images / f"{name}.png")
    assert run("reconstruct", images, tmp_path / "out", "--tokenizer", model) == 0
    assert f"{name}.png" in files(tmp_path / "out") and len(files(tmp_path / "out")) == 5


def test_a_name_too_long_for_its_latents_costs_no_other_image(images, model, tmp_path, capsys):
    name = "b" * (LONGEST - 4)
    (images / "b.jpg").rename(images / f"{name}.jpg")
    assert run("encode", images, tmp_path / "z", "--tokenizer", model, "--batch", 5) == 1
    assert files(tmp_path / "z") == [f"{n}.safetensors" for n in ("a", "e", "more/c", "more/d")]
    told = capsys.readouterr().err
    assert f"{name}.safetensors: File name too long\n" in told
    assert "1 of 5 files were left out" in told


def test_a_name_that_is_taken_costs_no_other_image(images, model, tmp_path, capsys):
    (tmp_path / "out/a.png/inside").mkdir(parents=True)
    (tmp_path / "out/more").touch()
    assert run("reconstruct", images, tmp_path / "out", "--tokenizer", model) == 1
    assert {"b.png", "e.png"} <= set(files(tmp_path / "out"))
    told = capsys.readouterr().err
    assert "a.png: Is a directory" in told and "3 of 5 files were left out" in told


def test_a_full_disk_ends_the_run_at_once(any_size, images, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space left on device: '.*/out/a.png'"):
        folders.reconstruct(any_size, images, tmp_path / "out", Cut("adm", 16), 0, 2)


def test_latents_that_decode_to_nan_cost_no_other_image(images, model, tmp_path, capsys):
    assert run("encode", images, tmp_path / "z", "--tokenizer", model) == 0
    state = load_file(tmp_path / "z/b.safetensors")
    save_file({"latents": state["latents"] * torch.nan}, tmp_path / "z/b.safetensors")
    assert run("decode", tmp_path / "z", tmp_path / "out", "--tokenizer", model) == 1
    assert files(tmp_path / "out") == ["a.png", "e.png", "more/c.png", "more/d.png"]
    told = f"{tmp_path / 'z/b.safetensors'}: its latents have values that are no finite numbers"
    assert told in capsys.readouterr().err


def test_latents_have_the_same_bytes_each_time(any_size, images, tmp_path, monkeypatch):
    """safetensors 0.8.0 shuffles entries of the header: with two, all 8 agree once in 128 times."""
    monkeypatch.setattr(any_size, "files", {"x.pt": "1"}, raising=False)
    made = set()
    for k in range(8):
        folders.encode(any_size, images / "more", tmp_path / str(k), Cut("adm", 16), batch=2)
        made.add((tmp_path / str(k) / "c.safetensors").read_bytes())
    assert len(made) == 1


def test_latents_of_earlier_versions_are_read(any_size, images, tmp_path, capsys, monkeypatch):
    """They have an entry of the header for each text."""
    monkeypatch.setattr(any_size, "files", {"x.pt": "1"}, raising=False)
    for digest, told in (("1", 0), ("2", 1)):
        about = {"files": json.dumps({"x.pt": digest}), "cut": "any"}
        save_file({"latents": torch.zeros(2, 2, dtype=int)}, tmp_path / "x.safetensors", about)
        folders.decode(any_size, tmp_path, tmp_path / "out", seed=0, batch=2)
        assert capsys.readouterr().err.count("was encoded by other weights") == told


@pytest.fixture(scope="module")
def any_size() -> LlamaGen:
    """Random weights; it takes sides that are multiples of 2 px and has 60 codes."""
    torch.manual_seed(0)
    config = LlamaGenConfig(32, width=32, encoder=(1, 1), decoder=(1, 1), blocks=1, codes=60)
    return LlamaGen(config).eval().requires_grad_(False)


def test_latents_of_several_sizes_decode_together(any_size, images, tmp_path):
    latents, out = tmp_path / "z", tmp_path / "out"
    folders.encode(any_size, images, latents, Cut("bicubic", 24), batch=8)
    folders.encode(any_size, images / "more", latents / "small", Cut("adm", 10), batch=8)
    folders.decode(any_size, latents, out, seed=0, batch=8)
    sides = {name: Image.open(out / name).size[0] for name in files(out)}
    assert sides.pop("small/c.png") == sides.pop("small/d.png") == 10
    assert len(sides) == 5 and set(sides.values()) == {24}


def test_indices_must_be_of_the_codebook(any_size, tmp_path):
    last = {"latents": torch.full((3, 5), 59)}
    save_file(last, tmp_path / "x.safetensors")
    folders.decode(any_size, tmp_path, tmp_path / "out", seed=0, batch=8)
    assert Image.open(tmp_path / "out/x.png").size == (10, 6)
    for wrong in (60, -1):
        save_file({"latents": last["latents"].clone().fill_(wrong)}, tmp_path / "x.safetensors")
        with pytest.raises(MsddError, match="its indices are .* has 0 to 59"):
            folders.decode(any_size, tmp_path, tmp_path / "out", seed=0, batch=8)


class Levels:
    """256 codes as bytes, whose number no byte holds; some noise before it, as a sampler has."""

    resolution, codes = 16, 256

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        means = torch.nn.functional.avg_pool2d(images, 4)
        return ((means + 1) * 120 + 9 * torch.rand_like(means)).to(torch.uint8)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(latents / 127.5 - 1, scale_factor=4.0)


def test_codes_as_bytes_go_there_and_back(images, tmp_path):
    """The same ones each time: what the user's code draws follows from the images' names."""
    tokenizer = Own("levels", Levels(), torch.device("cpu"))
    for name in ("a", "b"):
        folders.encode(tokenizer, images, tmp_path / name, Cut("adm", 16), batch=2)
    for path in files(tmp_path / "a"):
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()
    folders.decode(tokenizer, tmp_path / "a", tmp_path / "out", seed=0, batch=2)
    assert len(files(tmp_path / "out")) == len(files(images))


def test_decoders_of_one_encoder_share_latents(images, trained, model, tmp_path, capsys):
    """The teacher and its students: no other weights made the latents."""
    assert run("encode", images, tmp_path / "z", "--tokenizer", model) == 0
    teacher = ["--tokenizer", trained / "runs/msdd/stage1"]
    assert run("decode", tmp_path / "z", tmp_path / "out", *teacher) == 0
    assert "other weights" not in capsys.readouterr().err


def test_latents_of_other_weights_are_told_once(any_size, images, tmp_path, capsys, monkeypatch):
    for given, told in (("first", 0), ("second", 1)):
        monkeypatch.setattr(any_size, "files", {"x.pt": given}, raising=False)
        if not told:
            folders.encode(any_size, images, tmp_path / "z", Cut("adm", 16), batch=2)
        folders.decode(any_size, tmp_path / "z", tmp_path / "out", seed=0, batch=2)
        assert capsys.readouterr().err.count("was encoded by other weights") == told


def test_files_appear_whole(any_size, images, tmp_path, monkeypatch):
    """Of a run that was cut in the middle nothing half is left, and the next one makes the same."""

    def cut(*_):
        raise KeyboardInterrupt

    given = any_size, images, tmp_path / "out", Cut("adm", 16), 0, 2
    monkeypatch.setattr(Image.Image, "save", cut)
    with pytest.raises(KeyboardInterrupt):
        folders.reconstruct(*given)
    assert files(tmp_path / "out") == []
    monkeypatch.undo()
    folders.reconstruct(*given)
    assert len(files(tmp_path / "out")) == 5


def test_any_name_that_the_file_system_takes_goes_there_and_back(images, model, tmp_path, capsys):
    """Bytes that are not UTF-8, which safetensors 0.8.0 does not open; and one that has no room for
    the ending of latents, which costs no other image."""
    os.rename(images / "a.png", os.fsencode(images) + b"/caf\xe9.png")
    long = "m" * 251
    (images / "b.jpg").rename(images / f"{long}.jpg")
    options = ["--tokenizer", model, "--batch", 2]
    latents, back, both = (tmp_path / name for name in ("z", "back", "both"))
    assert run("encode", images, latents, *options) == 1
    told = capsys.readouterr().err
    assert f"{long}.safetensors: File name too long" in told
    assert "1 of 5 files were left out" in told
    assert run("decode", latents, back, *options) == run("reconstruct", images, both, *options) == 0
    assert f"{long}.png" in files(both) and len(files(both)) == 5 and len(files(back)) == 4
    for name in files(back):
        assert (back / name).read_bytes() == (both / name).read_bytes()


def test_noise_does_not_depend_on_the_form_of_a_name():
    """macOS decomposes what other systems compose."""
    (composed, decomposed), other = folders.ids(["M\xfcller", "Mu\u0308ller"]), folders.ids(["M"])
    assert composed == decomposed != other[0]


def test_linked_folders_of_latents_are_decoded(images, model, tmp_path):
    assert run("encode", images, tmp_path / "z", "--tokenizer", model) == 0
    (tmp_path / "z/more").rename(tmp_path / "elsewhere")
    (tmp_path / "z/more").symlink_to(tmp_path / "elsewhere")
    assert run("decode", tmp_path / "z", tmp_path / "back", "--tokenizer", model) == 0
    assert files(tmp_path / "back") == ["a.png", "b.png", "e.png", "more/c.png", "more/d.png"]


def test_files_of_other_kinds_among_latents_are_named(images, model, tmp_path, capsys):
    assert run("encode", images, tmp_path / "latents", "--tokenizer", model) == 0
    first = next((tmp_path / "latents").rglob("*.safetensors"))
    first.rename(first.with_suffix(".SAFETENSORS"))
    capsys.readouterr()
    assert run("decode", tmp_path / "latents", tmp_path / "out", "--tokenizer", model) == 0
    told = capsys.readouterr().err
    assert told.count("left out 1 file of other kinds") == 1
    assert f"{first.stem}.SAFETENSORS" in told


def test_a_folder_of_latents_that_is_not_there_is_named(model, tmp_path, capsys):
    (tmp_path / "z").mkdir()
    (tmp_path / "z/unmounted").symlink_to(tmp_path / "nowhere")
    for place, message in (("z", "z/unmounted is a link that leads"), ("y", "y: cannot enter")):
        assert run("decode", tmp_path / place, tmp_path / "out", "--tokenizer", model) == 1
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("action", ["encode", "decode", "reconstruct"])
@pytest.mark.parametrize("of", ["no folder", "nothing in it", "OUT_DIR is a file", "below a file"])
def test_folders_are_looked_at_before_a_tokenizer_is_opened(tmp_path, images, capsys, action, of):
    """This one is not there."""
    source = {"no folder": tmp_path / "none", "nothing in it": tmp_path / "empty"}.get(of, images)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    save_file({"latents": torch.zeros(2, 2)}, images / "z.safetensors")
    place = {"OUT_DIR is a file": "file", "below a file": "file/out"}.get(of, "out")
    assert run(action, source, tmp_path / place, "--tokenizer", tmp_path / "no tokenizer") == 1
    said = capsys.readouterr().err.splitlines()
    assert not any("no tokenizer" in line for line in said)
    assert ("OUT_DIR" in said[-1]) == ("file" in of)


def test_reconstructions_among_the_originals_are_refused_at_once(tmp_path, images, capsys):
    assert run("reconstruct", images, images / "out", "--tokenizer", tmp_path / "no tokenizer") == 1
    assert "lies in IN_DIR" in capsys.readouterr().err


def test_reconstructions_that_would_replace_originals_are_refused(tmp_path, images, capsys):
    """Where a folder holds one of its own name, and through a link."""
    val, none = tmp_path / "val", tmp_path / "no tokenizer"
    shutil.copytree(images, val / "val")
    shutil.copy(images / "a.png", val)
    assert run("reconstruct", val, tmp_path, "--tokenizer", none) == 1
    assert "val/a.png in OUT_DIR is an image of IN_DIR" in capsys.readouterr().err
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/more").symlink_to(images / "more")
    assert run("reconstruct", images, tmp_path / "linked", "--tokenizer", none) == 1
    assert "more/c.png in OUT_DIR is an image of IN_DIR" in capsys.readouterr().err
