"""`msdd evaluate`: a row of `decodes`, two folders of images, a tokenizer, or samples."""

import argparse
from functools import partial
from pathlib import Path

from msdd.commands import evaluate_samples
from msdd.commands.evaluate_run import (
    check_paths,
    lower_batch,
    origin,
    put_and_show,
    told_what_is_kept,
)
from msdd.commands.options import DEVICE, GUIDANCE, STEPS, json_alone, positive
from msdd.commands.parser import examples
from msdd.errors import MsddError
from msdd.weights.representations import REPRESENTATIONS

DESCRIPTION = """Measure a row of `decodes`; or reconstructions in a folder against originals of
the same names; or any tokenizer on a folder of images; or generated samples against a reference
(docs/samples.md). Metrics follow the protocols of papers: docs/protocols.md. Under torchrun the
images are split over processes, with the same result."""
EXAMPLES = examples(
    "msdd evaluate student",
    "msdd evaluate --originals crops --reconstructions theirs --protocol primary --missing skip",
    "msdd evaluate --tokenizer mine.py:tokenizer --images photos --protocol all --json mine.json",
    "msdd evaluate --samples samples.npz --reference VIRTUAL_imagenet256_labeled.npz",
)


# Options of those that are named: of `msdd tokenizers` or a folder; of any tokenizer; of all.
OF_SYSTEMS = ("checkpoint", "run_code", "steps", "guidance")
OF_TOKENIZERS = ("resolution", "seed", "precision")
OUTPUTS = ("export_reference", "export_latents", "json", "work")
HOW = ("device", "protocol", "features", "missing", "reference", "against", "batch", *OUTPUTS)


def add(commands: argparse._SubParsersAction) -> None:
    described = "measure a row of `decodes`, two folders, a tokenizer, or generated samples"
    command = commands.add_parser(
        "evaluate", help=described, description=DESCRIPTION, epilog=EXAMPLES
    )
    command.add_argument("decode", metavar="DECODE", nargs="?", help="row of `decodes`")
    add_what(command.add_argument_group("two folders, a tokenizer on one, or samples"))
    add_how(command.add_argument_group("how"))
    command.set_defaults(call=call, parser=command)


def add_what(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--originals", type=Path, metavar="DIR", help="images that were given to a tokenizer"
    )
    group.add_argument(
        "--reconstructions",
        type=Path,
        metavar="DIR",
        help="what it made of them, of the same names and sizes: photo/1.png and photo/1.webp",
    )
    group.add_argument(
        "--tokenizer",
        metavar="NAME",
        help="of `msdd tokenizers`; a model folder; or module:object or file.py:object, a function "
        "from images to images, both (B, 3, H, W) in [-1, 1], or what has encode and decode",
    )
    group.add_argument(
        "--images", type=Path, metavar="DIR", help="photographs of any size, which are cropped"
    )
    group.add_argument(
        "--samples",
        type=Path,
        metavar="PATH",
        help="generated images of one size, without partners: a folder, or .npz with arr_0; "
        "--reference is theirs (docs/samples.md)",
    )
    group.add_argument(
        "--checkpoint", metavar="FILE", help="of a tokenizer by name; or hf://owner/repository/file"
    )
    group.add_argument(
        "--run-code", action="store_true", help="open TorchScript files, which are programs"
    )
    group.add_argument(
        "--resolution", type=positive, metavar="N", help="side of the crops; default: as published"
    )
    group.add_argument("--steps", type=positive, metavar="N", help=STEPS)
    group.add_argument("--guidance", type=float, metavar="G", help=GUIDANCE)
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of the noise; default: 0")
    group.add_argument(
        "--precision", choices=("fp32", "bf16"), default="fp32", help="default: fp32"
    )


def add_how(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--protocol",
        action="append",
        metavar="P",
        help="primary (default), extended, msdd, llamagen, ssdd, flowmo, dito, titok, vavae, "
        "rae, dc-ae, gigatok, l-detok, all but extended by `all`, or a YAML file; of samples adm, "
        "torch-fidelity, prdc (all three by default), mar, pytorch-fid, extended; may be repeated",
    )
    group.add_argument(
        "--features",
        choices=(*REPRESENTATIONS, "none"),
        metavar="NAME",
        help="take the Fréchet distance on another network's features than the protocol's: "
        f"{', '.join(REPRESENTATIONS)}, or none",
    )
    group.add_argument(
        "--reference",
        type=Path,
        metavar="PATH",
        help="statistics to compare with instead of the originals', .npz as of pytorch-fid; of "
        "samples a folder of images, or .npz with statistics, images or both",
    )
    group.add_argument(
        "--export-reference",
        type=Path,
        metavar="FILE",
        help="write those of the originals, or of the reference's images, as .npz",
    )
    group.add_argument(
        "--export-latents",
        type=Path,
        metavar="FILE",
        help="write mean and deviation of each channel of continuous latents, .npz or .json; by a "
        "protocol with latents, such as extended",
    )
    group.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write all metrics, image by image; -: to standard output, where no table is then",
    )
    group.add_argument(
        "--against", type=Path, metavar="FILE", help="compare with the JSON file of another run"
    )
    group.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="keep the state here, to go on after an interruption, and pictures of the worst, the "
        "median and the best image",
    )
    group.add_argument(
        "--batch",
        type=positive,
        metavar="N",
        help="images at once; default: 64 up to 256 px, fewer of larger images: 16 of 512 px",
    )
    group.add_argument(
        "--missing",
        choices=("stop", "skip"),
        default="stop",
        help="where a network's weights cannot be had: stop (default), or skip its metrics, which "
        "are named as not measured",
    )
    group.add_argument("--device", metavar="D", help=DEVICE)


