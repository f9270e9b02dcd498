# What one does with the house. `make help` lists it.

GO      ?= go
BIN     := bin/firebreak
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X main.version=$(VERSION)
DATA    ?= ./firebreak-data
FUZZTIME ?= 30s
# These write what tests read, and are no tests.
RECORDERS := ^TestRecord
WORKFLOWCHECK := go.temporal.io/sdk/contrib/tools/workflowcheck@v0.6.0

# One binary, built once, serves the tests of the command line and those from end to end.
export FIREBREAK_BIN := $(CURDIR)/$(BIN)
# Where .ci/parts unpacks Debian packages that would start services.
export FIREBREAK_PARTS ?= $(CURDIR)/.lab/parts

.DEFAULT_GOAL := help
.PHONY: help run build test race e2e parts torture bench fuzz lint histories clean

help: ## lists these targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## builds, and starts everything on loopback with the simulated network
	@test -x $(BIN) || echo "The first build compiles Temporal and OPA, and takes a few minutes."
	@$(MAKE) --no-print-directory build
	$(BIN) serve --lab --data $(DATA)

# Without -trimpath: the tests would compile Temporal a second time.
build: ## builds bin/firebreak
	$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/firebreak

test: build ## unit, conformance, Rego, replay, imports, API and command line; needs Go and nothing else
	$(GO) run .ci/gotest/main.go -timeout 15m -skip '$(RECORDERS)' ./...

race: ## the same, under the race detector where the Temporal server is not linked (needs a C compiler)
	FIREBREAK_RACE=1 $(MAKE) --no-print-directory test

parts: ## unpacks the Debian packages that e2e drives (root)
	.ci/parts "$(FIREBREAK_PARTS)"

e2e: build ## the real parts from end to end (root, Debian; `make parts` first)
	@test "$$(id -u)" = 0 || { echo "make e2e needs root: network namespaces and nftables"; exit 2; }
	$(GO) run .ci/gotest/main.go -tags e2e -count 1 -timeout 30m -skip '^TestTorture' ./internal/e2e/

torture: build ## 200 kills at random points of an accelerated scenario; prints its seed
	FIREBREAK_TORTURE=$${FIREBREAK_TORTURE:-200} $(GO) test -tags e2e -count 1 -timeout 120m -v -run '^TestTorture' ./internal/e2e/

bench: ## the figures, each beside a floor measured in the same run: 8 minutes (BENCHFLAGS=-quick: 2; -json)
	$(GO) build -trimpath -o bin/bench ./bench
	bin/bench $(BENCHFLAGS)

fuzz: ## fuzzes every decoder for FUZZTIME each
	@grep -rhoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . >/dev/null || { echo "nothing to fuzz"; exit 1; }
	@set -e; grep -rlE --include='*_test.go' '^func Fuzz' . | while read -r file; do \
		grep -oE '^func Fuzz[A-Za-z0-9_]+' "$$file" | cut -d' ' -f2 | while read -r name; do \
			echo "$$(dirname "$$file") $$name"; \
			$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")"; \
		done; done

lint: ## gofmt, go vet, and workflowcheck for what workflows must not do
	@out="$$(gofmt -l .)"; test -z "$$out" || { echo "gofmt would change:"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags e2e ./internal/e2e/
	$(GO) run $(WORKFLOWCHECK) ./workflows/...

histories: ## records the histories of a new version of the workflows: make histories NEWEST=2
	@test -n "$(NEWEST)" || { echo "say which version is the newest, as in workflows/versions.go: make histories NEWEST=2"; exit 2; }
	FIREBREAK_RECORD_HISTORIES=$(NEWEST) $(GO) test -count 1 -v -run '$(RECORDERS)' ./internal/engine/

clean: ## removes what was built and unpacked; never the data
	rm -rf bin .lab
