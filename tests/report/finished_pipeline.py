"""The files that a small pipeline leaves behind, made by hand, for tests of the reports."""

import shutil
from pathlib import Path

import numpy as np

from msdd.files import read_json, write_json
from msdd.params.load import parse
from msdd.params.plain_yaml import read_yaml
from msdd.params.schema import Params
from msdd.pipeline import layout

ROOT = Path(__file__).parents[2]
IMAGES, KEPT, SIDE = 40, 16, 32
DECODES = {  # noise in grey levels and images/s of the rows below
    "teacher": (30, 20.0),
    "teacher-paper-code": (31, 20.0),
    "one-scale-teacher": (36, 9.0),
    "student": (32, 83.0),
    "student-finetuned": (20, 84.0),
    "student-joint": (32.1, 82.0),
}
ROWS = {
    "models": {"msdd": {}, "one-scale": {"model": {"scales": 1}}},
    "students": {
        "msdd-1step": {"model": "msdd"},
        "msdd-finetuned": {"model": "msdd", "mode": "finetune", "start": "msdd-1step"},
        "msdd-joint": {"model": "msdd", "mode": "joint"},
    },
    "decodes": {
        "student": {"of": "msdd-1step"},
        "student-finetuned": {"of": "msdd-finetuned"},
        "student-joint": {"of": "msdd-joint"},
        "teacher": {"of": "msdd", "steps": 12, "guidance": 1.5},
        "teacher-paper-code": {
            "of": "msdd",
            "steps": 12,
            "guidance": 1.5,
            "jump": "paper_code",
        },
        "one-scale-teacher": {"of": "one-scale", "steps": 12, "guidance": 1.5},
    },
    "ablations": {
        "finetuning": {
            "question": "*The chain: 100 % of the gap, & more | less_of\n<b>it</b>? תמונה é 😀",
            "of": "student-finetuned",
            "against": "student",
            "expect": "better",
        },
        "joint": {
            "question": "One student for all scales",
            "of": "student-joint",
            "against": "student",
            "expect": "equal",
        },
        "floor": {
            "question": "A teacher against no model at all",
            "of": "teacher",
            "against": "student-finetuned",
            "expect": "better",
        },
    },
}


def make(root: Path, **changed: object) -> Params:
    """A finished pipeline of two models, three students and six decodes below `root`."""
    raw = read_yaml(ROOT / "presets" / "demo.yaml")
    raw["data"]["resolution"], raw["evaluate"]["lpips"] = SIDE, ["alex", "vgg"]
    raw["model"] |= {"scales": 3, "patch": 4}
    params = parse(raw | ROWS | changed)
    (root / "reports").mkdir()
    shutil.copy(ROOT / layout.published(), root / layout.published())
    held_out = prepared(root)
    for name, noise in (("mean-colour", 60), ("bicubic", 12)):
        evaluation(root, layout.baseline(name), {"decode": name, "of": name}, held_out, noise)
        timing(root, layout.baseline(name), 4e4)
    for decode in params.decodes:
        measured(root, params, decode, held_out)
    for folder, first, last, images in trainings():
        curves(root / folder, first, last, images)
    return params


def prepared(root: Path) -> np.ndarray:
    """Held-out crops on disk."""
    held_out = photographs(IMAGES)
    folder = root / layout.prepared()
    (folder / "held_out").mkdir(parents=True)
    np.save(folder / "held_out" / "00000.npy", held_out)
    crops, cut = {"train": 0, "held_out": IMAGES}, {"train": 5, "held_out": 2}
    manifest = {"digest": "d", "resolution": SIDE, "crops": crops, "photographs": cut}
    manifest["data"] = {"store": "crops"}
    write_json(folder / "manifest.json", manifest)
    return held_out


def photographs(count: int) -> np.ndarray:
    """Crops of a real photograph, uint8 (count, SIDE, SIDE, 3)."""
    from skimage.data import rocket

    image = rocket()
    random = np.random.default_rng(0)
    corners = random.integers(0, (image.shape[0] - 128, image.shape[1] - 128), (count, 2))
    step = 128 // SIDE
    return np.stack([image[y : y + 128 : step, x : x + 128 : step] for y, x in corners])


