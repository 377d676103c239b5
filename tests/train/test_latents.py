"""Decoders of another tokenizer's latents: what is stored, trained, recorded and refused."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import msdd
from msdd.commands import plan
from msdd.commands.stages import run_stage
from msdd.data.loader import Loader
from msdd.data.pixels import from_uint8
from msdd.errors import MsddError
from msdd.fast.tokenizer import Fast
from msdd.files import digest, write_json
from msdd.params.load import parse
from msdd.params.schema import Student
from msdd.params.sections import Given
from msdd.pipeline import layout
from msdd.pipeline.task import params_of, resolve
from msdd.tokenizers import elsewhere, folders, klvae
from msdd.tokenizers.any_size import any_size
from msdd.tokenizers.systems import SYSTEMS
from msdd.tokenizers.taef2 import TAEF2, TAEF2Config
from msdd.train.latents import statistics
from msdd.train.stored_latents import frozen_encoder, training_set

TEACHER = layout.stage1("msdd")
SHORT = {"batch": 8, "images": 16, "warmup": 8, "log_every": 8, "checkpoint_every": 16}
ENCODER, DECODER = SYSTEMS["taef2"].halves


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Files of TAEF2 as published, with random weights."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(1)
    whole = TAEF2(TAEF2Config()).state_dict()
    for half, file in (("encoder.", ENCODER), ("decoder.", DECODER)):
        names = [name for name in whole if name.startswith(half)]
        torch.save({name.removeprefix(half): whole[name] for name in names}, folder / file)
    return folder


@pytest.fixture(scope="module")
def params(tiny_params, weights):
    """16 px: 2 x 2 positions of 32."""
    given = Given(tokenizer="taef2", checkpoint=str(weights), sha256=digest(weights / ENCODER))
    student = Student(model="msdd", mode="finetune", start="msdd-1step", mse_real=1.0, **SHORT)
    sections = {
        "model": tiny_params.model.model_copy(update={"latents": 4, "latent_dim": 32}),
        "stage1": tiny_params.stage1.model_copy(update={**SHORT, "encoder": given}),
        "distil": tiny_params.distil.model_copy(update=SHORT),
        "students": tiny_params.students | {"finetuned": student},
    }
    return parse(tiny_params.model_copy(update=sections).raw(), "params.yaml")


@pytest.fixture(scope="module")
def made(params, prepared, tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "work"
    shutil.copytree(prepared, root)
    encode_crops(params, root)
    run_stage(params, "train", root, model="msdd")
    for k in range(params.model.scales):
        run_stage(params, "distil", root, student="msdd-1step", scale=k)
    run_stage(params, "assemble", root, student="msdd-1step")
    run_stage(params, "chain", root, student="finetuned")
    return root


def encode_crops(params, root):
    run_stage(params, "latents", root, encoder=params.latents_of("msdd"))


@pytest.fixture
def work(made, tmp_path):
    return shutil.copytree(made, tmp_path / "work")


def crops_of(params, root):
    task = resolve(params, "train", root, model="msdd")
    frozen = frozen_encoder(task, root)
    config = msdd.load(root / TEACHER).config
    assert config.frozen == frozen
    return training_set(task, config, root)


def test_stored_latents_are_the_tokenizers_standardised(params, made, weights):
    """Of crops as they are, and so the loader mirrors none."""
    crops = crops_of(params, made)
    indices = np.arange(len(crops))
    stored = crops.latents(indices)
    assert stored.shape == (len(crops), 4, 32)
    torch.testing.assert_close(stored.mean((0, 1)), torch.zeros(32), atol=1e-3, rtol=0)
    torch.testing.assert_close(stored.square().mean((0, 1)), torch.ones(32), atol=2e-3, rtol=0)
    raw = msdd.load("taef2", checkpoint=weights).encode(from_uint8(crops.batch(indices)))
    frozen = crops.frozen
    restored = stored.mT.reshape(raw.shape) * torch.tensor(frozen.std)[:, None, None]
    restored += torch.tensor(frozen.mean)[:, None, None]
    torch.testing.assert_close(restored, raw, atol=2e-3, rtol=2e-3)
    with Loader(crops, 0, 8) as loader:
        images, _, latents = next(iter(loader))
    raw = msdd.load("taef2", checkpoint=weights).encode(from_uint8(images))
    torch.testing.assert_close(
        latents.mT.reshape(raw.shape) * torch.tensor(frozen.std)[:, None, None]
        + torch.tensor(frozen.mean)[:, None, None],
        raw,
        atol=2e-3,
        rtol=2e-3,
    )


def test_a_model_codes_alone_as_the_tokenizer_does(made, weights, tmp_path):
    """Its folder has the encoder, to the bit, and no decoder of the other's."""
    source = msdd.load("taef2", checkpoint=weights)
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    for folder in (TEACHER, layout.assembled("msdd", "msdd-1step"), "runs/msdd/finetuned"):
        moved = shutil.copytree(made / folder, tmp_path / str(folder))
        model = msdd.load(moved)
        assert torch.equal(model.encode(images), source.encode(images))
        assert model.decode(model.encode(images)).shape == images.shape
        names = load_file(moved / "model.safetensors")
        encoder = [name for name in names if name.startswith("encoder.")]
        assert len(encoder) == 79 and all(name.startswith("encoder.encoder.") for name in encoder)
        frozen = json.loads((moved / "config.json").read_text())["model"]["frozen"]
        assert (frozen["file"], frozen["sha256"]) == (ENCODER, digest(weights / ENCODER))


