# Two commands: `make demo` runs the study in small and prints its report, `make test` runs the tests.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/ready

.PHONY: demo test lint

demo: $(READY)
	$(VENV)/bin/python -m sweep.run demo

test: $(READY)
	$(VENV)/bin/python -m pytest

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)
