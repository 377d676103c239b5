"""Rules by which programs measure samples against a reference, as data in `samples.yaml`."""

from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from msdd.errors import MsddError, known_names
from msdd.evaluate import protocols
from msdd.evaluate.protocol import EMBEDDING, Network, OfOneNetwork, optional_metric
from msdd.evaluate.protocols import check_new
from msdd.params.sections import Amount, Count, Section
from msdd.params.validate import validate
from msdd.weights.representations import REPRESENTATIONS, key_of

METRICS = (
    "frechet",
    "spatial",
    "inception_score",
    "kid",
    "mind",
    "precision_recall",
    "density_coverage",
    "networks",
    "cmmd",
)
OF_FEATURES = METRICS[:-2]  # of the network that `features` names
DEFAULT = ("adm", "torch-fidelity", "prdc")
OF_INCEPTION = {"spatial": "sfd_inception", "inception_score": "inception_score"}  # keys in reports
SHARES = {  # likewise: of images inside balls
    "precision_recall": ("precision", "recall"),
    "density_coverage": ("density", "coverage"),
}
Key = tuple[str, str]  # name of a network, and its resize


class InceptionScore(Section):
    images: Count | None = Field(None, description="images of a split, consecutive ones")
    splits: Count | None = Field(None, description="splits of the shuffled images")
    seed: Amount = Field(2020, description="of the shuffling")

    @model_validator(mode="after")
    def one_of_both(self) -> "InceptionScore":
        if (self.images is None) == (self.splits is None):
            raise ValueError("give images or splits, one of them")
        return self


class PrecisionRecall(Section):
    neighbours: Count = Field(description="a ball reaches to the nearest so many others")
    distances: Literal["float16", "float64"] = Field("float64", description="their type")


class DensityCoverage(Section):
    neighbours: Count = Field(description="a ball reaches to the nearest so many others")


class Rules(OfOneNetwork):
    """One program's rules."""

    frechet: bool = Field(False, description="Fréchet distance of pooled features")
    spatial: bool = Field(False, description="Fréchet distance of Inception's spatial features")
    inception_score: InceptionScore | None = optional_metric("Inception score")
    precision_recall: PrecisionRecall | None = optional_metric("precision and recall")
    density_coverage: DensityCoverage | None = optional_metric("density and coverage")
    kid: bool = Field(False, description="KID as torch-fidelity has it by default")
    mind: bool = Field(False, description="MIND on the features of all Fréchet distances")
    networks: Annotated[tuple[Network, ...], Field(min_length=1)] | None = optional_metric(
        "further networks for Fréchet distances"
    )
    fdr: bool = Field(False, description="FDr, the mean of those distances that it is defined for")
    cmmd: bool = Field(False, description="CMMD, on CLIP's embeddings")
    sources: dict[str, str] = Field({}, description="where each fact is from")

    @property
    def measures(self) -> bool:
        return any(getattr(self, metric) for metric in METRICS)

    def key(self, name: str) -> Key:
        """A network as these rules use it."""
        return self.model_copy(update={"features": name}).network

    @property
    def frechet_keys(self) -> list[Key]:
        """The networks of all Fréchet distances, each once."""
        first = [self.features] if self.frechet else []
        return [self.key(name) for name in dict.fromkeys([*first, *(self.networks or ())])]

    @property
    def of_single_images(self) -> dict[str, Key]:
        """The metrics that compare features of single images, each with their network."""
        found = {}
        if self.kid:
            found[f"kd_torch_fidelity_{key_of(self.features)}"] = self.network
        if self.mind:
            keys = self.frechet_keys or [self.network]
            found |= {f"mind_{key_of(name)}": (name, resize) for name, resize in keys}
        if self.cmmd:
            found["cmmd"] = self.key(EMBEDDING)
        return found | dict.fromkeys(self.shares, self.network)

    @property
    def shares(self) -> list[str]:
        """Those of them that are shares of images."""
        return [name for metric, names in SHARES.items() if getattr(self, metric) for name in names]

    def metrics_on(self, key: Key) -> list[str]:
        """The metrics that need a network."""
        names = [f"fd_{key_of(key[0])}"] if key in self.frechet_keys else []
        if key == self.network:
            names += [name for metric, name in OF_INCEPTION.items() if getattr(self, metric)]
        return names + [name for name, on in self.of_single_images.items() if on == key]

    def measurable(self, here: Container[Key]) -> "Rules":
        """Without the metrics of networks that are not here."""
        left = tuple(name for name in self.networks or () if self.key(name) in here)
        changed: dict[str, Any] = {"networks": left or None}
        changed["cmmd"] = self.cmmd and self.key(EMBEDDING) in here
        if self.network not in here:
            changed |= {name: Rules.model_fields[name].default for name in OF_FEATURES}
        changed["mind"] = self.mind and any(
            on in here for name, on in self.of_single_images.items() if name.startswith("mind_")
        )
        return self.model_copy(update=changed)

    def with_features(self, features: str) -> "Rules":
        """On another network, which has no spatial features and no classes of Inception's."""
        changed: dict[str, Any] = {"features": features}
        if features != "inception":
            changed |= {"spatial": False, "inception_score": None}
        return self.model_copy(update=changed)


