# COHORT: `repro` takes the phantom without it, `report` and `study` the selected cohort.
# Two commands do everything on a fresh machine: `make repro` and `make test`.
# PYTHON: the interpreter of the environment; without it 3.11, else the newest that suits (.ci/find-python).
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
export DVC_NO_ANALYTICS := true
export DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true
export NO_ALBUMENTATIONS_UPDATE := 1

.PHONY: help repro report experiments study test test-all wheel lint format house clean benchmark-cmnist benchmark-tiling benchmark-train-step benchmark-faults benchmark-serving benchmark-predict benchmark-decisions benchmark-intervals benchmark-report

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 24

$(READY): pyproject.toml constraints.txt
	python=$$(.ci/find-python $(if $(PYTHON),'$(PYTHON)')) && "$$python" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --progress-bar off --constraint constraints.txt --editable '.[dev]'
	touch $@

repro: $(READY) ## slides to registered models and report, end to end: make repro [COHORT=phantom|pshg|lc25000|...]
	$(BIN)/evenpatch select --cohort $(or $(COHORT),phantom)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro
	@echo "report: outputs/$(or $(COHORT),phantom)/report/report.html"

report: $(READY) ## write the report again, with other seeds and a study: make report [COHORT=...], by default of the selected cohort
	$(if $(COHORT),$(BIN)/evenpatch select --cohort $(COHORT))
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro --single-item --force report

experiments: $(READY) ## list experiments: worst-group accuracy, and the settings that differ
	$(BIN)/dvc exp show --only-changed --drop '(models|patching|pipeline|data|outputs)/' $(ARGS)

study: $(READY) ## repeated patient-level cross-validation of the selected cohort, or make study COHORT=... (ARGS="--minutes 50": in slices)
	$(if $(COHORT),$(BIN)/evenpatch select --cohort $(COHORT))
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro tile
	$(BIN)/evenpatch study --archive docs/studies $(ARGS)

test: $(READY) lint ## linters, types, import arrow and tests, but those over ten seconds
	$(BIN)/pytest -n 2 --dist worksteal

test-all: ## the same with slow tests, and browser tests must run
	EVENPATCH_REQUIRE=browser,slow $(MAKE) test

benchmark-cmnist: $(READY) ## GERNE's table on Colored MNIST, about 80 minutes on two cores: make benchmark-cmnist [ARGS="--ratios 0.005 --seeds 0"]
	$(BIN)/python -m benchmarks.cmnist $(ARGS)

benchmark-tiling: $(READY) ## measure tiling beside the decoder's limit (ARGS="--quick", ... docs/benchmarks.md)
	$(BIN)/python -m benchmarks.tiling $(ARGS)

benchmark-train-step: $(READY) ## time of a training step beside its network alone, on this machine's device (ARGS="--quick", ...)
	$(BIN)/python -m benchmarks.train_step $(ARGS)

benchmark-predict: $(READY) ## what predict costs beside its decoder and network, and other tools (ARGS="--quick", ...)
	$(BIN)/python -m benchmarks.predict $(ARGS)

benchmark-decisions: $(READY) ## how stable a fitted decision is beside a search on a grid (ARGS="--cells ... --index ...": on a study)
	$(BIN)/python -m benchmarks.decisions $(ARGS)

benchmark-faults: $(READY) ## spoiled inputs and tables, kills, full disks, two at once: make benchmark-faults [PART=mutate|kill|disk-full|predict-kill|predict-disk-full|tables|two|moves]
	$(if $(PART),$(BIN)/python -m benchmarks.faults $(PART),for part in mutate kill disk-full predict-kill predict-disk-full tables two moves; do $(BIN)/python -m benchmarks.faults $$part || exit 1; done)

benchmark-intervals: $(READY) ## simulate how often intervals hold the truth, some minutes on one core (ARGS="--quick", ...)
	$(BIN)/python -m benchmarks.intervals $(ARGS)

benchmark-report: $(READY) ## size and time of report and cohort page at 5, 50 and 500 test slides (ARGS="--quick", "--slides 10000")
	$(BIN)/python -m benchmarks.report $(ARGS)

benchmark-serving: $(READY) ## load and malformed requests on a registered model: make benchmark-serving MODEL=models:/NAME@champion
	$(BIN)/python -m benchmarks.serving $(MODEL) $(ARGS)

wheel: $(READY) ## build the wheel: dist/evenpatch-*.whl (.ci/wheel tries it in an environment of its own)
	rm -f dist/evenpatch-*.whl
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

lint: $(READY) ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

house: $(READY) ## draw docs/images/house.svg anew, after the contracts of pyproject.toml were changed
	$(BIN)/python docs/draw_house.py

clean: ## remove data, outputs and tracking; keeps the environment
	rm -rf data outputs mlflow.db mlartifacts
