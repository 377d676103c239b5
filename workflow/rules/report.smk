EVALUATIONS = [Path(job["path"]) for job in ROWS["decodes"].values()]
EVALUATIONS += map(layout.reference, layout.REFERENCES)
TRAININGS = [*ROWS["models"].values(), *ROWS["scales"].values()]


rule table2:
    """Table 2: teachers against one-step students, with quality, passes and speed."""
    input:
        "data/prepared/manifest.json",
        EVALUATIONS,
        map(layout.timing, EVALUATIONS),
    output:
        multiext("reports/table2", ".csv", ".md", ".tex"),
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


rule figures:
    """Originals, teacher and student side by side; the curves of all that was trained."""
    input:
        "data/prepared/manifest.json",
        EVALUATIONS,
        map(layout.samples, EVALUATIONS),
        [f"{job['path']}/curves.jsonl" for job in TRAININGS],
    output:
        "reports/reconstructions.png",
        "reports/curves.png",
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
        "Drawing reconstructions and curves"
    shell:
        "msdd figures 2>&1 | tee -i {log}"
