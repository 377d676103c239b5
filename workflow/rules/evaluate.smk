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
        mem_mb=8000,
        runtime="1d",
    params:
        *tracked_by("evaluate"),
    message:
        "Evaluating {wildcards.decode}"
    shell:
        "msdd evaluate {wildcards.decode} 2>&1 | tee -i {log}"


rule reference:
    """What needs no model, measured alike: without it a PSNR says nothing."""
    input:
        "data/prepared/manifest.json",
    output:
        "runs/reference/eval/{reference}.json",
        "runs/reference/eval/{reference}.timing.json",
        "runs/reference/eval/{reference}.samples.npy",
        ".made/evaluations/runs/reference/eval/{reference}.json",
        "provenance/runs/reference/eval/{reference}.json",
    log:
        "logs/reference/{reference}.log",
    benchmark:
        "benchmarks/reference/{reference}.tsv"
    threads: PARAMS.cpu_threads
    resources:
        gpu=1,
        mem_mb=8000,
        runtime="4h",
    params:
        *tracked_by("reference"),
    message:
        "Evaluating {wildcards.reference}"
    shell:
        "msdd reference {wildcards.reference} 2>&1 | tee -i {log}"
