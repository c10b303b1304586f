# Each target but clean makes .venv and installs into it first when that is needed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test check ui bench browser golden clean

demo: $(INSTALLED)  ## prune real handwritten digits by four recipes
	$(BIN)/espalier demo

ui: $(INSTALLED)  ## the Dagster page on http://127.0.0.1:3000
	$(BIN)/espalier ui

test: $(INSTALLED)  ## all tests but the browser's
	$(BIN)/python -m pytest -m "not browser" -n 2 --dist loadfile

browser: $(INSTALLED)  ## tests that drive the page; they need Chromium
	$(BIN)/python -m pytest -m browser

check: $(INSTALLED)  ## style, types and the floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED)  ## every benchmark that needs no data of its own
	$(BIN)/python benchmarks/run_all.py

golden: $(INSTALLED)  ## write the golden files anew
	ESPALIER_GOLDEN=write $(BIN)/python -m pytest tests/golden

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Espalier needs Python 3.11 or newer; say which: make PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:  ## remove the environment and the caches, never .espalier
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
