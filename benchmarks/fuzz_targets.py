"""What `fuzz.py` changes and reads: a target for each form of file, with valid seeds made here."""

import io
import json
import os
import tarfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import fuzz_mutations as mutations
import numpy as np
import torch
import yaml
from PIL import Image, ImageCms
from safetensors.torch import save

from msdd.commands import provenance as told_provenance
from msdd.data import image_file, parquet, sources
from msdd.data.photograph import Photograph
from msdd.evaluate import checkpoint as evaluations
from msdd.evaluate import compare, protocols, reference_statistics
from msdd.evaluate.accumulator import Accumulator
from msdd.evaluate.networks import Networks
from msdd.model.autoencoder import Autoencoder
from msdd.model.config import ModelConfig
from msdd.page import comparison, document, history
from msdd.params import presets
from msdd.params.load import load as load_params
from msdd.params.sections import Optimisation
from msdd.pipeline import lock
from msdd.report import published
from msdd.tokenizers import folders
from msdd.tracking import delivery, outbox, sending, view
from msdd.train import checkpoint as trainings
from msdd.train.state import State
from msdd.weights import addresses, hub, model_folder, official
from msdd.weights.metadata import pack


@dataclass(frozen=True)
class Target:
    """name, file: of what, and where it lies. make: seeds. mutate: what is changed of them.
    read: what a command does with the file. inputs: how many `make fuzz` tries."""

    name: str
    file: str
    make: Callable[[], Sequence[bytes]]
    mutate: mutations.Mutate
    read: Callable[[Path], object]
    inputs: int

    @cached_property
    def seeds(self) -> Sequence[bytes]:
        return self.make()


@cache
def picture(side: int = 24) -> Image.Image:
    numbers = np.random.default_rng(0).integers(0, 256, (side, side, 3))
    return Image.fromarray(numbers.astype(np.uint8))


