# The repository's outside commands; `make` alone lists them.

SEEDS ?= 2000
N ?= 50

.DEFAULT_GOAL := help
.PHONY: help setup dev test bench sim kill dist fmt

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## check what building needs, install what is missing or say how
	@.ci/setup

dev: setup ## build and start `flux dev` on examples/orders
	cd examples/orders && cargo run --locked --package flux -- dev

test: ## every check and test, what CI runs
	@.ci/setup test
	@.ci/test

bench: setup ## measure, and write benchmarks/RESULTS.md
	benchmarks/run

sim: setup ## simulate SEEDS=n random histories with faults
	cargo run --locked --package flux-sim -- --seeds $(SEEDS)

kill: setup ## kill -9 a loaded server N=n times and check that nothing is lost
	FLUX_KILLS=$(N) cargo test --locked --package flux --test it -- kill --nocapture

dist: setup ## build the release binary, without its debug information
	cargo build --release --locked --package flux
	mkdir -p target/dist
	strip --strip-debug -o target/dist/flux target/release/flux
	@ls -l target/dist/flux

fmt: ## format the code
	cargo fmt --all
