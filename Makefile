# Two commands on a fresh machine: `make demo` runs the main job, `make test` passes the tests.
# Another interpreter: make demo PYTHON=python3.12

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Installed first and exactly: whichever build of it is already in .venv (CPU, CUDA) stays.
TORCH  := torch==2.13.0
OPENI  ?= indiana_reports.csv
CHEXPERT ?= chexpert_findings_labels.csv
RUNS   ?= runs

.PHONY: help setup demo demo-hospital demo-review test check format mini openi bench bench-startup bench-draft bench-data bench-train bench-mini bench-dev-split bench-label bench-check bench-serve bench-vote bench-soak clean

help:  ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

$(VENV)/.core: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet $(TORCH)
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/.serve: pyproject.toml | $(VENV)/.core
	$(BIN)/pip install --quiet --editable '.[serve,interfaces]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.core
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@

setup: $(VENV)/.core  ## Install radllama into .venv

demo: $(VENV)/.core  ## Tune and score the embedded model on the sample hospital (about 6 minutes)
	$(BIN)/python scripts/demo.py --out demo

demo-hospital: $(VENV)/.serve  ## Rehearse: a RIS, a reader, feedback, tuning, a swap under traffic (about 6 minutes)
	$(BIN)/python scripts/demo_hospital.py --out demo-hospital

demo-review: $(VENV)/.dev  ## A blinded study with simulated raters at the real web app, analysed (about 2 minutes)
	$(BIN)/python scripts/demo_review.py --out demo-review $(if $(IMAGES),--images $(IMAGES))

test: $(VENV)/.dev  ## Run the tests
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2

check: $(VENV)/.dev  ## Lint, formatting and strict types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev  ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

mini: $(VENV)/.core  ## Train the embedded model anew: make mini OPENI=reports.csv
	$(BIN)/radllama data build --source openi --path $(OPENI) --split impressiongpt --out $(RUNS)/openi
	$(BIN)/radllama train recipes/mini.yaml --data $(RUNS)/openi --out $(RUNS)/mini --resume
	$(BIN)/python scripts/ship_mini.py --run $(RUNS)/mini --data $(RUNS)/openi

openi: $(VENV)/.core  ## OpenI's whole table, from the raw collection: make openi OPENI=reports.csv
	$(BIN)/python bench/openi.py --openi $(OPENI) --out $(RUNS)/openi-table

bench: bench-startup bench-draft bench-data  ## Run the benchmarks that need no data

bench-startup: $(VENV)/.core  ## Time `radllama --help`, and the first draft from a cold start
	$(BIN)/python bench/startup.py

bench-draft: $(VENV)/.core  ## Drafts per second against transformers' generate; with OPENI=... on real reports
	$(BIN)/python bench/draft.py $(if $(filter command line,$(origin OPENI)),--openi $(OPENI))

bench-data: $(VENV)/.core  ## Time reading, splitting and building on generated reports
	$(BIN)/python bench/data.py

bench-train: $(VENV)/.dev  ## Time training against TRL and transformers (10 minutes on two quiet cores, 25 in float32)
	$(BIN)/pip install --quiet --editable '.[bench]'
	$(BIN)/python bench/train.py

.PHONY: bench-plan
bench-plan: $(VENV)/.core  ## Hold the expected peak memory against the measured one (about 5 minutes)
	$(BIN)/python bench/plan.py

bench-mini: $(VENV)/.core  ## Score the embedded model on OpenI's development split: make bench-mini OPENI=...
	$(BIN)/python bench/mini.py --openi $(OPENI)

bench-dev-split: $(VENV)/.core  ## Show how the development split's seed was chosen: make bench-dev-split OPENI=...
	$(BIN)/python bench/dev_split.py --openi $(OPENI)

bench-label: $(VENV)/.core  ## Hold our labels against CheXpert's: make bench-label OPENI=... CHEXPERT=labels.csv
	$(BIN)/python bench/label.py --openi $(OPENI) --chexpert $(CHEXPERT)

bench-check: $(VENV)/.core  ## Count the faults the checks find in corrupted impressions: make bench-check OPENI=...
	$(BIN)/python bench/check.py --openi $(OPENI)

bench-serve: $(VENV)/.dev  ## Load the server beside `transformers serve` (about 3 minutes)
	$(BIN)/python bench/serve.py

bench-vote: $(VENV)/.core  ## Time drafts by how they are made: likeliest words, samples, samples and a library
	$(BIN)/python bench/vote.py

bench-soak: $(VENV)/.core  ## Ten minutes of mixed traffic while workers are killed: what is lost, what grows
	$(BIN)/python bench/soak.py

clean:  ## Remove the environment and everything made
	rm -rf $(VENV) demo demo-hospital demo-review $(RUNS) build dist
