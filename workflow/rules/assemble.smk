rule assemble:
    """Put encoder and the denoisers of all scales together: one student."""
    input:
        "runs/{model}/stage1/config.json",
        "runs/{model}/stage1/model.safetensors",
        scales_of,
    output:
        "runs/{model}/{student}/config.json",
        "runs/{model}/{student}/model.safetensors",
        "provenance/runs/{model}/{student}.json",
    log:
        "logs/assemble/{model}/{student}.log",
    benchmark:
        "benchmarks/assemble/{model}/{student}.tsv"
    wildcard_constraints:
        student=any_of(ROWS["students"]),
    priority: 1
    resources:
        mem_mb=4000,
        disk_mb=4000,
        runtime="30m",
    params:
        *tracked_by("assemble"),
    message:
        "Assembling {wildcards.student}"
    shell:
        "msdd assemble {wildcards.student} 2>&1 | tee -i {log}"