def test_a_folder_of_the_tokenizers_latents_is_decoded(made, weights, tmp_path, capsys):
    """Without a word about other weights; latents of another size are refused naming both."""
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
    Image.fromarray(np.full((16, 16, 3), 99, np.uint8)).save(tmp_path / "ours/a.png")
    cut, source = folders.Cut("adm", 16), msdd.load("taef2", checkpoint=weights)
    model = msdd.load(made / "runs/msdd/finetuned")
    folders.encode(source, tmp_path / "ours", tmp_path / "latents", cut, 1)
    folders.decode(model, tmp_path / "latents", tmp_path / "out", 0, 1)
    assert (tmp_path / "out/a.png").exists()
    assert "other weights" not in capsys.readouterr().err
    save_file({"latents": torch.zeros(4, 2, 2)}, tmp_path / "theirs/b.safetensors")
    told = r"b.safetensors: \[4, 2, 2\] .* not latents of MSDD, a decoder of taef2, .*\[32, 2, 2\]"
    with pytest.raises(MsddError, match=told):
        folders.decode(model, tmp_path / "theirs", tmp_path / "out", 0, 1)


def test_images_of_any_size_have_the_tokenizers_own_latents(made, weights):
    """Those of the whole image; an image of the model's size is decoded as the model does."""
    source = msdd.load("taef2", checkpoint=weights)
    for noise in ("drawn", "zero"):
        plain = msdd.tokenizers.msdd.load(made / "runs/msdd/finetuned", noise=noise)
        sized, images = any_size(plain), torch.rand(1, 3, 40, 24) * 2 - 1
        latents = sized.encode(images)
        assert torch.equal(latents, source.encode(images))
        assert sized.decode(latents).shape == images.shape
        own = images[..., :16, :16]
        expected = plain.reconstruct(own, [3])
        torch.testing.assert_close(sized.reconstruct(own, [3]), expected)
        sized.tiled = False
        torch.testing.assert_close(sized.reconstruct(own, [3]), expected)


def test_fast_and_without_noise(made):
    folder = made / "runs/msdd/finetuned"
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    drawn, still = msdd.load(folder), msdd.tokenizers.msdd.load(folder, noise="zero")
    latents = drawn.encode(images)
    assert not torch.equal(drawn.decode(latents, seed=1), drawn.decode(latents, seed=2))
    assert torch.equal(still.decode(latents, seed=1), still.decode(latents, seed=2))
    for plain in (drawn, still):
        fast = Fast(plain, 2, precision="fp32")
        assert torch.equal(fast.encode(images), latents)
        torch.testing.assert_close(fast.decode(latents), plain.decode(latents), atol=1e-4, rtol=0)


