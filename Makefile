# make demo    build .venv, fit a model to the documentation of this Python, ask it three questions
# make test    build .venv with everything the tests need, and run them
# make check   formatting, lint, types, tests
# make bench   every benchmark, results into benchmarks/results (hours)

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: demo test check format bench clean

demo: $(VENV)/.demo
	$(BIN)/inlay fit python-docs --out demo --force
	$(BIN)/inlay search demo "walk a directory tree" -k 3
	$(BIN)/inlay search demo "sample from a normal distribution" -k 3
	$(BIN)/inlay search demo "find the eigenvalues of a matrix" -k 3
	@echo "Now open demo/report.html in a browser, or ask: $(BIN)/inlay search demo \"your question\""

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) test

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev
	$(PIP) -e ".[bench]"
	$(BIN)/python benchmarks/fit_retrieval.py
	$(BIN)/python benchmarks/word2vec_vs_gensim.py
	$(BIN)/python benchmarks/fasttext_speed.py
	$(BIN)/python benchmarks/glove_vs_c.py
	$(BIN)/python benchmarks/classifier_vs_fasttext.py
	$(BIN)/python benchmarks/lookup.py
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/forward.py --only sorted mixed long base generate beam
	$(BIN)/python benchmarks/train_speed.py
	$(BIN)/python benchmarks/contrastive.py
	$(BIN)/python benchmarks/shards.py
	$(BIN)/python benchmarks/extend.py
	$(BIN)/python benchmarks/distill.py
	$(BIN)/python benchmarks/pretrain.py

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e ".[search,zh]"
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e ".[all,dev,oracle]"
	@touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) demo demo.part .mypy_cache .ruff_cache .pytest_cache
