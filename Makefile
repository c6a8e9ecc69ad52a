# Everything a user runs. `make` alone lists the targets. All state lives under .venv/ and var/.

PYTHON ?= python3
VENV   ?= .venv
# Test processes at once. Each gets whole files, so what a file's tests share is made once; and one thread for
# torch: the tests' networks are so small that more threads wait for one another.
TESTERS ?= 2
BIN    := $(VENV)/bin
PYTEST  = OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n $(TESTERS) --dist loadgroup --no-loadscope-reorder --durations=25
# Two environments in one folder: what a user runs, and with the tools of development on top (`make test`, `make lint`).
USER   := $(VENV)/.ready-user
READY  := $(VENV)/.ready
# Whichever is there already; the smaller one is made if none is.
ANY    := $(if $(wildcard $(READY)),$(READY),$(USER))
# Weights and data of the quickstart come from packages: nothing asks a hub unless an experiment names one.
export MLFLOW_DISABLE_TELEMETRY = true
export DO_NOT_TRACK             = true
export BENTOML_DO_NOT_TRACK     = True
export TOKENIZERS_PARALLELISM  ?= true
# BentoML keeps folders of its own, by default in the user's home.
export BENTOML_HOME            ?= $(CURDIR)/var/bentoml

.DEFAULT_GOAL := help
.PHONY: help install demo browser test test-fast test-integration test-journey lint format train serve monitor load drill benchmark benchmark-training notebooks image image-test ui lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 20

install: $(READY) ## make .venv with every pinned dependency, development included

# $(call fill,LOCK): make the environment and install a lock file into it.
define fill
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] < (3, 14) else f"Python 3.11 to 3.13 is needed, {sys.executable} is {sys.version.split()[0]}: make PYTHON=python3.11 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing requirements/$(1).lock into $(VENV); this takes some minutes."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/$(1).lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
endef

$(USER): requirements/demo.lock pyproject.toml
	$(call fill,demo)
	touch $@

$(READY): requirements/all.lock pyproject.toml
	$(call fill,all)
	touch $(USER) $@

demo: $(ANY) ## the whole circle once: train, register, serve, watch
	$(BIN)/python -m demo

browser: $(READY) ## a browser for the tests of the pages, where there is none
	$(BIN)/python -m tests.support.browser

test: browser ## every test: the three tiers in one session
	$(PYTEST)

test-fast: $(READY) ## the unit tests: none trains a network or starts a server
	$(BIN)/python -m pytest -m "not slow and not journey"

test-integration: browser ## the tests that train a small network, start a server or a browser
	$(PYTEST) -m "slow and not journey"

test-journey: browser ## the tests of whole paths across folders
	$(PYTEST) -m journey

lint: $(READY) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## put imports and lines in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

train: $(ANY) ## train and compare the quickstart candidates
	$(BIN)/python -m training run quickstart

serve: $(ANY) ## serve the champion on http://127.0.0.1:3000, with a process for each two cores (or WORKERS=n)
	$(BIN)/python -m service serve

monitor: $(ANY) ## compare live traffic with the champion's reference, once
	$(BIN)/python -m monitoring check

load: $(READY) ## a minute of mixed load on the service that runs on port 3000
	$(BIN)/python -m load.run

drill: $(READY) ## make faults on purpose and show which promises hold, in about 15 minutes (NAMES="kills stores", SCALE=0.1)
	$(BIN)/python -m drills $(NAMES) $(if $(SCALE),--scale $(SCALE))

benchmark-training: $(READY) ## fine-tuning against the plain way, in turns (TEXTS=train.csv of AG News; else BBC News)
	$(BIN)/python -m benchmarks.training $(if $(TEXTS),--texts $(TEXTS))

benchmark: $(READY) ## the service beside what a user would run instead
	$(BIN)/python -m benchmarks.serving

notebooks: $(READY) ## run the lessons and render them as pages under var/notebooks
	$(BIN)/python -m notebooks

ui: $(ANY) ## MLflow's pages on http://127.0.0.1:5000, with links to the runs of each experiment
	$(BIN)/python -m stores.mlflow_ui

image: ## build the serving image, with its SBOM and known advisories under var/image
	deploy/image build

image-test: $(READY) ## build the serving image, run it as in production, classify over HTTP
	deploy/image test

lock: $(READY) ## make the lock files anew from pyproject.toml
	PATH="$(CURDIR)/$(BIN):$$PATH" requirements/lock.sh

clean: ## remove .venv; var/, with models and predictions, stays
	rm -rf $(VENV)
