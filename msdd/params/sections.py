"""The sections of a params file: what each key is, and what it may be.

The same sections are the columns of its rows (`msdd.params.schema`).
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Amount = Annotated[int, Field(ge=0)]
Weight = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[float, Field(gt=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
PerScale = Weight | Annotated[tuple[Weight, ...], Field(min_length=1)]
Steps = Count | Annotated[tuple[Count, ...], Field(min_length=1)]
# A key such as `null` or `1e3` is no text to YAML, and DVC finds no params below it; below one of
# digits alone it finds them.
NO_TEXT = r"null|true|false|0b[01]+|0o[0-7]+|0x[0-9a-f]+|[0-9]+e-?[0-9]+|[0-9]{4}-[0-9]{2}-[0-9]{2}"
RowName = Annotated[  # of folders and files, whose names have 255 bytes at most
    str, Field(pattern=rf"^(?!({NO_TEXT})$)[a-z0-9][a-z0-9-]*$", max_length=100)
]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Levels = Annotated[tuple[Count, ...], Field(min_length=1)]
Trunk = Literal["alex", "vgg"]
ProtocolName = Literal[
    "primary",
    "extended",
    "msdd",
    "llamagen",
    "ssdd",
    "flowmo",
    "dito",
    "titok",
    "vavae",
    "rae",
    "dc-ae",
    "gigatok",
    "l-detok",
]
Runtime = Literal["onnxruntime", "onnxruntime-int8", "openvino", "openvino-bf16", "openvino-int8"]
Variant = Literal["plain", "fast", "compiled", Runtime]


BASELINES = ("mean-colour", "bicubic")  # decodes that need no model


class Section(BaseModel):
    """Frozen, without conversions (`"12"` is no number) and without unknown keys."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        regex_engine="python-re",  # for the look-ahead of `RowName`
    )


class Data(Section):
    """What the photographs are and how crops are cut from them."""

    photographs: str = Field(
        description="`embedded` for seven photographs of scikit-image and scikit-learn, five of "
        "them to train on; a folder of images; or tar and Parquet files, by name, by folder or by "
        "a pattern such as train-{000..146}.tar; each also by URL, s3://bucket/train.tar "
        "(docs/imagenet.md)",
        min_length=1,
    )
    held_out: str | None = Field(
        description="images to evaluate on, named likewise; null: a `held_out_fraction` of the "
        "photographs, or the two embedded ones that are not trained on (rocket and flower)",
        min_length=1,
    )
    held_out_fraction: Decay = Field(
        description="share of the photographs that is held out for evaluation, at least one"
    )
    store: Literal["crops", "photographs"] = Field(
        description="what is prepared to train on. `crops`: a fixed number of crops, as pixels; "
        "`photographs`: encoded photographs, of which training cuts a new crop each time, as the "
        "paper does. Held-out crops are always fixed"
    )
    store_side: Count | None = Field(
        description="largest short side in pixels of a stored photograph; larger ones are reduced "
        "to it, others keep their file. null: all keep it"
    )
    resolution: Count = Field(description="side of a crop in pixels")
    train_crops: Count | None = Field(
        description="number of crops to train on, over all photographs; null: as many as there are "
        "photographs, as it must be with `store: photographs`"
    )
    held_out_crops: Count | None = Field(
        description="number of crops to evaluate on, over all held-out photographs; null: one of "
        "each, which is the most that `crop: adm` gives"
    )
    crop: Literal["random", "adm"] = Field(
        description="`random`: squares anywhere, on both sides of the split; `adm`: ADM's random "
        "crops to train on and its centre crops to evaluate on, as the papers do"
    )
    crop_side: tuple[Part, Part] = Field(
        description="smallest and largest side of a random crop, as a share of the photograph's "
        "short side"
    )
    enlarge: bool = Field(
        description="whether photographs smaller than `resolution` are enlarged; false: they are "
        "left out"
    )
    min_contrast: Share = Field(
        description="smallest standard deviation of a random crop's luma, on a scale from 0 to 1; "
        "a crop below it is drawn again, up to 7 times"
    )
    max_bad_fraction: Share = Field(
        description="largest share of unreadable files; above it `prepare` fails"
    )
    to_srgb: bool = Field(
        description="convert colours from each image's embedded profile to sRGB; false: profiles "
        "are ignored, as in other pipelines of the field"
    )


