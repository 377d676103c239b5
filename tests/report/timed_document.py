"""What `msdd throughput` writes, made by hand, for tests of the reports."""

TIMES = {  # seconds of one image alone and of 32: decoding
    ("student", "fast"): (0.01, 0.16),
    ("student", "plain"): (0.02, 0.64),
    ("teacher", "fast"): (0.1, 3.2),
}
FLOPS = {"student": 1e9, "teacher": 24e9}


def document(**changed) -> dict:
    """One run: a student in two variants, a teacher in one, at two batch sizes."""
    rows = [
        row(system, variant, region, batch, times[batch > 1] * (2 if region == "paper" else 1))
        for (system, variant), times in TIMES.items()
        for region in ("decode", "paper")
        for batch in (1, 32)
    ]
    described = {"tokens": 16, "dim": 16, "bits": None, "parameters": 7, "resolution": 32}
    machine = {"load_average": 0.5, "cpu_mhz": 2000.0}
    return {
        "throughput": {
            "systems": ["student", "teacher"],
            "regions": ["decode", "paper"],
            "batches": [1, 32],
            "repeats": 5,
            "precision": "bf16",
        },
        "systems": [
            {"system": name, "flops": {"decode": cost}, "nfe": 3, **described}
            for name, cost in FLOPS.items()
        ],
        "rows": rows,
        "noise": 0.01,
        "ceilings": {"bf16": 1e12, "fp32": 5e11, "bandwidth": 1e10, "source": "measured"},
        "context": {"device": "Some CPU", "threads": 2, "host": "here", "started": "today"}
        | {"commit": "fedcba9876543210", "dirty": False, "before": machine, "after": machine},
        "random": False,
    } | changed


def row(system: str, variant: str, region: str, batch: int, seconds: float) -> dict:
    spread = {"seconds": seconds, "seconds_low": 0.9 * seconds, "seconds_high": 1.1 * seconds}
    precision = {"fast": "bf16", "plain": "fp32"}[variant]
    about = {
        "how": "eager",
        "cold": False,
        "system": system,
        "variant": variant,
        "region": region,
        "batch": batch,
        "precision": precision,
    }
    return about | spread | {"images_per_second": batch / seconds, "memory_bytes": None}