def test_a_folder_of_diffusers_is_an_encoder_too(params, workdir, tmp_path):
    """Whole in the model's folder, which names the configuration; nothing is left of the source."""
    shape = {"block_out_channels": (32, 32), "layers_per_block": 1, "sample_size": 16}
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 2, "latent_channels": 4}
    torch.manual_seed(0)
    vae = klvae.autoencoder(shape | kinds | {"up_block_types": ("UpDecoderBlock2D",) * 2})
    vae.save_pretrained(tmp_path / "mine/vae")
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    expected = msdd.load(tmp_path / "mine").encode(images)
    raw = params.raw()
    raw["stage1"]["encoder"] = {"tokenizer": str(tmp_path / "mine")}
    raw["model"].update(latents=64, latent_dim=4)
    changed = parse(raw, "params.yaml")
    encode_crops(changed, workdir)
    run_stage(changed, "train", workdir, model="msdd")
    shutil.rmtree(tmp_path / "mine")
    assert torch.equal(msdd.load(workdir / TEACHER).encode(images), expected)
    assert msdd.load(workdir / TEACHER).config.frozen.tokenizer == "mine"


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((4, 2, 2), "latents of 4x2x2 an image; this decoder takes 32x2x2 of taef2 at 16 px"),
        ((32, 4, 4), "latents of 32x4x4 an image; this decoder takes 32x2x2 of taef2 at 16 px"),
        ((4, 32), "latents of 4x32 an image; this decoder takes 32x2x2 of taef2 at 16 px"),
    ],
)
def test_latents_of_another_tokenizer_or_size_are_refused(made, shape, told):
    with pytest.raises(MsddError, match=told):
        msdd.load(made / "runs/msdd/finetuned").decode(torch.zeros(1, *shape))


def test_only_latents_that_a_row_decodes_are_stored(params, tiny_params, tmp_path):
    with pytest.raises(MsddError, match="no stored latents 'taef2'; no row of models has any"):
        run_stage(tiny_params, "latents", tmp_path, encoder="taef2")
    with pytest.raises(MsddError, match="no stored latents 'taef2'; .*taef2-"):
        run_stage(params, "latents", tmp_path, encoder="taef2")


def with_encoder(params, **changes):
    given = params.stage1.encoder.model_copy(update=changes)
    return params.model_copy(update={"stage1": params.stage1.model_copy(update={"encoder": given})})


def change_manifest(root, **changes):
    (path,) = root.glob("data/latents/*/manifest.json")
    manifest = json.loads(path.read_text())
    encoder = manifest["encoder"] | changes.pop("encoder", {})
    write_json(path, manifest | {"encoder": encoder} | changes)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"encoder": {"tokenizer": "sd-vae-ft-mse"}}, "latents of sd-vae-ft-mse, and .* is taef2"),
        (
            {"encoder": {"sha256": "1" * 64}},
            f"sha256 is .*, but {ENCODER} of taef2 .*111",
        ),
        ({"encoder": {"shape": [32, 4, 4]}}, "latents is 4 and latent_dim 32, but taef2 makes 16"),
        ({"encoder": {"mean": [0.5] * 32}}, "with other weights or statistics"),
        ({"crops": "0" * 64}, "has the latents of other crops"),
    ],
    ids=["tokenizer", "digest", "size", "statistics", "crops"],
)
def test_stored_latents_that_are_not_those_of_the_params_train_nothing(params, work, changes, told):
    change_manifest(work, **changes)
    with pytest.raises(MsddError, match=told) as error:
        run_stage(params, "distil", work, student="msdd-1step", scale=0)
    assert "\n" not in str(error.value)


def test_an_encoder_that_is_not_that_of_the_params_encodes_nothing(params, workdir, tmp_path):
    cases = {
        "sha256 is 0000.*but taef2_encoder.pth of taef2 has": {"sha256": "0" * 64},
        "there is no file .*taef2_encoder.pth": {"checkpoint": str(tmp_path / ENCODER)},
    }
    for told, changes in cases.items():
        with pytest.raises(MsddError, match=told):
            encode_crops(with_encoder(params, **changes), workdir)
        assert not list(workdir.glob("data/latents/*/manifest.json"))
    with pytest.raises(MsddError, match="no latents in .*: run `msdd latents taef2-"):
        run_stage(params, "train", workdir, model="msdd")


