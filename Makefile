# `make install` sets everything up in .venv; `make quickstart` trains a model; `make help` lists the rest.
PYTHON ?= python3
ENGINE ?= auto
PENNY = .venv/bin/penny
RECIPES = $(patsubst recipes/%.yaml,%,$(wildcard recipes/*.yaml))
GPU_RECIPES = $(filter-out quickstart,$(RECIPES))
PIPELINES = $(patsubst recipes/pipelines/%.yaml,%,$(wildcard recipes/pipelines/*.yaml))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install quickstart eval gpu-check test check bench smoke report clean $(RECIPES) $(PIPELINES)

help:
	@echo "make install      set up .venv (ENGINE=auto|cpu|cuda|none, VERSIONS=lowest|newest)"
	@echo "make quickstart   train SmolLM2 on a CPU, about five minutes; once more goes on where it stopped"
	@echo "make RECIPE       train a recipe: $(RECIPES)"
	@echo "make PIPELINE     run a ladder of stages, or go on with it: $(PIPELINES)"
	@echo "make eval CKPT=... [BENCH=gsm8k,math500]   measure a model, an adapter, or a run's checkpoint"
	@echo "make gpu-check [ONLY=...]  what works on this machine's GPU, in at most 15 minutes; writes gpu-check.json"
	@echo "make smoke        two steps of every recipe, and every pipeline, on a CPU"
	@echo "make report RUN=runs/...   write the report of a run again"
	@echo "make test | check | clean"
	@echo "make bench [PART=learner]  measure speed, memory and time to quality; all parts, or some"

# pip comes last into a new environment, so one that was cut short is made again.
.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Penny needs Python 3.11 or newer, and $(PYTHON) is not: give another one, as in make install PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv

install: .venv/bin/pip
	@.venv/bin/python rl/base/install.py --engine $(ENGINE)$(if $(VERSIONS), --versions $(VERSIONS))

quickstart: install
	@$(PENNY) train quickstart --continue

# ONLY: checks by name, such as driver,attention.
gpu-check: install
	@$(PENNY) doctor gpu $(if $(ONLY),--only $(ONLY))

$(GPU_RECIPES): install
	@$(PENNY) train $@

$(PIPELINES): install
	@$(PENNY) run $@

# BENCH: benchmarks and suites (`penny benchmarks`); EVAL: any other options of `penny eval`.
BENCH ?= gsm8k
eval: install
	@$(PENNY) eval --model $(if $(CKPT),$(CKPT),$(error say what to measure: make eval CKPT=runs/quickstart-... or CKPT=smollm2)) --benchmark $(BENCH) $(EVAL)

# Pipelines start an engine a stage: transformers starts sooner, and the recipes have vLLM.
smoke: install
	@set -e; for recipe in $(RECIPES); do echo "== $$recipe"; $(PENNY) train $$recipe --smoke; done
	@set -e; for pipeline in $(PIPELINES); do echo "== $$pipeline"; $(PENNY) run $$pipeline --smoke --dir "$$(mktemp -d)/run" \
	  defaults.rollout.engine=transformers; done

test: install
	@.venv/bin/python -m pytest

check: install
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/python -m pytest -q tests/test_imports.py

# PART: some of the parts (`python -m benchmarks --help`); all of them take an hour or two.
bench: install
	@.venv/bin/python -m benchmarks $(PART)

report: install
	@$(PENNY) report $(if $(RUN),$(RUN),$(error say which run: make report RUN=runs/quickstart-...))

# Runs and prepared models are kept.
clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
