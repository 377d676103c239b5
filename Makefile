# make demo: from nothing to reports/. make ablation: all other comparisons as well. make ssdd: SSDD
# and its cross with scales. make test: the test-suite. Each sets up .venv by itself. Runs that no
# server takes now wait for the next `msdd track`; make goes on. make test-slow: the tests that take
# minutes or servers. make test-newest: all tests without the lock, in .venv-newest.
# make mlflow: MLflow's page at the comparison of all decodes, until Ctrl-C.
# make repro, pull, push: the same pipeline by DVC, and its results from and to a remote. make commit:
# what Snakemake has made is done for DVC.
# make docs: all pages and a reference of the code, into site/.
# make plan: what would run, and why; with ENGINE=dvc, by DVC. Runs nothing.
# make table1-speed: all systems at published size, in one run; on a CPU an hour. SYSTEMS="student
# titok-s-128" for some; PRECISION=bf16 on GPUs and on processors with AMX; BATCHES="1 16 64".
# make cpu-check: the published student by torch, onnxruntime and OpenVINO, and decoders of
# convolutions, in turns, in about 13 minutes and 20 GB; needs `pip install -e ".[runtimes]"`.
# make gpu-check: card, decoders and training pace on one GPU, in at most 8 minutes.
PYTHON ?= python3

export PATH := $(CURDIR)/.venv/bin:$(PATH)
PIP := .venv/bin/python -m pip --disable-pip-version-check

ENGINE ?= snakemake
SYSTEMS ?= student teacher one-scale-teacher teacher-each-scale llamagen-16 titok-s-128 cosmos-di16x16 sd-vae-ft-mse ssdd-f16c4-m flowmo-lo dito-xl
PRECISION ?= fp32
BATCHES ?= 1
SEED ?= 0

.PHONY: chaos power-cuts docs demo mlflow ablation ssdd table1-speed cpu-check gpu-check plan repro commit pull push known test test-slow test-newest test-slurm lint fuzz setup clean

demo: setup
	snakemake --cores all
	-msdd track
	@echo "Open reports/report.html in a browser. All runs side by side in MLflow: make mlflow"

ablation: setup
	msdd params use ablation
	snakemake --cores all
	-msdd track
	@echo "Look at reports/ablation.md. All runs side by side: make mlflow"

ssdd: setup
	msdd params use ssdd
	snakemake --cores all
	-msdd track
	@echo "Look at reports/table2.md and reports/ablation.md. All runs side by side: make mlflow"

mlflow: setup
	msdd mlflow

table1-speed: setup
	mkdir -p reports/systems
	msdd throughput --preset imagenet256 --random --systems $(SYSTEMS) --batches $(BATCHES) --regions decode encode \
	  --variants fast --precision $(PRECISION) --repeats 1 --threads $(shell nproc) \
	  --json reports/systems/throughput.json

CONVOLUTIONS ?= benchmarks/convolutional_decoder.py:decoder taef2
RUNTIMES ?= onnxruntime-int8 openvino-bf16 openvino-int8
REPEATS ?= 5

cpu-check: setup
	msdd throughput --preset imagenet256 --random --systems student $(CONVOLUTIONS) --batches 1 --regions decode \
	  --variants plain fast $(RUNTIMES) --precision $(PRECISION) --repeats $(REPEATS) --threads $(shell nproc) \
	  --json reports/measured/cpu-runtimes.json

gpu-check: setup
	benchmarks/gpu_check.sh $(CONVOLUTIONS)

plan: setup
ifeq ($(ENGINE),snakemake)
	snakemake -n
else ifeq ($(ENGINE),dvc)
	@msdd params expand
	msdd plan
else
	@echo "make: ENGINE=$(ENGINE): there are snakemake and dvc"; exit 1
endif

repro: setup
	msdd params expand
	dvc repro
	@$(MAKE) --no-print-directory known

commit: setup
	msdd params expand
	dvc commit -f
	@$(MAKE) --no-print-directory known

pull: setup
	msdd params expand
	dvc pull
	@$(MAKE) --no-print-directory known

