SHELL := /bin/bash
GO ?= go
VERSION ?= $(shell git describe --tags --dirty 2>/dev/null || echo 2.0.0)
COMMIT ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null)
BUILT ?= $(shell git log -1 --format=%cs 2>/dev/null)
DAEMON := github.com/mmm-manager/mmm-manager/pkg/daemon
LDFLAGS := -X $(DAEMON).version=$(VERSION) -X $(DAEMON).commit=$(COMMIT) -X $(DAEMON).built=$(BUILT)
SECONDS ?= 60
DB ?= mariadb
TEST_TIMEOUT ?= 15m
PREFIX ?= /usr/local
DESTDIR ?=
BIN ?= bin

.DEFAULT_GOAL := build
.PHONY: build install uninstall boot test race e2e lint demo bench bench-many sim mutants lab lab-mutants clean help

build: ## build the programs into bin/
	@scripts/go.sh
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...
	@ln -sf mmm-uniqsign bin/mmm-sign-gen

install: $(BIN)/mmmctl ## programs, units, examples and the rest below PREFIX=/usr/local and /etc, all below DESTDIR=
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' BIN='$(BIN)' scripts/install.sh install

# Root often has no Go: "make && sudo make install" installs what was built before.
$(BIN)/mmmctl:
	@$(MAKE) --no-print-directory build

uninstall: ## remove what install has put there; configuration, state and logs stay
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' scripts/install.sh uninstall

boot: ## the units under a systemd of their own: needs root, mmdebstrap, and 100 MB once
	MMM_BOOT=1 $(GO) test -count=1 -timeout $(TEST_TIMEOUT) -v ./tests/boot

test: ## install what is missing, then run every test: race detector on, real servers
	@scripts/deps.sh race lab
	scripts/test.sh

e2e: ## the end-to-end tests; RUN=<regexp> picks some, DB=mysql the other database
	@scripts/deps.sh $(DB)
	MMM_DB=$(DB) $(GO) test -count=1 -timeout $(TEST_TIMEOUT) -v -run '$(RUN)' ./tests/e2e

race: ## the tests beside the code, race detector on
	@scripts/deps.sh race
	$(GO) test -race -cpu 1 ./pkg/... ./cmd/...

lint: ## gofmt, vet, staticcheck, import direction
	@scripts/go.sh
	scripts/lint.sh

demo: ## a real pair on loopback: kill the active, watch the other take over (KEEP=1 leaves it up, DB=mysql)
	@scripts/deps.sh $(DB)
	@$(MAKE) --no-print-directory build
	@MMM_DB=$(DB) $(GO) run ./tests/demo -bin bin

bench: ## failovers by cause and switchovers, RUNS=30 of each: CAUSES=kill,stop,... DB=mysql; RECORD=1 adds to tests/bench/README.md; BENCH='-h' for more
	@scripts/deps.sh $(DB) lab
	@$(MAKE) --no-print-directory build
	@$(GO) build -o bin/bench ./tests/bench
	MMM_DB=$(DB) bin/bench -bin bin -runs $(or $(RUNS),30) $(if $(CAUSES),-causes $(CAUSES)) $(if $(RECORD),-json tests/bench/runs.jsonl -record tests/bench) $(BENCH)

bench-many: ## one process of each daemon for PAIRS=10,100,1000 pairs of stand-in servers: lateness, cost, a hundred failovers within a second
	@scripts/deps.sh
	@$(MAKE) --no-print-directory build
	$(GO) run ./tests/many -bin bin $(if $(PAIRS),-pairs $(PAIRS))

sim: ## schedules of the simulated world for SECONDS=60, or those of SEEDS=1-100000; a violation names the seed to run again
	$(GO) run ./tests/sim -seconds $(SECONDS) $(if $(SEEDS),-seeds $(SEEDS))

mutants: ## each safeguard left out once, SECONDS=60 of schedules each: the simulator must catch every one
	$(GO) run ./tests/sim/mutants -seconds $(SECONDS)

lab: ## needs root: break a pair on hosts of its own: SEEDS=1-3 ROUNDS=10 MINUTES=30 MODE=semisync|semisync-strict|async|classic PLAN=storm|monitors|redis|busy DB=mysql RECORD=1
	@scripts/deps.sh $(DB) lab
	@$(MAKE) --no-print-directory build
	@$(GO) build -o bin/lab ./tests/lab
	@scripts/previous.sh bin/previous
	MMM_DB=$(DB) bin/lab -bin bin -previous bin/previous -rounds $(or $(ROUNDS),10) $(if $(SEEDS),-seeds $(SEEDS)) $(if $(MINUTES),-minutes $(MINUTES)) $(if $(MODE),-mode $(MODE)) $(if $(PLAN),-plan $(PLAN)) $(if $(RECORD),-record tests) $(LAB)

lab-mutants: ## some safeguards left out, each on real servers in the laboratory, which must notice (ONLY=no_majority,... picks some): needs root
	@scripts/deps.sh mariadb lab
	@scripts/deps.sh mysql lab
	$(GO) run ./tests/lab/mutants $(if $(ONLY),-only $(ONLY))

clean: ## remove what was built
	rm -rf bin .cache

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
