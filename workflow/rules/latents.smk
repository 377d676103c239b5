rule latents:
    """Encode the crops by another tokenizer, once for all rows that decode its latents."""
    input:
        "data/prepared/manifest.json",
    output:
        "data/latents/{encoder}/latents.npy",
        "data/latents/{encoder}/encoder.safetensors",
        "data/latents/{encoder}/manifest.json",
        "provenance/data/latents/{encoder}.json",
    log:
        "logs/latents/{encoder}.log",
    benchmark:
        "benchmarks/latents/{encoder}.tsv"
    wildcard_constraints:
        encoder=any_of(ROWS["latents"]),
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
        "Encoding crops by {wildcards.encoder}"
    shell:
        "MSDD_GPUS={resources.gpu} msdd latents {wildcards.encoder} 2>&1 | tee -i {log}"
