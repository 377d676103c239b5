rule chain:
    """Stage 2 through the chain: joint distillation, or finetuning of another student."""
    input:
        images_of,
        start_of,
    output:
        "runs/{model}/{student}/config.json",
        "runs/{model}/{student}/model.safetensors",
        "runs/{model}/{student}/curves.csv",
        ".made/trainings/runs/{model}/{student}",
        "provenance/runs/{model}/{student}.json",
    log:
        "logs/chain/{model}/{student}.log",
    benchmark:
        "benchmarks/chain/{model}/{student}.tsv"
    wildcard_constraints:
        student=any_of(ROWS["chains"]),
    priority: 1
    threads: PARAMS.cpu_threads
    resources:
        gpu=1,
        mem_mb=doubled_once(8000),
        disk_mb=20000,
        runtime="3d",
    params:
        *tracked_by("chain"),
    message:
        "Training {wildcards.student} through the chain"
    shell:
        "MSDD_GPUS={resources.gpu} msdd chain {wildcards.student} 2>&1 | tee -i {log}"
