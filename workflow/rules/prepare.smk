rule prepare:
    """Cut the photographs into crops, split by photograph.

    The manifest holds their digest: whoever reads crops has it as input.
    """
    output:
        "data/prepared/manifest.json",
        "data/prepared/photographs.csv",
        directory("data/prepared/train"),
        directory("data/prepared/held_out"),
        "provenance/data/prepared.json",
    log:
        "logs/prepare/prepare.log",
    benchmark:
        "benchmarks/prepare/prepare.tsv"
    threads: PARAMS.cpu_threads
    resources:
        mem_mb=doubled_once(2000),
        runtime=doubled_once(120),
    params:
        *tracked_by("prepare"),
        lambda wildcards: photographs(),
    message:
        "Preparing crops"
    shell:
        "msdd prepare 2>&1 | tee -i {log}"
