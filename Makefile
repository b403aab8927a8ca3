# make check needs Go and git alone, and no network once the module cache is filled.
# make integration needs the servers and senders that make install fetches.

TOOL     = go tool -modfile=$(CURDIR)/.ci/tools/go.mod
MODULES  = $(dir $(shell git ls-files '*go.mod' ':!.ci'))
RELEASES = go1.26.8 go1.27.0
TEST     = $(shell sed -n 's/^\(go test .*\)$$/\1/p' README.md | head -1)
RUN      = $(shell sed -n 's/^\(go run .*\)$$/\1/p' README.md | head -1)

.PHONY: check format words exported lint test
check: format words exported lint test ## everything that a change must pass, on any machine

format:
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt would change: $$unformatted"; exit 1; }

words: ## the vocabulary of comments and documents
	@.ci/words

LIMIT = 500 # raise it only with a sentence in CHANGELOG.md that justifies it
exported: ## how many identifiers users can see
	@go run .ci/exported.go $(LIMIT) $$(go list -f '{{.Dir}}' ./... | grep -v -e /internal/ -e /examples/)

lint:
	@for module in $(MODULES); do \
		echo "lint $$module"; \
		(cd $$module && go vet ./... && go vet -tags integration ./... && $(TOOL) staticcheck -tags integration ./...) || exit 1; \
	done

cross:
	@for os in darwin windows freebsd; do echo "build for $$os"; GOOS=$$os go build ./... || exit 1; done

test:
	go test ./...

.PHONY: integration install cross releases modules explore wire fuzz quickstart
integration: cross releases modules explore wire fuzz quickstart ## what CI adds

install: ## as root, on Debian
	.ci/install

releases: ## the README's test command with each supported release of Go
	@[ -n "$(TEST)" ] || { echo "README.md names no test command"; exit 1; }
	@for release in $(RELEASES); do \
		echo "GOTOOLCHAIN=$$release $(TEST)"; GOTOOLCHAIN=$$release $(TEST) || exit 1; \
	done

modules: ## every module, in random order
	@for module in $(MODULES); do \
		echo "shuffled tests of $$module"; (cd $$module && go test -race -shuffle=on ./...) || exit 1; \
	done

explore: ## more random schedules than the test command plays
	go test -race -run '^Test(Explore.*|Promise|Client(|OnEveryWire|Replacement))$$' \
		./client ./transport/channel ./transport/webhook ./mock/explore -explore.runs 1000

wire: ## real servers, senders and a browser
	.ci/wire

FUZZTIME ?= 3s
fuzz: ## each fuzz target for FUZZTIME
	FUZZTIME=$(FUZZTIME) .ci/fuzz

QUIET ?= 15
LOADED ?= 15
soak: ## the test command with each release, QUIET times alone and LOADED times on a loaded machine
	QUIET=$(QUIET) LOADED=$(LOADED) .ci/soak '$(TEST)' $(RELEASES)

quickstart: ## the README's first command, twice
	.ci/quickstart '$(RUN)'

.PHONY: soak vulnerabilities api
vulnerabilities: ## needs the network
	$(TOOL) govulncheck ./...

api: ## against the last tag
	$(TOOL) gorelease
