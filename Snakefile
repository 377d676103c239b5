# The pipeline, one file a stage. `snakemake -n` tells what would run and why.
#
#   prepare -> [latents(encoder)] -> train(model) -> distil(student, scale) -> assemble(student)
#                                       |                                     |-> [chain(student)]
#                         `-> evaluate(decode) of the teacher      `-> evaluate(decode)
#                                  baseline(name), evaluate -> throughput -> tables, figures
#
# Its jobs are the rows of params.yaml; its paths are those of msdd/pipeline/layout.py.
from snakemake.utils import min_version

min_version("9.19")


# Read only with `--software-deployment-method apptainer`: an image with requirements.lock and msdd.
container: "msdd.sif"


# The first page of `snakemake --report report.html`.
report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/code.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/latents.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/distil.smk"
include: "workflow/rules/assemble.smk"
include: "workflow/rules/chain.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/throughput.smk"
include: "workflow/rules/smoke.smk"


rule all:
    """Everything the params file asks for."""
    default_target: True
    input:
        [path for name in layout.REPORTS for path in layout.report(name)],
        rules.code.output,
        [f"{job['path']}/config.json" for job in ROWS["students"].values()],