push: setup
	dvc push

# Snakemake has no records of what DVC has brought; without them it sees no changed parameter. DVC
# also makes files newer than what was made from them, and Snakemake then repeats that. It may only
# take for done what DVC finds done. The stage `code` runs each time, as it looks for photographs.
known:
	@test "$$(dvc status --json)" = '{"code": ["always changed"]}' || { echo "make: dvc status shows what is not done yet; Snakemake was told nothing"; exit 1; }
	snakemake --quiet all --touch -F --cores 1

# The files of tests are dealt to a process a core and one more, as tests wait for other programs.
# By hand, `pytest tests/x` runs in one process. The tests marked `slow` take minutes each, or servers
# and browsers that want a quiet machine: a quarter of an hour on one core.
test: setup
	pytest --numprocesses $$(($$(nproc) + 1)) --maxprocesses 4 --no-loadscope-reorder -m "not slow"

test-slow: setup
	pytest --numprocesses $$(nproc) --maxprocesses 4 --no-loadscope-reorder -m slow

# 100 SIGKILLs of real runs, all over the pipeline, into .chaos, where it goes on if it is stopped: an
# hour on two cores. And power cuts on a real file system, which needs Linux and root.
chaos: setup
	python tests/workflow/chaos.py .chaos --seed $(SEED)

power-cuts: setup
	python tests/workflow/power_cuts.py .chaos --seed $(SEED)

# The suite with the newest versions that pyproject.toml admits, in an environment of its own, made
# anew each time: what will break when the lock moves. By uv, which finds versions that fit together
# in two minutes where pip takes more than fifteen.
test-newest:
	$(PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/python -m pip --disable-pip-version-check install uv
	.venv-newest/bin/uv pip install --python .venv-newest/bin/python -e ".[dev,faces]"
	.venv-newest/bin/uv pip freeze --python .venv-newest/bin/python > .venv-newest/versions.txt
	PATH="$(CURDIR)/.venv-newest/bin:$$PATH" .venv-newest/bin/python -m pytest --numprocesses auto --maxprocesses 4 --no-loadscope-reorder

# A real SLURM of five nodes on this machine, for the time of the test; Debian, root and
# `apt-get install slurm-wlm munge`. The executors are in an environment of their own over .venv.
test-slurm: .venv-cluster/.ready
	tests/workflow/slurm.sh .venv-cluster/bin/python -m pytest tests/workflow/test_slurm.py

.venv-cluster/.ready: .venv/.ready
	$(PYTHON) -m venv --clear .venv-cluster
	.venv/bin/python -c 'import site; print(site.getsitepackages()[0])' > $$(.venv-cluster/bin/python -c 'import site; print(site.getsitepackages()[0])')/venv.pth
	.venv-cluster/bin/python -m pip --disable-pip-version-check install -c requirements.lock -e ".[cluster]"
	@touch $@

lint: setup
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint
	mypy
	lint-imports --no-cache
	python benchmarks/audit.py

# Changed images, archives, params, checkpoints and records, read as msdd reads them; 75,000 inputs
# in some hours on one core. A second call goes on. FUZZ="images tars" for some targets.
fuzz: setup
	python benchmarks/fuzz.py $(FUZZ)

# Broken links, anchors and references end it. The site loads nothing from the network.
docs: setup
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet
	@echo "Open site/index.html"

setup: .venv/.ready

# The stamp is written last: a set-up that was interrupted is done again. Packages are compiled on all
# cores, where pip takes one; some hold templates that are no Python.
.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("msdd needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(PIP) install --no-compile -r requirements.lock
	.venv/bin/python -m compileall -qq -j 0 .venv/lib || true
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# Only what is made again in minutes. Data, trained models and reports stay;
# `git clean -fdX` removes these as well.
clean:
	rm -rf .venv .venv-newest .venv-cluster build site smoke msdd.egg-info .pytest_cache .ruff_cache .mypy_cache
	find msdd tests -name __pycache__ -prune -exec rm -rf {} +
