"""Where the weights of the networks that images are measured with come from."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from msdd.weights import packages

StateDict = dict[str, Tensor]
META = "https://dl.fbaipublicfiles.com"
HUB = "https://huggingface.co"
TORCHVISION = "https://download.pytorch.org/models"
PYTORCH_FID = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights"


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


SOURCES = {
    "alexnet": WeightSource(
        "alexnet-owt-7be5be79.pth",
        "55bf5f9599d7084e11ad54ff09cbf9931a9aa9326f8eabeaccce8330f085fc40",
        f"{TORCHVISION}/alexnet-owt-7be5be79.pth",
        packages.lpips_trunks,
        prefix="features.",
    ),
    "vgg16": WeightSource(
        "vgg16-397923af.pth",
        "ec92018a5117639a9a29e1d7bfc6aea5a0d98384dc77408e2d5843ae2dc21cf9",
        f"{TORCHVISION}/vgg16-397923af.pth",
        packages.lpips_trunks,
        prefix="features.",
    ),
    "efficientnet-lite0": WeightSource(
        "efficientnet-lite0-57934424.pth",
        "b9f9e408690baf6fb2869c37c9e2bd719553d32fb565c3a679b133d182cb9c92",
        package=packages.efficientnet_lite0,
    ),
    # The two weights of every channel that DISTS sees, which its package ships.
    "dists": WeightSource(
        "weights.pt",
        "0569165f29edd17c4d3a9601a3ca972d298f2a050488fdd7503ac69a6711d1a6",
        package=packages.dists,
    ),
    # Published is the digest of the file, so this file is read as it is and never converted.
    "inception": WeightSource(
        "pt_inception-2015-12-05-6726825d.pth",
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        f"{PYTORCH_FID}/pt_inception-2015-12-05-6726825d.pth",
        whole=True,
    ),
    # ViT-S/16 of DINO by timm's names; again the published digest is the file's.
    "dino-vit-s16": WeightSource(
        "vit_small_patch16_224.dino-49a1c6cc.bin",
        "49a1c6cc0534ac3f4c7ec18cc6e24374952f602e87a12271648fca99f84ca898",
        f"{HUB}/timm/vit_small_patch16_224.dino/resolve/"
        "a0b40130d29ebc347b9bf146a1ecf0edf3fdca60/pytorch_model.bin",
        whole=True,
    ),
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
