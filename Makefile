# Two commands do everything on a fresh machine with Python 3.11 or newer: `make demo`, `make test`.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
EXTRAS := .venv/.extras
CLUSTER := .venv/.cluster
SITE := .venv/.site
RUN := $(BIN)/kdgap
JOBS ?= 2
WORKERS ?= 2
CHROMIUM := chromium chromium-browser google-chrome

.PHONY: help setup demo test suite lint types format test-slow test-cluster test-browser faults fuzz bench docs site pictures clean

help:
	@echo "make demo       set up, then train and judge a study on the digits: 2 minutes"
	@echo "make test       set up, lint, types, tests"
	@echo "make test-slow  longer evidence"
	@echo "make test-browser  every view of the explorer in Chromium, which it installs if it can"
	@echo "make test-cluster  a study on a Ray cluster of which machines die, and in a bucket"
	@echo "make faults     every call to the disk fails once, bit rot, mutants; EVERY=1: all, an hour"
	@echo "make fuzz       every reader of foreign input, coverage-guided: ten minutes"
	@echo "make bench      timings of this machine, side by side"
	@echo "make docs       docs/: analysis.schema.json, glossary.md and methods.md from the code"
	@echo "make site       docs/ and README.md as a site in build/site; a broken link fails"
	@echo "make pictures   the pictures of README.md and docs/, from the demo's study; needs Chromium"
	@echo "make format     put the sources in form"
	@echo "make clean      remove the environment and caches; runs are kept"

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "kdgap needs Python 3.11 or newer; set PYTHON=/path/to/python" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# What tests need besides, and a demo does not: timm, and the tools of ONNX.
$(EXTRAS): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[onnx,timm]'
	@touch $@

demo: $(READY)
	@$(RUN) run configs/studies/demo.yaml --workers $(WORKERS)
	@echo
	@echo "Next:"
	@echo "  $(RUN) explore runs/demo            # the study as a page"
	@echo "  $(RUN) verify runs/demo --rerun 3   # three runs again, bit for bit"
	@echo "  $(RUN) run configs/studies/digits.yaml   # with tuning; more training"

# Types are checked on one core, so beside the tests.
test: lint $(EXTRAS) $(SITE)
	@$(MAKE) --no-print-directory --jobs=2 types suite

# Compiled once here, where PYTHONDONTWRITEBYTECODE would have each process of a test do it.
suite: $(EXTRAS) $(SITE)
	@$(BIN)/python -m compileall -q src
	$(BIN)/pytest -n $(JOBS) --dist worksteal

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(EXTRAS)
	$(BIN)/mypy

$(CLUSTER): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cluster]'
	@touch $@

# Machines and drivers die; KDGAP_KILLS says how often.
test-cluster: $(CLUSTER)
	$(BIN)/pytest -m cluster -s

test-slow: $(EXTRAS)
	$(BIN)/pytest -m slow

test-browser: $(READY)
	@for name in $(CHROMIUM); do command -v $$name >/dev/null && exit 0; done; \
	  as_root=; [ "$$(id -u)" = 0 ] || as_root=sudo; \
	  { command -v apt-get && command -v $${as_root:-apt-get}; } >/dev/null \
	    && $$as_root apt-get update \
	    && $$as_root apt-get install -y --no-install-recommends chromium \
	    || { echo "make test-browser needs Chromium: install the package chromium" >&2; exit 2; }
	$(BIN)/pytest -m browser -n $(JOBS) --dist loadfile

# Of a whole study every EVERY-th call fails, of the other commands every one.
EVERY ?= 10
faults: $(EXTRAS)
	KDGAP_FAULTS_EVERY=$(EVERY) $(BIN)/pytest -m faults -n $(JOBS) --dist worksteal

# Coverage-guided, a minute a reader; needs atheris, which has wheels for Linux alone.
SECONDS ?= 60
fuzz: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	for reader in spec json record safetensors checkpoint zip tar image parquet webdataset; do \
	  $(BIN)/python -m tests.faults.fuzz $$reader $(SECONDS) || exit 1; done

bench: $(READY)
	$(RUN) bench

# What is written from the code: the schema of analysis.json, and the glossary.
docs: $(READY)
	$(BIN)/python -c 'import json; from kdgap.judge.document import json_schema; \
	  print(json.dumps(json_schema(), indent=1, ensure_ascii=False))' > docs/analysis.schema.json
	$(BIN)/python -c 'from kdgap.glossary import as_markdown; print(as_markdown(), end="")' \
	  > docs/glossary.md
	$(BIN)/python -c 'from kdgap.methods.page import as_markdown; print(as_markdown(), end="")' \
	  > docs/methods.md

$(SITE): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

site: $(SITE)
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs build/site
	@echo "Site: build/site/index.html"

# Of what `make demo` leaves, or of another finished study: make pictures STUDY=runs/NAME
STUDY ?= runs/demo
pictures: demo
	$(BIN)/python tools/make_pictures.py $(STUDY)

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
