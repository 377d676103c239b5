"""A protocol: how a paper turns images and reconstructions into its metrics, as data."""

from typing import Annotated, Any, Literal

from pydantic import Field

from msdd.params.sections import Count, Section, Trunk
from msdd.weights.representations import REPRESENTATIONS, key_of

METRICS = (  # keys of a protocol
    "psnr",
    "ssim",
    "gaussian_ssim",
    "ms_ssim",
    "psnr_hvs",
    "lpips",
    "dists",
    "dreamsim",
    "fid",
    "patch_fid",
    "frechet",
    "cmmd",
    "classes",
    "text",
    "faces",
)
OF_LATENTS = ("codes", "latents")  # keys of what is measured between
NO_IMAGES = (*OF_LATENTS, "bpp")  # keys of what is measured of no image
OF_PROTOCOL = " of "  # between a metric and its protocol, where a report says what was not measured
Quantisation = Literal["round", "truncate", "truncate64", "truncate_made", "shift", "none"]
Crop = Literal["adm", "bilinear", "bicubic", "lanczos"]
Network = Literal[tuple(REPRESENTATIONS)]
Resize = Annotated[
    Literal["pytorch_fid", "tf1", "antialias"],
    Field(description="how Inception enlarges; other networks have their own way"),
]
EMBEDDING = "clip-l14-336"  # that CMMD is taken on


def _or_missing(schema: dict[str, Any]) -> None:
    """A metric that may be missing is described as if it were there, for messages."""
    schema |= schema.pop("anyOf")[0]


def optional_metric(description: str) -> Any:
    return Field(None, description=description, json_schema_extra=_or_missing)


class Quantised(Section):
    """A metric of 8-bit levels; of some, nothing else can be chosen."""

    quantisation: Quantisation = Field(description="how both sides become 8 bits")


class OfOneNetwork(Section):
    """A measure of the features of one network."""

    features: Network = Field(description="feature network")
    resize: Resize = "tf1"

    @property
    def network(self) -> tuple[str, str]:
        """Name and resize, which is empty where a network has no choice."""
        return self.features, self.resize if self.features == "inception" else ""


class Psnr(Quantised):
    pool: Count | Literal["all"] = Field(
        description="images whose squared errors are averaged before the logarithm is taken"
    )


class Ssim(Quantised):
    range: Annotated[int, Field(ge=1, le=2)] = Field(
        description="what SSIM takes for the range of images in [0, 1]"
    )


class GaussianSsim(Quantised):
    zero: Literal["black", "grey"] = Field(
        "black", description="what is 0: black of images in [0, 1], mid-grey of those in [-1, 1]"
    )


class Lpips(Quantised):
    nets: tuple[Trunk, ...] = Field(description="trunks", min_length=1)


class Fid(OfOneNetwork, Quantised):
    """A Fréchet distance. Only that of Inception's features is shown as rFID."""

    resize: Resize = "pytorch_fid"
    first: Annotated[int, Field(ge=2)] | None = Field(
        None, description="on the first so many images; null: all"
    )

    @property
    def name(self) -> str:
        """Key of the metric."""
        return f"fd_{key_of(self.features)}"

    @property
    def kid_name(self) -> str:
        """Key of KID on the same features."""
        return f"kd_{key_of(self.features)}"


class PatchFid(OfOneNetwork, Quantised):
    """A Fréchet distance of patches, for few large images: FID/256 of HiFiC on Inception."""

    side: Annotated[int, Field(ge=32, multiple_of=2)] = Field(
        description="of a patch, in pixels; even, for the second grid is shifted by half of it"
    )

    @property
    def name(self) -> str:
        """Key of the metric."""
        return f"patch_fd_{key_of(self.features)}"


class Frechet(Quantised):
    """Fréchet distances beside that of `fid`, each named for its network."""

    networks: tuple[Network, ...] = Field(
        description="feature networks, as `msdd doctor` lists them", min_length=1
    )


