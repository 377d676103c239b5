rule code:
    """Digests of code, photographs and weights: what DVC depends on; rules have them as a param."""
    input:
        sorted(map(from_here, PACKAGE.rglob("*.py"))),
    output:
        [layout.code(name) for name in (*CODE, "photographs")],
        directory(layout.weights()),
        directory(layout.encoders()),
    log:
        "logs/code/code.log",
    benchmark:
        "benchmarks/code/code.tsv"
    resources:
        mem_mb=1000,
        runtime="10m",
    params:
        *[f"code of {stage}: {digest}" for stage, digest in CODE.items()],
        lambda wildcards: photographs(),
        lambda wildcards: f"weights: {' '.join(map(weights, ROWS['elsewhere']))}",
        lambda wildcards: f"encoders: {' '.join(map(encoder, ROWS['latents']))}",
    message:
        "Writing digests of code and photographs"
    shell:
        "msdd code 2>&1 | tee -i {log}"
