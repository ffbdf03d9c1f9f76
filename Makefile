# Every target sets up .venv by itself when it is missing or out of date, with python3, or the newest
# of Python 3.11 to 3.13 on PATH. Another one: make test PYTHON=python3.12 VENV=.venv-3.12

VENV ?= .venv
run := $(VENV)/bin/python
extras := -c constraints.txt -e .[dashboard,lab,local,pandas,test]

# nbval runs every cell and compares every output. It takes the kernel of this environment, whatever
# kernel a notebook names, and gives up on a cell after a minute instead of its own 33.
nbval := --nbval --nbval-current-env --nbval-cell-timeout=60

# Most tests wait for a server most of the time: three files at once, each on one worker, which has
# servers of its own. One after another, for a debugger: PYTEST_ARGS="-n 0 --pdb".
at_once := -n 3 --dist loadfile

# JupyterLab takes its settings from the command's (no news, no look-ups), its kernel from this
# environment even where a kernel of the same name is installed for the user, and runs as root only
# when told.
lab := JUPYTER_CONFIG_PATH=$(CURDIR)/etcd_watcher/cli/jupyter JUPYTER_PREFER_ENV_PATH=1 $(run) -m jupyterlab \
	$(if $(filter 0,$(shell id -u)),--allow-root)

export PYTHON

.PHONY: help setup lab test notebooks ui pictures slow robustness lint types format bench dist constraints clean

help: ## Say what there is
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

setup:
	@sh tools/venv.sh $(VENV) $(extras)

lab: setup ## Open JupyterLab on the walkthrough (LAB_ARGS=--no-browser and the like)
	$(lab) notebooks/01-walkthrough.ipynb $(LAB_ARGS)

test: setup ## Run all tests: the package, the notebooks, the browser (PYTEST_ARGS=...)
	$(run) -m pytest $(at_once) $(nbval) tests notebooks $(PYTEST_ARGS)
	$(run) -m pytest -m "ui and not slow" tests/ui

notebooks: setup ## Run the notebooks and compare every output
	$(run) -m pytest $(nbval) notebooks $(PYTEST_ARGS)

ui: setup ## Run the browser tests (need Chromium)
	$(run) -m pytest -m "ui and not slow" tests/ui $(PYTEST_ARGS)

pictures: setup ## Take the pictures in docs/images anew
	UPDATE_IMAGES=1 $(run) -m pytest -m ui tests/ui/test_pictures.py \
		tests/ui/test_notebooks_in_lab.py -k "pictures or subscriber" $(PYTEST_ARGS)

slow: setup ## Run the tests that take minutes
	$(run) -m pytest -m "slow and not ui" tests $(PYTEST_ARGS)
	$(run) -m pytest -m "slow and ui" tests/ui $(PYTEST_ARGS)

robustness: setup ## Hurt real clusters, and account for every event (MINUTES=30 SEED=1)
	$(run) -m tests.robustness --minutes $(or $(MINUTES),1) $(if $(SEED),--seed $(SEED))

lint: setup ## Check style and format
	$(run) -m ruff check
	$(run) -m ruff format --check
	sh -n tools/venv.sh
	bash -n .ci/run

types: setup ## Check types
	$(run) -m mypy

format: setup ## Format the code, and mend what can be mended without thought
	$(run) -m ruff format
	$(run) -m ruff check --fix

bench: setup ## Measure against other clients (BENCH_ARGS="--save live", ...)
	@sh tools/venv.sh .venv-peers -r benchmarks/peers.txt
	$(run) -m benchmarks $(BENCH_ARGS)

dist: setup ## Build the wheel and the sdist into dist/
	$(run) -m build --no-isolation

# For every Python that we allow and every system, hence not from one environment's `pip freeze`: a
# newest version may ask for a newer patch release of Python than Debian's.
constraints: ## Resolve all dependencies anew and pin what comes out in constraints.txt
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	sh tools/venv.sh "$$dir/venv" uv && \
	sed -n '/^#/p' constraints.txt >"$$dir/constraints.txt" && \
	"$$dir/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --all-extras \
		--no-header --no-annotate pyproject.toml >>"$$dir/constraints.txt" && \
	cp "$$dir/constraints.txt" constraints.txt

clean: ## Remove everything that the targets above made
	rm -rf $(VENV) build dist test-results .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
	find . -name .ipynb_checkpoints -prune -exec rm -rf {} +