def chosen(names: Iterable[str], features: str | None) -> tuple[dict[str, Rules], dict[str, str]]:
    """`load`, on another network if one is named; and what they lose by that, with the reason.

    MsddError if nothing is left to measure.
    """
    if features == "none":
        raise MsddError("--features none leaves nothing to measure of samples; leave it out")
    if features not in (None, *REPRESENTATIONS):
        raise MsddError(
            f"features '{features}' are unknown; {known_names(features, REPRESENTATIONS)}"
        )
    found = load(names)
    here = {name: one.with_features(features) if features else one for name, one in found.items()}
    if left := {name: rules for name, rules in here.items() if rules.measures}:
        return left, lost(found, features)
    raise MsddError(
        f"--features {features} leaves nothing to measure of {', '.join(found)}: what they have is "
        "of inception's features"
    )


def lost(found: Mapping[str, Rules], features: str | None) -> dict[str, str]:
    """What rules lose on another network than Inception, with the reason."""
    if features in (None, "inception"):
        return {}
    return {
        f"{OF_INCEPTION[metric]} of {name}": f"it is of inception's features, not {features}'s"
        for name, rules in found.items()
        for metric in OF_INCEPTION
        if getattr(rules, metric)
    }


def builtin() -> dict[str, Any]:
    """The plain values of `samples.yaml`, by name."""
    return protocols.builtin("samples.yaml")


def of_all() -> list[str]:
    """What `all` stands for: without `extended`, which needs networks that few have."""
    return [name for name in builtin() if name != "extended"]


def load(names: Iterable[str]) -> dict[str, Rules]:
    """Rules by name: built-in ones, `all`, and all of each YAML file that is named.

    Raises MsddError: an unknown name, or a line for every mistake of a file with key and value.
    """
    known: dict[str, Any] = builtin()
    chosen: dict[str, Rules] = {}
    for name in names:
        if Path(name).suffix in (".yaml", ".yml"):
            own = read_file(name)
            check_new(own, name, known.keys() | chosen.keys())
            chosen |= own
        elif name in known or name == "all":
            listed = of_all() if name == "all" else [name]
            chosen |= {one: validate(Rules, known[one], one) for one in listed}
        elif name in protocols.builtin():
            raise MsddError(f"--protocol {name} is none for samples, but of pairs of images")
        else:
            told = known_names(name, [*known, "all"])
            raise MsddError(f"--protocol {name} is none for samples; {told}, or a .yaml file")
    return chosen


def read_file(path: str) -> dict[str, Rules]:
    rows = protocols.read_rows(path)
    return {name: read_row(row, f"{path}: {name}") for name, row in rows.items()}


def read_row(row: dict[str, Any], where: str) -> Rules:
    rules = validate(Rules, row, where)
    if not rules.measures:
        raise MsddError(f"{where}: has no metric; it needs one of {', '.join(METRICS)}")
    if rules.features != "inception" and any(getattr(rules, name) for name in OF_INCEPTION):
        raise MsddError(f"{where}: {' and '.join(OF_INCEPTION)} are of inception's features alone")
    return rules
