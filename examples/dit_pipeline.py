"""A pipeline of diffusers that decodes through a model of this project.

    python examples/dit_pipeline.py runs/msdd/msdd-finetuned picture.png

The transformer is small and random, so the picture shows nothing: it is made as a trained one would
make it. Train a DiT on `decoder.encode(images).latent_dist.mode()`, times `config.scaling_factor`.
"""

import sys

import torch

from msdd.diffusers import Decoder  # before diffusers: where torchvision does not fit the torch

from diffusers import DDIMScheduler, DiTPipeline, DiTTransformer2DModel  # isort: skip


def pipeline(folder: str, side: int = 64) -> DiTPipeline:
    """With the decoder in a folder, and a random transformer for images of side x side pixels."""
    decoder = Decoder.from_pretrained(folder)
    factor = 2 ** (len(decoder.config.block_out_channels) - 1)
    torch.manual_seed(0)
    transformer = DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=decoder.config.latent_channels,
        out_channels=decoder.config.latent_channels,
        num_layers=1,
        sample_size=side // factor,
        patch_size=2,
        norm_num_groups=1,
    )
    return DiTPipeline(transformer=transformer, vae=decoder, scheduler=DDIMScheduler())


def main(folder: str, target: str) -> None:
    generator = torch.Generator().manual_seed(0)
    made = pipeline(folder)([1], generator=generator, num_inference_steps=4)
    made.images[0].save(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
