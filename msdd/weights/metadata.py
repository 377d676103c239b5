"""What our safetensors files say about themselves: texts by name, in one entry of the header.

safetensors 0.8.0 writes several entries in an order that changes from call to call
(`HashMap` in `safetensors/src/tensor.rs`), and with it the bytes of the file. Of one entry there is
only one order.
"""

import json
from collections.abc import Mapping

ENTRY = "msdd"


def pack(about: Mapping[str, str]) -> dict[str, str]:
    """Texts by name as the `metadata` that safetensors writes."""
    return {ENTRY: json.dumps(about, sort_keys=True)}


def unpack(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Texts by name of a header; earlier versions of msdd wrote an entry for each.

    ValueError or RecursionError for what is no table of texts.
    """
    metadata = dict(metadata or {})
    about = json.loads(metadata[ENTRY]) if ENTRY in metadata else metadata
    if not isinstance(about, dict) or not all(isinstance(one, str) for one in about.values()):
        raise ValueError(f"its entry {ENTRY} is no table of texts")
    return about
