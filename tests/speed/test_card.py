"""The FLOP card: the paper's ratios by arithmetic alone, and floors that are none too low."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from msdd import ceilings, cli
from msdd.ceilings import DEVICES, Ceilings
from msdd.model.autoencoder import decoder_of, encoder_of
from msdd.model.config import ModelConfig
from msdd.speed import card, card_text, flops
from msdd.speed.flop_counter import count_flops

PAPER = ModelConfig(256, 4, 8, 8, 768, 12, 12, 128, 32, "line")
H100 = DEVICES["h100"]
SLOW_MEMORY = Ceilings(1e15, 1e15, 1.0, "")
SLOW_PRODUCTS = Ceilings(1.0, 1.0, 1e15, "")


def lines(config: ModelConfig = PAPER) -> dict[tuple[str, int], dict]:
    made = card.card(config, [], H100, "bf16")
    return {(line["name"], len(line["scales"])): line for line in made["decoders"]}


def test_the_three_teachers_against_the_student():
    """25, 65 and 100 times: 50 guided steps in all, at full resolution only, and at each scale.

    50 steps do not divide by four scales; the remainder goes to the cheapest.
    """
    found = lines()
    assert found["50 steps in all", 4]["over_student"] == pytest.approx(25, rel=0.03)
    assert found["50 steps in all", 1]["over_student"] == pytest.approx(65, rel=0.02)
    assert found["50 steps at each scale", 4]["over_student"] == 100
    even = card.teacher("", PAPER, [25, 25, 25, 25]).flops / card.student("", PAPER).flops
    assert even == 50


def test_equal_steps_over_more_scales_save_like_the_number_of_scales():
    """K C(n) / sum of C(n / 4^k): below 3/4 K, since the latents do not shrink; at each scale
    the full number of steps costs more than full resolution alone."""
    full = flops.evaluation_flops(PAPER, 256)
    for count in (1, 2, 3, 4):
        config = replace(PAPER, scales=count)
        student = card.student("", config).flops
        saving = count * full / student
        teacher = card.teacher("", config, 12 * count)
        alone = card.teacher("", replace(PAPER, scales=1), 12 * count)
        assert alone.flops / teacher.flops == pytest.approx(saving)
        assert saving == 1 if count == 1 else saving < 0.8 * count
        assert student >= full


def test_a_student_of_every_scale_count_and_as_many_teachers():
    assert [scales for name, scales in lines() if name == "student"] == [1, 2, 3, 4]
    assert [scales for name, scales in lines() if name == "50 steps in all"] == [1, 2, 3, 4]


def test_the_arithmetic_bound_on_an_h100():
    """About 2,100 images/s for the student, under one millisecond for one image."""
    student = lines()["student", 4]
    assert student["images_per_second"] == pytest.approx(2100, rel=0.03)
    assert 0.6e-3 < student["latency_seconds"] < 1e-3
    assert student["nfe"] == 4 and student["parameters"] == 4 * 249_617_344


@pytest.mark.parametrize("batch", [1, 3])
def test_a_floor_is_arithmetic_or_reading_whichever_is_longer(batch):
    teacher = card.teacher("", PAPER, [1, 2, 3, 4], 2.0)
    reading = 10 * 2 * flops.decoder_weights(PAPER)  # one reading serves both branches of a step
    assert teacher.floor(batch, SLOW_MEMORY, "bf16") == pytest.approx(reading)
    assert teacher.floor(batch, SLOW_PRODUCTS, "bf16") == pytest.approx(batch * teacher.flops)
    both = teacher.floor(batch, H100, "bf16")
    assert max(reading / 3e12, batch * teacher.flops / 790e12) <= both


def test_the_command_prints_the_card_and_writes_it(tmp_path, capsys):
    file = tmp_path / "card.json"
    assert cli.main(["flops", "--preset", "imagenet256", "--json", str(file)]) == 0
    told, found = capsys.readouterr().out, json.loads(file.read_text())
    assert "100.00×" in told and "249.6 M" in told
    decodes = [line["name"] for line in found["decoders"]]
    assert decodes[0] == "teacher" and decodes[-1] == "student"
    assert found["encoder"]["flops"] == flops.encoder_flops(PAPER)


def test_ceilings_measured_here(capsys):
    assert cli.main(["flops", "--preset", "tiny", "--device", "this", "--precision", "fp32"]) == 0
    assert "measured: products of" in capsys.readouterr().out


def test_a_ceiling_takes_seconds_where_products_are_slow(monkeypatch):
    """As of bf16 on a processor that has no units for it: smaller matrices tell the same rate."""
    rows = []

    def slow(call, device, calls):
        rows.append(len(call()))
        return rows[-1] ** 3 / 2e7  # 0.04 GFLOP/s

    monkeypatch.setattr("msdd.device.seconds", slow)
    assert ceilings.measure(torch.device("cpu"), "fp32").fp32 == pytest.approx(4e7)
    assert set(rows[:-4]) == {256}


@pytest.mark.parametrize(
    "options, line",
    [
        (["--device", "tpu"], "no device 'tpu'; known: this, h100, "),
        (["--preset", "nope"], "there is no preset 'nope'; known: ablation, demo, "),
    ],
)
def test_a_mistake_is_one_line(capsys, options, line):
    assert cli.main(["flops", *options]) == 1
    assert capsys.readouterr().err.startswith(f"msdd: error: {line}")


def test_networks_of_other_systems_are_counted_by_their_shapes():
    values = asdict(PAPER) | {"resolution": 32, "scales": 1, "latents": 64, "latent_dim": 4}
    shapes = {
        "kl_encoder": {"multipliers": [1, 2, 2], "width": 32, "blocks": 1},
        "uvit": {"channels": 32, "multipliers": [1, 2, 2], "depth": 1, "layers": 1, "window": 4},
    }
    config = ModelConfig.of(32, values | shapes)
    made = card.card(config, [], H100, "bf16")
    decoder, encoder = decoder_of(config).requires_grad_(False), encoder_of(config)
    latents = torch.zeros(1, 64, 4)
    flops = count_flops(lambda: decoder(torch.zeros(1, 3, 32, 32), torch.zeros(1), latents))
    (line,) = [line for line in made["decoders"] if line["name"] == "student"]
    assert line["flops"] == made["scales"][0]["flops"] == flops > 0
    assert line["parameters"] == sum(p.numel() for p in decoder.parameters())
    assert made["encoder"]["parameters"] == sum(p.numel() for p in encoder.parameters())
    assert "U-ViT" in card_text.text(made)
