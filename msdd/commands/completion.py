"""`msdd completion`: a script that completes commands, options and names in a shell."""

import argparse
from pathlib import Path

from msdd.commands.options import json_file
from msdd.commands.parser import examples, leaves

SHELLS = ("bash", "zsh", "fish")
TABLES = ("models", "students", "decodes", "latents", "presets")
# What an argument is, by its name in the parsed arguments.
KINDS = {"model": "models", "student": "students", "decode": "decodes", "preset": "presets"}
KINDS |= {"encoder": "latents", "tokenizer": "tokenizers", "systems": "systems"}
KINDS |= {"protocol": "protocols"}
# Rows and presets are those of the folder that the shell is in, so a completion asks for them.
BASH = '_msdd_{name}() {{ compgen -W "{words}" -- "$1"; {files}}}'
ZSH = "_msdd_{name}() {{ compadd -- {words}; {files}}}"
FILES = {"bash": 'compgen -f -- "$1"; ', "zsh": "_files; "}


def add(commands: argparse._SubParsersAction) -> None:
    described = "print a script that completes commands, options, files and names in a shell"
    command = commands.add_parser(
        "completion",
        help=described,
        description=f"{described}: rows of the params file, presets, tokenizers, protocols.",
        epilog=examples("msdd completion bash", "msdd completion zsh", "msdd completion fish"),
    )
    actions = command.add_subparsers(title="shells", metavar="SHELL", required=True)
    for shell in SHELLS:
        one = actions.add_parser(
            shell,
            help=LINES[shell],
            description=LINES[shell],
            epilog=examples(f"msdd completion {shell}"),
        )
        one.set_defaults(call=call, shell=shell)
    described = "print names as the script asks for them"
    one = actions.add_parser(
        "names", description=described, epilog=examples("msdd completion names decodes")
    )
    one.add_argument("table", choices=TABLES)
    one.set_defaults(call=print_names)


LINES = {
    "bash": 'for ~/.bashrc: eval "$(msdd completion bash)"',
    "zsh": 'for ~/.zshrc, after compinit: eval "$(msdd completion zsh)"',
    "fish": "for ~/.config/fish/config.fish: msdd completion fish | source",
}


def print_names(args: argparse.Namespace) -> None:
    """Rows of a table of the params file, stored latents of its models, or presets."""
    from msdd.params import presets
    from msdd.params.plain_yaml import read_yaml

    if args.table == "presets":
        print(*sorted(presets.known(args.params.parent)), sep="\n")
    elif args.table == "latents":
        from msdd.params.load import load

        print(*load(args.params).encoding(), sep="\n")
    else:
        print(*read_yaml(args.params)[args.table], sep="\n")


def call(args: argparse.Namespace) -> None:
    import shtab

    for command in leaves(args.main):
        for action in command._actions:
            complete(action)
    print(shtab.complete(args.main, args.shell, preamble=preamble(args.shell)))


def complete(action: argparse.Action) -> None:
    """Tell shtab what an argument may be: a name of a kind, or a file."""
    import shtab

    if action.dest in KINDS:
        kind = KINDS[action.dest]
        words = words_of(kind).removeprefix("$")  # fish asks commands in plain parentheses
        given = {"bash": f"_msdd_{kind}", "zsh": f"_msdd_{kind}", "fish": words}
        action.complete = given  # type: ignore[attr-defined]
    elif action.type in (Path, json_file) or action.dest == "checkpoint":
        action.complete = shtab.FILE  # type: ignore[attr-defined]


def preamble(shell: str) -> str:
    """A function of the shell for every kind of name."""
    if shell == "fish":
        return ""
    template, files = {"bash": BASH, "zsh": ZSH}[shell], ("tokenizers", "protocols")
    return "\n".join(
        template.format(name=kind, words=words_of(kind), files=FILES[shell] * (kind in files))
        for kind in KINDS.values()
    )


def words_of(kind: str) -> str:
    """The names of a kind, in the form that a shell expects."""
    from msdd.evaluate.protocols import builtin
    from msdd.tokenizers.systems import SYSTEMS

    asked = "$(msdd completion names {} 2> /dev/null)"
    if kind == "systems":
        return " ".join([asked.format("decodes"), *SYSTEMS])
    if kind in TABLES:
        return asked.format(kind)
    return " ".join(SYSTEMS if kind == "tokenizers" else [*builtin(), "all"])
