.DEFAULT_GOAL := help
.PHONY: help repro export without-git test torture check bench serve lock clean

# A shell for every line: the make 3.81 of macOS looks a plain command up in the PATH that it was started with.
SHELL := bash

# Looked up before .venv's own come first.
UV := $(shell command -v uv || echo .uv/bin/uv)
PYTHON := $(shell command -v python3)

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DO_NOT_TRACK := true
export DVC_NO_ANALYTICS := true
export MLFLOW_DISABLE_TELEMETRY := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false

PYTHONS := Python 3.11, 3.12 or 3.13
INSTALLED := .venv/.installed
PEERS := .venv-bench/.installed

# `say` ends make with one sentence. `blame` tells from what an installer printed whether the network failed; if not, shows it.
define SAY
say() { echo "stopgrad: $$1" >&2; exit 1; }; \
blame() { \
	case $$1 in *"error sending request"* | *Retrying* | *"from versions: none"*) \
		say "the package index cannot be reached: connect to a network, or name a mirror in PIP_INDEX_URL and UV_DEFAULT_INDEX";; \
	esac; \
	printf '%s\n' "$$1" >&2; say "$$2"; \
};
endef

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-10s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

repro: $(INSTALLED) without-git ## Run and show; SUITE=name, DATA=name, folder or archive, WEIGHTS=file, HOURS=8, SLOTS=2
	@python -m flows.repro --suite "$(SUITE)" --data "$(DATA)" --weights "$(WEIGHTS)" --model "$(MODEL)" \
		--hours "$(HOURS)" --slots "$(SLOTS)"

export: $(INSTALLED) ## Write weights, ONNX graph and model card of VARIANT=name; SEED=0, INTO=exported, ONNX=no, EMBED=images
	@python -m tasks.export "$(VARIANT)" $(if $(SEED),--seed "$(SEED)") $(if $(INTO),--into "$(INTO)") \
		$(if $(filter no,$(ONNX)),--no-onnx) $(if $(EMBED),--embed "$(EMBED)")

# Outside a git repository (an unpacked archive) DVC refuses everything, unless it is told that there is none.
without-git: $(INSTALLED)
	@up=$$PWD; while [[ $$up && ! -e $$up/.git ]]; do up=$${up%/*}; done; \
	[[ $$up ]] || grep -qs no_scm .dvc/config.local || { \
		dvc config --local core.no_scm true; \
		echo "stopgrad: no git repository is here, so that DVC works without; after git init, delete .dvc/config.local"; \
	}

# A file's tests have one thread: as many processes as cores would else start as many threads each.
test: export OMP_NUM_THREADS := 1
test: $(INSTALLED) ## Run the tests, several files at once; ALL=1 those too that few edits touch, as CI does
	@$(SAY) git ls-files --error-unmatch Makefile > /dev/null 2>&1 || \
		say "the tests copy what git tracks: install git, and work in a clone, or say git init and git add -A here"
	@python -m pytest -q -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
		$(if $(ALL),,-m "not thorough")

# In a folder below /tmp, beside nothing else: it kills what works in that folder alone.
torture: $(INSTALLED) ## Kill a real suite at KILLS=100 instants drawn from SEED=15, and what else takes long; an hour or more
	@STOPGRAD_LONG=1 STOPGRAD_KILLS="$(or $(KILLS),100)" STOPGRAD_SEED="$(or $(SEED),15)" \
		python -m pytest -q -rA tests/test_kills.py tests/test_many_hosts.py tests/test_many_machines.py \
		tests/test_prefect_page.py tests/test_tracking_servers.py tests/test_writers.py

check: $(INSTALLED) ## Style, types and layers: ruff, pyright, import-linter
	@ruff check
	@ruff format --check
	@pyright
	@lint-imports

bench: $(PEERS) ## Measure speed and memory on this machine, beside other libraries, into docs/performance.md
	@.venv-bench/bin/python -m pytest -q -m "not slow" tests/test_against_lightly.py tests/test_benchmarks.py
	@.venv-bench/bin/python -m benchmarks

serve: $(INSTALLED) without-git ## Start the Prefect and MLflow pages and a worker for forms and schedules; Ctrl-C ends all
	@python -m flows.serve

# One version of each package for all platforms and Pythons, with markers where a platform has none of it.
COMPILE = said=$$($(UV) pip compile --quiet --universal --fork-strategy fewest --generate-hashes --python-version 3.11 \
	pyproject.toml $(1) 2>&1) || blame "$$said" "pyproject.toml cannot be resolved, as uv says above"

lock: $(UV) ## Resolve pyproject.toml into requirements.lock, and with the benchmarks' peers into benchmarks/
	@$(SAY) $(call COMPILE,--group dev -o requirements.lock)
	@$(SAY) $(call COMPILE,--group bench -c requirements.lock -o benchmarks/requirements.lock)

clean: ## Remove what a run made, but not the data, the cache or the environment
	@rm -rf configs cells figures results checkpoints

$(INSTALLED): requirements.lock
$(PEERS): benchmarks/requirements.lock
# uv takes the python3 that is here if pyproject.toml allows it, else another that it finds or fetches. What a lock has no wheel
# of is built with the lock's own setuptools. The dry run finds out that there is no network before anything is changed.
SYNC = $(UV) pip sync --python $(@D)/bin/python --require-hashes --build-constraints $<
$(INSTALLED) $(PEERS): | $(UV)
	@$(SAY) said=$$(UV_PYTHON_PREFERENCE=system $(UV) venv --quiet --allow-existing $(@D) 2>&1) || { \
		case $$said in *"No interpreter found"* | *"Failed to inspect Python"* | *"Failed to download"*) \
			there=$(if $(PYTHON),$$($(PYTHON) --version 2> /dev/null || echo broken),missing); \
			say "$(PYTHONS) is needed; python3 is $$there, and uv could not fetch another: install one";; \
		esac; \
		blame "$$said" "$(@D) could not be made, as uv says above"; \
	}
	@$(SAY) said=$$($(SYNC) --dry-run --quiet $< 2>&1) || blame "$$said" "$< cannot be installed here, as uv says above"
	@$(SAY) $(SYNC) --compile-bytecode $< || say "the installation stopped, as uv says above; make goes on from there"
	@touch $@

.uv/bin/uv:
	@$(SAY) [[ "$(PYTHON)" ]] || say "no python3 is here: install $(PYTHONS) with pip"; \
	$(PYTHON) -m pip --version > /dev/null 2>&1 || \
		say "$(PYTHON) has no pip: install it (the package python3-pip of Debian, Ubuntu and Fedora), or uv"; \
	said=$$($(PYTHON) -m pip install --quiet --disable-pip-version-check --retries 1 --target .uv uv 2>&1) || \
		blame "$$said" "pip could not install uv, as it says above"