class KLEncoder(Section):
    """The convolutional encoder of SSDD, whose latents are drawn from a Gaussian in training."""

    width: Count = Field(description="channels that `multipliers` multiplies; a multiple of 32")
    multipliers: Levels = Field(
        description="width of each level in units of `width`, full resolution first; every next "
        "level has half the side, and the last one has one position for each latent "
        "token"
    )
    blocks: Count = Field(description="residual blocks in each level")
    groups: Count = Field(
        description="groups of each GroupNorm; SSDD publishes 32, narrow networks want fewer; a "
        "divisor of 32"
    )


class UViT(Section):
    """The decoder of SSDD, for one scale: a U-Net with a transformer in its middle."""

    channels: Count = Field(description="channels that `multipliers` multiplies")
    multipliers: Levels = Field(
        description="width of each level in units of `channels`, rounded up to a multiple of 32, "
        "full resolution first; every next level has half the side"
    )
    depth: Count = Field(description="transformer blocks in the middle, at the last level")
    heads: Count = Field(description="attention heads of each transformer block")
    layers: Count = Field(
        description="residual blocks in each level on the way down; one more on the way up"
    )
    window: Count = Field(
        description="size of the attention window: a position attends to those fewer than "
        "`window` positions away"
    )
    groups: Count = Field(
        description="groups of each GroupNorm; SSDD publishes 32, narrow networks want fewer; a "
        "divisor of 32"
    )


class Model(Section):
    """Encoder and decoder: two MMDiTs of one width and depth, unless a row takes other networks."""

    scales: Count = Field(
        description="number of scales S; the last one has the full resolution, each one before it "
        "half the side"
    )
    end_levels: tuple[Decay, ...] | None = Field(
        description="share of noise at the end of each scale, coarsest first, falling to 0; null: "
        "even shares, the paper's"
    )
    patch: Count = Field(
        description="side of the decoder's patches in pixels, the same at every scale"
    )
    encoder_patch: Count = Field(description="side of the encoder's patches in pixels")
    width: Count = Field(description="channels of a token, in encoder and decoder")
    depth: Count = Field(
        description="transformer blocks in the encoder, and as many in the decoder"
    )
    heads: Count = Field(description="attention heads; `width` / `heads` must be a multiple of 4")
    latents: Count = Field(description="number of latent tokens of an image")
    latent_dim: Count = Field(description="numbers in one latent token")
    positions: Literal["line", "grid"] = Field(
        description="where RoPE places the latent tokens: on a line (the paper) or on a grid over "
        "the image"
    )
    kl_encoder: KLEncoder | None = Field(
        description="shape of a convolutional KL encoder that replaces the encoder with "
        "registers; null: registers"
    )
    uvit: UViT | None = Field(
        description="shape of a U-ViT that replaces the multi-scale decoder, with `scales: 1`; "
        "null: multi-scale"
    )


class Optimisation(Section):
    """What every training has; lengths are counted in images, so that the batch may change."""

    images: Count = Field(description="length of the training in images; a multiple of `batch`")
    batch: Count = Field(description="images in one step of the optimiser")
    microbatch: Count | None = Field(
        description="images in one forward and backward pass, whose gradients a step adds up; a "
        "divisor of `batch`; null: the whole batch"
    )
    colour_jitter: Share = Field(
        description="strength of the colour jitter: images lose up to this share of their contrast "
        "to a random colour, and their channels change places; 0 is none, as in the papers"
    )
    learning_rate: Positive = Field(description="peak learning rate of AdamW")
    warmup: Amount = Field(description="length of the linear warm-up in images")
    min_lr_ratio: Share = Field(
        description="learning rate at the end of the cosine, as a share of `learning_rate`"
    )
    betas: tuple[Decay, Decay] = Field(
        description="decay rates of AdamW's averages of the gradient and of its square"
    )
    weight_decay: Weight = Field(
        description="decoupled weight decay of matrices and convolution kernels"
    )
    gradient_clip: Positive = Field(
        description="largest norm of the gradient; a longer one is scaled down to it"
    )
    ema_half_life: Count = Field(
        description="half-life of the moving average of the weights, in images"
    )
    precision: Literal["fp32", "bf16"] = Field(
        description="arithmetic of the networks; weights are kept in fp32"
    )
    compile: bool = Field(description="whether to use torch.compile, which pays off on GPUs")
    log_every: Count = Field(
        description="images between two points of the curves; a multiple of `batch`"
    )
    checkpoint_every: Count = Field(
        description="images between two checkpoints; a multiple of `batch`"
    )


