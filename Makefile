.DEFAULT_GOAL := help
.PHONY: help repro test check bench ui lock clean

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DO_NOT_TRACK := true
export DVC_NO_ANALYTICS := true
export MLFLOW_DISABLE_TELEMETRY := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false

UV := $(shell command -v uv || echo .uv/bin/uv)
PYTHON := $(shell command -v python3)
INSTALLED := .venv/.installed
PEERS := .venv-bench/.installed

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

repro: $(INSTALLED) ## Run what params.yaml asks for and has not been run, and print the table
	@dvc repro
	@python -m tasks.table

test: $(INSTALLED) ## Run the tests, several files at once
	@python -m pytest -q -n logical --maxprocesses 4 --dist loadfile

check: $(INSTALLED) ## Style, types and layers: ruff, pyright, import-linter
	@ruff check
	@ruff format --check
	@pyright
	@lint-imports

bench: $(PEERS) ## Measure speed and memory on this machine, beside other libraries, into docs/performance.md
	@.venv-bench/bin/python -m pytest -q tests/test_against_lightly.py
	@.venv-bench/bin/python -m benchmarks

ui: $(INSTALLED) ## Start the MLflow and Prefect pages; Ctrl-C ends both
	@python -m flows.ui

lock: $(UV) ## Resolve pyproject.toml into requirements.lock, and with the benchmarks' peers into benchmarks/
	@$(UV) pip compile --quiet --universal --fork-strategy fewest --generate-hashes --group dev --python-version 3.11 \
		pyproject.toml -o requirements.lock
	@$(UV) pip compile --quiet --universal --fork-strategy fewest --generate-hashes --group bench --python-version 3.11 \
		pyproject.toml -c requirements.lock -o benchmarks/requirements.lock

clean: ## Remove what a run made, but not the data, the cache or the environment
	@rm -rf cells figures results checkpoints

$(INSTALLED): requirements.lock
$(PEERS): benchmarks/requirements.lock
$(INSTALLED) $(PEERS): | $(UV)
	@$(UV) venv --quiet --allow-existing $(@D)
	@$(UV) pip sync --python $(@D)/bin/python --require-hashes --compile-bytecode $<
	@touch $@

.uv/bin/uv:
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --target .uv uv
