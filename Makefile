# Two commands: `make run` serves, `make test` checks everything. Both build what they need first.
PYTHON ?= python3
RISKENGINE_HOME ?= $(CURDIR)/.riskengine
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2

.PHONY: help run test contract bench bench-scale bench-queries bench-replay bench-tokens quality faults
help:
	@echo "make run    set up what is missing and serve on 127.0.0.1:8000"
	@echo "make test   set up what is missing, then lint, types, import contract and all tests"
	@echo "make contract  20,000 generated requests, with and without credentials, against the OpenAPI document"
	@echo "make bench  how fast it is on this machine, beside an empty route and a naive engine; ARGS=--short: a quick look"
	@echo "make bench-scale  the same store almost empty and with 10 million events; ARGS=--ci: with a hundredth of that"
	@echo "make bench-queries  how long the first pages of searches take over 10 million events; ARGS='--events 200000': fewer"
	@echo "make faults  what happens when things fail, as long and as often as promised (the tests do it in short)"
	@echo "make bench-replay  how fast a log is replayed, beside plain scripts; ARGS=--short: a quick look"
	@echo "make bench-tokens  what one-time tokens cost beside an access key, and access tokens; ARGS=--short: a quick look"
	@echo "make quality  how well the default policy decides over populations it was not tuned to"

run: $(VENV)/.run
	@RISKENGINE_HOME="$(RISKENGINE_HOME)" exec $(BIN)/riskengine up

test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@sh .ci/chromium
	$(BIN)/python -m pytest -n $(JOBS)

# The development lock holds everything the other one does, so an environment made for tests also serves.
$(VENV)/.run: requirements.lock pyproject.toml $(VENV)/.made
	@if ! cmp -s requirements-dev.lock $(VENV)/.dev; then $(call install,requirements.lock); fi
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml $(VENV)/.made
	@$(call install,requirements-dev.lock)
	@cp requirements-dev.lock $@
	@touch $(VENV)/.run

define install
echo "Installing from $(1) ..." && \
$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1) && \
$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
endef

$(VENV)/.made:
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh .ci/environment
	@touch $@

contract: $(VENV)/.dev
	$(BIN)/python -m tests.api.contract $(ARGS)

bench: $(VENV)/.dev
	$(BIN)/python -m tests.bench $(ARGS)

bench-scale: $(VENV)/.dev
	$(BIN)/python -m tests.bench.scale $(ARGS)

bench-replay: $(VENV)/.dev
	$(BIN)/python -m tests.bench.replay $(ARGS)

bench-queries: $(VENV)/.dev
	$(BIN)/python -m tests.bench.queries $(ARGS)

bench-tokens: $(VENV)/.dev
	$(BIN)/python -m tests.bench.tokens $(ARGS)

quality: $(VENV)/.dev
	$(BIN)/python -m tests.quality --seeds 100-109

faults: $(VENV)/.dev
	$(BIN)/python -m tests.faults --long
