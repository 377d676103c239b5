"""The tokenizer: loading, what a reconstruction depends on, and what it costs."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from msdd.data.pixels import from_uint8
from msdd.data.shards import Crops
from msdd.errors import MsddError
from msdd.flow.steps import nfe
from msdd.pipeline import layout
from msdd.tokenizers.msdd import MSDD, load
from msdd.weights import model_folder

TEACHER, STUDENT = layout.stage1("msdd"), layout.assembled("msdd", "msdd-1step")
SCALE = layout.scale("msdd", "msdd-1step", 0)
IDS = [5, 3, 8, 0, 21]


@pytest.fixture(scope="module")
def images(prepared):
    return from_uint8(Crops(prepared / layout.prepared(), "held_out").batch(range(len(IDS))))


def teacher(root, **settings) -> MSDD:
    return load(root / TEACHER, **{"steps": 4, "guidance": 1.5} | settings)


def lively(tokenizer: MSDD) -> MSDD:
    """With larger weights: after a second of training, blocks are nearly the identity."""
    generator = torch.Generator().manual_seed(0)
    for decoder in distinct(tokenizer):
        for p in decoder.parameters():
            p += 0.1 * torch.randn(p.shape, generator=generator)
    return tokenizer


def distinct(tokenizer: MSDD) -> list[nn.Module]:
    return list({id(decoder): decoder for decoder in tokenizer.decoders}.values())


def calls(tokenizer: MSDD) -> list[int]:
    """Counts, one for each call of a decoder, filled as they come."""
    found: list[int] = []
    for decoder in distinct(tokenizer):
        decoder.register_forward_hook(lambda *_: found.append(1))
    return found


@pytest.mark.parametrize("kind", ["teacher", "student"])
def test_a_reconstruction_does_not_depend_on_its_batch(trained, images, kind):
    """Alone, in another order, or among others.

    To 1e-5 of a range of 2 and not to the bit: with another number of rows, matrix products sum in
    another order (up to 2e-6 was seen). The noise is equal to the bit (tests/flow/test_noise.py).
    """
    tokenizer = lively(teacher(trained) if kind == "teacher" else load(trained / STUDENT))
    together = tokenizer.reconstruct(images, IDS, seed=1)
    order = [3, 1, 4]
    some = tokenizer.reconstruct(images[order], [IDS[i] for i in order], seed=1)
    torch.testing.assert_close(some, together[order], atol=1e-5, rtol=0)
    for i, image in enumerate(images):
        alone = tokenizer.reconstruct(image[None], [IDS[i]], seed=1)
        torch.testing.assert_close(alone[0], together[i], atol=1e-5, rtol=0)
    assert torch.equal(tokenizer.reconstruct(images, IDS, seed=1), together)


def test_seed_id_and_jump_decide_the_noise(trained, images):
    tokenizer = teacher(trained)
    first = tokenizer.reconstruct(images, IDS, seed=1)
    others = [
        tokenizer.reconstruct(images, IDS, seed=2),
        tokenizer.reconstruct(images, [i + 1 for i in IDS], seed=1),
        teacher(trained, jump="paper_code").reconstruct(images, IDS, seed=1),
    ]
    assert all((other - first).abs().mean() > 0.1 for other in others)
    assert torch.equal(tokenizer.reconstruct(images), tokenizer.reconstruct(images, range(5)))


def test_shapes_ranges_and_no_gradients(trained, images):
    for tokenizer in (teacher(trained), load(trained / STUDENT)):
        latents = tokenizer.encode(images)
        decoded = tokenizer.decode(latents)
        assert latents.shape == (5, 8, 4) and latents.dtype == torch.float32
        assert decoded.shape == images.shape and decoded.abs().max() <= 1
        assert not decoded.requires_grad


@pytest.mark.parametrize(
    "steps, guidance, passes",
    [(4, 1.5, 8), (3, 1.0, 3), ([1, 3], [1.0, 2.0], 7), (None, 1.0, 2)],
)
def test_the_teachers_passes_are_its_calls(trained, images, steps, guidance, passes):
    tokenizer = teacher(trained, steps=steps, guidance=guidance)
    found = calls(tokenizer)
    tokenizer.reconstruct(images)
    assert len(found) == nfe(tokenizer.steps, tokenizer.guidance) == passes


def test_a_student_makes_one_pass_a_scale(trained, images):
    tokenizer = load(trained / STUDENT)
    found = calls(tokenizer)
    tokenizer.reconstruct(images)
    assert len(found) == nfe(tokenizer.steps, tokenizer.guidance) == 2


def test_a_student_is_the_teachers_encoder_and_its_own_scales(trained, images):
    model, student = teacher(trained), load(trained / STUDENT)
    assert torch.equal(model.encode(images), student.encode(images))
    for k, decoder in enumerate(student.decoders):
        file = trained / layout.scale("msdd", "msdd-1step", k) / "model.safetensors"
        expected = load_file(file)
        assert decoder.state_dict().keys() == expected.keys()
        assert all(torch.equal(v, expected[name]) for name, v in decoder.state_dict().items())


def test_saving_and_loading_round_trip(trained, images, tmp_path):
    kind, config = model_folder.read_config(trained / STUDENT)
    state = load_file(trained / STUDENT / "model.safetensors")
    model_folder.save(tmp_path / "copy", kind, config, state)
    assert model_folder.read_config(tmp_path / "copy") == (kind, config)
    found = load(tmp_path / "copy").reconstruct(images)
    assert torch.equal(found, load(trained / STUDENT).reconstruct(images))


def one_line(error) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(MsddError) as error:
        load(tmp_path / "nothing")
    assert one_line(error) == f"{tmp_path}/nothing: no model here (config.json is missing)"


def test_a_single_scale_is_no_tokenizer(trained):
    with pytest.raises(MsddError) as error:
        load(trained / SCALE)
    assert one_line(error) == f"{trained / SCALE}: holds one scale of a student, not a tokenizer"


@pytest.mark.parametrize("change", ["missing", "unexpected"])
def test_a_tensor_that_does_not_fit_is_named(trained, tmp_path, change):
    folder = shutil.copytree(trained / TEACHER, tmp_path / "model")
    state = load_file(folder / "model.safetensors")
    value = state.pop("decoder.null")
    if change == "unexpected":
        state |= {"decoder.null": value, "decoder.nil": value.clone()}
    save_file(state, folder / "model.safetensors")
    with pytest.raises(MsddError) as error:
        load(folder)
    message, name = one_line(error), "decoder.null" if change == "missing" else "decoder.nil"
    assert message.startswith(f"{folder}/model.safetensors: ") and message.endswith(f": {name}")


def test_a_truncated_file_is_named(trained, tmp_path):
    folder = shutil.copytree(trained / TEACHER, tmp_path / "model")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-100])
    with pytest.raises(MsddError, match="cannot be read as weights") as error:
        load(folder)
    assert one_line(error).startswith(f"{folder}/model.safetensors: ")
