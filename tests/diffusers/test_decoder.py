"""A model folder as the autoencoder of a pipeline of diffusers."""

import json
import shutil
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants

from msdd import load
from msdd.diffusers import Decoder
from msdd.errors import MsddError
from msdd.model.config import ModelConfig
from msdd.tokenizers.msdd import Student, teacher
from msdd.weights import model_folder

sys.path.append(str(Path(__file__).parents[2] / "examples"))

CONFIG = ModelConfig(
    resolution=16,
    scales=2,
    patch=4,
    encoder_patch=4,
    width=32,
    depth=2,
    heads=2,
    latents=16,  # 4 x 4 cells of 4 px
    latent_dim=4,
    positions="grid",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A student with random weights, none of them zero."""
    made = tmp_path_factory.mktemp("models") / "student"
    torch.manual_seed(0)
    student = Student(CONFIG)
    for p in student.parameters():
        torch.nn.init.normal_(p, std=0.1)
    made.mkdir()
    model_folder.save(made, "student", CONFIG, student.state_dict())
    return made


def drawn(height: int, width: int) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_it_codes_as_the_tokenizer_does(folder):
    decoder, sized, images = (
        Decoder.from_pretrained(folder),
        load(folder, size="native"),
        drawn(24, 33),
    )
    distribution = decoder.encode(images).latent_dist
    latents = distribution.mode()
    assert torch.equal(latents, sized.encode(images)) and torch.equal(
        latents, distribution.sample()
    )
    assert torch.equal(decoder.encode(images, return_dict=False)[0].mode(), latents)
    made = decoder.decode(latents).sample
    assert torch.equal(made, sized.decode(latents)) and made.shape == (2, 3, 24, 36)
    assert torch.equal(decoder.decode(latents, return_dict=False)[0], made)
    assert torch.equal(decoder(images).sample, made)


def test_a_generator_decides_the_noise(folder):
    decoder = Decoder.from_pretrained(folder)
    latents = torch.zeros(1, 4, 4, 4)
    first, same, other = (
        decoder.decode(latents, generator=torch.Generator().manual_seed(seed)).sample
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, same) and not torch.allclose(first, other)
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    each = decoder.decode(latents.repeat(2, 1, 1, 1), generator=generators).sample
    assert torch.equal(each, torch.cat([first, other]))
    with pytest.raises(MsddError, match="2 generators for 1 latents"):
        decoder.decode(latents, generator=generators)


def test_it_is_moved_and_cast_as_other_models_are(folder):
    decoder, images = Decoder.from_pretrained(folder), drawn(16, 16)
    made = decoder(images).sample
    half = Decoder.from_pretrained(folder, torch_dtype=torch.bfloat16)
    assert Decoder.from_pretrained(folder, dtype=torch.bfloat16).dtype == half.dtype
    assert half.dtype == torch.bfloat16 and half.device == torch.device("cpu")
    assert {b.dtype for b in half.buffers()} == {torch.float32}  # positions keep their digits
    cast = half(images.bfloat16()).sample
    assert cast.dtype == torch.bfloat16 and (cast.float() - made).abs().mean() < 0.02
    assert torch.equal(decoder.to("cpu", torch.float32)(images).sample, made)


def test_settings_of_a_teacher_are_heard_and_other_names_refused(tmp_path):
    model_folder.save(tmp_path, "teacher", CONFIG, teacher(CONFIG).state_dict())
    decoder = Decoder.from_pretrained(tmp_path, steps=4, guidance=1.5, low_cpu_mem_usage=True)
    assert sum(decoder.sized.tokenizer.steps) == 4
    with pytest.raises(MsddError, match="scaling_fator; did you mean scaling_factor"):
        Decoder.from_pretrained(tmp_path, scaling_fator=0.5)
    with pytest.raises(MsddError, match=r"call push_to_hub\(repo_id\)"):
        decoder.save_pretrained(tmp_path / "x", push_to_hub=True)


def test_a_configuration_alone_makes_no_decoder(folder):
    with pytest.raises(MsddError, match="made from its folder, by Decoder.from_pretrained"):
        Decoder.from_config(Decoder.from_pretrained(folder).config)


def test_it_is_saved_from_another_folder_than_it_was_opened_in(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder.parent)
    decoder = Decoder.from_pretrained(folder.name, torch_dtype="auto")
    monkeypatch.chdir(tmp_path)
    decoder.save_pretrained("saved")
    assert load(tmp_path / "saved").files


def test_tiles_can_be_left_out(folder):
    decoder, latents = Decoder.from_pretrained(folder), torch.zeros(1, 4, 8, 8)
    tiles = decoder.decode(latents).sample
    decoder.disable_tiling()
    whole = decoder.decode(latents).sample
    assert whole.shape == tiles.shape and not torch.allclose(whole, tiles)
    decoder.enable_tiling()
    assert torch.equal(decoder.decode(latents).sample, tiles)


def test_what_is_saved_is_the_model_and_its_factors(folder, tmp_path):
    decoder = Decoder.from_pretrained(folder, scaling_factor=0.5, shift_factor=0.25)
    decoder.to(torch.bfloat16).save_pretrained(tmp_path / "saved")
    again = Decoder.from_pretrained(tmp_path / "saved")
    assert dict(again.config) == dict(decoder.config)
    assert again.config.scaling_factor == 0.5 and again.config.shift_factor == 0.25
    for name in ("model.safetensors",):
        assert (tmp_path / "saved" / name).read_bytes() == (folder / name).read_bytes()
    images = drawn(16, 16)
    made = load(tmp_path / "saved").reconstruct(images)
    assert torch.equal(again(images).sample, made)


def test_a_card_tells_what_made_the_weights(trained, tmp_path):
    from msdd.diffusers.card import card

    model = trained / "runs/msdd/msdd-1step"
    config = {"sample_size": 16, "latent_channels": 4, "block_out_channels": [1] * 3}
    text = card(model, config | {"scaling_factor": 1.0, "shift_factor": 0.0})
    record = json.loads((trained / "provenance/runs/msdd/msdd-1step.json").read_text())
    assert f"stage `assemble` of commit `{record['commit'] or 'unknown'}`" in text
    assert all(value in text for value in record["inputs"].values())
    assert record["made"]["runs/msdd/msdd-1step/model.safetensors"] in text
    assert record["host"] not in text.replace(record["device"], "")
    assert str(trained) not in text


def test_a_card_tells_the_quality_that_was_measured(trained, tiny_params, tmp_path):
    from msdd.commands.stages import run_stage
    from msdd.diffusers.card import quality

    shutil.copytree(trained, tmp_path / "work")
    run_stage(tiny_params, "evaluate", tmp_path / "work", decode="student")
    text = "\n".join(quality(tmp_path / "work/runs/msdd/msdd-1step"))
    found = json.loads((tmp_path / "work/runs/msdd/msdd-1step/eval/student.json").read_text())
    for protocol, entry in found["protocols"].items():
        assert f"## Quality: `student` by {protocol}, on held-out crops" in text
        assert str(entry["metrics"]["psnr"]["mean"]) in text


def test_a_pipeline_decodes_through_it(folder, tmp_path):
    from dit_pipeline import main, pipeline

    made = pipeline(str(folder), side=32)
    seen = []
    decode = made.vae.decode
    made.vae.decode = lambda z: seen.append(z) or decode(z)
    images = made([1, 2], num_inference_steps=2, output_type="pt").images
    assert images.shape == (2, 3, 32, 32) and seen[0].shape == (2, 4, 8, 8)
    torch.testing.assert_close(images, (decode(seen[0]).sample / 2 + 0.5).clamp(0, 1))
    main(str(folder), str(tmp_path / "picture.png"))
    assert (tmp_path / "picture.png").stat().st_size


def test_a_pipeline_is_saved_with_it_and_opened_again(folder, tmp_path):
    from diffusers import DiTPipeline
    from dit_pipeline import pipeline

    made = pipeline(str(folder), side=32)
    made.save_pretrained(tmp_path / "pipeline")
    again = DiTPipeline.from_pretrained(tmp_path / "pipeline")
    assert isinstance(again.vae, Decoder)
    latents = torch.ones(1, 4, 8, 8)
    assert torch.equal(again.vae.decode(latents).sample, made.vae.decode(latents).sample)


def test_the_hub_there_and_back(folder, tmp_path, monkeypatch):
    """Only the requests are stood in for: what is uploaded is put where a download would put it."""
    cache = tmp_path / "hub"
    place = cache / "models--me--decoder"

    def upload(api, *, repo_id: str, folder_path: str, commit_message: str) -> str:
        shutil.copytree(folder_path, place / "snapshots/1")
        (place / "refs").mkdir()
        (place / "refs/main").write_text("1")
        return f"address of {repo_id}"

    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload)
    monkeypatch.setattr(
        huggingface_hub.HfApi,
        "create_repo",
        lambda api, name, private, exist_ok: huggingface_hub.RepoUrl(
            f"https://huggingface.co/{name}"
        ),
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    decoder = Decoder.from_pretrained(folder, scaling_factor=3)
    assert decoder.push_to_hub("me/decoder") == "address of me/decoder"
    assert sorted(p.name for p in (place / "snapshots/1").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    again = Decoder.from_pretrained("me/decoder")
    assert again.config.scaling_factor == 3
    assert torch.equal(again(drawn(16, 16)).sample, decoder(drawn(16, 16)).sample)


def test_mistakes_are_one_line(folder, trained, tmp_path):
    def told(call, *given, **named) -> str:
        with pytest.raises(MsddError) as caught:
            call(*given, **named)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    decoder = Decoder.from_pretrained(folder)
    assert "latents (1, 16, 8, 8) are not of this decoder" in told(
        decoder.decode, torch.zeros(1, 16, 8, 8)
    )
    assert "there is no folder ./no" in told(Decoder.from_pretrained, "./no")
    assert "no model here" in told(Decoder.from_pretrained, tmp_path)
    assert "a latent stands for 8 x 4 px" in told(
        Decoder.from_pretrained, trained / "runs/msdd/msdd-1step"
    )
    line = tmp_path / "line"
    shutil.copytree(folder, line)
    config = json.loads((line / "config.json").read_text())
    config["model"]["positions"] = "line"
    (line / "config.json").write_text(json.dumps(config))
    assert "its latents have no place on the image" in told(Decoder.from_pretrained, line)
