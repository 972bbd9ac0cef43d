# The commands of a day. `make` alone lists them.

GO ?= go
# The linter's dependencies stay in tools/go.mod, out of ours.
LINTER = $(GO) tool -modfile=tools/go.mod golangci-lint

.DEFAULT_GOAL := help
.PHONY: help run test lint fmt bench engines

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
	SCRIP_TEST_REQUIRE_ENGINES=1 $(GO) test -run '^$$' -bench . -benchmem ./...

engines: ## install what the tests need beside Go, if it is missing (Debian, Ubuntu)
	@scripts/engines.sh
