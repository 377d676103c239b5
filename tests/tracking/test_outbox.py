"""The outbox on a disk that is full, after a power cut, and under a clock that was set back."""

import os
import resource
import signal
import time

import pytest

from msdd.tracking import outbox
from msdd.tracking import run as tracking


@pytest.fixture
def full(tmp_path):
    """A folder with one event, in which a file may grow by ten more bytes."""
    outbox.append(tmp_path, {"step": 0})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (tmp_path / "events.jsonl").stat().st_size
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
    yield tmp_path
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


def test_a_full_disk_leaves_no_part_of_an_event(full):
    before = (full / "events.jsonl").read_bytes()
    with pytest.raises(OSError, match="No space left"):
        outbox.append(full, {"step": 1})
    assert (full / "events.jsonl").read_bytes() == before


def test_what_a_power_cut_has_left_is_no_event(tmp_path):
    """A length without its bytes, and what was told after the next start."""
    outbox.append(tmp_path, {"step": 0})
    with open(tmp_path / "events.jsonl", "ab") as file:
        file.write(bytes(20) + b"\n")
    outbox.append(tmp_path, {"step": 1})
    with open(tmp_path / "events.jsonl", "ab") as file:
        file.write(bytes(20))
    assert [event["step"] for event in outbox.events(tmp_path)[0]] == [0, 1]
    assert outbox.mend(tmp_path) == 1 and outbox.events(tmp_path)[0][-1]["step"] == 1
    assert (tmp_path / "events.jsonl").read_bytes().endswith(b"\n")


def test_a_delivery_starts_also_after_the_clock_was_set_back(tmp_path, monkeypatch):
    monkeypatch.setenv("MSDD_TRACKING", "on")
    started = []
    monkeypatch.setattr(tracking.subprocess, "Popen", lambda *_, **__: started.append(1))
    monkeypatch.setattr(tracking, "_deliveries", [])
    stamp = tmp_path / ".tracking/flushed"
    stamp.parent.mkdir()
    for age, starts in [(10, False), (tracking.FLUSH_SECONDS + 10, True), (-86_400, True)]:
        stamp.touch()
        os.utime(stamp, (time.time() - age,) * 2)
        tracking.flush(tmp_path)
        assert started == [1] * starts
        started.clear()
        tracking._deliveries.clear()


def test_a_delivery_that_cannot_start_ends_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MSDD_TRACKING", "on")
    (tmp_path / ".tracking").write_text("in the way")
    tracking.flush(tmp_path, at_once=True)
    assert "what is tracked waits for `msdd track`" in capsys.readouterr().err
