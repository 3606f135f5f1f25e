# What people and CI both call. `make help` lists it.
.DEFAULT_GOAL := help
CARGO ?= cargo
DATA ?= .weir
LISTEN ?= 127.0.0.1:8888

.PHONY: help setup run test check unit clients fmt bench torture test-mutants contract clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## install what building and testing need, by package name
	@scripts/setup.sh

run: ## install what is missing, build weir, start it with example meters
	@scripts/setup.sh --run-only
	$(CARGO) build --release --locked
	@scripts/try-next.sh "$(LISTEN)" & exec target/release/weir serve --data "$(DATA)" --listen "$(LISTEN)" --meters docs/example-meters.yaml

test: setup check unit clients ## everything that must pass: CI calls this

check: ## format, lints, licences, architecture
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) deny --locked check bans licenses sources

unit: ## the test suites, printed seeds and all
	$(CARGO) test --locked

clients: ## the official clients and a schema tester against one weir
	$(CARGO) build --locked
	@scripts/test-clients.sh

fmt: ## format the code
	$(CARGO) fmt --all

bench: ## measure this machine (minutes); prints a table, writes bench.json
	$(CARGO) build --release --locked
	target/release/weir bench

torture: ## P1, P2, P9, P10 with 200 kills and power cuts (long); WEIR_TEST_SEED=n repeats a run
	WEIR_TEST_ROUNDS=200 $(CARGO) test --locked --test torture -- --nocapture

test-mutants: ## switch off one safeguard at a time: each must turn a named test red (by hand, long)
	@scripts/test-mutants.sh

contract: ## tests/contract from the published documents: CONTRACT_V1=….yaml CONTRACT_V3=….yaml
	CONTRACT_V1="$(abspath $(CONTRACT_V1))" CONTRACT_V3="$(abspath $(CONTRACT_V3))" \
		$(CARGO) test --locked --test contract -- --ignored --nocapture

clean: ## remove what was built (not the data)
	$(CARGO) clean
