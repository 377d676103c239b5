"""The command line: quick help, one clear line for every mistake, no traceback unless asked."""

import os
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from msdd import cli
from msdd.commands import stages
from msdd.pipeline import layout

ROOT = Path(__file__).parents[1]
OWN = {"PYTHONPATH": str(ROOT)}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with the tiny preset as params."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text((ROOT / "presets/tiny.yaml").read_text())
    return tmp_path


def msdd(*arguments, **more):
    command = [sys.executable, "-m", "msdd", *arguments]
    return subprocess.run(command, capture_output=True, text=True, **more)


def test_the_version_is_the_installed_one():
    assert msdd("--version").stdout == f"msdd {metadata.version('msdd')}\n"


def test_a_command_takes_large_pages_unless_told_otherwise():
    code = """
import atexit, os, sys, msdd.__main__
atexit.register(lambda: print(os.environ["THP_MEM_ALLOC_ENABLE"]))
sys.argv[1:] = ["--version"]
msdd.__main__.run()
"""
    unset = {k: v for k, v in os.environ.items() if k != "THP_MEM_ALLOC_ENABLE"}
    for given, expected in ({}, "1"), ({"THP_MEM_ALLOC_ENABLE": "0"}, "0"):
        told = subprocess.check_output([sys.executable, "-c", code], text=True, env=unset | given)
        assert told.splitlines()[-1] == expected


def test_help_needs_no_torch():
    assert msdd("--help").returncode == 0
    code = (
        "import sys, msdd.cli; msdd.cli.parser(); print({'torch', 'pydantic'} & sys.modules.keys())"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


@pytest.mark.parametrize(
    "modules",
    [
        "msdd.params.presets, msdd.pipeline.jobs, msdd.pipeline.stages",
        "msdd.report.table1, msdd.report.table2, msdd.report.ablation",
    ],
)
def test_short_commands_do_not_wait_for_torch(here, modules):
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


def test_what_compiles_nothing_does_not_wait_for_the_compiler(here):
    """torch._dynamo takes longer to import than the rest of torch."""
    code = (
        "import sys, msdd, msdd.train.run_job, msdd.speed.stage, msdd.evaluate.stage; msdd.Fast; "
        "print('torch._dynamo' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


def test_nor_does_what_decodes_and_judges(trained):
    code = (
        "import sys, msdd, torch; from msdd.metrics.perceptual import Lpips; "
        "msdd.load('runs/msdd/stage1'); msdd.load('runs/msdd/msdd-1step'); "
        "Lpips('alex', torch.device('cpu')); print('torch._dynamo' in sys.modules)"
    )
    told = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=trained)
    assert told == "False\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["train", "nope"], "models has no row 'nope'; known: msdd"),
        (["distil", "nope", "0"], "students has no row 'nope'; known: msdd-1step"),
        (["distil", "msdd-1step", "2"], "'msdd-1step' has no scale 2; its scales"),
        (["assemble", "nope"], "students has no row 'nope'; known: msdd-1step"),
        (["evaluate", "nope"], "decodes has no row 'nope'; known: teacher, student"),
        (["baseline", "nope"], "no baseline 'nope'; known: mean-colour, bicubic"),
        (["fingerprint", "nope"], "no stage 'nope'; known: prepare, scatter, latents, train, "),
        (
            ["--params", "no.yaml", "params", "check"],
            "no.yaml is not there; `msdd params use demo`",
        ),
        (["--params", ".", "params", "check"], ".: Is a directory"),
    ],
)
def test_a_mistake_is_one_line(here, capsys, arguments, line):
    assert cli.main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"msdd: error: {line}")
    assert err.count("\n") == 1