@pytest.mark.parametrize(
    ("section", "changes", "told"),
    [
        ("encoder", {"tokenizer": "titok-s-128"}, "whose latents are codes; name a continuous one"),
        ("encoder", {"tokenizer": "taef"}, r"is taef, no system .*did you mean taef2\?"),
        ("encoder", {"file": "x"}, "must name either a file or a tokenizer"),
        ("encoder", {"tokenizer": None}, "must name either a file or a tokenizer"),
        ("model", {"latents": 16}, "latents is 16 and latent_dim 32, but taef2 makes 4 of 32"),
        ("data", {"store": "photographs", "train_crops": None}, "needs data.store: crops"),
        ("stage1", {"colour_jitter": 0.5}, "models.msdd: colour_jitter changes images whose"),
        ("distil", {"colour_jitter": 0.5}, "students.msdd-1step: colour_jitter changes images"),
    ],
)
def test_params_that_do_not_fit_a_tokenizer(params, section, changes, told):
    raw = params.raw()
    place = raw["stage1"]["encoder"] if section == "encoder" else raw[section]
    place.update(changes)
    with pytest.raises(MsddError, match=told):
        parse(raw, "params.yaml")


def test_a_plan_knows_of_weights_that_the_stage_code_has_not_seen(params, work, weights, tmp_path):
    """Of an encoder that was replaced: what it has encoded, and all that was trained on that."""
    own = shutil.copytree(weights, tmp_path / "own")
    given = with_encoder(params, checkpoint=str(own), sha256=None)
    elsewhere.write_digests(given, work)
    name = given.latents_of("msdd")
    assert not list(plan._changed_weights(given, "latents", name, work))
    with open(own / ENCODER, "ab") as file:
        file.write(b"more")
    (told,) = plan._changed_weights(given, "latents", name, work)
    assert told == f".code/encoders/{name} changed"


def test_rows_with_the_same_encoder_share_their_latents(params):
    raw = params.raw()
    raw["models"] = {"first": {}, "second": {"stage1": {"lpips": 0.0}}, "own": {}}
    raw["models"]["own"] = {"stage1": {"encoder": None}}
    raw["students"], raw["decodes"], raw["ablations"] = {}, {}, {}
    raw["throughput"]["systems"] = "all"
    both = parse(raw, "params.yaml")
    first, second, own = map(both.latents_of, both.models)
    assert first == second and own is None and both.encoding() == {first: "first"}


def test_stored_latents_are_named_for_what_encodes_alone(params):
    """Rows may move and change, and weights whose digest is known may lie elsewhere: at the size of
    ImageNet, encoding takes hours."""

    def jobs_of(**changes):
        raw = with_encoder(params, **changes).raw()
        raw["models"] = {"new": {}, "msdd": {"stage1": {"images": 8}}}
        changed = parse(raw, "params.yaml")
        return changed.encoding(), [
            params_of(changed, "latents", encoder=name) for name in changed.encoding()
        ]

    name = params.latents_of("msdd")
    before = params_of(params, "latents", encoder=name)
    assert jobs_of() == jobs_of(checkpoint="elsewhere") == ({name: "new"}, [before])
    for place in ("elsewhere", "hf://madebyollin/taef2/taef2.safetensors"):  # for both engines
        moved = with_encoder(params, checkpoint=place)
        assert elsewhere.encoder_digest(moved, name) == elsewhere.encoder_digest(params, name)
    for other in ({"sha256": "1" * 64}, {"sha256": None}, {"tokenizer": "sd-vae-ft-mse"}):
        assert with_encoder(params, **other).latents_of("msdd") != name
    folder = Given(tokenizer="/data/My VAE (2).v1").latents
    assert re.fullmatch("my-vae-2-v1-[0-9a-f]{8}", folder)


def test_a_channel_that_never_changes_divides_by_one():
    mean, std = statistics(torch.tensor([[2.0, 1.0], [4.0, 5.0]], dtype=torch.float64))
    assert (mean, std) == ([2.0, 1.0], [1.0, 2.0])
