# Needs Go, bash, make and git; everything else comes with tools/go.mod, pinned.
SHELL := bash
TOOL  := go tool -modfile=tools/go.mod
# The race detector needs a C compiler; without one the tests run all the same.
RACE   = $(if $(shell command -v $$(go env CC)),-race)

export FUZZTIME ?= 200000x

VERSION = $(shell git describe --tags --always --dirty=-dirty)
IMAGE   = ghcr.io/seed-a7c21902/andon:$(VERSION)

help: ## Show this help
	@while read -r line; do if [[ $$line =~ ^([a-z-]+):.*"## "(.*) ]]; then printf '  %-17s %s\n' "$${BASH_REMATCH[@]:1}"; fi; done <Makefile

# Static, the same wherever they are built, and with the time zones, which neither an
# empty image nor Windows has.
build: ## Build all programs into bin/
	CGO_ENABLED=0 go build -trimpath -tags timetzdata -ldflags '-s -w' -o $(or $(BIN),bin/) ./cmd/...

release: ## Make archives, images, SBOMs and checksums of this commit in dist/
	rm -rf dist
	go -C tools run ./release

image: ## Build the image with Docker
	docker build --tag $(IMAGE) --build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD) --build-arg CREATED=$$(git log -1 --format=%cI) .

run: build ## Rehearse an incident against a simulated API; DEMO_EXIT=1 stops when it is over
	bin/demo -worker bin/worker -requests testdata/request

# Most tests wait, for brokers and for time, so more packages than cores run at once.
test: ## Run all tests
	go test -p 4 ./...

check: lint tidy race storm incident faults-short ## Everything that must pass before a change is merged
	FUZZTIME=15s .ci/fuzz

check-deploy: ## Check deploy/ with Helm, Prometheus, a container engine and the others that will read it; installs them
	go -C test/deploy vet ./...
	go -C test/deploy test -count=1 -timeout 40m ./...

race: ## Run all tests in random order under the race detector
	go test $(RACE) -shuffle=on ./...

storm: ## Simulate fleets in trouble, which is too much for the race detector
	go test -count=1 ./pkg/limiter

incident: ## Pause 5,000 groups by the command line: watched, interrupted, watched again and undone
	go test -count=1 -run '^TestABulk' ./cmd/andon -groups 5000

lint: ## Vet, format and lint, layers included
	go vet ./... && go vet -tags hooks ./cmd/worker && go -C tools vet ./...
	$(TOOL) golangci-lint run

tidy: ## Say whether go.mod or go.sum of any module is out of date
	go mod tidy -diff
	go -C tools mod tidy -diff
	go -C test/deploy mod tidy -diff

fmt: ## Format the code
	$(TOOL) golangci-lint fmt

fuzz: ## Fuzz every target, FUZZTIME inputs or seconds (200000x)
	.ci/fuzz

faults: ## Break everything, hundreds of times, and print what became of it; takes about ten minutes
	set -o pipefail; fuzzed=$$(FUZZTIME=10s .ci/fuzz | tail -n 1) && FUZZED="$$fuzzed" FAULTS=full go -C test/faults test -timeout 40m

faults-short: ## Break everything a few times
	FAULTS=short go -C test/faults test

soak: ## Break a cluster by chance for DURATION (1h)
	FAULTS=soak SOAK=$(or $(DURATION),1h) go -C test/faults test -run '^TestSoak$$' -timeout 0

bench: ## Run the benchmarks of the packages; compare two outputs with: go tool -modfile=tools/go.mod benchstat old new
	go test -run '^$$' -bench . -benchmem ./pkg/... ./cmd/...

bench-limiter: ## Measure the quota of many workers on one broker and on three; takes half an hour
	go test -run '^$$' -bench '^BenchmarkLimiter$$' -benchtime 1x -timeout 90m ./test/fleet

bench-urgent: ## Measure how soon an urgent request is carried out behind 10,000 others
	go test -run '^$$' -bench '^BenchmarkUrgentBehindBulk$$' -benchtime 1x -timeout 30m ./test/fleet

bench-bulk: ## Measure a bulk of 10,000 groups, in one quota and in a hundred
	go test -run '^$$' -bench '^BenchmarkBulk$$' -benchtime 1x -timeout 30m ./test/fleet

docs: ## Make the manual pages and completions of andon anew
	UPDATE=1 go test -count=1 -run '^TestManualPages' ./cmd/andon

dashboard-picture: ## Draw docs/dashboard.png from a run of a quarter of an hour, with Chromium
	PICTURE=1 go -C test/deploy test -count=1 -run '^TestDashboardPicture$$' -v -timeout 30m

golden: ## Rewrite the expected outputs of the tests
	UPDATE=1 go test ./...

clean: ## Remove what was built
	rm -rf bin dist coverage.* *.test *.prof

.PHONY: help build release image run test check check-deploy race storm incident faults faults-short soak lint tidy fmt fuzz bench bench-limiter bench-urgent bench-bulk docs dashboard-picture golden clean
