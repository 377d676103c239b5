"""The model card of a decoder, from its record of provenance and its measurements."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from msdd.errors import MsddError
from msdd.files import digest, read_json
from msdd.pipeline import layout, provenance

HEAD = """---
library_name: msdd
tags:
- image-tokenizer
- diffusers
---
"""
WEIGHTS = "model.safetensors"
FOLDERS = re.compile(r'"[/~][^"]*/')  # of files on the machine: only their names are told


def card(folder: Path, config: Mapping[str, object]) -> str:
    """Markdown of the model in a folder: its shape, how it is used, what made it, its quality.

    Of a folder that a job has filled everything is from the job's record; the card of any other
    folder goes on as it is, and without one the new card says that nothing is known.
    """
    record = record_of(folder)
    if record is None and (folder / "README.md").exists():
        return (folder / "README.md").read_text(encoding="utf-8")
    return HEAD + "\n".join([*usage(folder, config), *origin(record), *quality(folder)]) + "\n"


def record_of(folder: Path) -> dict | None:
    """The record of the job that filled a folder; None if there is none above the folder."""
    here = folder.resolve()
    for root in here.parents:
        if (root / layout.RECORDS).is_dir():
            try:
                return provenance.find(here.relative_to(root), root)
            except MsddError:
                return None
    return None


def usage(folder: Path, config: Mapping[str, object]) -> Iterator[str]:
    side, channels = config["sample_size"], config["latent_channels"]
    factor = 2 ** (len(config["block_out_channels"]) - 1)
    yield from (f"# {folder.resolve().name}", "")
    yield f"A multi-scale diffusion decoder of `msdd`, trained at {side} px. A latent of {channels}"
    yield f"numbers stands for {factor} x {factor} px; images of other sizes are decoded by tiles."
    yield from ("", "```python", "from msdd.diffusers import Decoder", "")
    yield 'decoder = Decoder.from_pretrained("owner/name")'
    yield "latents = decoder.encode(images).latent_dist.mode()"
    yield from ("images = decoder.decode(latents).sample", "```", "")
    yield f"- `scaling_factor` {config['scaling_factor']}, `shift_factor` {config['shift_factor']}"
    yield f"- SHA-256 of `{WEIGHTS}`: `{digest(folder / WEIGHTS)}`"


def origin(record: dict | None) -> Iterator[str]:
    """What made the weights, without the name of the machine or of its user."""
    yield from ("", "## Where it comes from", "")
    if record is None:
        yield "There is no record of what made these weights."
        return
    changed = " with uncommitted changes" if record["dirty"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    yield f"- stage `{record['stage']}` of commit `{record['commit'] or 'unknown'}`{changed}"
    took = f"{record['seconds']:.0f} s on {record['device']}"
    yield f"- started {record['started'][:10]}, took {took}"
    yield f"- {versions}"
    yield from ("", "| input | SHA-256 |", "|---|---|")
    yield from (f"| `{name}` | `{value}` |" for name, value in sorted(record["inputs"].items()))
    text = json.dumps(record["params"], indent=1, sort_keys=True)
    yield from ("", "```json", FOLDERS.sub('"', text), "```")


def quality(folder: Path) -> Iterator[str]:
    """The metrics that the pipeline has measured on held-out crops, by protocol."""
    for file in sorted((folder / "eval").glob("*.json")):
        if "." in file.stem:  # what lies beside an evaluation
            continue
        for protocol, entry in read_json(file)["protocols"].items():
            yield from ("", f"## Quality: `{file.stem}` by {protocol}, on held-out crops", "")
            yield from ("```json", json.dumps(entry["metrics"], indent=1), "```")
