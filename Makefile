# Every target runs in the environment that is active; `make install` makes one in .venv when none is.
PYTHON ?= python3
ifneq ($(VIRTUAL_ENV),)
BIN := $(VIRTUAL_ENV)/bin
else
BIN := .venv/bin
endif

# Benchmarks of which `make bench` runs a short form.
SHORTENED := ingest queries commits repricing reports dashboard
# Those that `make bench` leaves out: they need data that you bring.
BROUGHT := anomalies forecast

.PHONY: help install format lint typecheck mypy pyright test bench dashboard demo prices docs screenshots check

help:  ## Show this list
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/\1|\2/' | column -t -s '|'

install:  ## Make .venv with everything a developer needs
	test -n "$(VIRTUAL_ENV)" || $(PYTHON) -m venv .venv
	$(BIN)/pip install -c constraints.txt -e '.[dev]'

format:  ## Format the code
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lint:  ## Check style and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

typecheck: mypy pyright  ## Check types with mypy (strict) and pyright; with -j2 both at once

mypy:
	$(BIN)/mypy

pyright:
	$(BIN)/pyright

test:  ## Run every test
	$(BIN)/pytest

bench:  ## Measure, and print JSON
	@for file in $(filter-out $(patsubst %,benchmarks/%.py,$(SHORTENED) $(BROUGHT)),$(wildcard benchmarks/*.py)); do $(BIN)/python $$file || exit 1; done
	@$(BIN)/python benchmarks/ingest.py --quick
	@$(BIN)/python benchmarks/queries.py --spans 1000000 --draws 10 --peers ''
	@$(BIN)/python benchmarks/commits.py --commits 1000
	@$(BIN)/python benchmarks/repricing.py --spans 1000000
	@$(BIN)/python benchmarks/dashboard.py --spans 1000000 --runs 3 --no-peers
	@$(BIN)/python benchmarks/reports.py --spans 1000000 --draws 4

prove:  ## Run the long forms of the checks, and keep what they show in docs/evidence
	$(BIN)/python tools/prove.py

dashboard:  ## Open the dashboard over your lake
	$(BIN)/spanledger dashboard

demo:  ## See everything at once
	$(BIN)/spanledger demo

prices:  ## Make the price book again from genai-prices
	$(BIN)/python tools/flatten_prices.py

docs:  ## Make the generated pages of docs, and README's figures, again
	$(BIN)/python tools/reference_docs.py

screenshots:  ## Take the pictures of docs/screenshots again, from a demo at work
	$(BIN)/python tools/screenshots.py

check: lint typecheck test  ## All that CI checks