def call(args: argparse.Namespace) -> None:
    """One of the four; MsddError where the options fit none or several."""
    kinds = {
        "DECODE": (args.decode,),
        "--originals with --reconstructions": (args.originals, args.reconstructions),
        "--tokenizer with --images": (args.tokenizer, args.images),
        "--samples with --reference": (args.samples, args.samples and args.reference),
    }
    asked = {kind for kind, values in kinds.items() if any(values)}
    if len(asked) != 1 or not all(kinds[next(iter(asked))]):
        raise MsddError(f"evaluate takes {', or '.join(kinds)}; see `msdd evaluate --help`")
    check_options(args, *asked)
    if args.decode:
        from msdd.commands import stages

        stages.gpu_command("evaluate")(args)
    elif args.samples:
        evaluate_samples.evaluate(args)
    else:
        evaluate(args)


def check_options(args: argparse.Namespace, kind: str) -> None:
    """MsddError for an option that this kind of evaluation would leave unheard."""
    from msdd.tokenizers.user_code import is_object

    of_files = (*OF_TOKENIZERS, *OF_SYSTEMS, "export_latents")  # of files, nothing lies between
    unheard = {
        "DECODE": (*OF_SYSTEMS, *OF_TOKENIZERS, *HOW),
        "--originals": of_files,
        "--samples": of_files,
        "--tokenizer": OF_SYSTEMS if args.tokenizer and is_object(args.tokenizer) else (),
    }
    for name in unheard[kind.split()[0]]:
        if getattr(args, name) != args.parser.get_default(name):
            option = "--" + name.replace("_", "-")
            given = args.decode or args.tokenizer or kind
            raise MsddError(f"{option} means nothing to `evaluate {given}`; leave it out")


def evaluate(args: argparse.Namespace) -> None:
    """Measure, and print and write the report in the first process."""
    from msdd.evaluate import compare, distributed
    from msdd.evaluate.protocols import choose

    protocols = choose(args.protocol or "primary", args.features)
    check_paths(args)
    check_latents(args, protocols)
    other = compare.read(args.against) if args.against else None
    device = distributed.device(args.device)
    team = distributed.join()
    with told_what_is_kept(args), json_alone(args.json):
        report, references = evaluate_named(args, protocols, other, device, team)
    if team.rank == 0:
        publish(report, references, args, other)


def check_latents(args: argparse.Namespace, protocols: dict) -> None:
    if args.export_latents and not any(one.latents for one in protocols.values()):
        raise MsddError(
            "--export-latents needs a protocol that measures latents; give --protocol extended, or "
            "latents: true in one of your own"
        )
    if args.export_latents and args.export_latents.suffix not in (".npz", ".json"):
        raise MsddError(f"--export-latents {args.export_latents} must end with .npz or .json")


def evaluate_named(
    args: argparse.Namespace, protocols: dict, other, device, team
) -> tuple[dict, list]:
    """The report and the originals' statistics; complete in the first process, where it is compared
    with `other` beforehand."""
    from msdd.device import enough_memory
    from msdd.evaluate import compare, reference_statistics, report

    evaluation = evaluation_of(args, protocols, device)
    settings = report.Settings(
        args.batch,
        device,
        args.work,
        pictures=args.work is not None,
        reference=args.reference,
        skip=args.missing == "skip",
    )
    reference_statistics.check_options(evaluation.protocols, args.reference, args.export_reference)
    document = {} if team.rank else report.opening(evaluation, settings) | origin(device)
    if other and team.rank == 0:
        compare.check(document, other)
    with enough_memory(lower_batch(document)):
        return document, report.measure_passes(evaluation, document, settings, team)


def evaluation_of(args: argparse.Namespace, protocols: dict, device):
    from msdd.data import image_folder
    from msdd.evaluate import named, passes
    from msdd.pipeline.progress import busy

    if args.originals:
        return passes.of_folders(args.originals, args.reconstructions, protocols)
    image_folder.at_least_two(args.images, "--images")  # before any weights are loaded
    decoding = named.Decoding(args.seed, args.precision, args.steps, args.guidance)
    with busy(f"opening {args.tokenizer}"):
        subject = named.open_subject(
            args.tokenizer, args.checkpoint, device, decoding, args.resolution, args.run_code
        )
    return passes.of_tokenizer(subject, args.images, protocols, device)


def export_reference(path: Path, references: list) -> None:
    from msdd.evaluate import reference_statistics

    if not references:
        raise MsddError(f"{path} is not written: no Fréchet distance could be measured")
    reference_statistics.write(path, *references)


def publish(report: dict, references: list, args: argparse.Namespace, other) -> None:
    from msdd.evaluate import compare, latent_sums, text

    exports = []
    if args.export_reference:
        exports.append(partial(export_reference, args.export_reference, references))
    if args.export_latents:
        exports.append(partial(latent_sums.write, args.export_latents, report))
    put_and_show(report, args, exports, other, (text, compare))
