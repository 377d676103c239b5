"""Seeds and random generators derived from a key alone: no state to save, no order to keep."""

import hashlib
import json

import numpy as np


def seed_of(*key: object) -> int:
    """The key as a 63-bit seed, which torch takes."""
    return hash_of(*key) >> 65


def hash_of(*key: object) -> int:
    """The first 128 bits of the SHA-256 of a key of numbers and strings."""
    return int.from_bytes(hashlib.sha256(json.dumps(key).encode()).digest()[:16])


def generator(*key: object) -> np.random.Generator:
    """A generator (PCG64) whose stream depends on nothing but the key."""
    return np.random.Generator(np.random.PCG64(hash_of(*key)))
