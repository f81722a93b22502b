# Everything a contributor runs. `make help` lists it.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help venv run test check cluster-tools image cluster-up cluster-down manifests bench-http fuzz bench-scoreboard soak soak-http bench-policy bench-fleet bench-cluster

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: set PYTHON=/path/to/python3")'
	$(PYTHON) -m venv $(VENV)

# The compiled hot path is built by the install, where there is a C compiler.
SOURCES := pyproject.toml worker_image/build_compiled.py worker_image/mpm_worker/_compiled.pyx

$(VENV)/.run-installed: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[cli]'
	@touch $@

$(VENV)/.dev-installed: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.run-installed

venv: $(VENV)/.dev-installed  ## Make the development environment in .venv

run: $(VENV)/.run-installed  ## Serve the example on this machine and watch it scale (Ctrl-C ends it)
	$(BIN)/mpm run examples/blocking/webserver.yaml --demo-load

check: $(VENV)/.dev-installed  ## Lint, types, import rules (under a minute)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What fails beside others runs once more, alone: machines that are shared stand still for seconds. What fails twice is
# a failure. What fails once is printed, and is to be mended all the same: a margin too narrow, or a race of ours.
ALONE := --last-failed --last-failed-no-failures=none --maxfail=5

test: venv check cluster-tools  ## Every test, the real-cluster ones included where this is Linux with root
	$(BIN)/pytest -m 'not cluster' --numprocesses=4 --dist=loadfile || $(BIN)/pytest -m 'not cluster' $(ALONE)
	$(BIN)/pytest -m cluster --numprocesses=2 --dist=loadfile --no-loadscope-reorder || $(BIN)/pytest -m cluster $(ALONE)

cluster-tools: venv
	$(BIN)/python tests/cluster/cluster.py tools

image: cluster-tools  ## Build the worker's and the operator's image by buildah
	$(BIN)/python tests/cluster/cluster.py images

cluster-up: cluster-tools  ## Start a real one-node cluster and say how to use kubectl with it
	$(BIN)/python tests/cluster/cluster.py up

cluster-down:  ## End that cluster and everything it left
	$(BIN)/python tests/cluster/cluster.py down

fuzz: $(VENV)/.dev-installed  ## Ten minutes of fuzzing the HTTP core: crashes, cuts, h11, the two twins
	PYTHONPATH=tests/fuzz $(BIN)/python tests/fuzz/run.py --seconds 600

bench-http: $(VENV)/.run-installed  ## Measure the worker beside other HTTP servers (25 minutes at most; needs wrk)
	$(BIN)/python bench/http/run.py --write

bench-scoreboard: $(VENV)/.run-installed  ## Measure what the scoreboard costs (3 minutes; needs wrk)
	$(BIN)/python bench/scoreboard.py --write

soak: cluster-tools  ## Nothing is cut: 200,000 requests while all that can change changes, beside an HPA (20 minutes)
	$(BIN)/python bench/nothing_is_cut.py --write

soak-http: $(VENV)/.run-installed  ## An hour of mixed load on one worker: memory and descriptors must stay
	$(BIN)/python bench/http/soak.py --minutes 60

bench-policy: $(VENV)/.dev-installed  ## The planner beside Knative, HPA and KEDA: TRACES="a.txt b.txt" (25 minutes on two idle CPUs)
	$(BIN)/python bench/policy_grid.py --write $(TRACES)

bench-fleet: $(VENV)/.dev-installed  ## What a thousand streams and 2,000 WebServers cost one operator (5 minutes)
	$(BIN)/python bench/fleet.py --write

bench-cluster: cluster-tools  ## The planner on a real cluster: TRACE=a.txt replayed, beside the simulator and an HPA (45 minutes)
	$(BIN)/python bench/policy_cluster.py --write $(TRACE)

manifests: $(VENV)/.dev-installed  ## Generate the CRD, in crds/ and in the chart, from the spec types
	$(BIN)/python -m mpm_operator.manifests.crd > crds/mpm-operator.io_webservers.yaml
	$(BIN)/python -m mpm_operator.manifests.crd --chart > charts/mpm-operator/templates/crd.yaml
