# make run: the main job on the sample data; make test: unit tests, then the notebooks; make lab: JupyterLab
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: run test unit notebooks lab bench clean

run: .venv/installed
	$(BIN)/hrem train sample $(ARGS)

test: unit notebooks

unit: .venv/installed
	$(BIN)/python -m pytest -q $(ARGS)

notebooks: .venv/installed
	$(BIN)/python -m pytest -q --nbval notebooks/

lab: .venv/installed
	$(BIN)/jupyter lab notebooks/00_task_and_metric.ipynb

# under 5 minutes; ARGS="--form full" for all sizes
bench: .venv/installed
	$(BIN)/python benchmarks/run.py $(ARGS)

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

clean:
	rm -rf .venv runs
