# make demo: from nothing to reports/. make ablation: all other comparisons as well. make test: the
# test-suite. Each sets up .venv by itself.
PYTHON ?= python3

export PATH := $(CURDIR)/.venv/bin:$(PATH)
MLFLOW := .venv/bin/mlflow ui --backend-store-uri sqlite:///mlflow.db
PIP := .venv/bin/python -m pip --disable-pip-version-check

.PHONY: demo ablation test lint setup clean

demo: setup
	snakemake --cores all
	msdd track
	@echo "Look at reports/table2.md and reports/reconstructions.png. Every run: $(MLFLOW)"

ablation: setup
	msdd params use ablation
	snakemake --cores all
	msdd track
	@echo "Look at reports/ablation.md. Every run: $(MLFLOW)"

test: setup
	pytest

lint: setup
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint

setup: .venv/.ready

# The stamp is written last: a set-up that was interrupted is done again.
.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("msdd needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(PIP) install -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# Only what is made again in minutes. Data, trained models and reports stay;
# `git clean -fdX` removes these as well.
clean:
	rm -rf .venv build smoke msdd.egg-info .pytest_cache .ruff_cache
	find msdd tests -name __pycache__ -prune -exec rm -rf {} +
