# What each target does on a fresh Debian 12 machine with Rust: README.md.
.PHONY: bench bench-attacks check demo run test

SHELL := /bin/bash
CARGO_DENY_VERSION := 0.20.2
# Seconds that one test program may take: ten times what the longest does.
TEST_LIMIT := 900

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@command -v cargo-deny >/dev/null || (echo "installing cargo-deny $(CARGO_DENY_VERSION)"; cargo install cargo-deny --locked --version $(CARGO_DENY_VERSION))
	@# Other platforms' packages too: their licences count.
	cargo fetch --locked --quiet
	cargo deny --offline check bans licenses sources

# Everything on embedded defaults in ./lethe-dev, in the foreground.
run:
	cargo build --release -p lethe -p hsm-sim -p hsm-sim-pkcs11
	@scripts/what-to-try lethe-dev 127.0.0.1:8443 127.0.0.1:8444
	@exec $${CARGO_TARGET_DIR:-target}/release/lethe dev --dir lethe-dev

# Replays real conversations through a message server, a day in two seconds; DEMO_ARGS=--help says
# what can be chosen.
demo:
	cargo build --release -p lethe -p hsm-sim -p hsm-sim-pkcs11 -p message-server
	scripts/demo $(DEMO_ARGS)

test:
	scripts/install-test-parts
	cargo build --workspace
	cargo test --workspace --config "target.'cfg(all())'.runner = ['scripts/with-limit', '$(TEST_LIMIT)']"
	scripts/test-hsm-sim-tools.sh $${CARGO_TARGET_DIR:-target}/debug/hsm-sim $${CARGO_TARGET_DIR:-target}/debug/libhsm_sim_pkcs11.so
	scripts/check-vectors
	scripts/test-systemd.sh $${CARGO_TARGET_DIR:-target}/debug
	scripts/test-isolation.sh $${CARGO_TARGET_DIR:-target}/debug
	scripts/test-observability.sh $${CARGO_TARGET_DIR:-target}/debug
	scripts/test-openapi.sh $${CARGO_TARGET_DIR:-target}/debug

# The design's targets, keys first, then shreds (ten minutes for a million of them); BENCH_ARGS=--help
# and SHREDS_ARGS=--help say what can be chosen.
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
