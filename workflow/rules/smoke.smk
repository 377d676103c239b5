rule smoke:
    """The whole pipeline on the tiny preset, in a folder of its own, in a minute or two."""
    input:
        from_here(presets.find("tiny", CHECKOUT)),
    log:
        "logs/smoke/smoke.log",
    threads: 2
    resources:
        gpu=1,
        mem_mb=8000,
        runtime="30m",
    params:
        snakefile=from_here(workflow.main_snakefile),
    message:
        "Running the tiny preset in smoke/"
    shell:
        "mkdir -p smoke && cp {input:q} smoke/params.yaml && "
        "snakemake --snakefile {params.snakefile:q} --directory smoke --cores {threads} "
        "--resources gpu={resources.gpu} 2>&1 | tee -i {log}"
