"""The table of systems: what each is at its published size, its licences, its official files.

Figures are those of `describe()`; a test holds the table against the networks. Nothing is imported
for it, so that it can be listed in no time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

Config = Callable[[ModuleType], object]  # from a family's module to the configuration of a system


@dataclass(frozen=True)
class Family:
    """What the systems of one paper share.

    module, kind:  of `msdd.tokenizers`, and the class in it.
    code, weights: licences of the authors' code and of their weights; the code here is our own.
    telltale:      a tensor that only files of this family have, if there is one.
    crop:          how the authors cut images, as in `msdd/evaluate/protocols.yaml`.
    """

    title: str
    module: str
    kind: str
    code: str
    weights: str
    telltale: str | None = None
    crop: str = "adm"


MSDD = Family("MSDD", "msdd", "MSDD", code="none stated", weights="none released")
LLAMAGEN = Family(
    "LlamaGen",
    "llamagen",
    "LlamaGen",
    code="MIT",
    weights="MIT",
    telltale="decoder.conv_blocks.0.res.0.norm1.weight",
)
TITOK = Family(
    "TiTok",
    "titok",
    "TiTok",
    code="Apache-2.0",
    weights="Apache-2.0",
    telltale="latent_tokens",
    crop="bicubic",
)
COSMOS = Family("Cosmos", "cosmos", "Cosmos", code="Apache-2.0", weights="NVIDIA Open Model")
KLVAE = Family(
    "KL-VAE",
    "klvae",
    "KLVAE",
    code="Apache-2.0",
    weights="MIT",
    telltale="decoder.mid_block.resnets.0.norm1.weight",
)
TAEF2 = Family(
    "TAEF2",
    "taef2",
    "TAEF2",
    code="MIT",
    weights="MIT",
    telltale="encoder.layers.11.pool.0.weight",
)
FLOWMO = Family(
    "FlowMo",
    "flowmo",
    "FlowMo",
    code="Apache-2.0",
    weights="Apache-2.0",
    telltale="decoder.double_blocks.0.img_mod.lin.weight",
    crop="bilinear",
)
DITO = Family(
    "DiTo",
    "dito",
    "DiTo",
    code="Apache-2.0",
    weights="none released",
    telltale="renderer.net.embed_image.f.weight",
    crop="lanczos",
)
SSDD = Family(
    "SSDD",
    "ssdd",
    "SSDD",
    code="CC-BY-NC-4.0",
    weights="CC-BY-NC-4.0",
    telltale="decoder.ada_ctx_proj.0.weight",
    crop="bilinear",
)


@dataclass(frozen=True)
class System:
    """One system at its published size.

    tokens, dim, bits, parameters, nfe: as `describe()` tells them at `resolution`.
    repository, files: on the Hugging Face Hub; none where none were released.
    halves:            of the encoder and of the decoder, where they are also released apart.
    row:               of `reports/published.yaml`; None where nothing was published.
    vae:               the system whose encoder it takes, which its own files lack.
    """

    family: Family
    config: Config | None
    tokens: int
    dim: int
    bits: int | None
    parameters: int
    nfe: int
    row: str | None
    repository: str = ""
    files: tuple[str, ...] = ()
    halves: tuple[str, ...] = ()
    vae: str | None = None
    resolution: int = 256


# Parameters of encoder and decoder together, for sizes S, B, M, L and XL.
SSDD_SIZES = ("S", "B", "M", "L", "XL")
SSDD_PARAMETERS = {
    "f8c4": (48_220_723, 55_304_123, 84_443_811, 124_923_603, 195_436_499),
    "f16c4": (60_023_859, 67_107_259, 96_246_947, 136_726_739, 207_239_635),
    "f16c16": (60_149_283, 67_232_683, 96_379_283, 136_859_075, 207_378_883),
    "f32c64": (72_465_635, 79_549_035, 108_723_283, 149_203_075, 219_750_531),
    "sdvae": (48_220_723, 55_304_123, 84_443_811, 124_923_603),  # no XL was released
}
SSDD_LATENTS = {
    "f8c4": (1024, 4),
    "f16c4": (256, 4),
    "f16c16": (256, 16),
    "f32c64": (64, 64),
    "sdvae": (1024, 4),
}


def _ssdd(encoder: str, size: str, parameters: int) -> System:
    tokens, dim = SSDD_LATENTS[encoder]
    return System(
        SSDD,
        lambda module: module.published_config(encoder, size),
        tokens,
        dim,
        None,
        parameters,
        nfe=8,
        row="ssdd",
        repository="facebook/SSDD",
        files=(f"{encoder.upper()}_{size}_256.safetensors",),
        vae="sd-vae-ft-mse" if encoder == "sdvae" else None,
    )


def _dito(size: str, parameters: int) -> System:
    row = f"dito-{size.lower()}"
    return System(DITO, lambda module: module.SIZES[size], 1024, 4, None, parameters, 50, row)


SYSTEMS = {
    # The paper's size and its student: one decoder for all of four scales, one step in each.
    "msdd": System(MSDD, None, 128, 32, None, 419_911_392, nfe=4, row="msdd-stage-2"),
    "llamagen-16": System(
        LLAMAGEN,
        lambda module: module.LlamaGenConfig(),
        tokens=256,
        dim=8,
        bits=256 * 14,
        parameters=71_883_403,
        nfe=1,
        row="llamagen-16",
        repository="FoundationVision/LlamaGen",
        files=("vq_ds16_c2i.pt",),
    ),
    "titok-s-128": System(
        TITOK,
        lambda module: module.TiTokConfig(),
        tokens=128,
        dim=12,
        bits=128 * 12,
        parameters=83_674_639,
        nfe=1,
        row="titok-s-128",
        repository="yucornetto/tokenizer_titok_s128_imagenet",
        files=("model.safetensors",),
    ),
    "cosmos-di16x16": System(
        COSMOS,
        lambda module: module.CosmosConfig(),
        tokens=256,
        dim=6,
        bits=4088,  # 256 of log2 64000 each
        parameters=83_723_958,
        nfe=1,
        row="cosmos-di16x16",
        repository="nvidia/Cosmos-0.1-Tokenizer-DI16x16",
        files=("encoder.jit", "decoder.jit"),
    ),
    "sd-vae-ft-mse": System(
        KLVAE,
        lambda module: module.PUBLISHED,
        tokens=1024,
        dim=4,
        bits=None,
        parameters=83_653_863,
        nfe=1,
        row="sd-vae-ft-mse",
        repository="stabilityai/sd-vae-ft-mse",
        files=("diffusion_pytorch_model.safetensors",),
    ),
    "taef2": System(
        TAEF2,
        lambda module: module.TAEF2Config(),
        tokens=1024,
        dim=32,
        bits=None,
        parameters=2_677_027,
        nfe=1,
        row=None,
        repository="madebyollin/taef2",
        files=("taef2.safetensors",),
        halves=("taef2_encoder.pth", "taef2_decoder.pth"),
    ),
    "flowmo-lo": System(
        FLOWMO,
        lambda module: module.FLOWMO_LO,
        tokens=256,
        dim=18,
        bits=256 * 18,
        parameters=945_374_085,
        nfe=31,
        row="flowmo-lo",
        repository="ksarge/FlowMo",
        files=("flowmo_lo.pth",),
    ),
    "flowmo-hi": System(
        FLOWMO,
        lambda module: module.FLOWMO_HI,
        tokens=256,
        dim=56,
        bits=256 * 56,
        parameters=945_520_081,
        nfe=31,
        row="flowmo-hi",
        repository="ksarge/FlowMo",
        files=("flowmo_hi.pth",),
    ),
    "dito-b": _dito("B", 196_924_955),
    "dito-l": _dito("L", 372_669_019),
    "dito-xl": _dito("XL", 655_086_555),
} | {
    f"ssdd-{encoder}-{size.lower()}": _ssdd(encoder, size, parameters)
    for encoder, by_size in SSDD_PARAMETERS.items()
    for size, parameters in zip(SSDD_SIZES, by_size, strict=False)
}
