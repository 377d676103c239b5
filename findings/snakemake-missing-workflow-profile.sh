#!/usr/bin/env bash
# Expected: `snakemake --workflow-profile cluster`, where there is no such profile, is an error, as
#   `--profile cluster` is: jobs meant for a cluster must not run on the machine that submits.
# Seen: with Snakemake 9.27.1 it says nothing and goes on without the profile: all jobs run here.
#   `parse_args` of snakemake/cli.py looks for the profile among candidates, and takes it for not
#   given if none exists.
# Packages: snakemake 9.27.1, Python 3.11. 2026-11-28.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip --quiet --disable-pip-version-check install snakemake==9.27.1
cat > Snakefile <<'SMK'
rule all:
    output: "made.txt"
    shell: "echo ran here > {output}"
SMK
mkdir -p profiles/slurm
echo "executor: slurm" > profiles/slurm/profile.yaml
venv/bin/snakemake --version
echo "--profile profiles/slrum:"
venv/bin/snakemake --profile profiles/slrum --cores 1 2>&1 | grep -v "^$" | tail -1 || true
echo "--workflow-profile profiles/slrum:"
venv/bin/snakemake --workflow-profile profiles/slrum --cores 1 > told 2>&1 \
  || { echo "changed: it is refused"; exit 1; }
! grep -v "Command: " told | grep "slrum" || { echo "changed: the profile is named"; exit 1; }
echo "exit 0, no word beyond the echoed command; made.txt says: $(cat made.txt)"
