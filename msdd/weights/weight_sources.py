"""`WeightSource`, and where the weights of the larger representations come from."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from msdd.weights import packages

StateDict = dict[str, Tensor]
META = "https://dl.fbaipublicfiles.com"
HUB = "https://huggingface.co"


@dataclass(frozen=True)
class WeightSource:
    """One network: its official file, the part of it that is used, and the digest it must have.

    digest: of the tensors; of the whole file where `whole`; None where none is published, which a
            file must then be put in place by hand for, and has the digest it has
    url:    of the official download, or nothing
    page:   where to get the file by hand, of gigabytes that nobody fetches unasked
    """

    file: str
    digest: str | None
    url: str = ""
    package: Callable[[], dict[str, StateDict]] | None = None
    prefix: str = ""  # of the tensors that are used
    whole: bool = False
    page: str = ""


def by_hand(file: str, digest: str | None, page: str) -> WeightSource:
    """A file that people put in place themselves."""
    return WeightSource(file, digest, whole=True, page=page)


REPRESENTATION_SOURCES = {
    "efficientnet-lite2": WeightSource(
        "efficientnet-lite2-9656183e.pth",
        "f6c45284b779976924f7e010ed614f861435da0b9e368ac0a1b97bdfefd5f354",
        package=packages.efficientnet_lite2,
    ),
    "dinov2-s14": by_hand(
        "dinov2_vits14_pretrain.pth",
        "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9",
        f"{META}/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
    ),
    "dinov2-b14": by_hand(
        "dinov2_vitb14_pretrain.pth",
        "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
        f"{META}/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth",
    ),
    "dinov2-l14": by_hand(
        "dinov2_vitl14_pretrain.pth",
        "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
        f"{META}/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth",
    ),
    "clip-l14": by_hand(
        "clip-vit-large-patch14/model.safetensors",
        "a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb",
        f"{HUB}/openai/clip-vit-large-patch14",
    ),
    "clip-l14-336": by_hand(
        "clip-vit-large-patch14-336/pytorch_model.bin",
        "c6032c2e0caae3dc2d4fba35535fa6307dbb49df59c7e182b1bc4b3329b81801",
        f"{HUB}/openai/clip-vit-large-patch14-336",
    ),
    "convnextv2-b": by_hand(
        "convnextv2_base_22k_224_ema.pt",
        "dd7a88d111c8af2295cb744f5bba888eca26759984b1cac81804ef876807ce17",
        f"{META}/convnext/convnextv2/im22k/convnextv2_base_22k_224_ema.pt",
    ),
    "mae-l16": by_hand(
        "mae_pretrain_vit_large.pth", None, f"{META}/mae/pretrain/mae_pretrain_vit_large.pth"
    ),
    "siglip2-so400m": by_hand(
        "vit_so400m_patch16_siglip_256.v2_webli/model.safetensors",
        None,
        f"{HUB}/timm/vit_so400m_patch16_siglip_256.v2_webli",
    ),
}
