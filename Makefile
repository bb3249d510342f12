# make demo, make test: each works from a bare Python and nothing else.
# PYTHON=python3.13 make test   chooses the interpreter (3.11 gets ctapipe 0.28).

PYTHON ?= python3
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
ifeq ($(VERSION),)
$(error "$(PYTHON) does not run; choose an interpreter with PYTHON=...")
endif
VENV := .venv-$(VERSION)
BIN := $(VENV)/bin
WORKERS ?= 2
PYTEST_ARGS ?=

export OMP_NUM_THREADS ?= 1
export NUMBA_NUM_THREADS ?= 1

# what the models of the package were trained on, and where it goes
TRAINED ?= trained
GAMMA_SCALE ?= 0.27
PROTON_SCALE ?= 0.14
# seed of the training; another than 1 has folders of its own
SEED ?= 1
SEEDED := $(if $(filter-out 1,$(SEED)),-seed$(SEED))
# factor on the test samples of the report
REPORT_SCALE ?= 1
JOBS ?= 0
RESOURCES := ctapipe_gammalearn/resources

.PHONY: help demo test docs lint bench train-data train-small train report clean

help:
	@echo "make demo   process a small file, print events, draw a figure"
	@echo "make test   run the tests"
	@echo "make docs   build the documentation into docs/_build/html"
	@echo "make lint   ruff check and ruff format --check"
	@echo "make bench  run the benchmarks"
	@echo "make train-small   simulate and train lst-patch, an hour (TRAINED=folder, SEED=2)"
	@echo "make train  the same for lst-gammaphysnet, the best model, two hours"
	@echo "make report   simulate, train the Random Forest, compare lst-gammaphysnet with it, hours;"
	@echo "              minutes: make report TRAINED=small GAMMA_SCALE=0.01 PROTON_SCALE=0.01 REPORT_SCALE=0.02"
	@echo "PYTHON=python3.13 make ...  chooses the interpreter (now: $(PYTHON), $(VERSION))"

# Stamps are newer than setup.cfg when the environment may be reused.
$(VENV)/.created:
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@touch $@

$(VENV)/.run: setup.cfg $(VENV)/.created
	$(BIN)/python -m pip install --quiet --editable ".[irf]"
	@touch $@

$(VENV)/.tests: setup.cfg $(VENV)/.created
	$(BIN)/python -m pip install --quiet --editable ".[tests]"
	@touch $@

$(VENV)/.docs: setup.cfg $(VENV)/.created
	$(BIN)/python -m pip install --quiet --editable ".[docs,irf]"
	@touch $@

$(VENV)/.train: setup.cfg $(VENV)/.created
	$(BIN)/python -m pip install --quiet --editable ".[train,irf]"
	@touch $@

demo: $(VENV)/.run
	$(BIN)/python examples/demo.py

test: $(VENV)/.tests
	$(BIN)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -W --keep-going -n -q -b html docs docs/_build/html

lint: $(VENV)/.tests
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

bench: $(VENV)/.tests
	@set -e; for script in benchmarks/bench_*.py; do $(BIN)/python $$script; done

# Each of these goes on where it was interrupted.
train-data: $(VENV)/.train
	@mkdir -p $(TRAINED)
	$(BIN)/ctapipe-gammalearn-simulate -o $(TRAINED)/data --preset standard --jobs $(JOBS) \
	  --samples train_gamma_diffuse --scale $(GAMMA_SCALE) \
	  --run-options $(RESOURCES)/train_gamma_run.yaml
	$(BIN)/ctapipe-gammalearn-simulate -o $(TRAINED)/data --preset standard --jobs $(JOBS) \
	  --samples train_proton --scale $(PROTON_SCALE) \
	  --run-options $(RESOURCES)/train_proton_run.yaml

TRAIN = $(BIN)/ctapipe-gammalearn-train --seed $(SEED) -i $(TRAINED)/data/train_gamma_diffuse.dl1.h5 \
  -i $(TRAINED)/data/train_proton.dl1.h5

train-small: train-data
	$(TRAIN) --config $(RESOURCES)/train.yaml -o $(TRAINED)/small$(SEEDED)

train: train-data
	$(TRAIN) --config $(RESOURCES)/train_gammaphysnet.yaml -o $(TRAINED)/gammaphysnet$(SEEDED)
	$(BIN)/ctapipe-gammalearn-simulate -o $(TRAINED)/data --preset standard --jobs $(JOBS) \
	  --samples calibrate_gamma_diffuse --run-options $(RESOURCES)/train_gamma_run.yaml
	$(BIN)/ctapipe-gammalearn-models calibrate $(TRAINED)/gammaphysnet$(SEEDED)/model.safetensors \
	  -i $(TRAINED)/data/calibrate_gamma_diffuse.dl1.h5 -o $(TRAINED)/calibrated$(SEEDED).safetensors \
	  --overwrite

report: train-data
	PATH="$(CURDIR)/$(BIN):$$PATH" examples/report.sh $(TRAINED) $(REPORT_SCALE)

clean:
	rm -rf .venv-*/ build dist docs/_build docs/api docs/auto_examples *.egg-info
