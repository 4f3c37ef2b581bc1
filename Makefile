# One command per intention; CI runs the same ones. Each sets up what it needs in .venv and leaves the machine as it was.
#
#   make demo     train Baseline, Baseline-IN and SNR on drawn pedestrians, test on unseen domains, write runs/demo/report.html
#   make test     the whole test suite
#   make check    format, lint, types, import contracts, links of the documentation
#   make docs     the documentation and the API reference as a site in site/
#   make soak     the long form of the reliability checks
#   make bench    speed beside its targets: a table, JSON records and docs/performance.md (10 to 14 minutes)
#   make gpu      the same for what needs a GPU alone, behind the tests that need one (some minutes)
#   make lock     resolve requirements.lock from pyproject.toml
#   make clean    remove what tests and builds leave (not .venv, not runs)
#
# Another Python: make PYTHON=/path/to/python3.12 demo.   More test processes: make WORKERS=8 test.

SHELL := /bin/sh
.SUFFIXES:
.DEFAULT_GOAL := help

PYTHON ?=
WORKERS ?= 2
BIN := .venv/bin
READY := .venv/.ready
# One thread per test process: two processes with two threads each fight over two cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
# A broken link or an unresolved name is an error. The variable silences an advertisement for the theme's successor.
MKDOCS = NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
# Containers like to set it; then every process compiles torch and timm anew, 10 s each, and the tests start many.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test check docs soak bench gpu lock clean browser install

help:
	@sed -n 's/^#   \(make .*\)/\1/p' Makefile

install: $(READY)

demo: $(READY)
	$(BIN)/snreid demo

ifeq ($(CI),true)
test: browser
endif

test: $(READY)
	$(PYTEST) -n $(WORKERS) --dist worksteal -m "not soak and not gpu" --durations=15
	@if [ -d tests/compiled ]; then \
		echo "Graph capture, without the run-time shape checks:"; \
		SNREID_SHAPE_CHECKS=0 $(PYTEST) -n $(WORKERS) --dist worksteal -m "not soak and not gpu" tests/compiled; \
	fi

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(MKDOCS)

docs: $(READY)
	$(MKDOCS)

soak: $(READY)
	$(PYTEST) -m soak --timeout 7200
	SNREID_EFFORT=20 $(PYTEST) --timeout 7200 tests/training/test_sampling.py tests/datasets

bench: $(READY)
	$(BIN)/python benchmarks/speed/all.py

gpu: $(READY)
	@$(BIN)/python -c 'import sys, torch; sys.exit(0 if torch.cuda.is_available() else "make gpu needs a GPU; this machine has none")'
	$(PYTEST) -m "not soak" -k "cuda or gpu" tests/models/test_triton_kernels.py tests/evaluation/exact/test_torch_counting.py \
		tests/training/test_async_copy.py tests/training/test_precision.py
	$(BIN)/python benchmarks/speed/all.py --gpu

lock: $(READY)
	$(BIN)/uv pip compile --universal --fork-strategy fewest --generate-hashes --no-header --extra dev \
		--python-version 3.11 --quiet pyproject.toml -o requirements.lock

clean:
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis src/*.egg-info
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# The screenshot test of the report wants a Chromium and skips without one. CI tries to have it; nothing fails here.
browser:
	@command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 \
		|| command -v google-chrome >/dev/null 2>&1 || { \
		[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && echo "Installing chromium for the screenshot test" \
		&& { apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-liberation; } \
		>/dev/null 2>&1; } || echo "No chromium: the screenshot test will be skipped"

# The environment: a venv, uv from the lock (hash checked), everything else from the lock, then the project itself.
# pip does it alone where uv does not run; a venv without ensurepip (Debian) gets its pip from the pip that is there.
$(READY): requirements.lock pyproject.toml
	@set -e; \
	python=""; \
	for candidate in $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11 python); do \
		if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			python="$$candidate"; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "snreid needs Python 3.11 or newer." >&2; \
		found="$$($(or $(PYTHON),python3) --version 2>/dev/null || true)"; \
		echo "Found: $${found:-no $(or $(PYTHON),python3) that runs}." >&2; \
		echo "Fix: install Python 3.11, 3.12 or 3.13, or name one: make PYTHON=/path/to/python3.12 demo" >&2; \
		exit 1; fi; \
	echo "Setting up .venv with $$("$$python" --version), once (about 6 GB, minutes)"; \
	if ! $(BIN)/python -c '' >/dev/null 2>&1; then \
		rm -rf .venv; \
		"$$python" -m venv .venv >/dev/null 2>&1 || { \
			rm -rf .venv; "$$python" -m venv --without-pip .venv; \
			"$$python" -m pip --python $(BIN)/python install --quiet pip; }; \
	fi; \
	awk '/^uv==/ { on = 1 } on { print } on && !/\\$$/ { exit }' requirements.lock > .venv/uv.txt; \
	if $(BIN)/python -m pip install --quiet --require-hashes --no-deps -r .venv/uv.txt \
		&& UV_LINK_MODE=copy $(BIN)/uv pip install --python $(BIN)/python --require-hashes -r requirements.lock; then :; \
	else \
		echo "uv cannot install here, pip does (slower)"; \
		$(BIN)/python -m pip install --require-hashes -r requirements.lock; \
	fi; \
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
