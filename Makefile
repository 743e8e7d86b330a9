# The course's commands. `make` or `make help` says what there is.
# On Windows without make: see README.md; every target here is one `python -m ...` line.

# The first interpreter here that the course runs on; name another one with make lab PYTHON=...
PYTHON ?= $(shell for python in python3 python3.12 python3.11 python3.13 python3.10 python; do \
	if $$python -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
	>/dev/null 2>&1; then echo $$python; break; fi; done)
VENV_PYTHON = .venv/bin/python
# More options of a command: make lab ARGS="--port 9000 --no-browser"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help lab test style lessons measure notebooks doctor weights binder-rehearsal clean \
	course-packages test-packages python

help: ## Say what each command does
	@echo 'Inside or Outside? The commands of this course:'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

lab: python ## Open the course: sets up what is missing, then starts JupyterLab at the first lesson
	@$(PYTHON) -m utils.lab $(ARGS)

test: style ## Prove the course: unit tests, every lesson executed, generated files compared
	@$(VENV_PYTHON) -m pytest $(ARGS)

style: test-packages ## Check the code's style
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m ruff format --check .

lessons: test-packages ## Execute every lesson and print its minutes, memory and outcome
	@$(VENV_PYTHON) -m tests.run_lessons --save $(ARGS)

measure: test-packages ## For authors: run every lesson, write its minutes into README and notebooks
	@$(VENV_PYTHON) -m tests.run_lessons --json datasets/results/lessons.json $(ARGS)
	@$(MAKE) --no-print-directory notebooks ARGS=

notebooks: test-packages ## Make learner notebooks, README tables and Binder's requirements anew
	@$(VENV_PYTHON) -m lessons.source.build $(ARGS)
	@$(VENV_PYTHON) -m lessons.source.readme
	@$(VENV_PYTHON) -m tests.binder_requirements

doctor: python ## Look at this machine and say what is wrong and what to do
	@if [ -x $(VENV_PYTHON) ]; then $(VENV_PYTHON) -m utils.doctor; \
	else $(PYTHON) -m utils.doctor; fi

weights: course-packages ## Fetch and prepare the models' weights, and say where they are

binder-rehearsal: test-packages ## Run lessons as a Binder would: 2 GB, one core, no network (needs root)
	@$(VENV_PYTHON) -m tests.rehearse_binder $(ARGS)

clean: ## Remove the environment and caches; your work and the weights stay
	rm -rf .venv .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

course-packages: python
	@$(PYTHON) -m utils.lab --prepare

test-packages: python
	@$(PYTHON) -m utils.lab --prepare --tests

python:
	@if [ -z "$(PYTHON)" ]; then \
	echo 'No Python 3.10 to 3.13 was found. Install one from python.org or with your system,'; \
	echo 'for example: sudo apt install python3 python3-venv. If it has another name:'; \
	echo 'make lab PYTHON=/path/to/python3.12'; exit 1; fi
