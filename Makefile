# Sets up .venv and runs Tombola, its tests and its benchmarks in it. What was installed stays as it is until
# pyproject.toml or constraints.txt changes, or another interpreter is asked for.
#
# PYTHON is the interpreter that .venv is made with. If it has torch >= 2.8, that torch is used and nothing is pinned;
# else the versions in constraints.txt are installed, torch first and by name, so that nothing else decides which comes.

PYTHON = python3
VENV   = .venv
BIN    = $(VENV)/bin
# Twice as many as cores: tests of the app and of engines wait a good part of their time.
WORKERS = $(shell expr $$(getconf _NPROCESSORS_ONLN) \* 2)

.DEFAULT_GOAL := help
.PHONY: help demo test smoke bench bench-gpu bench-kill fuzz picture snapshots clean FORCE

help:            ## say what can be made
	@echo 'make TARGET [PYTHON=python3.12]'
	@sed -n 's/^\([a-z-]*\): .*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

demo: $(VENV)/installed  ## install, and run the demo experiment to its end
	@$(BIN)/tombola demo

# Files are handed out in the order of their names: by their counts of tests, which is xdist's own, the few long tests
# would come last, on one core while the others wait.
test: $(VENV)/installed-dev  ## install with the development extras, and run every check and test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder

smoke: $(VENV)/installed-dev  ## run every small preset (-smoke) to its end; takes minutes
	@$(BIN)/python -m tests.smoke

# The suite tries few examples, the same each time; this tries a hundred times as many, others each time.
fuzz: $(VENV)/installed-dev  ## try bad input of every kind on commands and app; takes many minutes
	@TOMBOLA_FUZZ=100 $(BIN)/python -m pytest -n logical --maxprocesses 8 tests/fuzz

bench: $(VENV)/installed-dev  ## measure speed and memory; takes minutes, wants a quiet machine
	@$(BIN)/python -m tests.bench

bench-gpu: $(VENV)/installed-dev  ## measure speed and memory on a card; within three minutes
	@$(BIN)/python -m tests.bench gpu

bench-kill: $(VENV)/installed-dev  ## kill running searches 200 times and see what is lost; takes a quarter of an hour
	@$(BIN)/python -m tests.bench kill

picture: $(VENV)/installed-dev  ## draw the README's picture of the app again
	$(BIN)/python -m tests.tui.picture

snapshots: $(VENV)/installed-dev  ## draw the screens that the tests hold the app to again, as they are now
	$(BIN)/python -m tests.tui.snapshots

clean:           ## remove .venv and everything that was built
	rm -rf $(VENV) build dist .ruff_cache .mypy_cache .pytest_cache .hypothesis .import_linter_cache
	find presets store engine tui tests -name __pycache__ -type d -prune -exec rm -rf {} +

# An interpreter named on the command line, other than the one that made .venv (or its own), makes it anew.
ifeq ($(origin PYTHON)$(filter $(abspath $(BIN))/%,$(abspath $(PYTHON))),command line)
MADE_WITH := $(shell cat $(VENV)/made-with 2>/dev/null)
ifneq ($(MADE_WITH),$(PYTHON))
$(VENV)/made-with: FORCE
CLEAR = $(if $(MADE_WITH),--clear)
endif
endif

OLD_ENOUGH = import sys; sys.exit(sys.version_info < (3, 11))
# Prints the version of a torch that Tombola can use; reads metadata only, which is quicker than importing it.
FIND_TORCH = import re, importlib.metadata as m; v = m.version("torch"); \
	print(v if tuple(map(int, re.findall(r"\d+", v)[:2])) >= (2, 8) else "")
# An environment made from another environment does not see its packages, only those below both: a .pth file shows them.
PARENTS    = import site, sys; print("\n".join(site.getsitepackages() if sys.prefix != sys.base_prefix else []))
PACKAGES   = import sysconfig; print(sysconfig.get_path("purelib"))

$(VENV)/made-with:
	@$(PYTHON) -c '$(OLD_ENOUGH)' || { echo 'Tombola needs Python 3.11 or newer: make PYTHON=python3.12 ...' >&2; exit 2; }
	@set -e; torch=$$($(PYTHON) -c '$(FIND_TORCH)' 2>/dev/null) || torch=; \
	if [ -n "$$torch" ]; then \
		echo "$(PYTHON) has torch $$torch: using that one, with no version pinned"; \
		$(PYTHON) -m venv $(CLEAR) --system-site-packages $(VENV); \
		$(PYTHON) -c '$(PARENTS)' > "$$($(BIN)/python -c '$(PACKAGES)')/parent-environment.pth"; \
		echo "torch==$$torch" > $(VENV)/keep-torch.txt; \
	else \
		$(PYTHON) -m venv $(CLEAR) $(VENV); \
	fi; \
	echo '$(PYTHON)' > $@

# keep-torch.txt exists where .venv borrows its interpreter's torch; it holds pip off replacing that one.
INSTALL = set -e; pins=$(VENV)/keep-torch.txt; [ -f $$pins ] || pins=constraints.txt; \
	$(BIN)/python -m pip install --disable-pip-version-check -c $$pins

# The build backend is installed like everything else, at its pinned version, and not fetched anew for each build.
$(VENV)/installed: $(VENV)/made-with pyproject.toml constraints.txt
	@$(INSTALL) "$$(grep '^torch==' $$pins)" hatchling editables
	@$(INSTALL) --no-build-isolation --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@$(INSTALL) --no-build-isolation --editable '.[dev]'
	@touch $@
