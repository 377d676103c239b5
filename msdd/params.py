"""The parameters of an experiment: one validated model of `params.yaml` for everyone who reads it.

A params file is complete: a key that is missing is an error, so the file alone says what was run.
Only rows (`models`, `students`, `decodes`) are short: they name what they override.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from msdd.errors import MsddError

Count = Annotated[int, Field(ge=1)]
Amount = Annotated[int, Field(ge=0)]
Weight = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[float, Field(gt=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
PerScale = Weight | Annotated[tuple[Weight, ...], Field(min_length=1)]
Steps = Count | Annotated[tuple[Count, ...], Field(min_length=1)]
RowName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
Levels = Annotated[tuple[Count, ...], Field(min_length=1)]
Trunk = Literal["alex", "vgg"]


class Section(BaseModel):
    """Frozen, without conversions (`"12"` is no number) and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


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
    sha256: str = Field(description="its digest, since another file is another result")


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
        description="weight of LPIPS to the real image: a number, taken for 0 at sides under "
        "32 px, or a list with one per scale; 0 removes its cost"
    )
    lpips_net: Trunk = Field(description="trunk of that LPIPS")
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
    paths: Annotated[tuple[Literal["plain", "fast"], ...], Field(min_length=1)] = Field(
        description="plain: eager in fp32; fast: the path made for speed, in `precision`"
    )
    repeats: Count = Field(description="rounds; in each, everything is timed once")
    precision: Literal["fp32", "bf16"] = Field(description="of the fast path")


def _drop_defaults(schema: dict[str, Any]) -> None:
    for entry in schema["properties"].values():
        entry.pop("default", None)


def _overrides(section: type[Section], **more: Any) -> Any:
    """The same keys as `section`, none of them required; what was set is `model_fields_set`."""
    optional = {
        name: (
            Annotated[field.annotation, *field.metadata, Field(description=field.description)],
            None,
        )
        for name, field in section.model_fields.items()
    }
    made = create_model(f"{section.__name__}Overrides", __base__=Section, **optional, **more)
    made.model_config["json_schema_extra"] = _drop_defaults
    made.__doc__ = f"What a row changes of `{section.__name__.lower()}`."
    made.model_rebuild(force=True)
    return made


ModelOverrides = _overrides(Model)
Stage1Overrides = _overrides(Stage1)
Student = _overrides(
    Distil,
    model=(str, Field(description="row of `models` to distil")),
    start=(
        str | None,
        Field(None, description="of mode finetune: the row of `students` to begin with"),
    ),
)


class ModelRow(Section):
    """A model trained in stage 1: what it changes of `model` and of `stage1`."""

    model: ModelOverrides = Field(ModelOverrides(), description="overrides of `model`")
    stage1: Stage1Overrides = Field(Stage1Overrides(), description="overrides of `stage1`")


class Decode(Section):
    """One way to decode: a row of the tables."""

    of: str = Field(description="row of `models` or `students`")
    steps: Steps | None = Field(
        None, description="of a model: Euler steps in all, or a list with one number per scale"
    )
    guidance: PerScale | None = Field(
        None, description="of a model: a number, or a list with one per scale; 1 is no guidance"
    )
    jump: Literal["white", "paper_code"] = Field(
        "white", description="noise added between scales: correlation -1/3 (white) or +1/3"
    )


class Ablation(Section):
    """One comparison of two decodes on the same images: a row of the ablation table."""

    question: str = Field(description="what is compared, and why that direction is expected")
    of: str = Field(description="row of `decodes`")
    against: str = Field(description="row of `decodes`, mean-colour or bicubic")
    expect: Literal["better", "worse", "equal"] | None = Field(
        description="where theory says that `of` stands; null: it does not say"
    )


class Params(Section):
    """Everything that decides the bits of a result."""

    seed: Amount = Field(description="one seed for data order, weights and noise")
    cpu_threads: Count = Field(description="threads of every job on CPU; changes bits")
    data: Data
    model: Model = Field(description="defaults of every row of `models`")
    stage1: Stage1 = Field(description="defaults of every row of `models`")
    distil: Distil = Field(description="defaults of every row of `students`")
    models: dict[RowName, ModelRow] = Field(description="rows: what is trained", min_length=1)
    students: dict[RowName, Student] = Field(description="rows: what is distilled")
    decodes: dict[RowName, Decode] = Field(description="rows: what is evaluated")
    ablations: dict[RowName, Ablation] = Field(description="rows: what is compared")
    evaluate: Evaluate
    throughput: Throughput

    def model_of(self, row: str) -> Model:
        """The networks of a row of `models`."""
        return _merge(self.model, _row("models", self.models, row).model)

    def stage1_of(self, row: str) -> Stage1:
        """The first training of a row of `models`."""
        return _merge(self.stage1, _row("models", self.models, row).stage1)

    def distil_of(self, student: str) -> Distil:
        """The distillation of a row of `students`."""
        return _merge(self.distil, _row("students", self.students, student))

    def model_row(self, student: str) -> str:
        """The row of `models` that a row of `students` is distilled from."""
        return _row("students", self.students, student).model

    def source(self, decode: str) -> tuple[str, str | None]:
        """The row of `models` and, if one decodes, the row of `students` behind a decode."""
        of = _row("decodes", self.decodes, decode).of
        return (self.model_row(of), of) if of in self.students else (of, None)

    def timed(self) -> tuple[str, ...]:
        """What is timed: rows of `decodes`, and names of other systems."""
        systems = self.throughput.systems
        return tuple(self.decodes) if systems == "all" else systems

    def raw(self) -> dict[str, Any]:
        """What the file says, as plain values: rows hold only what they override."""
        return self.model_dump(mode="json", exclude_unset=True)


def _row(table: str, rows: dict[str, Any], name: str) -> Any:
    if name not in rows:
        raise MsddError(f"{table} has no row '{name}'; known: {', '.join(rows) or 'none'}")
    return rows[name]


def _merge(defaults: Section, overrides: Section) -> Any:
    keys = overrides.model_fields_set & type(defaults).model_fields.keys()
    return defaults.model_copy(update={key: getattr(overrides, key) for key in keys})


def load(path: str | Path = "params.yaml") -> Params:
    """Read and check a params file.

    Raises:
        MsddError: a line for every mistake, naming the key, what was given and what is allowed.
    """
    from msdd.mistakes import read_yaml

    return parse(read_yaml(path), str(path))


def parse(raw: Any, name: str = "params") -> Params:
    """Check plain values as `load` does; `name` stands in front of every mistake."""
    from msdd.checks import cross_checks
    from msdd.mistakes import validate

    params = validate(Params, raw, name)
    mistakes = cross_checks(params)
    if mistakes:
        raise MsddError("\n".join(f"{name}: {mistake}" for mistake in mistakes))
    return params
