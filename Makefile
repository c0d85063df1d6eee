# make test    sets up and passes every check: lint, types, and the tests on each Python
# make demo    sets up and serves examples/monitor on 127.0.0.1 (PORT=8000)
# make bench   sets up and compares with the peers (ARGS=... goes to the benchmarks)
# make lint    style and types alone
# make docs    builds the site into .build/site, with warnings as errors
# make clean   removes all that the others made
#
# Everything is made inside this folder: .venv and .venv-3.13 hold Python, .build the wheel and the copy of the
# tests. What is installed follows pyproject.toml and setup.py: a change there installs again.
#
# The tests run against the installed wheel: .build/suite holds the tests and no package, so that `import rxstream`
# can only find what the wheel brought. For quick work on the tree itself: .venv/bin/python -m pytest

PYTHON ?= $(shell scripts/find-python 3.11 3.12 3.13 3.14)
PORT ?=
ARGS ?=

SOURCES = $(shell find rxstream quart_adapter -name __pycache__ -prune -o -print)
SUITE = $(wildcard tests examples benchmarks docs notebooks scripts *.md LICENSE Makefile mkdocs.yml pyproject.toml setup.py)
TYPED = rxstream quart_adapter examples/monitor tests/typing

unexport PYTHONPATH PYTHONHOME
export PIP_DISABLE_PIP_VERSION_CHECK = 1
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: test tools test-main test-3.13 lint docs demo bench wheel suite clean

# What the tests run beside Python.
TOOLS = chromium curl nginx node redis-server

test: tools lint test-main test-3.13

tools:
	@scripts/install-tools $(TOOLS)

lint: .venv/.extra-dev
	.venv/bin/ruff check .
	.venv/bin/mypy $(TYPED)

# tests/docs builds it as well: this one is for readers. Not --quiet: a warning that is not shown is not counted.
docs: .venv/.extra-dev
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict
	@echo "the site is .build/site/index.html"

test-main: .venv/.wheel suite
	@echo "== tests on $$(.venv/bin/python --version), installed wheel =="
	cd .build/suite && RXSTREAM_TESTS=installed ../../.venv/bin/python -m pytest $(ARGS)

# Both runs may be of the same Python. Where 3.13 is not found, CI installs it from the system's packages; where it is
# not to be had, that is said aloud.
test-3.13: wheel suite
	@if .venv/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))'; then \
		echo "== Python 3.13 is the one that the tests ran on =="; \
	elif python=$$(scripts/find-python 3.13 || scripts/install-python 3.13); then \
		$(MAKE) --no-print-directory .venv-3.13/.wheel PYTHON="$$python" && \
		echo "== tests on $$(.venv-3.13/bin/python --version), installed wheel ==" && \
		cd .build/suite && RXSTREAM_TESTS=installed ../../.venv-3.13/bin/python -m pytest $(ARGS); \
	else \
		echo "==================================================================="; \
		echo "== Python 3.13 WAS NOT FOUND: NOTHING HAS BEEN TESTED ON IT      =="; \
		echo "==================================================================="; \
	fi

demo: .venv/.extra-demo
	@mkdir -p .demo
	@.venv/bin/python -m examples.monitor --database .demo/monitor.sqlite3 $(if $(PORT),--port $(PORT)) $(ARGS)

bench: .venv/.extra-bench
	.venv/bin/python -m benchmarks $(ARGS)

wheel: .build/wheel

.build/wheel: .venv/pyvenv.cfg pyproject.toml setup.py README.md LICENSE $(SOURCES)
	rm -rf build rxstream.egg-info .build/dist
	.venv/bin/python -m pip wheel --quiet --no-deps --wheel-dir .build/dist .
	rm -rf build rxstream.egg-info
	@touch $@

# Hypothesis keeps the examples that once failed in the copy: they outlive the copying.
suite:
	@mkdir -p .build/suite
	@rm -rf $(addprefix .build/suite/,$(SUITE))
	@cp -R $(SUITE) .build/suite/

.venv/pyvenv.cfg .venv-3.13/pyvenv.cfg: | scripts/make-venv
	scripts/make-venv "$(PYTHON)" $(@D)

# One rule for both environments: $(1) is the folder.
define environment
$(1)/.extra-%: $(1)/pyvenv.cfg pyproject.toml setup.py
	@$(MAKE) --no-print-directory wheel
	$(1)/bin/python -m pip install --quiet "$$$$(echo .build/dist/*.whl)[$$*]"
	@touch $$@

$(1)/.wheel: $(1)/.extra-dev .build/wheel
	$(1)/bin/python -m pip install --quiet --force-reinstall --no-deps .build/dist/*.whl
	@touch $$@
endef
$(eval $(call environment,.venv))
$(eval $(call environment,.venv-3.13))

clean:
	rm -rf .venv .venv-3.13 .build .demo build rxstream.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
