# Everything a person types. Paths are relative and scripts of .venv are run as modules: so a checkout may
# lie in a folder with spaces, or so deep that the interpreter line of a script would be cut off.
# docs/how-to/run.md explains the settings (CDP_HOME, CDP_PORT, DATABASE_URL, REDIS_URL …).

PY := .venv/bin/python
EMBEDDED := $(PY) -m cdp.kernel.embedded
LOCK_OPTIONS := --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate
JOBS ?= 3
WORLDS ?= 2000
SPREAD := --dist=loadfile --no-loadscope-reorder
PYTEST_ARGS ?=

# Where the environment forbids keeping what is compiled (many images do), each of twenty processes compiles everything.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo up stop test oracle lint format bench lock clean runtime dev

help: ## List these targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

demo: runtime ## Start everything with demo data, print the URL and the logins, run until Ctrl-C
	@exec $(EMBEDDED) up --demo

up: runtime ## The same without demo data
	@exec $(EMBEDDED) up

stop: ## Stop what runs from this checkout (or CDP_HOME), wherever it was started
	@if [ -x $(PY) ]; then $(EMBEDDED) stop; fi

test: dev ## Lint, then run every test, the browser's included
	@echo "Linting, and compiling the tests beside it"
	@$(PY) -m pytest --collect-only -q >/dev/null 2>&1 & \
	$(MAKE) --no-print-directory lint; linted=$$?; wait; exit $$linted
	@chromium=$$(sh .ci/browser) || chromium=; \
	if [ -n "$$chromium" ]; then \
		CDP_CHROMIUM="$$chromium" $(PY) -m pytest -n $(JOBS) $(SPREAD) $(PYTEST_ARGS); \
	else \
		$(PY) -m pytest -n $(JOBS) $(SPREAD) -m "not browser" $(PYTEST_ARGS) && sh .ci/no-browser; \
	fi

oracle: dev ## Hold segment evaluation against a slow oracle in WORLDS random worlds (default 2000)
	CDP_ORACLE_WORLDS=$(WORLDS) $(PY) -m pytest -n $(JOBS) -q tests/integration/test_segment_oracle.py $(PYTEST_ARGS)

lint: dev ## Check style, types, layers, templates and migrations
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -c 'from importlinter.cli import lint_imports_command as run; run()'
	$(PY) -m mypy .
	$(PY) -m djlint --quiet --check --lint templates
	$(PY) -W ignore manage.py makemigrations --check --dry-run

format: dev ## Put Python and templates into the house's format
	$(PY) -m ruff check --fix --exit-zero
	$(PY) -m ruff format
	-$(PY) -m djlint --quiet --reformat templates

bench: .venv/.bench node_modules/.installed ## Run the benchmarks and print their table
	@PYTHONPATH=. $(PY) benchmarks/run.py

lock: dev ## Resolve requirements/*.in anew into the locked files
	for name in runtime dev bench node; do \
		$(PY) -m uv pip compile $(LOCK_OPTIONS) -o requirements/$$name.txt requirements/$$name.in || exit 1; \
	done

clean: ## Stop this checkout's services; remove .venv, node_modules, .cdp and caches
	@if [ -x $(PY) ]; then \
		for home in .cdp/test* .cdp; do \
			if [ -d "$$home" ]; then CDP_HOME="$$home" $(EMBEDDED) remove || exit 1; fi; \
		done; \
	fi
	rm -rf .cdp .venv node_modules .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis test-results
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- Installing: each step once, and again when its lock has changed ------------------------------------------
runtime: .venv/.runtime node_modules/.installed

dev: .venv/.dev node_modules/.installed

.venv/.made:
	@sh .ci/python
	@touch $@

.venv/.runtime: requirements/runtime.txt | .venv/.made
	@echo "Installing Python packages (the first time takes a minute or two)"
	@sh .ci/pip requirements/runtime.txt
	@touch $@

.venv/.dev: requirements/dev.txt | .venv/.made
	@echo "Installing Python packages for development (the first time takes a minute or two)"
	@sh .ci/pip requirements/dev.txt
	@touch $@ .venv/.runtime

.venv/.bench: requirements/bench.txt | .venv/.made
	@echo "Installing Python packages for benchmarks (the first time takes a minute or two)"
	@sh .ci/pip requirements/bench.txt
	@touch $@ .venv/.dev .venv/.runtime

node_modules/.installed: package-lock.json | .venv/.made
	@echo "Installing front-end packages"
	@sh .ci/npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
