"""Folders of diffusers in every form that people have: one tokenizer, or one clear line."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import msdd
from msdd.errors import MsddError
from msdd.files import digest
from msdd.weights.optional_imports import import_torchvision

import_torchvision()
from diffusers import AutoencoderKL  # noqa: E402

PLAIN = "diffusion_pytorch_model.safetensors"
HALF = "diffusion_pytorch_model.fp16.safetensors"
INDEX = f"{PLAIN}.index.json"
SHARDS = {"max_shard_size": "200KB"}


def vae() -> AutoencoderKL:
    """Random weights that half precision holds exactly."""
    torch.manual_seed(0)
    made = AutoencoderKL(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=8,
        sample_size=32,
    )
    return made.bfloat16().half().float()


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    vae().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(plain, tmp_path) -> Path:
    """With the configuration alone."""
    shutil.copy(plain / "config.json", tmp_path)
    return tmp_path


@pytest.fixture
def same(plain):
    """Whether a folder gives the very pictures of the plain one."""
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    expected = msdd.load(plain).reconstruct(images)
    return lambda folder: torch.equal(msdd.load(folder).reconstruct(images), expected)


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("sharded", [{}, SHARDS], ids=["one", "shards"])
@pytest.mark.parametrize("variant", [None, "fp16", "bf16", "ema", "non_ema"])
def test_every_form_gives_the_pictures_of_full_precision(tmp_path, same, variant, sharded, safe):
    types = {"fp16": torch.float16, "bf16": torch.bfloat16}
    model = vae().to(types.get(variant, torch.float32))
    model.save_pretrained(tmp_path, variant=variant, safe_serialization=safe, **sharded)
    weights = [path for path in tmp_path.iterdir() if path.suffix != ".json"]
    assert (len(weights) > 1) == bool(sharded) and same(tmp_path)
    assert msdd.load(tmp_path).files == {path.name: digest(path) for path in weights}


def test_the_folder_of_a_pipeline(folder, plain, same):
    shutil.copytree(plain, folder / "pipeline/vae")
    (folder / "pipeline/model_index.json").write_text("{}")
    assert same(folder / "pipeline")
    (folder / "pipeline/vae").rename(folder / "elsewhere")
    with pytest.raises(MsddError, match="/pipeline: a pipeline of diffusers without vae/config"):
        msdd.load(folder / "pipeline")


@pytest.mark.parametrize("full", [PLAIN, "diffusion_pytorch_model.fp32.safetensors"])
def test_of_several_forms_the_precise_one_is_taken_and_said(folder, plain, same, capsys, full):
    half = HALF if full == PLAIN else PLAIN
    state = load_file(plain / PLAIN)
    save_file({name: (value * 1.01).half() for name, value in state.items()}, folder / half)
    shutil.copy(plain / PLAIN, folder / full)
    assert same(folder)
    assert f"{full} is taken, as float32; also there: {half}" in capsys.readouterr().err


def test_fp16_is_more_precise_than_bf16(folder, plain, capsys):
    state = load_file(plain / PLAIN)
    bf16 = HALF.replace("fp16", "bf16")
    save_file({name: value.half() for name, value in state.items()}, folder / HALF)
    save_file({name: value.bfloat16() for name, value in state.items()}, folder / bf16)
    msdd.load(folder)
    assert f"{HALF} is taken, as float32; also there: {bf16}" in capsys.readouterr().err


def test_a_pointer_of_git_lfs_is_no_form_beside_another(folder, plain, same):
    shutil.copy(plain / PLAIN, folder / HALF)
    (folder / PLAIN).write_text("version https://git-lfs.github.com/spec/v1\n")
    assert same(folder)


@pytest.fixture
def shards(folder) -> Path:
    vae().save_pretrained(folder, **SHARDS)
    return folder


def change(index: Path, tensor: str, file: object) -> None:
    content = json.loads(index.read_text())
    content["weight_map"][tensor] = file
    index.write_text(json.dumps(content))


@pytest.mark.parametrize("file", ["../x.safetensors", "/x.safetensors", "a/x.safetensors", "..", 1])
def test_an_index_names_files_beside_it_alone(shards, file):
    change(shards / INDEX, "quant_conv.bias", file)
    with pytest.raises(MsddError, match=f"{INDEX}: refused: it names .* no file in its own folder"):
        msdd.load(shards)


def test_what_shards_lack_is_one_line(shards):
    first, *_, last = sorted(shards.glob("*-of-*"))
    change(shards / INDEX, "no.such", last.name)
    with pytest.raises(MsddError, match=f"{INDEX}: no.such is not in {last.name}"):
        msdd.load(shards)
    first.unlink()
    with pytest.raises(MsddError, match=f"{INDEX}: its shard {first.name} is not here"):
        msdd.load(shards)
    (shards / INDEX).write_text('{"weight')
    with pytest.raises(MsddError, match=f"{INDEX}: not an index of shards"):
        msdd.load(shards)
    (shards / INDEX).unlink()
    with pytest.raises(MsddError, match=f"there is no {PLAIN} or .bin, .* it has config.json, "):
        msdd.load(shards)


def test_an_index_without_shards_hides_no_other_form(shards, plain, same):
    for path in shards.glob("*-of-*"):
        path.unlink()
    shutil.copy(plain / PLAIN, shards / HALF)
    assert same(shards)


def test_errors_name_what_does_not_fit(folder, plain):
    shutil.copy(plain / PLAIN, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"layers_per_block": 2}))
    with pytest.raises(MsddError, match=f"{folder}/{PLAIN}: the weights do not fit AutoencoderKL"):
        msdd.load(folder)
    (folder / "config.json").write_text(json.dumps(config | {"up_block_types": ["Up", "Up"]}))
    with pytest.raises(MsddError, match=f"{folder}/.*: config.json is not one of .* .Up does not"):
        msdd.load(folder)
    (folder / "config.json").write_text(json.dumps(config | {"_class_name": "VQModel"}))
    with pytest.raises(MsddError, match="config.json: not the .* AutoencoderKL .* of VQModel"):
        msdd.load(folder)
    for other in ("[]", "3", "null"):
        (folder / "config.json").write_text(other)
        with pytest.raises(MsddError, match="config.json: not the configuration of a model"):
            msdd.load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(MsddError, match="config.json: cannot be read as JSON"):
        msdd.load(folder)


def test_quantised_weights_are_told(folder, plain):
    state = load_file(plain / PLAIN)
    save_file({name: value.to(torch.int8) for name, value in state.items()}, folder / PLAIN)
    with pytest.raises(MsddError, match="do not fit AutoencoderKL: integers, as of quantised"):
        msdd.load(folder)


def test_a_file_is_no_name_of_a_tokenizer(plain):
    with pytest.raises(MsddError, match=f"{PLAIN} is a file; name its system, and .* --checkpoint"):
        msdd.load(plain / PLAIN)
