# Every target but gpu sets up what it needs: .venv with the pinned requirements (those of the tests
# and linters for the targets that use them), and the build. CUDA kernels take minutes to compile: `make cuda` builds them too, the others where HHD_CUDA=1 is set.
PYTHON ?= python3
VENV := .venv
HHD_SHARED ?= ../shared
BIN := $(VENV)/bin
SOURCES := $(shell find csrc -type f) CMakeLists.txt setup.py pyproject.toml
CXX_FILES = $(shell find csrc tests -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh')
export HHD_CUDA ?= 0

.PHONY: demo test overfit bench cuda load-test gpu support docs lint format clean

# Draws people, trains a teacher and four students, compares them.
demo: $(VENV)/.built
	$(BIN)/hhd demo --output runs/demo

test: $(VENV)/.built $(VENV)/.tools
	$(BIN)/python -m pytest

# Learns real photographs by heart, minutes for each of four networks; goes on where it stopped.
overfit: $(VENV)/.built $(VENV)/.tools
	$(BIN)/python -m benchmarks.overfit --data $(HHD_SHARED)/data

bench: $(VENV)/.built $(VENV)/.tools
	$(BIN)/python -m pytest benchmarks

cuda: $(VENV)/.built-cuda
	$(BIN)/python -m hhd_kernels.info

# The one library in CPU-only torch, in CUDA torch, and in the oldest torch it supports, against
# whose headers it also compiles.
load-test: $(VENV)/.built-cuda $(VENV)/.tools
	HHD_CUDA=1 $(BIN)/python tests/load/environments.py

# On a machine with a GPU, by its own Python: no .venv, no network. Without a GPU a rehearsal.
OUT ?= build/gpu
STAGE ?= a b c d e f
gpu:
	$(PYTHON) tests/gpu/first_light.py --out $(OUT) --stages $(STAGE)

# docs/support.md, from the tests that compare with the oracle.
support: $(VENV)/.built $(VENV)/.tools
	rm -f build/support.jsonl
	$(BIN)/python -m pytest tests/kernels/test_parity.py tests/executor/test_support.py \
	  tests/triton_backend/test_interpreter.py
	$(BIN)/python tests/support.py

# The documentation as a site, in build/site.
docs: $(VENV)/.built $(VENV)/.tools
	$(BIN)/mkdocs build

lint: $(VENV)/.tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(CXX_FILES)

format: $(VENV)/.tools
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_FILES)

$(VENV)/.installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	@echo "Installing requirements.txt into $(VENV): 340 MB to download where torch is CPU-only,"
	@echo "some GB where it comes with CUDA (PyPI's for Linux)."
	$(BIN)/python -m pip install --progress-bar on --requirement requirements.txt
	touch $@

$(VENV)/.tools: $(VENV)/.installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	touch $@

INSTALL := PATH="$(CURDIR)/$(BIN):$$PATH" \
  $(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --editable .

$(VENV)/.built: $(VENV)/.installed $(SOURCES)
	HHD_BUILD=require $(INSTALL)
	rm -f $(VENV)/.built-cuda
	touch $@

$(VENV)/.built-cuda: $(VENV)/.installed $(SOURCES)
	HHD_BUILD=require HHD_CUDA=1 $(INSTALL)
	touch $(VENV)/.built $@

clean:
	rm -rf $(VENV) build hhd_kernels/*.so
