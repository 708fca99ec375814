# What each target does on a fresh Debian 12 machine: README.md.
.PHONY: bench bench-attacks check demo run test

SHELL := /bin/bash
# Seconds for which a test program may finish no test.
TEST_LIMIT := 900
DEBUG := $${CARGO_TARGET_DIR:-target}/debug

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	scripts/check-dependencies
	scripts/check-docs

# Everything on embedded defaults in ./lethe-dev, in the foreground.
run:
	@exec scripts/run

# Replays conversations through a message server, a day in two seconds; DEMO_ARGS=--help says what can be chosen.
demo:
	@exec scripts/demo $(DEMO_ARGS)

# Libraries, programs and tests are built at once: built one after the other, they are built twice, because the
# tests' own dependencies add features to what they share. TEST_TIMES=FILE keeps what took how long, for
# scripts/test-times.
test:
	scripts/install-parts test
	cargo build --workspace --lib --bins --tests
	TEST_TIMES=$(abspath $(TEST_TIMES)) cargo test --workspace --config "target.'cfg(all())'.runner = ['scripts/with-limit', '$(TEST_LIMIT)']"
	scripts/test-hsm-sim-tools.sh $(DEBUG)/hsm-sim $(DEBUG)/libhsm_sim_pkcs11.so
	scripts/check-vectors
	scripts/test-readme $(DEBUG)
	scripts/test-systemd.sh $(DEBUG)
	scripts/test-isolation.sh $(DEBUG)
	scripts/test-observability.sh $(DEBUG)
	scripts/test-openapi.sh $(DEBUG)

# Measures against the targets of docs/design.md#targets: keys, then shreds (ten minutes for a million of them), then
# operations. BENCH_ARGS=--help, SHREDS_ARGS=--help and OPERATE_ARGS=--help say what can be chosen.
bench:
	cargo build --release -p lethe -p hsm-sim -p hsm-sim-pkcs11 -p lethe-bench
	$${CARGO_TARGET_DIR:-target}/release/lethe-bench run $(BENCH_ARGS)
	$${CARGO_TARGET_DIR:-target}/release/lethe-bench shreds $(SHREDS_ARGS)
	$${CARGO_TARGET_DIR:-target}/release/lethe-bench operate $(OPERATE_ARGS)
	cargo bench -p lethe-core --bench hot_path --bench tree
	cargo bench -p lethe --bench admission

# What attackers may try, and what a good client beside them notices (some four minutes); fails when a bound is
# broken. ATTACKS_ARGS=--help says what can be chosen. One attack needs rows that are old: a debug build shifts the clock.
bench-attacks:
	cargo build --release -p lethe -p hsm-sim -p hsm-sim-pkcs11 -p lethe-bench
	cargo build -p lethe -p hsm-sim -p hsm-sim-pkcs11 -p lethe-bench
	$${CARGO_TARGET_DIR:-target}/debug/lethe-bench attacks --only erase-race
	$${CARGO_TARGET_DIR:-target}/release/lethe-bench attacks $(ATTACKS_ARGS)
