"""`msdd completion` in real shells."""

import os
import shutil
import subprocess
import sys

import pytest
from test_cli import ROOT

# As bash asks a function of completion for the last word.
ASK = """
source script
COMP_WORDS=(msdd "$@"); COMP_CWORD=$#
_shtab_msdd msdd "${@: -1}" "${@: -2:1}"
echo "${COMPREPLY[@]}"
"""

# A zsh in a terminal that another one reads: it is ready when it says so.
ASK_ZSH = """
zmodload zsh/zpty
zpty inner zsh -f -i
zpty -w inner 'PS1=; autoload -U compinit; compinit -u -D; eval "$(msdd completion zsh)"'
zpty -w inner 'echo REA""DY'
zpty -r -m inner said '*READY*' && zpty -w -n inner $'msdd evaluate --tokenizer titok-s\\t'
zpty -r -m inner said '*titok-s-128*' && print -r -- "$said"
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


CASES = [
    (["evalu"], {"evaluate"}),
    (["evaluate", "--recon"], {"--reconstructions"}),
    (["evaluate", "--tokenizer", "titok-s"], {"titok-s-128"}),
    (["evaluate", "--protocol", "flo"], {"flowmo"}),
    (["train", ""], {"msdd"}),
    (["params", "use", "imag"], {"imagenet256"}),
    (["compare", "par"], {"params.yaml"}),
]


def by_bash(folder, env, words):
    found = subprocess.run(
        ["bash", "-c", ASK, "ask", *words], cwd=folder, env=env, capture_output=True, text=True
    )
    return set(found.stdout.split())


@pytest.mark.parametrize(("words", "expected"), CASES)
def test_bash_completes_commands_options_and_names(shell, words, expected):
    assert by_bash(*shell, words) == expected


def test_names_of_stored_latents_which_nobody_knows_by_heart_are_completed(shell, tmp_path):
    folder, env = shell
    shutil.copy(folder / "script", tmp_path)
    shutil.copy(ROOT / "presets/taef2-64.yaml", tmp_path / "params.yaml")
    assert by_bash(tmp_path, env, ["latents", ""]) == {"taef2-c071d405"}
    assert by_bash(folder, env, ["latents", ""]) == set()


@pytest.mark.skipif(not shutil.which("fish"), reason="needs fish")
@pytest.mark.parametrize(("words", "expected"), CASES)
def test_fish_does_too(shell, words, expected):
    folder, env = shell
    asked = f"msdd completion fish | source; complete -C '{' '.join(['msdd', *words])}'"
    found = subprocess.run(
        ["fish", "-c", asked], cwd=folder, env=env, capture_output=True, text=True
    )
    assert not found.stderr
    assert {line.partition("\t")[0] for line in found.stdout.splitlines()} == expected


@pytest.mark.skipif(not shutil.which("zsh"), reason="needs zsh")
def test_zsh_does_too(shell):
    """In a terminal of its own, after Tab: the only name that begins so is written out."""
    folder, env = shell
    found = subprocess.run(
        ["zsh", "-f", "-c", ASK_ZSH],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "--tokenizer titok-s-128" in found.stdout, found.stdout + found.stderr