def test_several_mistakes_are_a_line_each(here, capsys):
    path = Path("params.yaml")
    path.write_text(path.read_text().replace("seed: 0", "seed: x").replace("depth:", "dept:"))
    assert cli.main(["params", "check"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3  # the wrong seed, the unknown key, the key that is missing now
    assert all(line.startswith("msdd: error: params.yaml: ") for line in lines)


def test_weights_that_no_memory_holds_are_one_line(here):
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("  width: 32\n", f"  width: {2**22}\n", 1))
    command = ["throughput", "--random", "--systems", "student", "--json", "-"]
    failed = msdd(*command, env=os.environ | OWN)
    (line,) = failed.stderr.splitlines()
    assert line.startswith("msdd: error: out of memory: free some, or choose smaller networks (")
    assert failed.returncode == 1


def test_debug_shows_the_traceback(here):
    with pytest.raises(Exception, match="no row 'nope'"):
        cli.main(["--debug", "train", "nope"])


def test_a_full_disk_names_the_file(here, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "runs/x/model.safetensors")

    monkeypatch.setattr("msdd.pipeline.jobs.plan", full)
    assert cli.main(["params", "check"]) == 1
    told = "msdd: error: runs/x/model.safetensors: No space left on device\n"
    assert capsys.readouterr().err == told


def test_an_interruption_is_one_line(here, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("msdd.pipeline.jobs.plan", interrupt)
    assert cli.main(["params", "check"]) == 130
    assert capsys.readouterr().err.count("\n") == 1


def test_threads_are_those_of_the_params(here, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    stages.params_of(cli.parser().parse_args(["prepare"]))
    assert os.environ["OMP_NUM_THREADS"] == "1"


def test_expand_and_check(here, capsys):
    assert cli.main(["params", "expand"]) == 0
    assert layout.rows().exists()
    assert cli.main(["params", "expand"]) == 0
    assert cli.main(["params", "check"]) == 0
    written, same, *plan = capsys.readouterr().out.splitlines()
    assert (written, same) == ("workflow/rows.yaml written", "workflow/rows.yaml is up to date")
    assert plan[-1] == "images: 384 in stage 1, 576 in distillation"


def shown(where: str, **more: str) -> subprocess.CompletedProcess:
    """`msdd params check` of the tiny preset, with the shell's `where` behind it."""
    command = f"{sys.executable} -m msdd params check {where}"
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=os.environ | more
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("where", "code", "said"),
    [
        ("> /dev/full", 1, "msdd: error: standard output: No space left on device\n"),
        ("2> /dev/full > /dev/full", 1, ""),
        (">&-", 0, ""),
        (">&- 2>&- <&-", 0, ""),
        ('| true; exit "${PIPESTATUS[0]}"', 0, ""),
        ('2>&1 | true; exit "${PIPESTATUS[0]}"', 0, ""),
    ],
)
def test_output_that_nobody_takes_ends_nothing(here, where, code, said, unbuffered):
    found = shown(where, PYTHONUNBUFFERED=unbuffered)
    assert (found.returncode, found.stderr, found.stdout) == (code, said, "")


def test_help_that_a_full_disk_does_not_take_is_an_error():
    command = f"{sys.executable} -m msdd --help > /dev/full"
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (found.returncode, found.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    "more",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_characters_that_an_encoding_lacks_are_escapes(more):
    code = (
        "import sys; from msdd.output import lasting\n"
        "with lasting(): print('PSNR \\u2191', 'caf\\udce9'); print('\\u221e', file=sys.stderr)\n"
        "print('done')"
    )
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, env=os.environ | more)
    assert found.stdout.decode("ascii") == "PSNR \\u2191 caf\\udce9\ndone\n"
    assert found.stderr == b"\\u221e\n"


def test_a_closed_descriptor_is_not_given_to_a_file(tmp_path):
    """Else what a library prints there would get into the file."""
    code = (
        "import os, sys; from msdd.output import lasting\n"
        "with lasting(), open('file', 'w') as file: os.write(1, b'noise')"
    )
    command = f"{sys.executable} -c {shlex.quote(code)} >&-"
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, env=os.environ | OWN)
    assert (tmp_path / "file").read_text() == ""