class Given(Section):
    """An encoder that somebody else has trained: a `file` of this project's, or a `tokenizer`."""

    file: str | None = Field(
        None, description="safetensors file; its tensors `encoder.*` are used", min_length=1
    )
    tokenizer: str | None = Field(
        None,
        description="a continuous system of `msdd tokenizers`, or a folder of diffusers; its "
        "latents are computed once, by the stage `latents` (docs/latents.md)",
        min_length=1,
    )
    checkpoint: str | None = Field(
        None,
        description="of a system: its file, a folder, or hf://owner/repository/file; left out: "
        "what `msdd tokenizers` finds here",
        min_length=1,
    )
    sha256: Digest | None = Field(
        None,
        description="SHA-256 of the file that has the encoder, because another file gives another "
        "result; a `file` needs it",
    )

    @property
    def latents(self) -> str | None:
        """The name of what the tokenizer encodes: where the weights of a system lie does not count
        if their digest is known. None for a `file`."""
        if self.tokenizer is None:
            return None
        of = json.dumps([self.tokenizer, self.sha256 or self.checkpoint])
        readable = re.sub("[^a-z0-9]+", "-", Path(self.tokenizer).name.lower()).strip("-")
        return f"{readable[:40]}-{hashlib.sha256(of.encode()).hexdigest()[:8]}".lstrip("-")


class Frechet(Section):
    """A Fréchet distance from the real images as a loss (FD-loss, arXiv 2604.28190)."""

    weight: PerScale = Field(
        description="weight of the distance relative to its last value; a number or a list as for "
        "`lpips`"
    )
    networks: Annotated[
        tuple[Literal["efficientnet-lite0", "efficientnet-lite2", "inception"], ...],
        Field(min_length=1),
    ] = Field(description="on whose features it is taken; of several the mean")
    half_life: Count = Field(
        description="images after which the moments of the populations have lost half their "
        "weight, at least as many as a network has features (EfficientNet 1,280, Inception 2,048); "
        "twice as many are collected before the loss begins"
    )


class Repa(Section):
    """REPA (Yu et al. 2024): aligns the U-ViT's middle with DINOv2's features of the image."""

    weight: Positive = Field(description="weight of 1 - cosine similarity; SSDD takes 0.25")
    block: Count = Field(
        description="transformer block of the U-ViT that is aligned, counted from 1; SSDD takes 4"
    )
    model: str = Field(
        description="name of the DINOv2 network in timm; SSDD takes vit_base_patch14_dinov2",
        min_length=1,
    )
    file: str = Field(
        description="file with that network's weights, in timm's layout", min_length=1
    )
    sha256: Digest = Field(
        description="SHA-256 of the file, because another file gives another result"
    )


class Stage1(Optimisation):
    """Encoder and diffusion decoder, trained together."""

    cond_drop_prob: Decay = Field(
        description="share of images whose latents are dropped, for classifier-free guidance; 0 "
        "allows no guidance"
    )
    logit_mean: float = Field(
        description="mean of the normal variable whose sigmoid is the local time t; the paper "
        "takes 0, larger values train more at the noisy end"
    )
    loss_weight: Literal["none", "authors"] = Field(
        description="weight of the velocity loss over noise levels: constant, or the sigmoid of "
        "the authors' code"
    )
    lpips: Weight = Field(description="weight of LPIPS at the last scale; 0 also removes its cost")
    lpips_net: Trunk = Field(description="trunk of that LPIPS")
    kl: Weight = Field(
        description="weight of the KL divergence of a KL encoder's posteriors from N(0, I), in "
        "nats per image; 0 also removes its cost"
    )
    repa: Repa | None = Field(
        description="alignment of a U-ViT with DINOv2, as SSDD trains; null: none"
    )
    encoder: Given | None = Field(
        description="a trained encoder that stays frozen: { file, sha256 } or { tokenizer, "
        "checkpoint, sha256 }; null: the encoder is trained with the decoder"
    )


