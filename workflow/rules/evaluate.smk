rule evaluate:
    """Reconstruct the held-out crops and measure; `folder` is stage1 or a student."""
    input:
        "data/prepared/manifest.json",
        "runs/{model}/{folder}/config.json",
        "runs/{model}/{folder}/model.safetensors",
    output:
        "runs/{model}/{folder}/eval/{decode}.json",
        "runs/{model}/{folder}/eval/{decode}.timing.json",
        "runs/{model}/{folder}/eval/{decode}.samples.npy",
        "runs/{model}/{folder}/eval/{decode}.extremes.npy",
        "runs/{model}/{folder}/eval/{decode}.pyramid.npz",
        ".made/evaluations/runs/{model}/{folder}/eval/{decode}.json",
        "provenance/runs/{model}/{folder}/eval/{decode}.json",
    log:
        "logs/evaluate/{model}/{folder}/{decode}.log",
    benchmark:
        "benchmarks/evaluate/{model}/{folder}/{decode}.tsv"
    threads: PARAMS.cpu_threads
    resources:
        gpu=1,
        mem_mb=doubled_once(8000),
        disk_mb=4000,
        runtime="1d",
    params:
        *tracked_by("evaluate"),
    message:
        "Evaluating {wildcards.decode}"
    shell:
        "MSDD_GPUS={resources.gpu} msdd evaluate {wildcards.decode} 2>&1 | tee -i {log}"


rule elsewhere:
    """A tokenizer that was trained elsewhere, measured alike."""
    input:
        "data/prepared/manifest.json",
    output:
        "runs/elsewhere/eval/{decode}.json",
        "runs/elsewhere/eval/{decode}.timing.json",
        "runs/elsewhere/eval/{decode}.samples.npy",
        "runs/elsewhere/eval/{decode}.extremes.npy",
        ".made/evaluations/runs/elsewhere/eval/{decode}.json",
        "provenance/runs/elsewhere/eval/{decode}.json",
    log:
        "logs/elsewhere/{decode}.log",
    benchmark:
        "benchmarks/elsewhere/{decode}.tsv"
    wildcard_constraints:
        decode=any_of(ROWS["elsewhere"]),
    threads: PARAMS.cpu_threads
    resources:
        gpu=1,
        mem_mb=doubled_once(8000),
        disk_mb=4000,
        runtime="1d",
    params:
        *tracked_by("evaluate"),
        weights_of,
    message:
        "Evaluating {wildcards.decode}"
    shell:
        "MSDD_GPUS={resources.gpu} msdd evaluate {wildcards.decode} 2>&1 | tee -i {log}"


rule baseline:
    """What needs no model, measured alike: without it a PSNR says nothing."""
    input:
        "data/prepared/manifest.json",
    output:
        "runs/baseline/eval/{baseline}.json",
        "runs/baseline/eval/{baseline}.timing.json",
        "runs/baseline/eval/{baseline}.samples.npy",
        "runs/baseline/eval/{baseline}.extremes.npy",
        ".made/evaluations/runs/baseline/eval/{baseline}.json",
        "provenance/runs/baseline/eval/{baseline}.json",
    log:
        "logs/baseline/{baseline}.log",
    benchmark:
        "benchmarks/baseline/{baseline}.tsv"
    threads: PARAMS.cpu_threads
    resources:
        gpu=1,
        mem_mb=doubled_once(8000),
        disk_mb=4000,
        runtime="4h",
    params:
        *tracked_by("baseline"),
    message:
        "Evaluating {wildcards.baseline}"
    shell:
        "MSDD_GPUS={resources.gpu} msdd baseline {wildcards.baseline} 2>&1 | tee -i {log}"
