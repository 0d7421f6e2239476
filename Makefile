# Set-up, demo, tests. Everything goes into .venv; nothing is installed elsewhere.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
# Tests start hundreds of processes: without compiled modules each of them takes twice as long.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes

.PHONY: help setup demo test test-slow numpy-floor lint wheel-test bench calibrate proofs chaos servers llama-cpp lock clean

help:
	@echo "make demo        60 scenarios, OPOI and OPCD, a table and a page (under a minute after set-up)"
	@echo "make test        the tests (under five minutes on two cores)"
	@echo "make test-slow   those left out: commands of the documents, storms, kills, simulations (three minutes)"
	@echo "make numpy-floor  the golden digests under the oldest numpy (Python 3.11, 3.12)"
	@echo "make lint        ruff and mypy"
	@echo "make wheel-test  build the wheel, install it alone, run it"
	@echo "make bench       speed and memory, as ratios inside one run (minutes)"
	@echo "make calibrate   measure detectors and rules on planted leaks again, for docs/cleaning.md (minutes)"
	@echo "make proofs      coverage of intervals and p without a difference over 200 seeds, for docs/measures.md (minutes)"
	@echo "make chaos       1,000 scenarios on a server that misbehaves, and 50 kills (minutes)"
	@echo "make servers     the loop on real servers, each in an environment of its own, for docs/servers.md (gigabytes)"
	@echo "make llama-cpp   the same on llama.cpp alone, as CI does it (a minute)"
	@echo "make lock        resolve the dependencies again"

setup: $(READY)

$(READY): requirements.lock bootstrap.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "python3-venv is missing: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r bootstrap.lock
	@# behind a proxy with a certificate of its own, the second try uses the system's certificates
	$(INSTALL) -r requirements.lock || $(INSTALL) --system-certs -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)
	$(BIN)/opoi run --n 60

test: $(READY)
	$(BIN)/pytest -q -n 2 --dist loadgroup -m "not slow"

test-slow: $(READY)
	$(BIN)/pytest -q -n 2 --dist loadgroup -m slow

numpy-floor: $(READY)
	$(BIN)/uv pip install --quiet --target .venv/numpy-floor numpy==1.26.4 \
	  || $(BIN)/uv pip install --system-certs --quiet --target .venv/numpy-floor numpy==1.26.4
	PYTHONPATH=.venv/numpy-floor $(BIN)/pytest -q tests/test_golden.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheel-test: $(READY)
	tests/wheel.sh

bench: $(READY)
	$(BIN)/python benchmarks/episodes.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/environment.py
	$(BIN)/python benchmarks/graph_api.py
	$(BIN)/python benchmarks/realism.py
	$(BIN)/python benchmarks/cleaning.py
	$(BIN)/python benchmarks/provenance.py
	$(BIN)/python benchmarks/endpoint.py
	$(BIN)/python benchmarks/measures.py

calibrate: $(READY)
	$(BIN)/python fixtures/make_calibration.py

proofs: $(READY)
	$(BIN)/python benchmarks/coverage.py --write-docs
	$(BIN)/python benchmarks/nulls.py --write-docs

chaos: $(READY)
	OPOI_CHAOS_SCENARIOS=1000 OPOI_CHAOS_KILLS=50 $(BIN)/pytest -q tests/test_chaos.py tests/chaos

servers: $(READY)
	$(BIN)/python benchmarks/servers/matrix.py --write-docs

llama-cpp: $(READY)
	$(BIN)/python benchmarks/servers/matrix.py llama.cpp --ci

lock: $(READY)
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links --group dev pyproject.toml -o requirements.lock

clean:
	rm -rf .venv dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis
