# The commands of a day. `make` alone lists them.

GO ?= go
# The linter's dependencies stay in tools/go.mod, out of ours.
LINTER = $(GO) tool -modfile=tools/go.mod golangci-lint

.DEFAULT_GOAL := help
.PHONY: help run test lint fmt bench faults generate engines

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## start Scrip with nothing configured: embedded database, in-process gate
	$(GO) run .

# The tests come last, so that their last line is the last line. vet has seen
# everything by then, hence -vet=off.
test: engines lint ## all that must hold before a commit: lint, then every test with the race detector
	SCRIP_TEST_REQUIRE_ENGINES=1 $(GO) test -race -vet=off -timeout 5m ./...

lint: ## format, import order and habits; changes nothing
	@$(LINTER) fmt --diff || { echo 'These files are not formatted: make fmt' >&2; exit 1; }
	$(LINTER) run ./...
	$(GO) vet ./...

fmt: ## rewrite all files as lint wants them formatted
	$(LINTER) fmt

bench: engines ## run the benchmarks, and no tests
	SCRIP_TEST_REQUIRE_ENGINES=1 $(GO) test -run '^$$' -bench . -benchmem $$($(GO) list ./... | grep -v e2e/cost)
	SCRIP_TEST_REQUIRE_ENGINES=1 $(GO) test -run '^$$' -bench . -benchtime 5x -v ./e2e/cost -max-ratio 2.5

# How often each fault is made; the sale goes on while it happens.
SEEDS ?= 10

faults: engines ## kill servers and Redis in the middle of sales, SEEDS times each, and demand the proof
	SCRIP_TEST_REQUIRE_ENGINES=1 $(GO) test -run LosesNothing -count $(SEEDS) -timeout 1h -v ./e2e

generate: ## rewrite what is made from the code: the golden answers of the handlers' tests
	$(GO) generate ./...

engines: ## install what the tests need beside Go, if it is missing (Debian, Ubuntu)
	@scripts/engines.sh
