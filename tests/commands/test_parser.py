"""What all commands have in common: examples in help, options on both sides, nearest names."""

import shlex

import pytest

from msdd import cli
from msdd.commands.parser import EXAMPLES, leaves
from msdd.terminal import paint

LEAVES = {command.prog: command for command in leaves(cli.parser())}


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_has_examples_that_parse(name):
    head, *examples = LEAVES[name].epilog.splitlines()
    assert head == EXAMPLES and 1 <= len(examples) <= 4
    for example in examples:
        assert example.startswith(f"  {name}")
        found = cli.parser().parse_args(shlex.split(example)[1:])
        assert callable(found.call)
        assert example in LEAVES[name].format_help().splitlines()


@pytest.mark.parametrize("place", ["before", "behind"])
def test_common_options_stand_on_both_sides(place):
    options, command = ["--quiet", "--debug", "--params", "p.yaml"], ["train", "msdd"]
    args = cli.parser().parse_args(options + command if place == "before" else command + options)
    assert (args.quiet, args.debug, str(args.params)) == (True, True, "p.yaml")
    args = cli.parser().parse_args(command)
    assert (args.quiet, args.debug, str(args.params)) == (False, False, "params.yaml")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["evalute"], "'evalute' is unknown; did you mean evaluate? known: scatter, "),
        (["params", "chek"], "'chek' is unknown; did you mean check? known: use, "),
        (["evaluate", "--protocl", "x"], "unknown option --protocl; did you mean --protocol?"),
        (["evaluate", "--stepz=3"], "unknown option --stepz; did you mean --steps?"),
        (["evaluate", "--precision", "bf61"], "'bf61' is unknown; did you mean bf16? known: "),
        (["evaluate", "--xyz"], "unknown option --xyz; `msdd evaluate --help` lists all"),
        (["train", "msdd", "more"], "one argument too many: more"),
    ],
)
def test_a_wrong_word_on_the_command_line_names_the_nearest(capsys, arguments, told):
    assert cli.main(arguments) == 2
    assert f"error: {'' if 'un' in told[:3] or 'one' in told else 'argument '}" in (
        said := capsys.readouterr().err
    )
    assert told in said


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (["train", "mdsd"], "did you mean msdd?"),
        (["fingerprint", "evalute"], "did you mean evaluate?"),
        (["baseline", "bicubik"], "did you mean bicubic?"),
        (["flops", "--preset", "tinny"], "did you mean tiny?"),
        (["flops", "--device", "h10"], "did you mean h100?"),
        (["estimate", "tabel2"], "did you mean table2?"),
        (["throughput", "--json", "t.json", "--variants", "fats"], "did you mean fast?"),
        (["throughput", "--json", "t.json", "--systems", "studnt"], "did you mean student?"),
        (["reconstruct", ".", "../to", "--tokenizer", "titok-s128"], "did you mean titok-s-128?"),
    ],
)
def test_a_wrong_name_names_the_nearest(capsys, tmp_path, monkeypatch, arguments, near):
    from PIL import Image
    from test_cli import ROOT

    Image.new("RGB", (8, 8)).save(tmp_path / "image.png")
    (tmp_path / "presets").symlink_to(ROOT / "presets")
    (tmp_path / "params.yaml").write_text((ROOT / "presets/tiny.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 1
    assert near in capsys.readouterr().err


def test_quiet_leaves_results_and_errors(capsys, monkeypatch):
    def call(args):
        import sys

        print("progress", file=sys.stderr)
        print("result")
        raise OSError(28, "No space left on device", "file")

    monkeypatch.setattr("msdd.commands.tokenizers.call", call)
    assert cli.main(["tokenizers", "--quiet"]) == 1
    assert capsys.readouterr() == ("result\n", "msdd: error: file: No space left on device\n")


class Terminal:
    def isatty(self):
        return True


def test_colours_are_for_terminals_that_want_them(monkeypatch, capsys):
    import sys

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert paint("error:", "red", Terminal()) == "\x1b[31merror:\x1b[0m"
    assert paint("error:", "red", sys.stderr) == "error:"
    monkeypatch.setenv("NO_COLOR", "1")
    assert paint("error:", "red", Terminal()) == "error:"
