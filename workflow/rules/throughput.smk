rule throughput:
    """Time decodes against each other, in turns, when nothing else runs on the machine."""
    input:
        "data/prepared/manifest.json",
        MEASURED,
        DECODED,
    output:
        "reports/throughput.json",
        "provenance/reports/throughput.json",
    log:
        "logs/throughput/throughput.log",
    benchmark:
        "benchmarks/throughput/throughput.tsv"
    priority: 1
    # Locally all cores, so that no other job disturbs; on a cluster those that it computes with, also
    # in the job's own process, which is told to use all cores of its node.
    threads: (LOCAL and workflow.resource_settings.cores) or PARAMS.cpu_threads
    resources:
        gpu=1,
        mem_mb=16000,
        runtime="6h",
    params:
        *tracked_by("throughput"),
    message:
        "Timing decodes against each other"
    shell:
        "MSDD_GPUS={resources.gpu} msdd throughput 2>&1 | tee -i {log}"
