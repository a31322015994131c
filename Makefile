# Python 3.11+ and make are all a fresh machine needs: uv is installed into .tools when it is not on the path.
SHELL := /bin/bash
.DEFAULT_GOAL := help
UV_VERSION := 0.13.9
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
RUN := $(UV) run --frozen --no-sync
READY := .venv/.leadline-ready

.PHONY: help setup up down demo test lint types layers unit integration contract e2e chaos chaos-short chaos-sink histories bench lock clean

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  \033[36m%-12s\033[0m %s\n", $$1, $$2}'

.tools/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Leadline needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Set PYTHON=python3.x"; exit 1; }
	@echo "installing uv into .tools"
	@$(PYTHON) -m venv .tools 2>/dev/null && .tools/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION) \
		|| { rm -rf .tools; $(PYTHON) -m pip install --quiet --disable-pip-version-check --target .tools uv==$(UV_VERSION); }

$(READY): pyproject.toml uv.lock $(if $(filter .tools/bin/uv,$(UV)),.tools/bin/uv)
	@$(UV) sync --frozen --quiet
	@touch $@

setup: $(READY) ## Install everything into .venv (and uv into .tools when it is missing)

up: setup ## Start the whole stack on this machine; Ctrl-C stops it
	@$(RUN) leadline up

down: setup ## Stop the stack
	@$(RUN) leadline down

demo: setup ## A thousand leads through the whole pipeline, watched live
	@$(RUN) leadline demo

test: lint types layers unit integration chaos-short e2e ## Everything that must hold

lint: setup ## ruff, and the lock file
	@$(UV) lock --check --quiet
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .

types: setup ## mypy --strict
	@$(RUN) mypy

layers: setup ## Import layers
	@$(RUN) lint-imports

unit: setup ## Unit and property tests
	@$(RUN) pytest tests/unit -n auto --dist worksteal

integration: setup ## On a real Kafka and the real ClickHouse engine
	@$(RUN) pytest tests/integration -n 2 --dist loadfile  # each half has a Kafka of its own

contract: URL ?= $(LEADLINE_CLICKHOUSE_URL)
contract: setup ## What the warehouse relies on of a ClickHouse; URL=http://user:password@host:8123 asks another than ours
	@$(if $(URL),LEADLINE_CONTRACT_URL='$(URL)') $(RUN) pytest tests/integration/test_clickhouse_contract.py \
		tests/integration/test_warehouse_contract.py tests/integration/test_tables.py tests/integration/test_views.py \
		tests/integration/test_rows.py tests/integration/test_any_rows.py tests/integration/test_inserts_under_way.py

e2e: setup ## The whole stack, as a user runs it
	@$(RUN) pytest tests/e2e

chaos-short: setup ## A few minutes of `make chaos`
	@$(RUN) pytest tests/chaos

chaos: setup ## Workers killed, frozen, added and removed, Kafka restarted, 220 times: exactly once; SEED=… repeats a run
	@PYTHONPATH=tests $(RUN) python -m kit.chaos $(if $(SEED),--seed $(SEED))

chaos-sink: setup ## Sinks killed and frozen at each point of a batch, ClickHouse within inserts, 64 times: every row once; SEED=…
	@PYTHONPATH=tests $(RUN) python -m kit.sink_crashes $(if $(SEED),--seed $(SEED))

histories: setup ## 10,000 seeded crash histories of the whole pipeline in memory; ARGS="--seed N --trace" replays one
	@PYTHONPATH=tests $(RUN) python -m kit.histories $(or $(ARGS),--count 10000)

bench: setup ## Benchmarks side by side with their peers; NAME=… runs one
	@$(RUN) python -m bench $(NAME)

lock: setup ## Resolve the dependencies again
	@$(UV) lock --upgrade

clean: ## Remove what was installed and all data of the local stack
	rm -rf .venv .tools .leadline .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
