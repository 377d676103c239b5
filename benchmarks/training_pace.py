"""The pace of stage 1 on this device: images a second of whole steps, on random images.

    python benchmarks/training_pace.py --preset imagenet256 --json own/pace.json

A step is one microbatch forward and backward and the optimiser's update, at the preset's size,
precision and compilation, without LPIPS, whose weights are a download. Reading is left out.
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import torch

from msdd.ceilings import measure
from msdd.device import prepare_device, seconds
from msdd.files import write_json
from msdd.model.autoencoder import Autoencoder
from msdd.params.load import load
from msdd.params.schema import Params
from msdd.pipeline.environment import context
from msdd.speed import costs
from msdd.speed.systems import config_of
from msdd.train.job import TrainingJob
from msdd.train.loop import gradients, step
from msdd.train.run_job import compile_networks
from msdd.train.stage1 import losses
from msdd.train.state import State
from msdd.train.team import Team

WARM, STEPS = 3, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="imagenet256")
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    params = load(Path(__file__).parents[1] / "presets" / f"{given.preset}.yaml")
    document = pace(params, next(iter(params.models)))
    write_json(given.json, document)
    print(
        f"stage 1 of {given.preset}: {document['images_per_second']:.1f} images/s, "
        f"{document['mfu']:.1%} of the rate of large products, batch {document['batch']}"
    )


def pace(params: Params, row: str) -> dict:
    """Seconds of every step after the first ones, images/s at their median, and MFU."""
    device, config = prepare_device(params.cpu_threads), config_of(params, row)
    settings = params.stage1_of(row)
    batch = settings.microbatch or settings.batch
    if device.type == "cpu":
        settings = settings.model_copy(update={"compile": False})
    settings = settings.model_copy(update={"batch": batch, "microbatch": None, "lpips": 0.0})
    network = Autoencoder(config).to(device).train()
    job = TrainingJob(
        task=SimpleNamespace(seed=params.seed, row=row),
        stage="stage1",
        part="",
        folder=Path(),
        network=network,
        losses=lambda images, stored: losses(network, images, settings, None, stored),
        settings=settings,
        export=lambda *_: None,
        preview=None,
    )
    compile_networks(job)
    state, team = State(network, settings), Team()
    images = torch.rand(batch, 3, config.resolution, config.resolution, device=device) * 2 - 1

    def one() -> None:
        gradients(job, images, None, state.images, team)
        step(state, settings)

    samples = [seconds(one, device) for _ in range(WARM + STEPS)][WARM:]
    ceilings = measure(device, settings.precision)
    speed = batch / sorted(samples)[len(samples) // 2]
    flops = 3 * (
        costs.encoder_flops(config)
        + sum(costs.evaluation_flops(config, side) for side in config.sides) / config.scales
    )
    return {
        "context": context(),
        "ceilings": asdict(ceilings),
        "precision": settings.precision,
        "batch": batch,
        "samples": samples,
        "images_per_second": speed,
        "flops": flops,
        "mfu": flops * speed / asdict(ceilings)[settings.precision],
    }


if __name__ == "__main__":
    main()
