# Everything starts from Python 3.11+ and make: `make demo` runs the main job, `make test` passes the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DASHBOARD ?= 1
WORKSPACE ?= workspace
# Tests on both cores; one thread each, so that they do not fight.
WORKERS ?= 2
QUICK := not system and not slow

.DEFAULT_GOAL := help
.PHONY: help install demo dashboard test lint types safety check sbom reference accept clean

help:
	@echo "make demo       run the main job on phantoms and open the dashboard (DASHBOARD=0 stops before it)"
	@echo "make dashboard  open the dashboard on $(WORKSPACE)"
	@echo "make test       every test that needs Python and make alone"
	@echo "make check      lint, types, floors and a search for unsafe calls"
	@echo "make sbom       software bill of materials of the environment (CycloneDX), as sbom.json"
	@echo "make reference  the API reference from the docstrings, as pages in build/reference"
	@echo "make accept     reproduce the long figures of docs/"
	@echo "make clean      delete the environment and what tools left; never a workspace"

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Osler needs Python 3.11 or newer; name one with PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo,dev]'
	@touch $@

install: $(VENV)/installed

demo: install
	$(BIN)/osler demo --workspace $(WORKSPACE)
ifneq ($(DASHBOARD),0)
	$(BIN)/osler dashboard --workspace $(WORKSPACE)
endif

dashboard: install
	$(BIN)/osler dashboard --workspace $(WORKSPACE)

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "$(QUICK)" --name-left-out
	@echo "What was left out needs programs or time; .ci/run runs it all."

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

# What is shipped; `tests/test_safety.py` holds the rules of our own.
safety: install
	$(BIN)/bandit --quiet --recursive --severity-level medium platform knowledge data_contracts training/osler_training dashboard

check: lint types safety
	$(BIN)/lint-imports

sbom: install
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --validate --output-file sbom.json $(BIN)/python

reference: install
	$(BIN)/python docs/reference/build.py

accept: install
	$(BIN)/osler sweep --out workspaces/sweep --renders workspaces/renders --resume
	$(BIN)/osler sweep --recipe sweep_imagenet --out workspaces/sweep_imagenet --renders workspaces/renders --resume

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
