# make bench        sweep this machine's best device; draw and print the crossover; once, its ceilings
# make test         ruff, mypy --strict and pytest
# make microbench   every contender as a pytest benchmark
# make proofs       the claims of the statistics, by simulation: tables
# make soak         nothing lost, nothing hung: kills, failures, full disks, a cluster; 40 minutes
# make wheels       fill wheels/ with what a bare GPU machine lacks, for bench/gpu-visit.sh
# make clean        remove the environment, the caches and the builds; results and reports stay
#
# Each sets up all it needs in $(VENV). PYTHON=python3.12 chooses the interpreter, from 3.11 on.
# TORCH=none leaves PyTorch out: its contenders are then listed as missing, and all else runs.

# python3 where it is new enough, else the newest that is.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && \
  echo $$python && break; done)
VENV ?= .venv
TORCH ?= yes
BIN := $(VENV)/bin

# The newest CUDA that the driver takes, as nvidia-smi says ("CUDA Version: 13.0"), chooses the
# packages. No driver, one that answers N/A, or one older than CUDA 12 means the CPU.
CUDA := $(shell nvidia-smi 2>/dev/null | sed -n 's/.*CUDA.* Version: *\([0-9][0-9]*\)\..*/\1/p')
ifeq ($(CUDA),12)
  BUILD := cuda12
else ifeq ($(shell test 0$(CUDA) -ge 13 && echo newer),newer)
  BUILD := cuda13
else
  BUILD := cpu
endif
CONSTRAINT_cpu := --constraint constraints-cpu.txt
ifeq ($(TORCH),none)
  EXTRAS_cpu := opencv
  EXTRAS_cuda12 := opencv,cupy12
  EXTRAS_cuda13 := opencv,cupy13
  TESTS := dev
  KIND := $(BUILD)-no-torch
else
  EXTRAS_cpu := opencv,torch
  EXTRAS_cuda12 := opencv,cuda12
  EXTRAS_cuda13 := opencv,cuda13
  TESTS := dev,torch-rivals
  KIND := $(BUILD)
endif

# One stamp a kind: a venv made before the driver came holds the CPU's packages and starts anew.
# READY is enough to measure; TESTED adds what tests need, and every library that can be measured.
READY := $(VENV)/.ready-$(KIND)
TESTED := $(VENV)/.tested-$(KIND)
STALE := $(filter-out $(READY),$(wildcard $(VENV)/.ready-*))

# Tests run in two processes, as many of them wait: those of a file in one, for they share what it
# measures; files in order of their names, which has the long ones before the last. Where there is a
# GPU, one process: its tests want it alone.
TOGETHER_cpu := --numprocesses=2 --dist=loadfile --no-loadscope-reorder

.PHONY: bench test microbench proofs soak wheels clean

bench: $(READY)
	@machine=$$($(BIN)/python -c "from convcross.machine import describe; \
	  from convcross.sweeps import contenders; \
	  print(describe.name(contenders.devices_named(None)[0][0]))") && \
	{ [ -f "results/$$machine/ceilings.json" ] || $(BIN)/convcross doctor --ceilings; }
	@$(BIN)/convcross run quick; status=$$?; [ $$status -le 1 ] || exit $$status; \
	results=$$(ls -t results/*/*-quick-*.jsonl | head -n 1) && \
	$(BIN)/convcross crossover "$$results" && \
	$(BIN)/convcross report "$$results" && \
	exit $$status

test: $(TESTED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest $(TOGETHER_$(BUILD))

microbench: $(TESTED)
	$(BIN)/pytest tests/microbench

proofs: $(TESTED)
	@for proof in tests/proofs/*.py; do PYTHONPATH=tests $(BIN)/python $$proof || exit 1; done

soak: $(TESTED)
	PYTHONPATH=tests $(BIN)/python tests/soak

# Pure Python or for CPython 3.12 on x86-64; NumPy, PyTorch and CuPy are the machine's own.
wheels:
	$(PYTHON) -m pip download --dest wheels --only-binary :all: --python-version 3.12 \
	  --platform manylinux_2_17_x86_64 --platform manylinux_2_28_x86_64 --no-deps \
	  array-api-compat array-api-strict threadpoolctl
	$(PYTHON) -m pip download --dest wheels --only-binary :all: --python-version 3.12 \
	  --platform manylinux_2_17_x86_64 --platform manylinux_2_28_x86_64 pydantic
	$(PYTHON) -m pip download --dest wheels --only-binary :all: --python-version 3.12 \
	  --platform manylinux_2_27_x86_64 --no-deps cuda-bench

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	find bench kernels tests -name __pycache__ -type d -prune -exec rm -rf {} +

# An index may have no CPU build of torch for this interpreter: that is said before it is fetched.
WEIGH = $(BIN)/python -m pip install --quiet --dry-run --no-deps --report - $(CONSTRAINT_cpu) torch \
  2>/dev/null | $(BIN)/python -c "$$HEAVY" || true
define HEAVY
import json, sys
found = json.load(sys.stdin)["install"]  # none where torch is here already
needs = [need for one in found for need in one["metadata"].get("requires_dist", [])]
if any(need.startswith(("nvidia-", "cuda-")) for need in needs):
    print(
        "note: the package index has no CPU build of torch for this Python: gigabytes of CUDA "
        "libraries come with it, of no use without a GPU. TORCH=none leaves torch out.",
        flush=True,
    )
endef
export HEAVY

$(READY): pyproject.toml constraints-cpu.txt
	@echo "setting up $(VENV) for $(KIND): some minutes; what fails is said"
	@[ -n "$(PYTHON)" ] || { echo "no Python from 3.11 on is found; PYTHON=… names one" >&2; exit 2; }
	@$(PYTHON) -m venv $(if $(STALE),--clear) $(VENV)
	@$(if $(filter cpu,$(KIND)),$(WEIGH))
	@$(BIN)/python -m pip install --quiet --quiet $(CONSTRAINT_$(BUILD)) --editable '.[$(EXTRAS_$(BUILD))]'
	@touch $@

$(TESTED): $(READY)
	@echo "setting up the tests in $(VENV)"
	@$(BIN)/python -m pip install --quiet --quiet $(CONSTRAINT_$(BUILD)) --editable '.[$(TESTS),$(EXTRAS_$(BUILD))]'
	@touch $@
