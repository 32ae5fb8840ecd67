# study, test, lab, lint and bench each create the environment they need. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CORES ?= $(shell $(PYTHON) -c 'import os; print(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())')

PROFILE ?= demo
DATA ?= procedural
DATA_ROOT ?=
ENV := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help study pdf test test-fuzz test-faults test-slurm lab lint bench lock clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

$(ENV): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or later is needed, {sys.executable} is {sys.version.split()[0]}; name another with PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

study: $(ENV)  ## run the study: PROFILE=demo|extended|paper DATA=procedural|coco DATA_ROOT=folder CORES=n
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pctlib study run --profile $(PROFILE) --data $(DATA) \
		--data-root "$(DATA_ROOT)" --cores $(CORES)

pdf: $(ENV)  ## print the report of a study that has run to one PDF (needs Chromium or Chrome)
	@$(BIN)/python -m pctlib study pdf --profile $(PROFILE) --data $(DATA) --data-root "$(DATA_ROOT)"

test: $(ENV)  ## run all tests (ARGS="-k tokenizer" for some)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(CORES) --dist loadfile $(ARGS)

test-fuzz: $(ENV)  ## read thousands of damaged files of every format (ARGS="--seeds 100 h36m" for some)
	OMP_NUM_THREADS=1 PYTHONPATH=tests $(BIN)/python -m faults.fuzz $(ARGS)

test-faults: $(ENV)  ## kill the smoke study twenty times, damage its files, fill its disk, and compare (minutes)
	PYTHONPATH=tests $(BIN)/python -m faults.kills $(ARGS)

test-slurm: $(ENV)  ## run the smoke study on a Slurm of one node, brought up for it (minutes; skipped without)
	PATH="$(abspath $(BIN)):$$PATH" tests/faults/slurm.sh $(ARGS)

# Outputs of notebooks stay out of git's diffs: a filter of this checkout alone. As root, in containers, Jupyter
# wants to be told; it listens on this machine only, unless ARGS says otherwise.
lab: $(ENV)  ## open JupyterLab on the notebooks (ARGS="--no-browser --port 9999" for its options)
	-@git rev-parse --git-dir >/dev/null 2>&1 && $(abspath $(BIN))/nbstripout --install --attributes "$$(git rev-parse --git-path info/attributes)" \
		&& git config filter.nbstripout.required false  # git works on without this environment
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/jupyter lab --ip=127.0.0.1 $(if $(filter 0,$(shell id -u)),--allow-root) \
		--LabApp.default_url=/lab/tree/notebooks/00_data.ipynb $(ARGS)

lint: $(ENV)  ## check style, spelling and that notebooks hold no outputs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/snakefmt --check workflow/Snakefile
	$(BIN)/nbstripout --verify notebooks/*.ipynb

bench: $(ENV)  ## measure speed, each row as a ratio to a plain reference in the same run
	$(BIN)/python -m benchmarks.run

lock: $(ENV)  ## resolve the newest versions again (needs uv)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra study --extra dev --universal --python-version 3.11 \
		--no-header --annotation-style line --upgrade --quiet -o requirements.lock

clean:  ## delete the environment and what the study made (never data/)
	rm -rf $(VENV) reports/*/ .snakemake
