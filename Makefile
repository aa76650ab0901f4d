# make help lists the targets.
.DEFAULT_GOAL := help
GO ?= go

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: demo
demo: ## set up what is missing and run the main job: PDFs, a backup and calls, workers killed on the way
	@scripts/setup.sh demo
	@$(GO) run ./examples/demo

.PHONY: examples
examples: ## events: logs to disk and screen, a video in six jobs, orders into a database
	@scripts/setup.sh demo
	@$(GO) run ./examples/logs -file "$$(mktemp)"
	@$(GO) run ./examples/video
	@$(GO) run ./examples/archive

.PHONY: test
test: ## set up what is missing and run all tests, with the race detector and a real RabbitMQ
	@scripts/setup.sh test
	$(GO) vet ./...
	$(GO) vet -C bench/versus ./...
	$(GO) test -race -timeout 20m ./...
	$(GO) test -race -run '^$$' -bench . -benchtime 1x $(BENCHED)

# The packages with benchmarks: go test -bench . $(BENCHED)
BENCHED = ./broker ./job ./topology ./worker

.PHONY: unit
unit: ## all tests, without those that need a RabbitMQ where none can be had
	$(GO) test -race -short ./...

.PHONY: integration
integration: ## the tests that need one
	@scripts/setup.sh test
	$(GO) test -race -timeout 20m ./integration ./devserver

.PHONY: test-matrix
test-matrix: ## the integration tests and a short run of bench/chaos on RabbitMQ 3.10, 4.0, 4.3 and a cluster; needs Docker
	@scripts/setup.sh test
	@scripts/setup.sh containers
	@GO=$(GO) scripts/dockerd.sh scripts/matrix.sh $(MATRIX)

.PHONY: bench
bench: ## errand, amqp091-go by hand, and other libraries in one run; how errand scales; events. Writes bench/results
	@scripts/setup.sh bench
	$(GO) run -C bench/versus . -out ../results
	$(GO) run -C bench/versus . -scale -rounds 3 -out ../results
	$(GO) run -C bench/versus ./plot ../results
	$(GO) run ./bench -event

.PHONY: chaos
chaos: ## a minute of faults of every kind: jobs and calls are counted, and none may be lost
	@scripts/setup.sh demo
	$(GO) run ./bench/chaos

# Pinned, so that a new release of it finds nothing new in an old commit.
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: lint
lint: ## gofmt, go vet and staticcheck
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "gofmt -w these"; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	cd bench/versus && $(GO) run $(STATICCHECK) ./...

.PHONY: golden
golden: ## write the golden files anew: look at the difference before you commit it
	$(GO) test ./topology ./job -update

.PHONY: fuzz
fuzz: ## each fuzz target for 30 seconds
	@for pkg in ./broker ./job ./codec ./rpc ./examples/video/mp4; do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime 30s -fuzzminimizetime 20x $$pkg || exit 1; \
		done; \
	done
