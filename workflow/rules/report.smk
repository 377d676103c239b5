EVALUATIONS = [Path(job["path"]) for job in ROWS["decodes"].values()]
BASELINES = [layout.baseline(name) for name in sections.BASELINES]
ELSEWHERE = [Path(job["path"]) for job in ROWS["elsewhere"].values()]
MEASURED = [*BASELINES, *EVALUATIONS, *ELSEWHERE]
DECODED = sorted(
    {
        f"{job['of']}/{file}"
        for job in ROWS["decodes"].values()
        for file in layout.MODEL_FILES
    }
)
TIMINGS = [layout.throughput(), *map(layout.timing, MEASURED)]
# What the user has measured of other systems.
OTHERS = sorted(layout.systems().glob("*"))
TRAININGS = [
    job for table in ("models", "scales", "chains") for job in ROWS[table].values()
]


rule table1:
    """Table 1: tokenizers, the papers' own figures apart from what was measured here."""
    input:
        "data/prepared/manifest.json",
        from_here(CHECKOUT / "reports/published.yaml"),
        OTHERS,
        MEASURED,
        TIMINGS,
    output:
        table("reports/table1", "Table 1: tokenizers"),
        multiext("reports/table1", ".md", ".tex"),
        "provenance/reports/table1.json",
    log:
        "logs/table1/table1.log",
    benchmark:
        "benchmarks/table1/table1.tsv"
    resources:
        mem_mb=1000,
        runtime="10m",
    params:
        *tracked_by("table1"),
    message:
        "Writing table 1"
    shell:
        "msdd table1 2>&1 | tee -i {log}"


rule table2:
    """Table 2: teachers against one-step students, with quality, passes and speed."""
    input:
        "data/prepared/manifest.json",
        MEASURED,
        TIMINGS,
    output:
        table("reports/table2", "Table 2: teachers and students"),
        multiext("reports/table2", ".md", ".tex"),
        "reports/numbers.tex",
        "provenance/reports/table2.json",
    log:
        "logs/table2/table2.log",
    benchmark:
        "benchmarks/table2/table2.tsv"
    resources:
        mem_mb=1000,
        runtime="10m",
    params:
        *tracked_by("table2"),
    message:
        "Writing table 2"
    shell:
        "msdd table2 2>&1 | tee -i {log}"


rule ablation:
    """One comparison a row, paired per image, with the direction that theory expects."""
    input:
        "data/prepared/manifest.json",
        MEASURED,
    output:
        table("reports/ablation", "Ablations"),
        multiext("reports/ablation", ".md", ".tex"),
        "reports/numbers_ablation.tex",
        "provenance/reports/ablation.json",
    log:
        "logs/ablation/ablation.log",
    benchmark:
        "benchmarks/ablation/ablation.tsv"
    resources:
        mem_mb=1000,
        runtime="10m",
    params:
        *tracked_by("ablation"),
    message:
        "Writing the ablation"
    shell:
        "msdd ablation 2>&1 | tee -i {log}"


rule figures:
    """Reconstructions, the coarse-to-fine pyramid, quality against speed, training curves."""
    input:
        "data/prepared/manifest.json",
        MEASURED,
        TIMINGS,
        [layout.samples(path) for path in MEASURED],
        [layout.pyramid(path) for path in EVALUATIONS],
        [f"{job['path']}/curves.csv" for job in TRAININGS],
    output:
        figure("reports/reconstructions", "Reconstructions"),
        figure("reports/pyramid", "From coarse to fine"),
        figure("reports/quality_speed", "Quality against speed"),
        figure("reports/curves", "Training curves"),
        "provenance/reports/figures.json",
    log:
        "logs/figures/figures.log",
    benchmark:
        "benchmarks/figures/figures.tsv"
    resources:
        mem_mb=1000,
        runtime="10m",
    params:
        *tracked_by("figures"),
    message:
        "Drawing figures"
    shell:
        "msdd figures 2>&1 | tee -i {log}"


rule speed:
    """What was timed, as a table and a figure."""
    input:
        "reports/throughput.json",
    output:
        table("reports/throughput", "Throughput"),
        figure("reports/throughput", "Throughput"),
        multiext("reports/throughput", ".md", ".tex"),
        "provenance/reports/speed.json",
    log:
        "logs/speed/speed.log",
    benchmark:
        "benchmarks/speed/speed.tsv"
    resources:
        mem_mb=1000,
        runtime="10m",
    params:
        *tracked_by("speed"),
    message:
        "Writing the table and the figure of throughput"
    shell:
        "msdd speed 2>&1 | tee -i {log}"


rule report:
    """All results as one page that loads nothing else."""
    input:
        "data/prepared/manifest.json",
        from_here(CHECKOUT / "reports/published.yaml"),
        OTHERS,
        MEASURED,
        TIMINGS,
        [layout.samples(path) for path in MEASURED],
        [layout.extremes(path) for path in MEASURED],
        [layout.pyramid(path) for path in EVALUATIONS],
        [f"{job['path']}/curves.csv" for job in TRAININGS],
    output:
        in_report("reports/report", "All results", "Page", {".html": "page"}),
        "provenance/reports/report.json",
    log:
        "logs/report/report.log",
    benchmark:
        "benchmarks/report/report.tsv"
    resources:
        mem_mb=1000,
        runtime="10m",
    params:
        *tracked_by("report"),
    message:
        "Writing the page of all results"
    shell:
        "msdd report 2>&1 | tee -i {log}"
