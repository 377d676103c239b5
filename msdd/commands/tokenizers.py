"""`msdd tokenizers`: every system, its size, its licences, and whether its weights are here."""

import argparse
import json

from msdd.commands.parser import examples


def add(commands: argparse._SubParsersAction) -> None:
    described = "list all tokenizers: size, tokens, licences, where to get the weights"
    command = commands.add_parser(
        "tokenizers",
        help=described,
        description=described,
        epilog=examples("msdd tokenizers", "msdd tokenizers --json"),
    )
    command.add_argument("--json", action="store_true", help="print JSON in place of the text")
    command.set_defaults(call=call)


def call(args: argparse.Namespace) -> None:
    rows = rows_of_systems()
    if args.json:
        print(json.dumps(rows, indent=2))
    else:
        from tabulate import tabulate

        lines = [HEAD, *map(cells, rows)]
        print(tabulate(lines, tablefmt="plain", disable_numparse=True), "", *NOTES, sep="\n")


def rows_of_systems() -> list[dict]:
    """A row for every system."""
    from msdd.tokenizers.catalogue import local_files
    from msdd.tokenizers.systems import SYSTEMS

    return [
        {
            "name": name,
            "system": system.family.title,
            "resolution": system.resolution,
            "parameters": system.parameters,
            "tokens": system.tokens,
            "dim": system.dim,
            "bits": system.bits,
            "nfe": system.nfe,
            "licence_of_code": system.family.code,
            "licence_of_weights": system.family.weights,
            "weights": addresses(name),
            "here": [str(path) for path in local_files(name, system)],
        }
        for name, system in SYSTEMS.items()
    ]


def addresses(name: str) -> list[str]:
    """Of all files that a system needs."""
    from msdd.tokenizers.systems import SYSTEMS
    from msdd.weights import hub

    system = SYSTEMS[name]
    own = [f"{hub.PREFIX}{system.repository}/{file}" for file in system.files]
    return own + addresses(system.vae) if system.vae else own


HEAD = ("name", "parameters", "latent", "bits", "passes (NFE)", "code", "weights", "from", "here")
NOTES = (
    "bits: of an image's latent; – where it is continuous.",
    "passes (NFE): evaluations of the decoder for an image.",
    "code, weights: the authors' licences; the code here is this project's own.",
    "msdd: the paper's size, one decoder for all scales; per-scale students have one for each. "
    "Name the folder of a model that you have trained.",
    "ssdd: 8 steps are what users of its files take; --steps 1 is for a distilled decoder. Sizes "
    "without files (XS, H, XH, G): msdd.tokenizers.ssdd.published_config.",
    "any other KL-VAE: name its folder of diffusers, with config.json, as the tokenizer.",
)


def cells(row: dict) -> list[str]:
    first = row["weights"][0] if row["weights"] else "–"
    also = f" (+{len(row['weights']) - 1})" if len(row["weights"]) > 1 else ""
    return [
        row["name"],
        f"{row['parameters'] / 1e6:.1f} M",
        f"{row['tokens']} x {row['dim']}",
        "–" if row["bits"] is None else str(row["bits"]),
        str(row["nfe"]),
        row["licence_of_code"],
        row["licence_of_weights"],
        first + also,
        row["here"][0] if row["here"] else "no",
    ]
