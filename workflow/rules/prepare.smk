rule scatter:
    """One part of the shards of photographs, where several jobs prepare; `prepare` gathers them."""
    output:
        ".made/parts/data/prepared/part{part}",
        "provenance/data/prepared/part{part}.json",
    log:
        "logs/scatter/part{part}.log",
    benchmark:
        "benchmarks/scatter/part{part}.tsv"
    wildcard_constraints:
        part=r"\d+",
    priority: 1
    threads: PARAMS.cpu_threads
    resources:
        mem_mb=doubled_once(2000),
        runtime=doubled_once(120),
    params:
        *tracked_by("scatter"),
        lambda wildcards: photographs(),
    message:
        "Preparing part {wildcards.part} of the photographs"
    shell:
        "msdd scatter {wildcards.part} 2>&1 | tee -i {log}"


rule prepare:
    """Cut the photographs into crops, split by photograph.

    The manifest holds their digest: whoever reads crops has it as input.
    """
    input:
        [layout.receipt("parts", part) for part in layout.parts(PARAMS.prepare_jobs)],
    output:
        "data/prepared/manifest.json",
        "data/prepared/photographs.csv",
        "data/prepared/held_out_photographs.npy",
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
