# `make demo` runs the study in small and prints its report, `make test` runs the tests, `make test-slow` those that take
# minutes each, `make fuzz` tries thousands of odd inputs, `make bench` measures.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/ready
BENCH_READY := $(VENV)/ready-bench

.PHONY: demo test test-slow fuzz lint bench

demo: $(READY)
	$(VENV)/bin/python -m sweep.run demo

test: $(READY)
	$(VENV)/bin/python -m pytest -m "not slow" -n 4 --dist loadfile

test-slow: $(BENCH_READY)
	$(VENV)/bin/python -m pytest -m slow -n 2 --dist loadfile

fuzz: $(READY)
	SFT_SWEEP_FUZZ=full $(VENV)/bin/python -m pytest tests/test_fuzz.py -n 2

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(BENCH_READY)
	$(VENV)/bin/python -m benchmarks step

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

$(BENCH_READY): $(READY)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	touch $(BENCH_READY)
