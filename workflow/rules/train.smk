rule train:
    """Stage 1: encoder and multi-scale diffusion decoder, together."""
    input:
        images_of,
    output:
        "runs/{model}/stage1/config.json",
        "runs/{model}/stage1/model.safetensors",
        "runs/{model}/stage1/curves.csv",
        ".made/trainings/runs/{model}/stage1",
        "provenance/runs/{model}/stage1.json",
    log:
        "logs/train/{model}.log",
    benchmark:
        "benchmarks/train/{model}.tsv"
    priority: 1
    threads: PARAMS.cpu_threads
    resources:
        gpu=1,
        mem_mb=doubled_once(8000),
        disk_mb=20000,
        runtime="7d",
    params:
        *tracked_by("train"),
    message:
        "Training {wildcards.model}"
    shell:
        "MSDD_GPUS={resources.gpu} msdd train {wildcards.model} 2>&1 | tee -i {log}"
