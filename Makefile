# Two commands on a fresh machine: `make demo` runs the whole chain, `make test` passes the tests.
# Both make .venv on first use. PYTHON chooses the interpreter, ARGS goes to the command: make test ARGS="-k codes"

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
OLDEST := .venv-oldest
ROOMS := pairgen hashing cli

# Python 3.10 to 3.12 by preference: the open3d for newer ones needs system packages (see README)
PYTHON ?= $(shell for name in python3 python3.12 python3.11 python3.10; do \
	$$name -c 'import sys, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1 \
	&& echo $$name && break; done)

.PHONY: help demo test test-slow test-oldest mutants fuzz lint types check format docs wheel clean distclean

help:
	@echo "make demo       render demo photos and run the whole chain on them"
	@echo "make test       the tests (a few minutes); make test-slow: the longer ones"
	@echo "make test-oldest: some of them with the oldest versions of all packages; make mutants: errors that tests must notice"
	@echo "make mutants    whether the tests fail where the code is made wrong (five minutes)"
	@echo "make fuzz       2,000 bad inputs of each kind; make fuzz FUZZ=500 SEED=7: fewer, others"
	@echo "make check      test, lint and types"
	@echo "make format     let ruff format and mend what it can"
	@echo "make docs       write docs/commands.md, docs/methods.md, docs/benchmarks.md and the tables of docs/results/ again"
	@echo "make wheel      a wheel in dist/"
	@echo "make clean      remove build products; make distclean: and .venv"

demo: $(STAMP)
	$(BIN)/hashpipe demo $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest $(ARGS)

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow $(ARGS)

# the tests that depend on versions most, with the oldest versions that pyproject.toml allows
test-oldest: $(OLDEST)/.installed
	$(OLDEST)/bin/python -m pytest tests/common tests/hashing/baselines tests/hashing/codes tests/hashing/data \
		tests/hashing/metrics tests/hashing/models tests/hashing/search/test_index.py tests/hashing/training/objectives \
		tests/hashing/training/test_loop.py tests/hashing/training/test_neighbours_large.py tests/pairgen/colmap \
		tests/pairgen/pairs tests/pairgen/photos $(ARGS)

$(OLDEST)/.installed: pyproject.toml .ci/oldest.txt
	@test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	@$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -c .ci/oldest.txt -e . pytest pytest-timeout
	@touch $@

mutants: $(STAMP)
	$(BIN)/python benchmarks/mutants.py $(ARGS)

# photos, tables, codes, texts and requests that are damaged; prints how many of each kind were tried
FUZZ ?= 2000
SEED ?= 0
fuzz: $(STAMP)
	HASHPIPE_FUZZ=$(FUZZ) HASHPIPE_FUZZ_SEED=$(SEED) $(BIN)/python -m pytest --timeout=0 tests/fuzz $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy does not follow setuptools' package-dir, so it gets a tree in which the rooms lie under hashpipe/
types: $(STAMP)
	@mkdir -p build/mypy/hashpipe
	@for part in __init__.py common; do ln -sfn ../../../hashpipe/$$part build/mypy/hashpipe/$$part; done
	@for room in $(ROOMS); do ln -sfn ../../../$$room build/mypy/hashpipe/$$room; done
	MYPYPATH=build/mypy $(BIN)/mypy -p hashpipe

check: test lint types

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)
	$(BIN)/python docs/commands.py
	$(BIN)/python docs/methods.py
	$(BIN)/python docs/results.py
	$(BIN)/python docs/readme.py
	$(BIN)/python docs/notebook.py
	$(BIN)/python docs/photos.py
	$(BIN)/python -m hashpipe.hashing.benchmarks.catalogue > docs/benchmarks.md

wheel: $(STAMP)
	$(BIN)/python -m build --wheel

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find hashpipe $(ROOMS) tests docs data_manifests -name __pycache__ -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) $(OLDEST)

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.10 to 3.12 with venv found. Debian, Ubuntu: sudo apt-get install -y python3 python3-venv. Others: make PYTHON=/path/to/python"; exit 1; }
	@test -x $(BIN)/python || { echo "Making .venv, once: about 2 minutes and 8 GB"; $(PYTHON) -m venv $(VENV); }
	@$(BIN)/python -m pip uninstall --quiet --yes hashpipe 2>/dev/null || true  # its name until 0.1
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,dev]'
	@touch $@
