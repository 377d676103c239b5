rule smoke:
    """The whole pipeline on the tiny preset, in a folder of its own, in a minute or two."""
    input:
        workflow.source_path("../../presets/tiny.yaml"),
    log:
        "logs/smoke/smoke.log",
    threads: 2
    resources:
        gpu=1,
        mem_mb=8000,
        runtime="30m",
    params:
        snakefile=workflow.main_snakefile,
    message:
        "Running the tiny preset in smoke/"
    shell:
        "mkdir -p smoke && cp {input} smoke/params.yaml && "
        "snakemake --snakefile {params.snakefile} --directory smoke --cores {threads} 2>&1 | tee -i {log}"
