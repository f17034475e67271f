# Each target makes what it needs: `make run` and `make test` are all a newcomer types.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SOURCES := pyproject.toml setup.py $(wildcard src/mmcore/*.pyx src/mmcore/*.pxd src/mmcore/*.c include/mmcore/*.h)
COMPILED := $(patsubst src/mmcore/%.pyx,mmcore.%,$(wildcard src/mmcore/*.pyx))
SHARED ?= $(abspath ../shared)
CLANG_FORMAT = $(BIN)/clang-format

.DEFAULT_GOAL := help
.PHONY: help run test bench benchjson peers agree lint format sanitize fuzz debug wheel doors ledger wheels planned clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "mmcore needs Python >= 3.11: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Making the virtual environment $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip

# The stamps say what the environment holds; the package is installed editable, which compiles it.
$(VENV)/.run: $(BIN)/python $(SOURCES)
	@echo "Installing into $(VENV) and compiling mmcore: some minutes"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all]'
	@touch $@

# Asked for by its name the package that is there serves: by its path it would be compiled again.
$(VENV)/.test: $(VENV)/.run
	@echo "Installing what the tests need into $(VENV)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'mmcore-quoting[test]'
	@touch $@

$(VENV)/.lint: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group lint
	@touch $@

$(VENV)/.fuzz: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group fuzz
	@touch $@

run: $(VENV)/.run  ## make a market on simulated data and write report.html
	$(BIN)/mmcore replay

# Tests of one file share what they set up. ONLY=--last-failed repeats those that failed.
ALONGSIDE = -n logical --dist loadfile
ONLY =
test: $(VENV)/.test  ## run the tests
	$(BIN)/python -m pytest -q $(ALONGSIDE) $(ONLY)

bench: $(VENV)/.test  ## run the benchmarks, side by side with their floors
	$(BIN)/python -m bench

benchjson: $(VENV)/.test  ## the benchmarks as pytest-benchmark suites, kept in build/bench/suites.json
	@mkdir -p build/bench
	$(BIN)/python -m pytest -q $(wildcard bench/test_*.py) -p no:cacheprovider --benchmark-json=build/bench/suites.json --benchmark-warmup=off \
	  --benchmark-min-rounds=5 --benchmark-max-time=0.2 --benchmark-columns=min,median,iqr --benchmark-group-by=func

# Other packages, each in an environment of its own. stockpyl pins a sphinx that nothing here needs, and breaks
# on NumPy 2 in places.
PEERS = feeds hftbacktest portfolio programs stockpyl
PEERS_feeds = pandas polars pyarrow scipy
PEERS_hftbacktest = hftbacktest==2.4.4
PEERS_portfolio = cvxcla==2.7.1 piqp==0.7.0 PyPortfolioOpt==1.6.0 skfolio==1.12.2
PEERS_programs = quantecon mdpsolver pymdptoolbox jaxdp
PEERS_stockpyl = "numpy<2" scipy networkx tqdm jsonpickle tabulate matplotlib

peers: $(PEERS:%=build/peers/%/.done)  ## make build/peers, which the tests of agreement with other packages need

build/peers/%/.done:
	$(PYTHON) -m venv build/peers/$*
	build/peers/$*/bin/pip install --quiet --disable-pip-version-check $(PEERS_$*)
	test $* != stockpyl || build/peers/$*/bin/pip install --quiet --disable-pip-version-check --no-deps stockpyl==1.0.2
	@touch $@

agree: $(VENV)/.test build/peers/programs/.done  ## random dynamic programs, solved by us and by four other packages
	$(BIN)/python -m bench.agree

doors: $(VENV)/.test  ## ten million quotes, fills and events through every door: the same bits (half an hour)
	MMCORE_DOORS=10000000 $(BIN)/python -m pytest -q tests/native/test_same_bits.py tests/faults/test_arrays.py

ledger: $(VENV)/.test  ## ten million random operations on books against the oracle in Fractions (an hour)
	MMCORE_LEDGER=10000000 $(BIN)/python -m pytest -q -s tests/property/test_ledger_oracle.py -k random_operations

lint: $(VENV)/.lint  ## ruff, mypy --strict, stubtest, cython-lint, clang-format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(abspath $(BIN)):$$PATH" cython-lint src
	$(CLANG_FORMAT) --dry-run --Werror include/mmcore/*.h $(wildcard bench/*.c tests/native/*.[ch] examples/c/*)
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest $(COMPILED) --mypy-config-file pyproject.toml

format: $(VENV)/.lint  ## put the sources into the house format
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format --quiet .
	$(CLANG_FORMAT) -i include/mmcore/*.h $(wildcard bench/*.c tests/native/*.[ch] examples/c/*)

# A copy of the tree whose compiled code is checked by AddressSanitizer and UndefinedBehaviorSanitizer and tells
# its branches to libFuzzer, so that the ordinary build stays as it is.
SANITIZED := build/sanitized
$(SANITIZED)/.built: $(VENV)/.test fuzz/coverage.c
	rm -rf $(SANITIZED) && mkdir -p $(SANITIZED)
	cp -r include src python setup.py pyproject.toml README.md LICENSE $(SANITIZED)/
	rm -f $(SANITIZED)/python/mmcore/*.so $(SANITIZED)/python/mmcore/*.pxd
	cd $(SANITIZED) && MMCORE_DEBUG=1 MMCORE_COVERAGE=1 MMCORE_SANITIZE=address,undefined \
	  $(abspath $(BIN))/python setup.py -q build_ext --inplace
	$(CC) -O2 -fPIC -shared -o $(SANITIZED)/coverage.so fuzz/coverage.c
	@touch $@

# What is compiled stays; what is Python is as it is now.
renewed = tar -C python --exclude='*.so' --exclude='*.pxd' -cf - . | tar -C $(SANITIZED)/python -xf -
sanitizing = MMCORE_COVERAGE_LIBRARY=$(abspath $(SANITIZED))/coverage.so PYTHONMALLOC=malloc \
  LD_PRELOAD="$(abspath $(SANITIZED))/coverage.so $$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so) \
  $$(gcc -print-file-name=libstdc++.so)" \
  ASAN_OPTIONS=$(1)detect_leaks=0:allocator_may_return_null=1:verify_asan_link_order=0:quarantine_size_mb=32 \
  UBSAN_OPTIONS=$(1)print_stacktrace=1

sanitize: $(SANITIZED)/.built  ## the compiled modules' tests under the sanitizers of addresses and undefined behaviour
	$(renewed)
	rm -f $(SANITIZED)/report.*
	rm -rf $(SANITIZED)/tests && cp -r tests fuzz examples $(SANITIZED)/
	cd $(SANITIZED) && $(call sanitizing,log_path=report:) MMCORE_SHARED=$(SHARED) PYTHONPATH=python \
	  MMCORE_HYPOTHESIS=sanitized $(abspath $(BIN))/python -m pytest -q $(ALONGSIDE) $(ONLY) tests -m compiled

# The corpus outlives the run.
FUZZ_SECONDS ?= 60
fuzz: $(VENV)/.fuzz $(SANITIZED)/.built  ## fuzz every parser and every stream of operations, FUZZ_SECONDS (60) each
	$(renewed)
	$(call sanitizing) PYTHONPATH=$(SANITIZED)/python:tests/property:tests:. \
	  $(BIN)/python -m fuzz --seconds $(FUZZ_SECONDS) $(FUZZ)

debug: $(VENV)/.test  ## build in place with bounds checks and asserts, -O1 -g
	MMCORE_DEBUG=1 $(BIN)/python setup.py build_ext --inplace --force

wheels: $(BIN)/python  ## a wheel for every Python at hand, each tested where there is no compiler
	bash .ci/wheels

planned: $(BIN)/python  ## the wheels that the workflows would build, by cibuildwheel's reading of pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'cibuildwheel>=3.1' 'validate-pyproject[all]'
	$(BIN)/validate-pyproject pyproject.toml
	for of in linux:x86_64 linux:aarch64 macos:x86_64 macos:arm64 windows:AMD64; do \
	  $(BIN)/cibuildwheel --print-build-identifiers --platform $${of%:*} --archs $${of#*:} || exit 1; done

wheel: $(BIN)/python  ## sdist and wheel into dist/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build
	$(BIN)/python -m build

clean:  ## remove what the targets made
	rm -rf $(VENV) build dist *.egg-info python/*.egg-info python/mmcore/*.so python/mmcore/*.pxd report.html
