# make imdb   fine-tunes on IMDB in a few minutes and exports a model that reads text
# make test   runs the tests, all but the slowest
# Both set up what they need first, and only once.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup imdb test slow lint check bench lock clean

help: ## Show this list.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | awk -F'|' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(READY) ## Make the virtual environment: locked packages and the default encoder.

$(READY): requirements.lock encoder.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "kerasft needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r encoder.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

imdb: $(READY) ## Fine-tune on IMDB with the recipe imdb_quick; export to saved_models/imdb/.
	$(BIN)/python -m kerasft.pipelines.imdb --recipe imdb_quick

test: $(READY) ## Run the tests, but for those marked slow.
	$(BIN)/python -m pytest --numprocesses 3 --dist worksteal -m "not slow"

slow: $(READY) ## Run the tests marked slow: runs that are interrupted, spread over processes, searched.
	$(BIN)/python -m pytest --numprocesses 2 -m slow

lint: $(READY) ## Check style and formatting.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check: lint test slow ## Lint, then all tests.

bench: $(READY) ## Measure speed, PEER=python beside Hugging Face's; keep the machine quiet.
	$(BIN)/python tests/benchmarks/table.py $(if $(PEER),--peer-python $(PEER))

lock: $(READY) ## Resolve requirements.lock anew from pyproject.toml (needs uv).
	uv pip compile --quiet --universal --python-version 3.11 --group dev pyproject.toml \
	  --constraint lock-constraints.txt --no-header --no-annotate --generate-hashes \
	  --upgrade --output-file requirements.lock

clean: ## Remove the virtual environment and caches; runs/ and saved_models/ stay.
	rm -rf $(VENV) .ruff_cache .hypothesis dist build
