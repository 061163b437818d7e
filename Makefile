# Everything from one command each; `make help` lists them. No environment variable need be set.

PYTHON ?= python3
ARGS ?=
PROCESSES ?=

# `python3.13` may name a pyenv shim that is not switched on: then the newest 3.13 that pyenv holds is meant.
runs = $(shell $(1) -c 'print(1)' 2>/dev/null)
of_pyenv = $(lastword $(wildcard $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions/$(PYTHON:python%=%).*/bin/python))
INTERPRETER := $(if $(call runs,$(PYTHON)),$(PYTHON),$(of_pyenv))
VERSION := $(if $(INTERPRETER),$(shell $(INTERPRETER) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])'))

# Each interpreter has its own environment. The stamp is written last, and says for which interpreter and folder the
# environment was made: after a new Python, or in a copied clone, it is made anew.
VENV := .venv$(if $(filter-out python3,$(PYTHON)),-$(VERSION))
STAMP := $(VENV)/installed
MADE_FOR := $(VERSION) $(CURDIR)
ifneq ($(shell cat '$(STAMP)' 2>/dev/null),$(MADE_FOR))
$(STAMP): FORCE
endif

.PHONY: help lenet alexnet resnet bench bench-gpu bench-precision bench-training compare-training future figures table compare docs test page site page-test c-targets random-networks cuda-check damage kills threads mutants matrix install interpreter clean FORCE
.DEFAULT_GOAL := help

help:
	@echo "make lenet      B-LeNet on MNIST: fetch, train, choose T, measure; table, figures, records"
	@echo "make alexnet    B-AlexNet on CIFAR-10"
	@echo "make resnet     B-ResNet on CIFAR-10"
	@echo "make bench      early exit against the plain network on every engine, with the released weights"
	@echo "make bench-precision  early exit's gain by engine and precision: float32, bfloat16, int8"
	@echo "make bench-gpu  the GPU tests, then the same on a GPU; BY=python3 installs nothing"
	@echo "make bench-training  a training step against plain Chainer (and PyTorch, where it is installed)"
	@echo "make compare-training  does joint training help? loss weights, separate training, other weightings"
	@echo "make future     the paper's future work on the released weights: measures, goals, unknown images"
	@echo "make figures    the paper's figures 4, 5 and 6: T, the first branch's depth, the cache; ours beside"
	@echo "make table      the whole of the paper's Table I: paper, authors, the released runs"
	@echo "make compare    paper, authors' notebook and our runs side by side, with the reasons"
	@echo "make docs       the tables of README.md and docs/ from the records (ARGS=--check compares only)"
	@echo "make test       lint and tests"
	@echo "make page       one HTML file: draw a digit and watch it leave; make page-test tries it and the reports in browsers"
	@echo "make site       the page that lists the released runs, with a report for each"
	@echo "make c-targets  the exported C on ARM and WebAssembly, emulated (installs what is missing)"
	@echo "make cuda-check  the GPU's kernels without a GPU: 1,000 images a network by g++ (and on a GPU), CUDA's compiler"
	@echo "make random-networks  1,000 networks drawn at random, on every engine"
	@echo "make damage     105,000 damaged files of a training; make kills: a training ended at every operation on files, by one process and by two"
	@echo "make threads    100,000 calls of one compiled net by 8 threads, on each engine of the CPU"
	@echo "make mutants    mutation testing of a room: ROOM=thresholds, goals, risk, inference, timing, evidence, serialization or all"
	@echo "make matrix     the tests on several versions of Python and NumPy"
	@echo "make install    only the virtual environment that all of them use"
	@echo "make clean      remove virtual environments and caches; data and results stay"
	@echo
	@echo "Options of an experiment:  make lenet ARGS=\"--dataset fashion-mnist\"  (ARGS=--help lists them)"
	@echo "Training by 2 processes:   make alexnet PROCESSES=2"
	@echo "Another interpreter:       PYTHON=python3.13 make test"

# A run goes on from its snapshots, so that one that was stopped loses nothing.
LAUNCH = $(if $(PROCESSES),$(VENV)/bin/mpiexec -n $(PROCESSES))
lenet: $(STAMP)
	@$(LAUNCH) $(VENV)/bin/python experiments/lenet_mnist.py --resume $(ARGS)

alexnet: $(STAMP)
	@$(LAUNCH) $(VENV)/bin/python experiments/alexnet_cifar10.py --resume $(ARGS)

resnet: $(STAMP)
	@$(LAUNCH) $(VENV)/bin/python experiments/resnet_cifar10.py --resume $(ARGS)

bench: $(STAMP)
	@$(VENV)/bin/python experiments/benchmark.py --out experiments/results/bench $(ARGS)

bench-precision: $(STAMP)
	@$(VENV)/bin/python experiments/benchmark_precision.py --out experiments/results/bench-precision $(ARGS)

# All that is needed is there before anything runs. BY=python3 takes that interpreter as it is and installs nothing:
# for a machine that has CuPy and reaches no package index.
BY ?=
RUN_BY = $(or $(BY),$(VENV)/bin/python)
BENCH_GPU_OUT = experiments/results/bench-gpu
BENCH_GPU = experiments/benchmark.py --device gpu --batch-sizes 1 8 64 512 4096 65536 --budget 2 --out $(BENCH_GPU_OUT) $(ARGS)
bench-gpu: $(if $(BY),,$(STAMP))
	@$(if $(BY),,$(RUN_BY) -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("cupy"))' \
	    || $(RUN_BY) -m pip install --quiet --editable '.[test,gpu]')
	@$(RUN_BY) $(BENCH_GPU) --check
	$(RUN_BY) -m pytest -m gpu
	@$(RUN_BY) $(BENCH_GPU)
	@$(RUN_BY) experiments/table.py --gpu $(BENCH_GPU_OUT) --out $(BENCH_GPU_OUT)