def measured(root: Path, params: Params, decode: str, held_out: np.ndarray) -> None:
    """A decode's evaluation, timing and pyramid."""
    model, student = params.source(decode)
    noise, speed = DECODES[decode]
    path = layout.evaluation(model, student, decode)
    scales = [8, 16, 32][3 - params.model_of(model).scales :]
    cost = len(scales) if student else 24
    correlation = 0.5 if params.decodes[decode].jump == "paper_code" else 0.0
    row = {
        "decode": decode,
        "of": student or model,
        "model": model,
        "student": student,
        "steps": [1 if student else 12 // len(scales)] * len(scales),
        "guidance": [1.0 if student else 1.5] * len(scales),
        "jump": params.decodes[decode].jump,
        "nfe": cost,
        "scales": scales,
        "tokens": 16,
        "dim": 16,
        "parameters": 4_812_345,
        "jump_noise": [
            {"scale": k, "variance": 1.01 + k / 100, "correlation": correlation + 0.02 * k}
            for k in range(1, len(scales))
        ],
    }
    evaluation(root, path, row, held_out, noise)
    timing(root, path, speed)
    images = held_out[:KEPT]
    parts = {f"scale{k}": images[:, :: SIDE // s, :: SIDE // s] for k, s in enumerate(scales)}
    np.savez(root / layout.pyramid(path), **parts)


def evaluation(root: Path, path: Path, row: dict, held_out: np.ndarray, noise: float) -> None:
    """Metrics and samples of held-out crops with some noise on them."""
    random = np.random.default_rng(int(noise))
    made = np.clip(held_out + random.normal(0, noise, held_out.shape), 0, 255).astype(np.uint8)
    error = ((made - held_out.astype(float)) ** 2).mean((1, 2, 3))
    psnr = 10 * np.log10(255**2 / error)
    interval = {"mean": psnr.mean(), "low": psnr.mean() - 0.3, "high": psnr.mean() + 0.3}
    third = {"mean": 0.3, "low": 0.29, "high": 0.31}
    metrics = {"psnr": interval, "ssim": third, "lpips_alex": third, "lpips_vgg": third}
    metrics["fd_efficientnet_lite0"] = 12.3456
    lpips = (noise / 100 + random.normal(0, 0.01, len(psnr))).tolist()
    per_image = {"psnr": psnr.tolist(), "lpips_alex": lpips, "lpips_vgg": lpips}
    extremes = {word: {"name": str(k), "psnr": psnr[k]} for word, k in extreme(psnr).items()}
    of = {"images": IMAGES, "protocol": "primary", "names": list(map(str, range(IMAGES)))}
    of["extremes"] = {"held_out": extremes}
    rules = {"crop": "adm", "psnr": {"quantisation": "round", "pool": 1}}
    entry = {"protocol": rules, "preparation": "", "metrics": metrics, "per_image": per_image}
    write_json(root / path, row | of | {"digest": "d", "protocols": {"primary": entry}})
    np.save(root / layout.samples(path), made[:KEPT])
    pairs = [images[list(extreme(psnr).values())] for images in (held_out, made)]
    np.save(root / layout.extremes(path), np.concatenate(pairs))


def extreme(psnr: np.ndarray) -> dict[str, int]:
    """Where the worst, the median and the best image stand."""
    order = np.argsort(psnr).tolist()
    return {"worst": order[0], "median": order[len(order) // 2], "best": order[-1]}


def timing(root: Path, path: Path, speed: float, **changed: object) -> None:
    region = {"device": "Some CPU @ 2.0", "threads": 2, "precision": "fp32", "batch": 64}
    region |= {"images_per_second": speed, "seconds": 64 / speed}
    provenance = {"provenance": {"commit": "0123456789abcdef", "dirty": False}}
    write_json(root / layout.timing(path), region | provenance | changed)


def trainings() -> list[tuple[Path, float, float, int]]:
    """Folders with curves: first and last loss, and images."""
    scales = [
        (layout.scale("msdd", "msdd-1step", k), 0.2 / (k + 1), 0.02, 25_600) for k in range(3)
    ]
    return [
        (layout.stage1("msdd"), 1.0, 0.3, 102_400),
        (layout.stage1("one-scale"), 1.1, 0.4, 25_600),
        *scales,
        (layout.assembled("msdd", "msdd-finetuned"), 0.2, 0.1, 12_800),
        (layout.assembled("msdd", "msdd-joint"), 0.3, 0.05, 51_200),
    ]


def curves(folder: Path, first: float, last: float, images: int) -> None:
    """A loss that falls like a power of the images seen."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    with open(folder / "curves.csv", "w") as file:
        file.write("images,loss\n")
        for seen in range(2_560, images + 1, 2_560):
            share = np.log(seen / 2_560) / np.log(images / 2_560)
            loss = first * (last / first) ** share * random.normal(1, 0.03)
            file.write(f"{seen},{loss}\n")


def reproduce(root: Path, path: Path, exact: range) -> None:
    """Make these images of an evaluation exact: their PSNRs and the mean infinite."""
    report = read_json(root / path)
    entry = report["protocols"]["primary"]
    for image in exact:
        entry["per_image"]["psnr"][image] = None
    entry["metrics"]["psnr"] = {"mean": None, "low": None, "high": None, "infinite": True}
    write_json(root / path, report)
