# The commands of a day. `make` alone lists them.

GO ?= go
# The linter's dependencies stay in tools/go.mod, out of ours.
LINTER = $(GO) tool -modfile=tools/go.mod golangci-lint

.DEFAULT_GOAL := help
.PHONY: help run test lint fmt bench benchmarks faults faults-selftest generate engines

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## start Scrip with nothing configured: embedded database, in-process gate
	$(GO) run .

# The tests come last, so that their last line is the last line. vet has seen
# everything by then, hence -vet=off. Many of them wait most of the time, for a
# lease to run out say: hence more at a time than there are processors.
test: engines lint ## all that must hold before a commit: lint, then every test with the race detector
	SCRIP_TEST_REQUIRE_ENGINES=1 $(GO) test -race -vet=off -timeout 10m -parallel 4 ./...

lint: ## format, import order and habits; changes nothing
	@$(LINTER) fmt --diff || { echo 'These files are not formatted: make fmt' >&2; exit 1; }
	$(LINTER) run ./...
	$(GO) vet ./...

fmt: ## rewrite all files as lint wants them formatted
	$(LINTER) fmt

# All of it takes most of an hour and writes docs/performance.md and
# docs/capacity.md. make bench COST=-quick is claims on one hot template in less
# than a minute, and writes nothing; COST=-help tells the rest.
COST ?= -write

bench: engines ## weigh Scrip against a floor and other ways, in one run
	$(GO) run ./e2e/cost $(COST)

benchmarks: engines ## run the benchmarks of the packages, and no tests
	SCRIP_TEST_REQUIRE_ENGINES=1 $(GO) test -run '^$$' -bench . -benchmem ./...
	SCRIP_TEST_REQUIRE_ENGINES=1 $(GO) test -run CouponsExpire -count 1 -timeout 20m -v ./e2e -expiring 100000 -expire-over 1m
	SCRIP_TEST_REQUIRE_ENGINES=1 $(GO) test -run KilledTwice -count 1 -timeout 30m -v ./e2e -distributed 1000000
	SCRIP_TEST_REQUIRE_ENGINES=1 $(GO) test -run ADistributionKilledTwice -parallel 1 -count 1 -timeout 30m -v ./e2e -distributed 1000000 -kills 0
	SCRIP_TEST_REQUIRE_ENGINES=1 $(GO) test -run '^$$' -bench Distribution -benchtime 1000000x -timeout 30m ./issuing
	SCRIP_TEST_REQUIRE_ENGINES=1 $(GO) test -run CodesKilledTwice -count 1 -timeout 20m -v ./e2e -codes 1000000

# A campaign: how many seeds, the first of them, and which rows of the table (a
# pattern of go test's). REPLAY judges once more what a failed run has kept. Runs
# wait much: five at a time take two minutes a seed, on two processors.
SEEDS ?= 5
SEED ?= 1
ROWS ?= .
REPLAY ?=

faults: engines ## make every fault happen in a sale, SEEDS times each, and demand that nothing is lost
	SCRIP_TEST_REQUIRE_ENGINES=1 SCRIP_FAULTS_SEEDS=$(SEEDS) SCRIP_FAULTS_SEED=$(SEED) SCRIP_FAULTS_REPLAY=$(REPLAY) \
		$(GO) -C e2e/faults test -count 1 -timeout 24h -parallel 5 -run '$(if $(REPLAY),TestReplay,TestFaults/$(ROWS))'

# Those whose name matches BUGS, a regular expression.
BUGS ?= .

faults-selftest: engines ## plant bugs in a copy of the tree, one at a time, and demand that each is caught
	$(GO) test -count 1 -timeout 1h -v -run PlantedBugIsCaught ./e2e/faults/planted -plant -bugs '$(BUGS)'

generate: ## rewrite what is made from the code: the golden answers of the handlers' tests
	$(GO) generate ./...

engines: ## install what the tests need beside Go, if it is missing (Debian, Ubuntu)
	@scripts/engines.sh
