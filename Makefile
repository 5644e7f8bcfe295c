# Everything is set up here: each target makes .venv with what it needs, pinned by constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := src tests benchmarks examples

# A file's tests in one process share what is made for them; in the order of the files, the longest are not the last.
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder
QUICK := not slow and not data and not libraries and not ray and not browser

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-variants test-parallel test-guides test-arm test-browser test-transformers test-faults test-fuzz test-triton test-data test-libraries test-ray check bench docs sanitize wheel test-wheel clean

help:  ## what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Reformer needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Say: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

needs = "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')"

# One stamp for each set of extras, so that the demo does not wait for the documentation's tools. `dev` has what the
# others have: where it is there, nothing is installed again.
ready = $(or $(wildcard $(VENV)/ready-dev),$(VENV)/ready-$(1))

$(VENV)/ready-%: $(BIN)/python pyproject.toml setup.py constraints.txt $(wildcard src/reformer/ops/*/*.cpp src/reformer/ops/*/*.h)
	@echo "Installing into $(VENV): the kernels are compiled while the packages are fetched, two or three minutes"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt 'setuptools>=77'
	@$(BIN)/python setup.py --quiet build_ext --inplace & kernels=$$!; \
	  $(BIN)/python -c $(needs) | $(BIN)/python -m pip install --constraint constraints.txt --requirement /dev/stdin && \
	  wait $$kernels
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.$(if $(filter-out plain,$*),[$*])'
	@touch $@

demo: $(call ready,plain)  ## train on a newspaper, then label an article that was held out
	$(BIN)/reformer train recipes/people-daily-demo.toml --output runs/demo --overwrite
	$(BIN)/reformer show runs/demo index:people-daily --joined

test: $(call ready,test)  ## the tests, on both cores
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m '$(QUICK)'

test-slow: $(call ready,test)  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

test-variants: $(call ready,test)  ## the contract under each variant of the kernels and on older processors' paths (an hour)
	$(BIN)/python -m tests.variants

test-parallel: $(call ready,test)  ## rows divided between 1, 3 and 4 processes, every head and layer; weights sharded; kills (minutes)
	$(BIN)/python -m pytest -m slow tests/contract/test_sequence_parallel.py tests/training/test_several_processes.py

test-guides: $(call ready,test)  ## the commands of README and guides, word by word (minutes)
	$(BIN)/python -m pytest -m 'slow or not slow' tests/guides

test-arm: $(call ready,test)  ## the kernels for ARM, cross-compiled and run in an emulator, which Debian has (minutes)
	$(BIN)/python -m tests.ops.emulated aarch64

test-browser: $(VENV)/ready-browser  ## the page in Chromium, which Debian has, and clients of others against a server (minutes)
	$(BIN)/python -m pytest -m browser tests/serving/browser

test-transformers: $(call ready,test)  ## transformers' own tests of models, fetched, on every head; further ones of a checkout (an hour)
	$(BIN)/python -m tests.transformers $(if $(TRANSFORMERS_TESTS),--tests $(TRANSFORMERS_TESTS)) -n 2

test-faults: $(call ready,test)  ## kills, disk errors and power failures at every command that writes (minutes)
	$(BIN)/python -m tests.faults --output tests/faults/results.json

test-triton: $(VENV)/ready-test,gpu  ## the GPU's kernels in an interpreter, and compiled for a card, without one
	TRITON_INTERPRET=1 $(BIN)/python -m pytest -n 2 -k triton tests/ops tests/benchmarks
	TRITON_INTERPRET=1 $(BIN)/python -m pytest -n 2 -m '$(QUICK)' tests/contract
	$(BIN)/python -m pytest -n 2 -m slow tests/ops/test_compiled.py

test-data: $(call ready,test)  ## the tests on real data sets, which are fetched
	$(BIN)/python -m pytest -m data

test-libraries: $(VENV)/ready-libraries  ## the models in optuna, sentence-transformers, peft, datasets, lm-eval and captum (minutes)
	$(BIN)/python -m pytest -m libraries tests/libraries

test-ray: $(VENV)/ready-test,ray  ## predictions on Ray: formats, a worker that is killed, a cluster of two (minutes)
	$(BIN)/python -m pytest -m ray tests/ray

test-fuzz: $(call ready,test)  ## 100,000 damaged and hostile inputs of every kind
	$(BIN)/python -m tests.fuzz --inputs 100000

check: $(VENV)/ready-dev docs  ## format, lint, types, those of a user's script too, and the documentation, strictly
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -m slow tests/models/test_user_types.py

bench: $(call ready,bench)  ## time and memory beside the other implementations (minutes)
	$(BIN)/python -m benchmarks.run --quick

docs: $(VENV)/ready-dev  ## the documentation, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

sanitize: $(call ready,test)  ## the compiled kernels under the address, undefined-behaviour and thread sanitizers
	$(BIN)/python -m tests.ops.sanitize

wheel: $(VENV)/ready-wheel  ## a wheel for every Python and a source distribution, into dist/
	rm -rf build/dist && mkdir -p dist
	$(BIN)/python -m build --outdir build/dist .
	cp build/dist/*.tar.gz dist/
	if [ "$$(uname)" = Linux ]; then PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/auditwheel repair --wheel-dir dist build/dist/*.whl; \
	  else cp build/dist/*.whl dist/; fi

test-wheel: wheel  ## the tests on the wheel, in an environment where nothing is compiled
	rm -rf build/wheel-test
	$(PYTHON) -m venv build/wheel-test
	build/wheel-test/bin/python -m pip install --constraint constraints.txt --find-links dist 'reformer-torch[test]'
	build/wheel-test/bin/python -m pytest $(SIDE_BY_SIDE) -m '$(QUICK)'

clean:  ## remove what was made, data sets and runs excepted
	rm -rf $(VENV) site build dist src/*.egg-info