def saved(image: Image.Image, kind: str, **how: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


@cache
def images() -> list[bytes]:
    """Every format and form that differs in how it is read, with EXIF and profile."""
    image, exif = picture(), Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    about = {"exif": exif.tobytes(), "icc_profile": profile}
    made = [saved(image, kind, **about) for kind in ("JPEG", "WEBP", "TIFF")]
    made += pngs()
    made += [saved(image.convert(mode), "TIFF") for mode in ("1", "L", "RGBA", "CMYK", "I;16", "F")]
    packings = ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    made += [saved(image, "TIFF", compression=packing) for packing in packings]
    made += [saved(image, kind) for kind in ("BMP", "PPM", "TGA", "PCX", "ICO", "SGI", "DDS", "IM")]
    made += [saved(image.convert("P"), kind) for kind in ("GIF", "BMP")]
    made += [saved(image, "JPEG", progressive=True), saved(image.convert("CMYK"), "JPEG")]
    made += [saved(image, kind) for kind in ("AVIF", "JPEG2000", "MPO") if kind in Image.SAVE]
    return [*made, *tiffs()]


def tiffs() -> list[bytes]:
    """Forms that tifffile writes: planes, tiles, 16 bits, signed, big."""
    import tifffile

    levels = np.random.default_rng(0).integers(0, 2**16, (32, 32, 3)).astype(np.uint16)
    planes = {"planarconfig": "separate", "photometric": "rgb"}
    forms = [(levels, {"photometric": "rgb"}), (levels.transpose(2, 0, 1), planes)]
    forms += [(levels, {"photometric": "rgb", "tile": (16, 16)}), (levels[..., 0].astype("i2"), {})]
    forms += [(levels[..., 0], {"photometric": "miniswhite", "byteorder": ">"})]
    forms += [(levels[..., :2], {"extrasamples": ["unassalpha"], "planarconfig": "contig"})]
    made = []
    for values, how in forms:
        file = io.BytesIO()
        tifffile.imwrite(file, values, **how)
        made.append(file.getvalue())
    return made


@cache
def pngs() -> list[bytes]:
    exif = Image.Exif()
    exif[0x0112] = 3
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    modes = ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")
    made = [saved(picture().convert(mode), "PNG", icc_profile=profile) for mode in modes]
    return [
        *made,
        saved(picture(), "PNG", exif=exif),
        saved(picture().convert("P"), "PNG", transparency=3),
    ]


def read_image(path: Path) -> None:
    for srgb in (False, True):
        image_file.decode(image_file.read_file(path, path), path, srgb)


@cache
def tars() -> list[bytes]:
    made = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        inner = tar({"b.png": pngs()[0], f"{'c' * 60}/{'d' * 80}.png": pngs()[2]}, form)
        made += [tar({"a.png": pngs()[0], "n01440764.tar": inner, "ä.jpg": images()[0]}, form)]
    return made


def tar(members: dict[str, bytes], form: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return file.getvalue()


def read_archive(path: Path) -> None:
    """What `prepare` does with an archive; names inside it are names, and lead nowhere."""
    for one in sources.photographs(sources.source(Path("."), path, "data.photographs")):
        read_photograph(one)


def read_photograph(one: Photograph) -> None:
    with suppress(image_file.PhotographError):  # one line; the others are read
        image_file.decode(one.read(), one.name)


@cache
def parquets() -> list[bytes]:
    import pyarrow as pa
    from pyarrow import parquet as pq

    rows = [{"bytes": image, "path": None} for image in pngs()[:4]]
    made = []
    for packing in ("none", "snappy", "zstd"):
        file = io.BytesIO()
        pq.write_table(pa.table({"image": rows}), file, compression=packing, row_group_size=2)
        made.append(file.getvalue())
    return made


def read_parquet(path: Path) -> None:
    parquet.first_rows.cache_clear()
    parquet.images.cache_clear()
    read_archive(path)


@cache
def params() -> list[bytes]:
    return [presets.find(name, Path(".")).read_bytes() for name in ("tiny", "ssdd")]


def protocol_files() -> list[bytes]:
    known = protocols.builtin()
    own = {"mine": {"base": "primary", "crop": "adm"}, "other": known["primary"]}
    return [yaml.safe_dump(own).encode(), yaml.safe_dump({"one": known["dito"]}).encode()]


def read_protocols(path: Path) -> None:
    protocols.load([str(path)])


def published_files() -> list[bytes]:
    return [published.place(Path(".")).read_bytes()]


def read_published(path: Path) -> None:
    published.read(path.parents[1])


CONFIG = {
    "resolution": 16,
    "scales": 2,
    "patch": 4,
    "encoder_patch": 4,
    "width": 32,
    "depth": 1,
    "heads": 4,
    "latents": 8,
    "latent_dim": 4,
    "positions": "grid",
}


@cache
def network() -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(ModelConfig(**CONFIG))


def tensors() -> dict[str, torch.Tensor]:
    return {"a.weight": torch.arange(12.0).reshape(3, 4), "b": torch.zeros(2, dtype=torch.int64)}


def pickled(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def pickles() -> list[bytes]:
    more = {"ema": tensors(), "epoch": 3, "lr": [0.1]}
    return [pickled(tensors()), pickled(more), pickled({"model": {"sd": tensors()}})]


def read_weights(path: Path) -> None:
    """As whoever opens them does: numbers are copied."""
    for value in official.read(path).values():
        value.float().contiguous()


def index_files() -> list[bytes]:
    names = dict.fromkeys(tensors(), "one.safetensors")
    return [json.dumps({"metadata": {"total_size": 64}, "weight_map": names}).encode()]


def read_index(path: Path) -> None:
    path.with_name("one.safetensors").write_bytes(save(tensors()))
    read_weights(path)


def model_configs() -> list[bytes]:
    return [json.dumps({"kind": "teacher", "model": CONFIG}).encode()]


def read_model(path: Path) -> None:
    path.with_name("model.safetensors").write_bytes(weights_of_network())
    model_folder.load_teacher(path.parent)


@cache
def weights_of_network() -> bytes:
    return save(network().state_dict())


OPTIMISATION = {"batch": 4, "images": 8, "learning_rate": 1e-3}


def training_state() -> State:
    given = {name: one.default for name, one in Optimisation.model_fields.items()}
    wanted = load_params(presets.find("tiny", Path("."))).stage1.model_dump()
    chosen = {name: wanted[name] for name in given if name in wanted}
    return State(torch.nn.Linear(2, 2), Optimisation(**chosen))


def training_checkpoints() -> list[bytes]:
    state = training_state()
    state.network(torch.ones(1, 2)).sum().backward()
    state.optimiser.step()
    state.curve, state.sums = [{"images": 4, "loss": 1.0}], {"loss": torch.ones(())}
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"seed-{os.getpid()}.pt"
    state.save(path, "key")
    content = path.read_bytes()
    trainings.remove(path)
    return [content]


def read_training_checkpoint(path: Path) -> None:
    training_state().resume(path, "key")


@cache
def accumulator() -> Accumulator:
    wanted = protocols.load(["primary"])["primary"].model_copy(update={"lpips": None})
    chosen = [wanted.with_features("none")]
    return Accumulator({"primary": chosen[0]}, Networks(chosen, torch.device("cpu")))


@cache
def evaluation_checkpoints() -> list[bytes]:
    state = {"ids": torch.arange(3), "pixels": torch.full((3,), 9)}
    state |= {f"values/{key}": torch.rand(3).double() for key in accumulator().values}
    return [save(state, pack({"key": "k" * 64, "features": "[]"}))]


def read_evaluation_checkpoint(path: Path) -> None:
    import copy

    found = evaluations.Checkpoint(path.parents[1], "k" * 64)
    found.resume(copy.deepcopy(accumulator()))


def statistics() -> list[bytes]:
    about = {"images": "a", "preparation": "b", "features": "inception", "weights": "c"}
    arrays = {"mu": np.zeros(8), "sigma": np.eye(8)}
    told = {"about": json.dumps({"count": 9, "identity": about})}
    made = []
    for more in ({}, told, told | {"features": np.ones((4, 8), np.float32)}):
        file = io.BytesIO()
        np.savez(file, **arrays, **more)
        made.append(file.getvalue())
    return made


def read_statistics(path: Path) -> None:
    reference_statistics.read(path)


NAMED = ["0", "1", "2"]
METRIC = {"mean": 20.0, "low": 19.0, "high": 21.0}


@cache
def reports() -> list[bytes]:
    entry = {
        "protocol": protocols.builtin()["primary"],
        "preparation": "prepared crops of 32 px",
        "metrics": {"psnr": METRIC, "ssim": METRIC, "fd_inception": 3.5},
        "per_image": {"psnr": [20.0, None, 21.0], "ssim": [0.5, 0.6, 0.7]},
    }
    whole = {
        "decode": "student",
        "student": "a",
        "model": "b",
        "images": 3,
        "names": NAMED,
        "digest": "d",
        "batch": 2,
        "protocol": "primary",
        "protocols": {"primary": entry},
        "extremes": {},
        "scales": [8, 16],
        "steps": [1, 1],
        "nfe": 2,
        "tokens": 16,
        "dim": 4,
        "parameters": 100,
    }
    return [json.dumps(whole).encode()]


def read_compared(path: Path) -> None:
    """The page of two sets of results, of which one is a stranger's."""
    first = path.parents[3] / "first/runs/eval/student.json"
    first.parent.mkdir(parents=True, exist_ok=True)
    first.write_bytes(reports()[0])
    found = comparison.compare(first.parents[2], path.parents[2])
    document.compared(found)
    comparison.lines(found)
    json.dumps(found.plain())


def read_against(path: Path) -> None:
    other, mine = compare.read(path), json.loads(reports()[0])
    compare.check(mine, other)
    compare.comparison(mine, other)


def records() -> list[bytes]:
    versions = {"python": "3.11", "msdd": "0", "torch": "2", "numpy": None}
    whole = {
        "stage": "train",
        "wildcards": {"model": "a", "scale": 0},
        "code": "c" * 64,
        "params": {"seed": 0, "model.dim": 16, "models": {"a": {}}},
        "inputs": {"params.yaml": "0" * 64},
        "made": {"runs/a/model.safetensors": "0" * 64},
        "commit": None,
        "dirty": False,
        "versions": versions,
        "device": "cpu",
        "cpu": "cpu",
        "host": "h",
        "threads": 1,
        "engine": "dvc",
        "rule": "train@a",
        "command": ["train", "a"],
        "started": "2026-11-28T23:01:50+00:00",
        "seconds": 3.5,
        "speed": {"images_per_second": 9.0},
    }
    piece = {"started": whole["started"], "seconds": 1.0, "images_before": 0}
    return [json.dumps(one).encode() for one in (whole, whole | {"pieces": [piece]})]


def read_record(path: Path) -> None:
    root = path.parents[3]
    artefact = Path("runs/a/model.safetensors")
    (root / artefact).parent.mkdir(parents=True, exist_ok=True)
    (root / artefact).write_bytes(b"a")
    found = history.records(root)
    history.facts(found)
    history.table(found).frame.to_html()
    told = told_provenance.tell(artefact, root)
    "\n".join(told_provenance.lines(told))


def run_records() -> list[bytes]:
    import mlflow.entities  # noqa: F401  now, and not in each child

    parent = {"name": "a", "key": "k", "params": {"seed": 0}, "tags": {"group": "row"}}
    whole = {
        "name": "a/stage1",
        "row": "a",
        "stage": "stage1",
        "started": 1,
        "params": {"seed": 0, "stage1": {"batch": 64}},
        "tags": {"commit": "c", "group": "training"},
        "versions": {"python": "3"},
        "parents": [parent],
        "place": "/",
        "job": "j",
        "inputs": {"data/manifest.json": "d"},
    }
    return [json.dumps(whole).encode()]


def event_files() -> list[bytes]:
    events = [
        {"time": 1, "status": "RUNNING"},
        {"time": 2, "step": 4, "metrics": {"loss": 0.5}, "tags": {"a": "b"}},
        {"time": 3, "file": "a/b.png", "parent": "k"},
        {"time": 3, "figures": {"metrics": {"psnr": 20.0}, "tags": {"decode": "d"}}, "parent": "k"},
        {"time": 4, "status": "FINISHED"},
    ]
    return [b"".join(json.dumps(event).encode() + b"\n" for event in events)]


class Client:
    """Takes what it is given, as MLflow's server would: what is sent is looked at, not where."""

    run_id = experiment_id = "1"

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *_: Any, **__: Any) -> "Client":
        return self

    def search_runs(self, *_: Any) -> list:
        return []

    def log_artifact(self, run: str, path: str, folder: str | None) -> None:
        assert Path(path).resolve().is_relative_to(self.files.resolve()), f"sends {path}"
        assert ".." not in Path(folder or "").parts and not Path(folder or "").is_absolute()


def read_outbox(path: Path) -> None:
    folder, root = path.parent, path.parents[3]
    others = {"run.json": run_records()[0], "events.jsonl": event_files()[0]}
    for name, content in others.items():
        if name != path.name:
            (folder / name).write_bytes(content)
    (folder / "files/a").mkdir(parents=True, exist_ok=True)
    (folder / "files/a/b.png").write_bytes(b"a")
    client = Client()
    client.files = folder / "files"  # whatever is sent lies there
    delivery.waiting(root, "sqlite:///mlflow.db")
    to = sending.Destination(client, "1", "uri", [], outbox.by_parent(root))
    sending.Delivery(to, folder).send()


def latents() -> list[bytes]:
    about = pack({"files": '{"a": "b"}', "sides": "[24, 24]", "cut": "native"})
    return [save({"latents": torch.rand(4, 8, 8)}, about), save({"latents": torch.rand(4, 2, 6)})]


class Small:
    """A tokenizer as far as `Latents` asks it."""

    resolution, multiple, codes, files, name = 16, 1, 0, {"a": "c"}, "small"

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(images), 4, 8, 8)


def read_latents(path: Path) -> None:
    stored = folders.Latents(Small()).read(path)
    stored.cut(torch.zeros(3, 24, 24)).contiguous()


def address_lines() -> list[bytes]:
    return [b"hf://owner/name", b"hf://owner/name@main/folder", b"mlflow:/abc123/models/a"]


def read_address(path: Path) -> None:
    name = path.read_bytes().decode("utf-8", "surrogateescape").strip()
    if addresses.is_address(name):
        addresses.folder_of(name)
    else:
        hub.locate(name, ["a.safetensors"])


def views() -> list[bytes]:
    return [view.packed(view.comparison(["psnr", "ssim"])).encode()]


def read_view(path: Path) -> None:
    found = view.shown(path.read_bytes().decode("latin-1"))
    view.comparison(view.ordered({*found, "psnr"}))


def locks() -> list[bytes]:
    return [json.dumps({"pid": 1, "host": "h", "since": "now"}).encode()]


def read_lock(path: Path) -> None:
    lock.holder(path)
    lock.host(path)


def settle_machine() -> None:
    """What is asked for elsewhere is refused at once: no Hub, no server; small pictures only."""
    os.environ |= {
        "HF_HUB_OFFLINE": "1",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:1",
        "MSDD_MAX_PIXELS": "1000000",
        "OMP_NUM_THREADS": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",  # the others reserve a GiB
    }
    torch.set_num_threads(1)


settle_machine()
PICKLE = mutations.zipped(
    {"data.pkl": mutations.raw, "version": mutations.raw, "/0": mutations.raw}
)
NPZ = mutations.zipped({".npy": mutations.in_npy})
EVAL, RECORD, RUN = (
    "second/runs/eval/student.json",
    "provenance/runs/a/stage1.json",
    ".tracking/outbox/a.1",
)
TARGETS = (
    Target("images", "a.png", images, mutations.raw, read_image, 16_000),
    Target("png", "a.png", pngs, mutations.in_png, read_image, 4_000),
    Target("tars", "a.tar", tars, mutations.in_tar, read_archive, 2_000),
    Target("parquet", "a.parquet", parquets, mutations.raw, read_parquet, 2_000),
    Target("params", "params.yaml", params, mutations.in_yaml, load_params, 5_000),
    Target("protocols", "a.yaml", protocol_files, mutations.in_yaml, read_protocols, 2_000),
    Target(
        "published",
        "reports/published.yaml",
        published_files,
        mutations.in_yaml,
        read_published,
        500,
    ),
    Target("evaluations", EVAL, reports, mutations.in_json, read_compared, 5_000),
    Target("against", "a.json", reports, mutations.in_json, read_against, 5_000),
    Target("records", RECORD, records, mutations.in_json, read_record, 5_000),
    Target("runs", f"{RUN}/run.json", run_records, mutations.in_json, read_outbox, 2_000),
    Target("events", f"{RUN}/events.jsonl", event_files, mutations.in_lines, read_outbox, 2_000),
    Target(
        "safetensors",
        "a.safetensors",
        lambda: [save(tensors())],
        mutations.in_safetensors,
        read_weights,
        5_000,
    ),
    Target("pickles", "a.pt", pickles, PICKLE, read_weights, 5_000),
    Target(
        "indices", "a.safetensors.index.json", index_files, mutations.in_json, read_index, 2_000
    ),
    Target("models", "config.json", model_configs, mutations.in_json, read_model, 5_000),
    Target(
        "training-checkpoints",
        "state.pt",
        training_checkpoints,
        mutations.digested(PICKLE),
        read_training_checkpoint,
        5_000,
    ),
    Target(
        "evaluation-checkpoints",
        "kkkkkkkkkkkk/process0.safetensors",
        evaluation_checkpoints,
        mutations.in_safetensors,
        read_evaluation_checkpoint,
        5_000,
    ),
    Target("statistics", "a.npz", statistics, NPZ, read_statistics, 2_000),
    Target("latents", "a.safetensors", latents, mutations.in_safetensors, read_latents, 2_000),
    Target("addresses", "a.txt", address_lines, mutations.raw, read_address, 2_000),
    Target("views", "a.txt", views, mutations.raw, read_view, 1_000),
    Target("locks", "lock", locks, mutations.in_json, read_lock, 1_000),
)
