"""`msdd completion` in a real shell."""

import os
import subprocess
import sys

import pytest
from test_cli import ROOT

from msdd import cli

# As bash asks a function of completion for the last word.
ASK = """
source script
COMP_WORDS=(msdd "$@"); COMP_CWORD=$#
_shtab_msdd msdd "${@: -1}" "${@: -2:1}"
echo "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A folder with the script, `msdd` on the PATH, and the preset tiny as params."""
    folder = tmp_path_factory.mktemp("shell")
    (folder / "params.yaml").write_text((ROOT / "presets/tiny.yaml").read_text())
    (folder / "presets").symlink_to(ROOT / "presets")
    (folder / "msdd").write_text(f'#!/bin/sh\nexec {sys.executable} -m msdd "$@"\n')
    (folder / "msdd").chmod(0o755)
    env = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    with open(folder / "script", "w") as script:
        subprocess.run(["msdd", "completion", "bash"], env=env, stdout=script, check=True)
    return folder, env


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["evalu"], {"evaluate"}),
        (["evaluate", "--recon"], {"--reconstructions"}),
        (["evaluate", "--tokenizer", "titok-s"], {"titok-s-128"}),
        (["evaluate", "--protocol", "flo"], {"flowmo"}),
        (["train", ""], {"msdd"}),
        (["params", "use", "imag"], {"imagenet256"}),
        (["compare", "par"], {"params.yaml"}),
    ],
)
def test_bash_completes_commands_options_and_names(shell, words, expected):
    folder, env = shell
    found = subprocess.run(
        ["bash", "-c", ASK, "ask", *words], cwd=folder, env=env, capture_output=True, text=True
    )
    assert set(found.stdout.split()) == expected, found.stderr


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_other_shells_get_a_script_of_all_commands(capsys, name):
    assert cli.main(["completion", name]) == 0
    said = capsys.readouterr().out
    assert "provenance" in said and "completion names students" in said
