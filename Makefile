# make install: .venv alone; make run: the main job on the sample data; make test: unit tests, then the notebooks; make lint: style, types, spelling; make lab: JupyterLab
# make release, make grade: course assignments (notebooks/assignments/README.md); make assignments-check: their whole cycle
# make site: lessons, pages and API as web pages in site/, to be opened from disk; make slides: the lessons as slides in slides/, too
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
COURSE ?= notebooks/assignments

.PHONY: install run test unit notebooks lint lab bench site slides release grade assignments-check clean

install: .venv/installed

run: .venv/installed
	$(BIN)/hrem train sample $(ARGS)

test: unit notebooks

unit: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --ignore=tests/assignments $(ARGS)

notebooks: .venv/installed
	$(BIN)/python -m pytest -q --nbval notebooks/

lint: .venv/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/basedpyright --pythonpath $(BIN)/python --level error

lab: .venv/installed
	$(BIN)/jupyter lab notebooks/00_task_and_metric.ipynb

# under 5 minutes; ARGS="--form full" for all sizes
bench: .venv/installed
	$(BIN)/python benchmarks/run.py $(ARGS)

# some 40 seconds; runs no notebook
site: .venv/site
	$(BIN)/python docs/build.py

# a few seconds; runs no notebook
slides: .venv/site
	$(BIN)/python docs/slides.py

release: .venv/course
	$(BIN)/python $(COURSE)/course.py release $(ARGS)

grade: .venv/course
	$(BIN)/python $(COURSE)/course.py grade $(ASSIGNMENT) $(SUBMISSIONS)

assignments-check: .venv/course
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile tests/assignments $(ARGS)

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

.venv/lint: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[test,lint]'
	touch $@

.venv/course: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[test,course]'
	touch $@

.venv/site: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[test,site]'
	touch $@

clean:
	rm -rf .venv runs site slides
