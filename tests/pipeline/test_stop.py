"""Requests to stop: heard once, by whoever listens, and as time runs out."""

import os
import signal
import subprocess
import sys

import pytest

from msdd import cli
from msdd.errors import MsddError
from msdd.pipeline import stop

TWICE = """
import os, signal
from msdd.pipeline import stop
with stop.requests() as asked:
    os.kill(os.getpid(), signal.SIGTERM)
    assert asked() == "SIGTERM"
    os.kill(os.getpid(), signal.SIGTERM)
    print("alive")
"""


@pytest.mark.parametrize("number", stop.SIGNALS)
def test_a_signal_is_a_question_inside_and_as_before_outside(number):
    came = []
    before = signal.signal(number, lambda *_: came.append(number))
    try:
        with stop.requests() as asked:
            assert asked() == ""
            os.kill(os.getpid(), number)
            assert asked() == number.name and not came
        os.kill(os.getpid(), number)
        assert came == [number]
        signal.signal(number, signal.SIG_IGN)
        with stop.requests() as asked:
            os.kill(os.getpid(), number)
            assert asked() == ""
    finally:
        signal.signal(number, before)


def test_a_signal_after_the_last_question_is_asked_of_the_next_block():
    """As between the two passes of an evaluation."""
    with stop.requests():
        os.kill(os.getpid(), signal.SIGTERM)
    with stop.requests() as asked:
        assert asked() == "SIGTERM"
    with stop.requests() as asked:
        assert asked() == ""


def test_a_second_signal_ends_at_once():
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True)
    assert done.returncode == -signal.SIGTERM and done.stdout == "", done.stderr


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("90m", 5400), ("1h30m", 5400), ("2d", 172_800)]
)
def test_times(text, seconds):
    assert stop.seconds(text) == seconds


@pytest.mark.parametrize("text", ["90", "1.5h", "h", "10 m", "-5m"])
def test_what_is_no_time_is_named(text, monkeypatch):
    monkeypatch.setenv(stop.LIMIT, text)
    with (
        pytest.raises(MsddError, match=f"{stop.LIMIT}={text} is no time; write 90m"),
        stop.requests(),
    ):
        pass


def test_time_runs_out(monkeypatch):
    monkeypatch.setenv(stop.LIMIT, "1m")
    monkeypatch.setattr(stop, "_began", stop._began - 59)
    with stop.requests() as asked:
        monkeypatch.setattr(stop, "_began", stop._began - 3600)
        assert asked() == f"{stop.LIMIT} 1m is over"


@pytest.mark.parametrize("place", [0, 2])
def test_the_option_is_the_variable(place, monkeypatch, capsys, tmp_path):
    """Before and behind a command; and what is no time is refused before anything runs."""
    monkeypatch.setenv(stop.LIMIT, "2h")
    monkeypatch.chdir(tmp_path)
    command = ["fingerprint", "train"]
    assert cli.main([*command[:place], "--max-runtime", "90m", *command[place:]]) == 0
    assert os.environ[stop.LIMIT] == "90m"
    assert cli.main([*command[:place], "--max-runtime", "90", *command[place:]]) == 2
    assert "argument --max-runtime: '90' is no time; write 90m" in capsys.readouterr().err
