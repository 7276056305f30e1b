# Every target does its own set-up, cached under .cache; the second run starts in seconds.
CACHE    := .cache
VENV     := $(CACHE)/venv
VENV36   := $(CACHE)/venv36
PYTHON   ?= $(shell for p in python3.11 python3; do $$p -c '' 2>/dev/null && { echo $$p; break; }; done)
PYTHON36 ?= $(shell for p in python3.6 $(HOME)/.pyenv/versions/3.6.*/bin/python3.6; do $$p -c '' 2>/dev/null && { echo $$p; break; }; done)
BIN      := $(VENV)/bin
# One stamp per content of the pins: editing them sets the environment up again.
STAMP    := $(VENV)/ready-$(shell cat requirements/dev.txt setup.cfg setup.py | sha256sum | cut -c1-16)
STAMP36  := $(VENV36)/ready-$(shell cat requirements/python36.txt setup.cfg | sha256sum | cut -c1-16)

.PHONY: help demo test test-gpu lint routes clean

help:
	@echo "make demo      export xxs, check it, time it on ONNX Runtime, classify a photo"
	@echo "make test      all tests, with the device folders under Python 3.6"
	@echo "make lint      ruff and mypy"
	@echo "make test-gpu  the tests that need an NVIDIA GPU"
	@echo "make routes    lowered export against the plain one, on this processor"

$(STAMP):
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements/dev.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(STAMP36): | $(STAMP)
	@test -n "$(PYTHON36)" || { echo "no Python 3.6 found; give one with PYTHON36=/path/to/python3.6"; exit 1; }
	$(PYTHON36) -m venv --clear $(VENV36)
	$(VENV36)/bin/python -m pip install -q --disable-pip-version-check "pip==21.3.1"
	$(VENV36)/bin/python -m pip install -q --disable-pip-version-check -r requirements/python36.txt
	@touch $@

demo: $(STAMP)
	$(BIN)/edgenext-export --variant xxs --fp16 --output demo
	$(BIN)/edgenext-export check demo/xxs.onnx --target nano
	$(BIN)/edgenext-export --variant xxs --target onnxruntime --output demo/onnxruntime
	$(BIN)/edgenext-bench --engine demo/xxs.onnx --engine demo/onnxruntime/xxs.onnx --duration 3
	$(BIN)/edgenext-run --engine demo/xxs.onnx edgenext_deploy/data/photos/cat.jpg

# Without a Python 3.6 the rest still runs, and says so; where CI is set, it has to be there.
ifeq ($(PYTHON36)$(CI),)
test: $(STAMP)
	$(BIN)/python -m pytest -m "not gpu"
	@echo "NOT RUN under Python 3.6, for want of one; give it with PYTHON36=/path/to/python3.6"
else
test: $(STAMP) $(STAMP36)
	EDGENEXT_PYTHON36=$(abspath $(VENV36)/bin/python) $(BIN)/python -m pytest -m "not gpu"
	$(VENV36)/bin/python -m pytest -m "not gpu" tests/core tests/benchmarks $(wildcard tests/engines)
endif

test-gpu: $(STAMP)
	$(BIN)/python -m pytest -m gpu -rs || test $$? -eq 5

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy -p edgenext_deploy

routes: $(STAMP)
	$(BIN)/edgenext-bench routes --variant xxs --variant s

clean:
	rm -rf $(CACHE) build demo *.egg-info
