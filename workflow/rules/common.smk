"""The params, and what every rule asks of them."""

import gc
import os
import sys
from argparse import ArgumentParser
from functools import cache
from pathlib import Path

from msdd.data import digests
from msdd.errors import MsddError
from msdd.files import write_text
from msdd.params import presets, sections
from msdd.params.load import load
from msdd.pipeline import engine, engine_lock, gpus, jobs, layout
from msdd.pipeline import project_version, stages
from msdd.pipeline.fingerprint import PACKAGE
from msdd.pipeline.patterns import any_of
from msdd.tokenizers import elsewhere

# Every rule is one command whose output is seen live and kept. `tee -i` outlives Ctrl-C, so that a
# training can still tell that it was interrupted. Rules that others wait for have priority 1.

# Planning makes a million objects that stay; looking through them for garbage takes a sixth of it.
gc.set_threshold(100_000, 50, 100)

# `msdd` is the interpreter's neighbour, also where no environment is activated.
NEIGHBOURS = str(Path(sys.executable).parent)
PATH = os.pathsep.join([NEIGHBOURS, *os.get_exec_path()])
os.environ.update(PATH=PATH, MSDD_ENGINE="snakemake")

CHECKOUT = Path(workflow.basedir)

# Jobs read the params as this run has read them: an edit while it is at work is for the next one,
# else results would be made of other values than Snakemake has recorded for them.
if workflow.is_main_process:
    os.environ[engine.PARAMS] = str(Path(".snakemake/params.yaml"))
    PARAMS_FILE = Path("params.yaml")
else:
    PARAMS_FILE = engine.params_file(Path("params.yaml"))

try:
    project_version.check(CHECKOUT)
    PARAMS = load(PARAMS_FILE)
    PARAMS_TEXT = PARAMS_FILE.read_text(encoding="utf-8")
except MsddError as error:
    # One line a mistake; Snakemake would tell where in this file it met the error.
    sys.exit("\n".join(f"msdd: error: {line}" for line in str(error).splitlines()))

MISSING = jobs.missing(PARAMS)
for line in MISSING:
    print(f"msdd: {line}", file=sys.stderr)

RAW = PARAMS.raw()
ROWS = jobs.rows(PARAMS)
CODE = {stage: stages.fingerprint(stage)[:12] for stage in stages.STAGES}


def from_here(path):
    """A file of the checkout, seen from the working directory.

    Braces in the checkout's own path would be wildcards, and a moved checkout would be stale.
    """
    return os.path.relpath(path)


def tracked_by(stage):
    """What a job depends on besides files, one param a key: `-n` names the key that changed."""
    return [f"code of {stage}: {CODE[stage]}", *map(param, stages.keys(stage, RAW))]


def param(key):
    """A key and its value: a text, or a function of the wildcards if it depends on them.

    Calling a function for every key of every job takes longer than all other planning; but
    Snakemake fills in what stands in braces in a text.
    """

    def told(wildcards):
        named = key.format(**wildcards)
        return f"{named}: {stages.lookup(RAW, named)}"

    if "{" in key or "{" in (text := told({})):
        return told
    return text


@cache
def photographs():
    """The photographs as a param; read only where `prepare` or `code` may have to run."""
    return f"photographs: {digests.of_photographs(PARAMS.data)}"


@cache
def weights(decode):
    return elsewhere.weights_digest(PARAMS, decode)


@cache
def encoder(name):
    return elsewhere.encoder_digest(PARAMS, name)


def encoder_of(wildcards):
    """The weights that encode stored latents, as a param."""
    return f"encoder: {encoder(wildcards.encoder)}"


def weights_of(wildcards):
    """The weights of a decode that was trained elsewhere, as a param."""
    return f"weights: {weights(wildcards.decode)}"


def doubled_once(amount):
    """A resource of a job; an attempt after a failure asks for twice as much, and no more.

    Most later attempts are of jobs that were out of time and go on from what they have saved.
    """

    def asked(wildcards, attempt):
        return amount * min(attempt, 2)

    return asked


def images_of(wildcards):
    """What stands for the images that a training reads, and their latents, if those are stored."""
    crops, stored = "data/prepared/manifest.json", PARAMS.latents_of(wildcards.model)
    if stored is None:
        return [crops]
    return [crops, *(layout.latents(stored) / file for file in layout.LATENT_FILES)]


