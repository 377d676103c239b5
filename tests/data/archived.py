"""Archives of images as people have them, made from a table of names and bytes."""

import io
import tarfile

import numpy as np
from PIL import Image


def encoded(k, kind="JPEG", size=(30, 24), mode="RGB"):
    """An image file of noise whose blue is 20 k."""
    pixels = np.random.default_rng(k).integers(0, 256, (size[1], size[0], 3), np.uint8)
    pixels[..., 2] = 20 * k % 256
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind)
    return file.getvalue()


def tar(path, files):
    """A tar file; names that end in .tar hold tables themselves."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tar_of(files))
    return path


def tar_of(files):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in dict(files).items() if isinstance(files, dict) else files:
            content = tar_of(content) if isinstance(content, dict) else content
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def imagenet(count=6, classes=3):
    """The images of classes, by the name of their archive, as in `ILSVRC2012_img_train.tar`."""
    wnids = [f"n{1440764 + k:08d}" for k in range(classes)]
    return {
        f"{wnid}.tar": {f"{wnid}_{k}.JPEG": encoded(k) for k in range(i, count, classes)}
        for i, wnid in enumerate(wnids)
    }


def unpacked(folder, files):
    """The same as a folder of classes."""
    for archive, images in files.items():
        for name, content in images.items():
            path = folder / archive.removesuffix(".tar") / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return folder


def parquet(path, images):
    """In the layout of the Hub's imagenet-1k."""
    import pyarrow
    from pyarrow.parquet import write_table

    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"bytes": content, "path": f"{k}.JPEG"} for k, content in enumerate(images)]
    table = pyarrow.table({"image": rows, "label": list(range(len(rows)))})
    write_table(table, path, row_group_size=2)
    return path
