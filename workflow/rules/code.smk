rule code:
    """Digests of the code of every stage: what DVC depends on; rules have them as a param."""
    input:
        sorted(map(from_here, PACKAGE.rglob("*.py"))),
    output:
        [layout.code(stage) for stage in CODE],
    log:
        "logs/code/code.log",
    benchmark:
        "benchmarks/code/code.tsv"
    resources:
        mem_mb=1000,
        runtime="10m",
    params:
        *[f"code of {stage}: {digest}" for stage, digest in CODE.items()],
    message:
        "Writing digests of the code"
    shell:
        "msdd code 2>&1 | tee -i {log}"
