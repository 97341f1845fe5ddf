# Each target sets up what it needs: a virtual environment in .venv with the package and its tools.
#   make demo    watch a quantized network learn in kilobytes
#   make test    prove it
#   make lint    ruff, mypy, C with gcc and clang and all warnings, clang-format: compilers and formatter where they are installed
#   make fuzz    the serial link under libFuzzer for FUZZ_SECONDS (600)
#   make bench   the figures of the README (some need the shared data, see benchmarks/)
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml CMakeLists.txt $(shell find csrc runtime firmware python -name '*.[ch]' -o -name '*.cpp' -o -name '*.def' -o -name '*.py' -o -name '*.npz' -o -name '*.toml' -o -name '*.ld' 2>/dev/null)

.PHONY: demo test torch lint format fuzz power-cut bench clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# the package with what the demo needs; again whenever a source is newer
$(VENV)/demo.stamp: $(BIN)/python $(SOURCES)
	$(BIN)/pip install --quiet --disable-pip-version-check '.[demo]'
	touch $@

# the tools, once; and the C core beside the sources, for tests that run from the tree
$(VENV)/dev.stamp: $(BIN)/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check '.[dev]' cmake ninja pybind11 scikit-build-core
	touch $@

demo: $(VENV)/demo.stamp
	mkdir -p out
	$(BIN)/kilograd demo --map out/memory-map.svg

test: $(VENV)/dev.stamp
	PATH="$(abspath $(BIN)):$$PATH" sh scripts/dev_build.sh $(abspath $(BIN))/python
	$(BIN)/python -m pytest

# PyTorch (about 1 GB installed), beside which `make test` runs the tests of the PyTorch frontend too; without it they are skipped and say so
TORCH ?= torch==2.13.*
torch: $(VENV)/torch.stamp
$(VENV)/torch.stamp: $(VENV)/dev.stamp
	$(BIN)/pip install --quiet --disable-pip-version-check '$(TORCH)'
	touch $@

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check python tests benchmarks scripts
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/mypy
	sh scripts/lint_c.sh
	@if command -v clang-format >/dev/null; then \
	  find csrc runtime firmware -name '*.[ch]' | xargs clang-format --dry-run --Werror; \
	else echo 'lint: clang-format is not installed, C formatting not checked'; fi

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix python tests benchmarks scripts
	find csrc runtime firmware -name '*.[ch]' | xargs clang-format -i

# longer than in the tests; needs clang with its runtime libraries (libclang-rt-*-dev)
FUZZ_SECONDS ?= 600
fuzz: $(VENV)/dev.stamp
	PATH="$(abspath $(BIN)):$$PATH" sh scripts/dev_build.sh $(abspath $(BIN))/python
	KILOGRAD_FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m pytest -rs tests/link/test_noise.py -k fuzz

# the tests that cut the power, alone and with their counts: every store of three saves; POWER_CUTS=one: of one save on the emulated board
POWER_CUTS ?= all
power-cut: $(VENV)/dev.stamp
	PATH="$(abspath $(BIN)):$$PATH" sh scripts/dev_build.sh $(abspath $(BIN))/python
	KILOGRAD_POWER_CUTS=$(POWER_CUTS) $(BIN)/python -m pytest -s tests/firmware/test_store_power_cut.py tests/store/test_power_cut.py

# benchmarks compare with PyTorch
$(VENV)/bench.stamp: $(VENV)/dev.stamp
	$(BIN)/pip install --quiet --disable-pip-version-check torch
	touch $@

# options of each benchmark: BENCH_MODELS='--samples 2 --numpy-samples 1' BENCH_LEARNING=--report takes minutes
BENCH_MODELS ?=
BENCH_STEP_TIME ?=
BENCH_LEARNING ?=
bench: $(VENV)/bench.stamp
	PATH="$(abspath $(BIN)):$$PATH" sh scripts/dev_build.sh $(abspath $(BIN))/python
	PYTHONPATH=python $(BIN)/python -m benchmarks.models $(BENCH_MODELS)
	PYTHONPATH=python $(BIN)/python -m benchmarks.step_time $(BENCH_STEP_TIME)
	PYTHONPATH=python $(BIN)/python -m benchmarks.learning $(BENCH_LEARNING)

clean:
	rm -rf $(VENV) build out
