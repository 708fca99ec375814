# What each target does on a fresh Debian 12 machine with Rust: README.md.
.PHONY: check test

SHELL := /bin/bash
CARGO_DENY_VERSION := 0.20.2

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@command -v cargo-deny >/dev/null || (echo "installing cargo-deny $(CARGO_DENY_VERSION)"; cargo install cargo-deny --locked --version $(CARGO_DENY_VERSION))
	cargo deny --offline check bans licenses sources

test:
	scripts/install-test-parts
	cargo build --workspace
	cargo test --workspace
	scripts/test-hsm-sim-tools.sh $${CARGO_TARGET_DIR:-target}/debug/hsm-sim $${CARGO_TARGET_DIR:-target}/debug/libhsm_sim_pkcs11.so
	scripts/check-vectors
