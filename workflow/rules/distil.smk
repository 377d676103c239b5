rule distil:
    """Stage 2: one scale of a one-step student, from the frozen stage-1 decoder."""
    input:
        images_of,
        "runs/{model}/stage1/config.json",
        "runs/{model}/stage1/model.safetensors",
    output:
        "runs/{model}/{student}/scale{k}/config.json",
        "runs/{model}/{student}/scale{k}/model.safetensors",
        "runs/{model}/{student}/scale{k}/curves.csv",
        ".made/trainings/runs/{model}/{student}/scale{k}",
        "provenance/runs/{model}/{student}/scale{k}.json",
    log:
        "logs/distil/{model}/{student}/scale{k}.log",
    benchmark:
        "benchmarks/distil/{model}/{student}/scale{k}.tsv"
    priority: 1
    threads: PARAMS.cpu_threads
    resources:
        gpu=1,
        mem_mb=doubled_once(8000),
        disk_mb=20000,
        runtime="3d",
    params:
        *tracked_by("distil"),
    message:
        "Distilling scale {wildcards.k} of {wildcards.student}"
    shell:
        "MSDD_GPUS={resources.gpu} msdd distil {wildcards.student} {wildcards.k} 2>&1 | tee -i {log}"
