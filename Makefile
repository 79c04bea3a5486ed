# make demo   set up, then vamp the example loop
# make test   set up, then run the tests
# make lint   set up, then check style, types, layers, dead code and dependencies
# make fuzz   set up, then read hostile files for MINUTES (30)
# make docs   build the site of the documentation into out/site; a broken link or reference stops it
# make results  list the pages of figures with date and model; PAGE=gallery makes one again
# make listening-test AUDIO=FOLDER  two listening tests ready to send, in out/listening
# make trials long runs, short by default and gone on with: TRIALS="--seconds 300 --clients 32 --kills 20"
# make clean  remove what the others made, but for .venv
# PYTHON names the interpreter for .venv, Python 3.10 to 3.13.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
TINYSOUNDFONT := tinysoundfont==0.3.7

.PHONY: demo test lint docs results listening-test fuzz trials setup clean

demo: $(INSTALLED)
	mkdir -p out
	$(BIN)/vampnet vamp examples/loop.wav -o out/loop-vamp.wav --plot out/loop-vamp.png
	@echo "The example:  examples/loop.wav"
	@echo "Its vamp:     out/loop-vamp.wav"
	@echo "Both drawn:   out/loop-vamp.png"

test: $(INSTALLED)
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(BIN)/deptry .

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(BIN)/mkdocs build --strict
	@echo "Open out/site/index.html"

results: $(INSTALLED)
	$(BIN)/python -m benchmarks.pages $(PAGE)

listening-test: $(INSTALLED)
	$(BIN)/python -m benchmarks.evaluation.listening_test $(AUDIO) -o out/listening

MINUTES ?= 30
fuzz: $(INSTALLED)
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

trials: $(INSTALLED)
	$(BIN)/python -m benchmarks.server.load -o out/trials/server $(TRIALS)
	$(BIN)/python -m tests.support.faults
	VAMPNET_TRIALS=1 $(BIN)/python -m pytest tests/integration/test_ranks.py tests/integration/test_engines.py \
		tests/integration/test_compiled.py tests/integration/studio/test_studio_music.py \
		tests/unit/training/test_token_corpus.py tests/unit/jobs/test_spread.py

setup: $(INSTALLED)

# tinysoundfont serves only the rendering of corpora, and its requirement pyaudio does not build everywhere and is not
# needed: so it comes without requirements, and where it cannot be had the rest works without it.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "Python 3.10 to 3.13 is needed; name one with: make PYTHON=python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --quiet --requirement requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	$(PIP) install --quiet --no-deps $(TINYSOUNDFONT) || echo "tinysoundfont is left out"
	touch $(INSTALLED)

clean:
	rm -rf out build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find vampnet tests -name __pycache__ -type d -prune -exec rm -rf {} +