compare-training: $(STAMP)
	@$(LAUNCH) $(VENV)/bin/python experiments/compare_training.py --out experiments/results/compare-training $(ARGS)

future: $(STAMP)
	@$(VENV)/bin/python experiments/future_work.py $(ARGS)

figures: $(STAMP)
	@$(VENV)/bin/python experiments/figures.py --out experiments/results/figures $(ARGS)

table: $(STAMP)
	@$(VENV)/bin/python experiments/table.py $(ARGS)

compare: $(STAMP)
	@$(VENV)/bin/python experiments/compare.py $(ARGS)

docs: $(STAMP)
	@$(VENV)/bin/python experiments/docs.py $(ARGS)

bench-training: $(STAMP)
	@$(LAUNCH) $(VENV)/bin/python experiments/benchmark_training.py $(ARGS)

test: $(STAMP)
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m ruff format --check .
	$(VENV)/bin/python -m pytest -n auto --dist loadfile $(ARGS)

page: $(STAMP)
	@$(VENV)/bin/python -m pip install --quiet --editable '.[test,native]'
	@$(VENV)/bin/python experiments/page.py $(ARGS)

site: $(STAMP)
	@$(VENV)/bin/python experiments/report.py --site $(ARGS)

# Chromium and Firefox by Playwright. From 1.63 on it asks Firefox for a command that Debian's (153) does not know.
page-test: $(STAMP)
	@command -v chromium >/dev/null || apt-get install --yes --quiet chromium
	@command -v firefox-esr >/dev/null || command -v firefox >/dev/null || apt-get install --yes --quiet firefox-esr
	@$(VENV)/bin/python -m pip install --quiet 'playwright>=1.56,<1.63'
	$(VENV)/bin/python -m pytest tests/experiments/test_page.py tests/experiments/test_reports.py $(ARGS)

c-targets: $(STAMP)
	@command -v qemu-arm >/dev/null && command -v node >/dev/null || apt-get install --yes --quiet qemu-user nodejs
	@$(VENV)/bin/python -m pip install --quiet --editable '.[test,native]'
	$(VENV)/bin/python -m pytest tests/inference/test_c_targets.py $(ARGS)

random-networks: $(STAMP)
	BRANCHYNET_N_NETWORKS=1000 $(VENV)/bin/python -m pytest tests/inference/test_random_networks.py $(ARGS)

cuda-check: $(if $(BY),,$(STAMP))
	@$(if $(BY),,$(RUN_BY) -m pip install --quiet nvidia-cuda-nvrtc-cu12)
	BRANCHYNET_N_IMAGES=1000 $(RUN_BY) -m pytest tests/inference/test_cuda.py $(ARGS)

damage: $(STAMP)
	@$(VENV)/bin/python tests/campaigns.py damage

kills: $(STAMP)
	@$(VENV)/bin/python tests/campaigns.py kills
	@$(VENV)/bin/python tests/campaigns.py kills-by-two

threads: $(STAMP)
	BRANCHYNET_N_CALLS=100000 $(VENV)/bin/python -m pytest tests/inference/test_processes.py -k several_threads $(ARGS)

ROOM ?= thresholds
mutants: $(STAMP)
	@$(VENV)/bin/python tests/mutants.py $(ROOM) $(ARGS)

matrix: interpreter
	@$(INTERPRETER) tests/matrix.py

install: $(STAMP)

interpreter:
	@test -n "$(INTERPRETER)" || { echo "$(PYTHON) is not here, or does not run; choose one: PYTHON=python3.11 make ..." >&2; exit 2; }
	@$(INTERPRETER) -c 'import sys; sys.exit(sys.version_info < (3, 9))' \
	    || { echo "expected Python 3.9 or newer, got $(VERSION); choose another: PYTHON=python3.11 make ..." >&2; exit 2; }

# The native engine needs a C compiler: where the machine has none, PyPI's.
EXTRAS = .[test$(if $(shell command -v $(or $(CC),cc) || command -v gcc || command -v clang),,$(comma)native)]
comma := ,

# What is imported is compiled then: of all packages only a part ever is.
# PIP_CONSTRAINT reaches the build of Chainer with pip up to 26.1, PIP_BUILD_CONSTRAINT from 25.3 on.
$(STAMP): setup.py pyproject.toml constraints.txt | interpreter
	@$(INTERPRETER) -c 'import ensurepip, venv' 2>/dev/null \
	    || { echo "$(PYTHON) lacks the modules venv and ensurepip; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }
	@echo "Making $(VENV) with Python $(VERSION); this takes a minute or two ..." >&2
	@$(INTERPRETER) -m venv --clear '$(VENV)'
	@PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 \
	    $(VENV)/bin/python -m pip install --quiet --no-compile --editable '$(EXTRAS)'
	@echo '$(MADE_FOR)' > '$(STAMP)'

FORCE:

clean:
	rm -rf .venv .venv-* build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
