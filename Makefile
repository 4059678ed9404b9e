# make demo   set up and run the whole loop        make test   set up and pass the tests
# make check  ruff, mypy, import-linter            make help   every target
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c requirements.lock
TORCH  := torch==2.13.0
SETUP  := deploy/setup/mend_torchvision.py deploy/setup/torchvision_cpu_operators.py
DEMO   := train,flows,serve,monitor,checks,samples

# a first import of the stack without cached bytecode takes a minute more
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-quick check format lock clean

help:  ## show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	@# torch comes by pip, which also takes a wheel from a local folder (find-links); uv does not
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock $(TORCH) uv

$(VENV)/.demo: pyproject.toml requirements.lock $(SETUP) | $(BIN)/uv
	$(UV) -e '.[$(DEMO)]'
	$(BIN)/python deploy/setup/mend_torchvision.py
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(UV) -e '.[$(DEMO),dask,dev]'
	@touch $@

setup: $(VENV)/.dev  ## make .venv with everything that demo, tests and checks need

demo: $(VENV)/.demo  ## run the whole loop on real mammograms and phantoms (at most 10 minutes)
	$(BIN)/mammo demo

test: $(VENV)/.dev  ## pass all tests (at most 10 minutes)
	$(BIN)/python -m pytest

test-quick: $(VENV)/.dev  ## the tests that need no running stack (under a minute)
	$(BIN)/python -m pytest -m "not stack"

check: $(VENV)/.dev  ## ruff, mypy (strict in mammo/), import-linter: what CI runs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: | $(BIN)/uv  ## resolve every extra again into requirements.lock
	$(BIN)/uv pip compile pyproject.toml --all-extras --python $(BIN)/python --no-annotate \
		--custom-compile-command "make lock" --quiet -o requirements.lock

clean:  ## remove the virtual environment and the demo's runs
	rm -rf $(VENV) runs
