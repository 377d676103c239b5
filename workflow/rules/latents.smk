rule latents:
    """Encode the crops by another tokenizer, once for all rows that decode its latents."""
    input:
        "data/prepared/manifest.json",
    output:
        "data/latents/{model}/latents.npy",
        "data/latents/{model}/encoder.safetensors",
        "data/latents/{model}/manifest.json",
        "provenance/data/latents/{model}.json",
    log:
        "logs/latents/{model}.log",
    benchmark:
        "benchmarks/latents/{model}.tsv"
    wildcard_constraints:
        model=any_of(ROWS["latents"]),
    priority: 1
    threads: PARAMS.cpu_threads
    resources:
        gpu=1,
        mem_mb=doubled_once(8000),
        runtime=doubled_once(720),
    params:
        *tracked_by("latents"),
        encoder_of,
    message:
        "Encoding crops for {wildcards.model}"
    shell:
        "MSDD_GPUS={resources.gpu} msdd latents {wildcards.model} 2>&1 | tee -i {log}"