class Classes(Quantised):
    """What an ImageNet classifier recognises in originals and in reconstructions."""

    network: Literal["efficientnet-lite0"] = Field(description="classifier")
    labels: str | None = Field(
        None, description="table of classes by image; null: WordNet ids in names and folders"
    )


class Text(Quantised):
    """What an OCR reads in reconstructions of what it reads in originals."""

    ocr: Literal["rapidocr"] = Field(description="what reads")
    transcripts: str | None = Field(
        None, description="table of what is written in each image; null: not known"
    )


class Faces(Quantised):
    """Whether faces stay those of the same persons, as a network embeds them."""

    network: Literal["dlib"] = Field(description="what finds faces and embeds them")


class Protocol(Section):
    """One protocol. The Fréchet distance is always to the crops that the tokenizer was given."""

    crop: Crop = Field(description="how the tokenizer's input is cut from a photograph")
    psnr: Psnr | None = optional_metric("peak signal-to-noise ratio")
    psnr_hvs: Quantised | None = optional_metric("PSNR-HVS and PSNR-HVS-M of luma")
    ssim: Ssim | None = optional_metric("structural similarity, uniform window")
    gaussian_ssim: GaussianSsim | None = optional_metric("structural similarity, Gaussian window")
    ms_ssim: Quantised | None = optional_metric("structural similarity at five scales")
    lpips: Lpips | None = optional_metric("LPIPS v0.1")
    dists: Quantised | None = optional_metric("DISTS")
    dreamsim: Quantised | None = optional_metric("DreamSim")
    fid: Fid | None = optional_metric("Fréchet distance of features")
    kid: bool = Field(False, description="KID too, on the features of the Fréchet distance")
    kid_torch_fidelity: bool = Field(
        False, description="KID as torch-fidelity has it by default, on the same features"
    )
    patch_fid: PatchFid | None = optional_metric("Fréchet distance of patches")
    frechet: Frechet | None = optional_metric("further Fréchet distances")
    fdr: bool = Field(
        False,
        description="the mean of those distances that a validation set's own is known for, each "
        "divided by it",
    )
    mind: bool = Field(False, description="MIND on the features of all Fréchet distances")
    cmmd: Quantised | None = optional_metric("CMMD, on CLIP's embeddings")
    bpp: bool | None = optional_metric("bits per pixel of compressed files, or of codes")
    codes: bool | None = optional_metric("use of a discrete tokenizer's codebook")
    latents: bool | None = optional_metric("moments of a continuous tokenizer's latents")
    classes: Classes | None = optional_metric("classes that a network recognises")
    text: Text | None = optional_metric("text that an OCR reads")
    faces: Faces | None = optional_metric("faces, as a network embeds them")
    sources: dict[str, str] = Field({}, description="where each fact is from")

    @property
    def measures(self) -> bool:
        """Whether there is any metric in it."""
        return any(getattr(self, metric) for metric in (*METRICS, *NO_IMAGES))

    @property
    def tables(self) -> list[str]:
        """The files that it names, whose contents decide what is measured."""
        named = (self.classes and self.classes.labels, self.text and self.text.transcripts)
        return [path for path in named if path]

    def for_files(self) -> "Protocol":
        """The metric half, for images that are 8 bits already: no rule makes them so."""
        unrounded = {
            key: value.model_copy(update={"quantisation": "none"})
            for key in METRICS
            if (value := getattr(self, key))
        }
        return self.model_copy(update=unrounded)

    def with_features(self, features: str) -> "Protocol":
        """With the Fréchet distance on another network, or on `none`."""
        if features == "none":
            return self.model_copy(update=dict.fromkeys(OF_FEATURES, None) | NO_FEATURES)
        here = {key: one for key in OF_ONE_NETWORK if (one := getattr(self, key))}
        changed = {key: one.model_copy(update={"features": features}) for key, one in here.items()}
        return self.model_copy(update=changed)


OF_ONE_NETWORK = ("fid", "patch_fid")
OF_FEATURES = (*OF_ONE_NETWORK, "frechet", "cmmd")
NO_FEATURES = dict.fromkeys(("kid", "kid_torch_fidelity", "mind", "fdr"), False)
