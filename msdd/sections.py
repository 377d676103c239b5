"""The sections of a params file: what each key is, and what it may be.

The same sections are the columns of its rows (`msdd.params`).
"""

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
RowName = Annotated[str, Field(pattern=rf"^(?!({NO_TEXT})$)[a-z0-9][a-z0-9-]*$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Levels = Annotated[tuple[Count, ...], Field(min_length=1)]
Trunk = Literal["alex", "vgg"]
SpeedPath = Literal["plain", "fast", "compiled"]


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

    photographs: str = Field(description="`embedded`, or a folder of images", min_length=1)
    held_out: str | None = Field(
        description="folder of held-out images; null: `held_out_fraction` of the photographs "
        "(embedded: rocket and flower)"
    )
    held_out_fraction: Decay = Field(description="share of the photographs held out")
    resolution: Count = Field(description="side of a crop in pixels")
    train_crops: Count = Field(description="crops to train on, over all photographs")
    held_out_crops: Count = Field(description="crops to evaluate on, over all held-out photographs")
    crop_side: tuple[Part, Part] = Field(
        description="smallest and largest side of a crop as a share of the photograph's short side"
    )
    min_contrast: Share = Field(
        description="crops with a smaller standard deviation of luma (0 to 1) are drawn again"
    )
    max_bad_fraction: Share = Field(
        description="share of unreadable files above which preparing fails"
    )


class KLEncoder(Section):
    """The convolutional encoder of SSDD, whose latents are drawn from a Gaussian in training."""

    width: Count = Field(description="channels that the multipliers multiply")
    multipliers: Levels = Field(
        description="width of each level, full resolution first; each next one has half the side, "
        "so that the last one has a position for each latent token"
    )
    blocks: Count = Field(description="residual blocks of a level")
    groups: Count = Field(description="of its norms; 32 are published, narrow ones want fewer")


class UViT(Section):
    """The decoder of SSDD, for one scale: a U-Net with a transformer in its middle."""

    channels: Count = Field(description="channels that the multipliers multiply")
    multipliers: Levels = Field(
        description="width of each level, full resolution first, rounded up to 32 channels; each "
        "next one has half the side"
    )
    depth: Count = Field(description="transformer blocks at the last level")
    heads: Count = Field(description="their attention heads")
    layers: Count = Field(description="residual blocks of a level; one more on the way up")
    window: Count = Field(description="attention reaches less than so many positions")
    groups: Count = Field(description="of its norms; 32 are published, narrow ones want fewer")


class Model(Section):
    """Encoder and decoder: two MMDiTs with the same width and depth, if nothing else is said."""

    scales: Count = Field(description="number of scales S; the last one has full resolution")
    patch: Count = Field(description="patch side of the decoder in pixels, at every scale")
    encoder_patch: Count = Field(description="patch side of the encoder in pixels")
    width: Count = Field(description="width of both networks")
    depth: Count = Field(description="blocks of each network")
    heads: Count = Field(description="attention heads; width / heads must be a multiple of 4")
    latents: Count = Field(description="number of latent tokens of an image")
    latent_dim: Count = Field(description="numbers in one latent token")
    positions: Literal["line", "grid"] = Field(
        description="where RoPE puts latents: on a line (the paper) or on a grid over the image"
    )
    kl_encoder: KLEncoder | None = Field(
        description="a KL encoder in place of the encoder with registers; null: none"
    )
    uvit: UViT | None = Field(
        description="a U-ViT in place of the multi-scale decoder, at scales 1; null: none"
    )


class Optimisation(Section):
    """What every training has, counted in images so that the batch may change."""

    images: Count = Field(description="length of the training in images; a multiple of `batch`")
    batch: Count = Field(description="images in one step")
    microbatch: Count | None = Field(
        description="images in one pass, whose gradients a step adds up; null: all of the batch"
    )
    learning_rate: Positive = Field(description="peak learning rate of Adam")
    warmup: Amount = Field(description="images of linear warm-up")
    final_learning_rate: Share = Field(
        description="share of `learning_rate` left at the end of the cosine"
    )
    betas: tuple[Decay, Decay] = Field(description="decay rates of Adam's two averages")
    weight_decay: Weight = Field(description="decoupled weight decay")
    gradient_clip: Positive = Field(description="largest norm of the gradient")
    ema_half_life: Count = Field(description="images after which a weight counts half in the EMA")
    precision: Literal["fp32", "bf16"] = Field(description="of the network's arithmetic")
    compile: bool = Field(description="use torch.compile")
    log_every: Count = Field(description="images between two points of the curves")
    checkpoint_every: Count = Field(description="images between two checkpoints")


class Given(Section):
    """Weights that somebody else has trained."""

    file: str = Field(description="safetensors whose tensors `encoder.*` count", min_length=1)
    sha256: Digest = Field(description="its digest, since another file is another result")


class Repa(Section):
    """REPA (Yu et al. 2024): the U-ViT's middle learns to tell what DINOv2 sees in the image."""

    weight: Positive = Field(description="of 1 - cosine; SSDD has 0.25")
    block: Count = Field(description="which of the middle's transformer blocks, from 1; SSDD has 4")
    model: str = Field(description="timm's name; SSDD's is vit_base_patch14_dinov2", min_length=1)
    file: str = Field(description="its weights, of timm's layout", min_length=1)
    sha256: Digest = Field(description="the file's digest, since another file is another result")


class Stage1(Optimisation):
    """Encoder and diffusion decoder, trained together."""

    null_probability: Share = Field(
        description="share of images whose latents are dropped, for classifier-free guidance"
    )
    time_mean: float = Field(
        description="mean of the normal draw whose sigmoid is the local time t; the paper has 0, "
        "larger values train more at the noisy end"
    )
    loss_weight: Literal["none", "authors"] = Field(
        description="weight of the loss over noise levels: none, or the authors' sigmoid"
    )
    lpips: Weight = Field(description="weight of LPIPS at the last scale; 0 removes its cost")
    lpips_net: Trunk = Field(description="trunk of that LPIPS")
    kl: Weight = Field(
        description="weight of the divergence of a KL encoder's posteriors from N(0, I), in nats "
        "an image; 0 removes its cost"
    )
    repa: Repa | None = Field(description="of a uvit, as SSDD trains; null: without")
    encoder: Given | None = Field(
        description="an encoder by file, which stays as it is; null: it learns with the decoder"
    )


class Distil(Optimisation):
    """One-step students of a frozen stage-1 decoder."""

    mode: Literal["per_scale", "joint", "joint_paper_code", "finetune"] = Field(
        description="one independent student for each scale; one for all, trained through the "
        "chain; the same as the authors' code does it; or another student, trained on"
    )
    teacher_steps: Count = Field(description="steps of the teacher, per scale")
    guidance: PerScale = Field(description="of the teacher: a number, or a list with one per scale")
    mse_teacher: Weight = Field(
        description="weight of the squared error to the teacher's end states; 0 removes its cost"
    )
    mse_real: Weight = Field(description="weight of the squared error to the real image")
    lpips: PerScale = Field(
        description="weight of LPIPS: a number, taken for 0 at sides under 32 px, or a list with "
        "one per scale; 0 removes its cost"
    )
    lpips_net: Trunk = Field(description="trunk of that LPIPS")
    lpips_to: Literal["real", "teacher"] = Field(
        description="the image that it compares to: the real one, or the teacher's, as in SSDD"
    )
    gan: PerScale = Field(
        description="weight of the adversary, on top of the adaptive one; as `lpips`"
    )
    discriminator: Literal["patch", "alex", "vgg", "dino"] = Field(
        description="features it judges by: pixels of patches, a trunk of LPIPS, or DINO's ViT"
    )
    discriminator_learning_rate: Positive = Field(description="its peak learning rate")


class Evaluate(Section):
    """How every decode is measured."""

    images: Amount = Field(description="held-out crops to measure on; 0: all")
    batch: Count = Field(description="images decoded at once")
    precision: Literal["fp32", "bf16"] = Field(description="of the decoders' arithmetic")
    lpips: tuple[Trunk, ...] = Field(description="trunks to report LPIPS with")
    features: Literal["efficientnet-lite0", "inception"] = Field(
        description="network whose features the Fréchet distance is taken on"
    )


class Throughput(Section):
    """What is timed against each other, in one run and in turns."""

    systems: Literal["all"] | tuple[str, ...] = Field(
        description="all rows of `decodes`, or a list of rows and of other systems by name, with "
        "random weights; speed-ups are over the first"
    )
    batches: Annotated[tuple[Count, ...], Field(min_length=1)] = Field(
        description="numbers of images at once; each system counts at its best"
    )
    boxes: Annotated[
        tuple[Literal["decode", "encode", "both", "paper"], ...], Field(min_length=1)
    ] = Field(
        description="what lies between two readings of the clock: decoding, encoding, one after "
        "the other, or what the paper's code times, with copies from the host"
    )
    paths: Annotated[tuple[SpeedPath, ...], Field(min_length=1)] = Field(
        description="plain: eager in fp32; fast: the path made for speed, in `precision`, compiled "
        "on a GPU; compiled: on a processor too, after a minute for each system and batch size"
    )
    repeats: Count = Field(description="rounds; in each, everything is timed once")
    precision: Literal["fp32", "bf16"] = Field(description="of the fast path")