class Distil(Optimisation):
    """One-step students of a frozen stage-1 decoder."""

    mode: Literal["per_scale", "joint", "joint_paper_code", "finetune"] = Field(
        description="per_scale: an independent student for each scale; joint: one student for all "
        "scales, trained through the chain; joint_paper_code: the same as the "
        "authors' code does it; finetune: another student, trained further through "
        "the chain"
    )
    noise: Literal["drawn", "zero"] = Field(
        description="what a decode begins with and gets between scales; zero, of the modes joint "
        "and finetune, needs mse_teacher 0: at one scale the student is a plain decoder of one pass"
    )
    train_encoder: bool = Field(
        description="whether the encoder is trained on with the student, whose latents are then "
        "other ones than the teacher's; of the modes joint and finetune, needs mse_teacher 0; "
        "false: it stays frozen, as in the paper"
    )
    teacher_steps: Count = Field(description="Euler steps of the teacher at each scale")
    guidance: PerScale = Field(
        description="guidance of the teacher: one number, or a list with one number per scale; 1 "
        "is no guidance"
    )
    mse_teacher: Weight = Field(
        description="weight of the squared error to the teacher's end states; 0 also removes its "
        "cost"
    )
    mse_real: Weight = Field(
        description="weight of the squared error to the real image; 0 with mse_teacher 0, where "
        "`frechet` alone trains the last image of a chain"
    )
    lpips: PerScale = Field(
        description="weight of LPIPS: a list with one number per scale, or one number, which "
        "counts as 0 at scales under 32 px; 0 also removes its cost"
    )
    lpips_net: Trunk = Field(description="trunk of that LPIPS")
    lpips_to: Literal["real", "teacher"] = Field(
        description="image that LPIPS compares with: the real one, or the teacher's as in SSDD"
    )
    gan: PerScale = Field(
        description="weight of the adversary, multiplied by the adaptive weight; a number or a "
        "list as for `lpips`"
    )
    discriminator: Literal["patch", "alex", "vgg", "dino"] = Field(
        description="what the discriminator judges by: pixels of patches, features of a trunk of "
        "LPIPS, or features of DINO's ViT"
    )
    discriminator_learning_rate: Positive = Field(
        description="peak learning rate of the discriminator"
    )
    frechet: Frechet | None = Field(
        description="a Fréchet distance from the real images as a loss; null: none"
    )


class Evaluate(Section):
    """How every decode is measured."""

    images: Count | None = Field(description="number of held-out crops to measure on; null: all")
    batch: Count = Field(description="images decoded at once")
    precision: Literal["fp32", "bf16"] = Field(description="arithmetic of the decoders")
    protocols: Annotated[tuple[ProtocolName, ...], Field(min_length=1)] = Field(
        description="the papers' rules to measure by (docs/protocols.md); tables show the first"
    )
    kid: bool = Field(description="whether to report KID beside every Fréchet distance")
    lpips: tuple[Trunk, ...] = Field(
        description="trunks to report LPIPS with, of those that a protocol has"
    )
    features: Literal["efficientnet-lite0", "efficientnet-lite2", "inception"] = Field(
        description="network on whose features the Fréchet distance is computed"
    )
    missing: Literal["stop", "skip"] = Field(
        description="where a network's weights cannot be had: stop, or skip its metrics"
    )


class Throughput(Section):
    """What is timed: all systems in one run, in turns."""

    systems: Literal["all"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="all rows of `decodes`, or a list of rows and of names of other systems, "
        "which get random weights; speed-ups are relative to the first"
    )
    batches: Annotated[tuple[Count, ...], Field(min_length=1)] = Field(
        description="batch sizes; each system counts at its best"
    )
    regions: Annotated[
        tuple[Literal["decode", "encode", "both", "paper"], ...], Field(min_length=1)
    ] = Field(
        description="timed parts of a call: decode, encode, both one after the other, or what the "
        "paper's code times, which includes copies from the host"
    )
    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = Field(
        description="plain: eager in fp32; fast: optimised decoding in `precision`, compiled on a "
        "GPU; compiled: also compiled on a processor, about a minute for each system "
        "and batch size; onnxruntime and openvino, alone in fp32: decode one-step students on a "
        "processor, and are left out for other systems"
    )
    repeats: Count = Field(description="rounds; each round times everything once")
    precision: Literal["fp32", "bf16"] = Field(
        description="arithmetic of the variants fast and compiled"
    )