def scales_of(wildcards):
    """The denoisers of all scales of a student."""
    count = ROWS["students"][wildcards.student]["scales"]
    folders = [
        layout.scale(wildcards.model, wildcards.student, k) for k in range(count)
    ]
    return [folder / file for folder in folders for file in layout.MODEL_FILES]


def start_of(wildcards):
    """The teacher, and the student that finetuning begins with."""
    start = ROWS["chains"][wildcards.student]["start"]
    folders = dict.fromkeys([f"runs/{wildcards.model}/stage1", start])
    return [f"{folder}/{file}" for folder in folders for file in layout.MODEL_FILES]


def table(stem, title):
    """A table as the report has it: a page to read and the values."""
    return in_report(stem, title, "Tables", {".html": "page", ".csv": "values (CSV)"})


def figure(stem, title):
    """A figure as the report has it."""
    return in_report(stem, title, "Figures", {".png": "PNG", ".svg": "SVG"})


def in_report(stem, title, category, formats):
    """Outputs that `snakemake --report` shows, with their caption in workflow/report."""
    caption = f"../report/{Path(stem).name}.rst"

    def shown(ending):
        labels = {"title": title, "format": formats[ending]}
        path = f"{stem}{ending}"
        return report(path, caption=caption, category=category, labels=labels)

    return [shown(ending) for ending in formats]


# A run that was killed, as by a power cut, goes on by the same command.
if workflow.is_main_process:
    try:
        engine_lock.remove_if_dead()
    except MsddError as error:
        sys.exit(f"msdd: error: {error}")


wildcard_constraints:
    model=any_of(PARAMS.models),
    student=any_of(PARAMS.students),
    folder=any_of(["stage1", *PARAMS.students]),
    decode=any_of(PARAMS.decodes),
    k=r"\d+",
    baseline=any_of(sections.BASELINES),


# Of a --workflow-profile that is not there Snakemake (9.27.1) says nothing and runs all jobs here.
options = ArgumentParser(add_help=False, allow_abbrev=False)
options.add_argument("--workflow-profile", default="none")
PROFILE = options.parse_known_args()[0].workflow_profile
# The shell's folder is another one with --directory.
HERE = [Path(workflow.workdir_init), Path(os.environ.get("PWD", ".")), CHECKOUT]
PLACES = [*HERE, *(place / "profiles" for place in HERE)]
if PROFILE != "none" and not any((place / PROFILE).exists() for place in PLACES):
    names = ", ".join(sorted(path.name for path in PLACES[-1].iterdir()))
    told = f"--workflow-profile {PROFILE}: there is no such profile"
    sys.exit(f"msdd: error: {told}; profiles/ has {names}")

# One job a GPU: a run on this machine counts them, unless a profile or the command line has told how
# many it may use. Without one the limit is 0, which Snakemake hands to the jobs: then only threads
# decide how many run at once. A cluster's scheduler, which has nodes instead, counts by itself: a
# login node without a GPU limits nothing. A job that was given GPUs stops where it finds none
# (MSDD_GPUS, read by msdd/device.py).
LOCAL = workflow.is_main_process and workflow.nodes is None
GPUS = gpus.visible()
if LOCAL and "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", GPUS)

if LOCAL and workflow.global_resources["gpu"].value and not GPUS:
    count = workflow.global_resources["gpu"].value
    told = f"resources gpu={count}: this machine shows no GPU, and a job that finds none stops"
    print(f"msdd: {told}; --resources gpu=0 computes on the CPU", file=sys.stderr)

# Snakemake does not tell this limit to the jobs of a cluster: each would ask for a GPU that its
# allocation lacks.
if workflow.is_main_process and workflow.nodes is not None:
    limit = workflow.global_resources.get("gpu")
    if limit is not None and limit.value == 0:
        told = "--resources gpu=0 does not reach the jobs of a cluster"
        cure = "--set-resources train:gpu=0 distil:gpu=0, and so for each rule, computes on CPUs"
        sys.exit(f"msdd: error: {told}; {cure}")


# DVC and the stages read the rows from a file. Only a run writes it, before its first job: a dry
# run, a report or a job that reads this file on a cluster writes nothing.
onstart:
    # Snakemake would remove what is prepared before `prepare` could say that it cannot be made again.
    if MISSING and {"prepare", "scatter"} & {
        job.name for job in workflow.dag.needrun_jobs()
    }:
        sys.exit("\n".join(f"msdd: error: {line}" for line in MISSING))
    engine_lock.own()
    write_text(Path(os.environ[engine.PARAMS]), PARAMS_TEXT)
    jobs.expand(PARAMS)
