# `make demo` and `make test` need Python 3.11+ and a package index; they make their own virtual environment.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check clean

demo: .venv/demo
	$(BIN)/ropo-bench run --methods ropo,dpo

test: .venv/dev
	$(BIN)/python -m pytest -n auto --dist loadfile

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/python:
	$(PYTHON) -m venv .venv
	touch $@

.venv/demo: pyproject.toml | .venv/python
	$(BIN)/pip install --quiet --editable .
	touch $@

.venv/dev: pyproject.toml | .venv/python
	$(BIN)/pip install --quiet --editable ".[dev]"
	touch $@ .venv/demo

clean:
	rm -rf .venv build dist
