.DEFAULT_GOAL := help
.PHONY: help demo test lint fuzz bench bench-peers bench-durable soak eval quiet docs check-api check-grpc pictures check-deploy package clean

SHELL := /bin/sh
INSTALL := scripts/install-debian-packages.sh
# seconds of `make soak`
SECONDS_SOAK ?= 600
# every bench but those of whole processes, which have verbs of their own
BENCHES := $(filter-out peers durable,$(patsubst benches/%.rs,%,$(wildcard benches/*.rs)))

# labelled corpora, not part of this repository
EVAL_DATA ?= ../shared/eval

help: ## list these verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: ## Prometheus, Alertmanager and saimon on free ports, with a fault to find (CHECK=1: unattended)
	@$(INSTALL) build stack $(if $(CHECK),browser)
	cargo build --release --bin saimon --example demo
	@cargo run --quiet --release --example demo -- $(if $(CHECK),--check) $(ARGS)

test: ## everything: unit, property, black box, end to end with a real Prometheus and Chromium, doc tests
	@$(INSTALL) build stack peers browser
	cargo test

lint: ## formatting, clippy, documentation, licences
	@$(INSTALL) build
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps
	@if command -v cargo-deny >/dev/null 2>&1; then \
		cargo deny check bans licenses sources; \
	else \
		echo "skipped: cargo deny check (cargo-deny is not installed)"; \
	fi

bench: ## criterion benches of the hot paths
	@$(INSTALL) build
	cargo bench $(foreach b,$(BENCHES),--bench $(b)) -- $(ARGS)

bench-peers: ## the same stream into saimon, VictoriaMetrics and vmagent (ARGS=--write: into docs/benchmarks.md)
	@$(INSTALL) build peers
	cargo build --release --bin saimon
	cargo bench --bench peers -- $(ARGS)

bench-durable: ## an hour of 100,000 series kept: disk, memory, stops, restarts (ARGS=--write: into docs/benchmarks.md)
	@$(INSTALL) build
	cargo bench --bench durable -- $(ARGS)

soak: ## load with kills, restarts and a full disk for SECONDS_SOAK=600: nothing acknowledged may be lost
	@$(INSTALL) build
	cargo build --release --bin saimon --example soak
	@cargo run --quiet --release --example soak -- --seconds $(SECONDS_SOAK) $(ARGS)

fuzz: ## every fuzz target for SECONDS_EACH=60, on stable Rust
	@$(INSTALL) build fuzz
	scripts/fuzz.sh $(ARGS)

eval: ## accuracy on labelled corpora below EVAL_DATA, into docs/accuracy.md (left out where there are none)
	@if [ -d "$(EVAL_DATA)" ]; then \
		$(INSTALL) build && \
		cargo run --release --bin saimon -- eval "$(EVAL_DATA)" --out target/eval --accuracy docs/accuracy.md $(ARGS); \
	else \
		echo "skipped: make eval (no corpora in $(EVAL_DATA); EVAL_DATA=DIR names another folder)"; \
	fi

quiet: ## 24 simulated hours without faults: how often each score is reached
	@$(INSTALL) build
	cargo run --release --example quiet -- $(ARGS)

docs: ## what is written from the types (reference, dashboard), and the library's in target/doc
	@$(INSTALL) build
	cargo run --quiet --example reference
	cargo doc --no-deps

check-api: ## whether the API answers as it describes itself, asked by schemathesis (from PyPI, once)
	@$(INSTALL) build python
	cargo test --test page -- --ignored --nocapture the_api_answers_as_it_describes_itself

check-grpc: ## what the guide to gRPC shows in Python, by a client generated there (grpcio from PyPI, once)
	@$(INSTALL) build python
	cargo test --test security -- --ignored --nocapture what_the_guide_shows_in_python_runs

pictures: ## those of the page in docs/images, anew
	@$(INSTALL) build browser
	SAIMON_PICTURES=$(CURDIR)/docs/images cargo test --test page -- --ignored --nocapture pictures
	@if command -v node >/dev/null 2>&1; then for f in docs/images/page-*.png; do \
		node --input-type=module -e "import {reduce} from '$(CURDIR)/scripts/panels/palette.mjs'; reduce('$$f')"; \
	done; fi

check-deploy: ## deployment files against the schemas and linters of what they are for
	@scripts/check-deploy.sh

package: ## the Debian package, installed and started in a root of its own (needs root)
	@$(INSTALL) build package
	@scripts/check-package.sh $(ARGS)

clean: ## remove what was built
	cargo clean
