import io
import re
import sys
import time

from msdd.pipeline import progress
from msdd.pipeline.progress import Progress, busy, duration, number


def test_line_counts_only_this_attempt_towards_the_rate():
    bar = Progress("train msdd", 100_000, start=10_000)
    line = bar._line(12_500, {"loss": 0.12339}, 20.0, 0.0)
    assert line == "train msdd   12,500/100,000 images   125/s   loss 0.1234   11 min 40 s left"
    later = bar._line(12_500, {"loss": 0.12339}, 20.0, 6.0)
    assert later == line.replace("40 s left", "34 s left")  # waiting slows no rate


def test_log_keeps_the_last_update_of_every_attempt(tmp_path, capsys):
    for start, end in ((0, 4), (4, 10)):
        with Progress("bake", 10, "loaves", log=tmp_path / "deep" / "bake.log", start=start) as bar:
            for done in range(start, end + 1):
                bar.update(done)
    shown = capsys.readouterr().err.splitlines()
    logged = (tmp_path / "deep" / "bake.log").read_text().splitlines()
    assert len(shown) == len(logged) == 4
    assert [re.search(r"\d+/10", line)[0] for line in shown] == ["0/10", "4/10", "4/10", "10/10"]
    assert "done in" in shown[3]
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  bake", line) for line in logged)


def test_terminal_line_is_rewritten_and_never_wraps(monkeypatch):
    class Terminal(io.StringIO):
        isatty = staticmethod(lambda: True)

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "TERMINAL_SECONDS", 0.0)
    monkeypatch.setenv("COLUMNS", "40")
    with Progress("a label that is long", 10) as bar:
        for done in range(3):
            bar.update(done, loss=1.0, psnr=20.0)
    text = sys.stderr.getvalue()
    lines = [line.removesuffix("\x1b[K") for line in text.rstrip("\n").split("\r")[1:]]
    assert len(lines) == 4 and text.count("\n") == 1
    assert max(map(len, lines)) < 40


def test_failure_shows_how_far_it_came(capsys):
    try:
        with Progress("train", 10) as bar:
            bar.update(7)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert "7/10 images" in capsys.readouterr().err


def test_numbers_and_durations_are_readable():
    values = (0.123456, 151.3, 3.2, 1e-5, float("nan"), 2048, 12345.6)
    assert [number(value) for value in values] == [
        "0.1235",
        "151",
        "3.200",
        "1.000e-05",
        "nan",
        "2,048",
        "12,346",
    ]
    assert [duration(s) for s in (0, 59.7, 580, 7500, 273_600)] == [
        "0 s",
        "1 min",
        "9 min 40 s",
        "2 h 5 min",
        "3 d 4 h",
    ]


def quick(monkeypatch) -> None:
    for name in ("LOG_SECONDS", "SILENT_SECONDS", "TICK_SECONDS"):
        monkeypatch.setattr(progress, name, 0.02)


def test_the_line_shows_from_the_start_and_during_a_long_unit(monkeypatch, capsys):
    quick(monkeypatch)
    with Progress("bake", 4, "loaves", start=1) as bar:
        assert capsys.readouterr().err == "bake   1/4 loaves\n"
        time.sleep(0.3)
        assert capsys.readouterr().err.count("bake   1/4 loaves\n") > 1
        bar.update(4)
    assert "bake   4/4 loaves" in capsys.readouterr().err
    time.sleep(0.1)
    assert not capsys.readouterr().err


def test_a_step_without_units_says_that_it_runs_if_it_is_long(monkeypatch, capsys):
    with busy("kneading"):
        pass
    assert not capsys.readouterr().err
    quick(monkeypatch)
    with busy("kneading"):
        time.sleep(0.3)
    assert capsys.readouterr().err.count("kneading   0 s so far\n") > 1
