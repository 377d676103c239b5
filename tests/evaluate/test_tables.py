"""Tables for people fit a terminal, and a device is one of those there are."""

import pytest

from msdd.errors import MsddError
from msdd.evaluate import distributed, text


def report(protocols: int, metrics: int) -> dict:
    cell = {"mean": 0.5, "low": 0.25, "high": 0.75}
    names = [name for name in text.NAMES if not name.startswith(("kd_", "psnr"))][:metrics]
    entry = {"metrics": dict.fromkeys(names, cell) | {"top1": cell}, "protocol": {}}
    entries = {f"protocol-{i}": entry for i in range(protocols)}
    return {"protocols": entries, "not_measured": {}}


@pytest.mark.parametrize("protocols, metrics", [(1, 2), (1, 12), (3, 4), (10, 3), (10, 20)])
def test_tables_have_at_most_100_columns(protocols, metrics):
    made = text.table(report(protocols, metrics))
    assert max(map(len, made.splitlines())) <= text.WIDTH
    assert made.count("0.5000 [0.2500, 0.7500]") == protocols * metrics
    assert made.count("50.0 [25.0, 75.0] %") == protocols


def test_a_table_that_fits_has_protocols_down():
    assert text.table(report(2, 2)).splitlines()[1].startswith("protocol-0 ")
    assert text.table(report(2, 6)).splitlines()[0].split() == [
        "protocol", "protocol-0", "protocol-1"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "hip", "meta", "CPU"])
def test_another_device_is_answered_with_those_there_are(name):
    with pytest.raises(MsddError, match=f"^--device {name} is unknown; it may be cpu, cuda, "):
        distributed.device(name)
    assert str(distributed.device("cpu")) == "cpu"
