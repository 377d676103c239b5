"""An ImageNet in its official archives, made of a folder of its images; real ones are not needed.

    python benchmarks/make_imagenet.py FOLDER OUT --images 20000 --held-out 500

FOLDER holds files `n01440764_<anything>.JPEG` of any number of classes. OUT gets
`ILSVRC2012_img_train.tar`, an archive of an archive for each class, in which the images stand again
and again under other names, and `ILSVRC2012_img_val.tar`. The first class also gets what the real
set has a few of: gray, tiny, CMYK, and a PNG called .JPEG.
"""

import argparse
import io
import tarfile
from collections import defaultdict
from itertools import cycle, islice
from pathlib import Path

from PIL import Image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--held-out", type=int, default=500)
    given = parser.parse_args()
    make(given.folder, given.out, given.images, given.held_out)


def make(folder: Path, out: Path, images: int, held_out: int) -> None:
    """Write both archives; `images` are counted over all classes, without the four odd ones."""
    classes = by_class(folder)
    out.mkdir(parents=True, exist_ok=True)
    with tarfile.open(out / "ILSVRC2012_img_train.tar", "w") as archive:
        for place, (wnid, files) in enumerate(classes.items()):
            count = images // len(classes) + (place < images % len(classes))
            odd = oddities(files[0]) if place == 0 else []
            contents = [*islice(cycle(path.read_bytes() for path in files), count), *odd]
            named = {f"{wnid}_{k}.JPEG": content for k, content in enumerate(contents)}
            add(archive, f"{wnid}.tar", packed(named))
    paths = islice(cycle(path for files in classes.values() for path in files), held_out)
    with tarfile.open(out / "ILSVRC2012_img_val.tar", "w") as archive:
        for k, path in enumerate(paths, 1):
            add(archive, f"ILSVRC2012_val_{k:08d}.JPEG", path.read_bytes())


def by_class(folder: Path) -> dict[str, list[Path]]:
    classes: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.glob("n????????_*.JPEG")):
        classes[path.name[:9]].append(path)
    if not classes:
        raise SystemExit(f"{folder} holds no file named like n01440764_tench.JPEG")
    return dict(classes)


def oddities(path: Path) -> list[bytes]:
    """An image as gray, tiny and CMYK JPEG, and as PNG."""
    image = Image.open(path).convert("RGB")
    tiny = image.resize((60, 40))
    forms = (image.convert("L"), "JPEG"), (tiny, "JPEG"), (image.convert("CMYK"), "JPEG")
    return [encoded(*form) for form in (*forms, (image, "PNG"))]


def encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def packed(files: dict[str, bytes]) -> bytes:
    result = io.BytesIO()
    with tarfile.open(fileobj=result, mode="w") as archive:
        for name, content in files.items():
            add(archive, name, content)
    return result.getvalue()


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


if __name__ == "__main__":
    main()
