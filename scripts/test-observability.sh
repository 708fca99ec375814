#!/usr/bin/env bash
# Checks alert rules and dashboard: promtool runs the rules' tests, and a Prometheus that scrapes a
# `lethe dev` has every metric they name and data for every panel.
# Usage: test-observability.sh FOLDER-OF-BINARIES
set -euo pipefail
binaries=$(realpath "$1")
cd "$(dirname "$0")/.."
rules=packaging/prometheus/lethe.rules.yml
tests=packaging/prometheus/lethe.rules.test.yml

dir=$(mktemp -d)
children=()
cleanup() {
    status=$?
    trap - EXIT
    trap '' INT TERM
    for child in "${children[@]}"; do
        kill -TERM "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    done
    rm -rf "$dir"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
fail() { echo "FAILED: $*" >&2; exit 1; }

prometheus=$(scripts/prometheus)
"$prometheus/promtool" check rules "$rules"
"$prometheus/promtool" test rules "$tests"

read -r api ops scraper < <(python3 -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(each.getsockname()[1] for each in sockets))')
"$binaries/lethe" dev --dir "$dir/lethe" --listen "127.0.0.1:$api" --ops-listen "127.0.0.1:$ops" \
    >"$dir/lethe.out" 2>"$dir/lethe.log" &
children+=($!)
for _ in $(seq 300); do grep -q '^lethe ready' "$dir/lethe.out" && break; sleep 0.1; done
grep -q '^lethe ready' "$dir/lethe.out" || { cat "$dir/lethe.log" >&2; fail "the service does not start"; }

cat >"$dir/prometheus.yml" <<YAML
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [$PWD/$rules]
scrape_configs:
  - job_name: lethe
    static_configs: [{ targets: ["127.0.0.1:$ops"] }]
YAML
"$prometheus/prometheus" --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/data" \
    --web.listen-address="127.0.0.1:$scraper" >"$dir/prometheus.log" 2>&1 &
children+=($!)
for _ in $(seq 300); do
    if curl --silent --fail --output /dev/null "http://127.0.0.1:$scraper/-/ready"; then break; fi
    sleep 0.1
done

# shown PATTERN: until a line of the metrics is like this.
shown() {
    for _ in $(seq 600); do
        if curl --silent "http://127.0.0.1:$ops/metrics" | grep "$1" >/dev/null; then return; fi
        sleep 0.1
    done
    fail "the metrics do not show $1"
}

# A bit of everything, some of it wrong, again and again, so that there is something to see.
call() {
    curl --silent --output /dev/null --cacert "$dir/lethe/pki/ca.crt" --cert "$dir/lethe/pki/message-server.crt" \
        --key "$dir/lethe/pki/message-server.key" --header 'content-type: application/json' \
        --data "$2" "https://127.0.0.1:$api/v1/keyspaces/brief/$1"
}
traffic() {
    for round in $(seq 100); do
        call data-keys '{"conversation": "room"}' || true
        call data-keys/unwrap '{"conversation": "room", "wrapped_key": "lethe:v1:AAAA"}' || true
        call shreds "{\"conversation\": \"room $round\"}" || true
        # No certificate: the handshake fails.
        curl --silent --insecure --output /dev/null "https://127.0.0.1:$api/" || true
        sleep 0.2
    done
}
"$binaries/lethe" keyspace set brief --retention 2s --granularity 1s --dir "$dir/lethe" >/dev/null
traffic &
children+=($!)
# Revocation lists, and a reload that is refused.
"$binaries/lethe" pki revoke --ca "$dir/lethe/pki" >/dev/null
cp "$dir/lethe/lethe.toml" "$dir/good.toml"
echo 'nonsense' >>"$dir/lethe/lethe.toml"
kill -HUP "${children[0]}"
shown '^lethe_reloads_total{result="refused"} [1-9]'
sed 's|^client_ca = .*|&\nclient_crls = ["pki/ca.crl"]|' "$dir/good.toml" >"$dir/lethe/lethe.toml"
kill -HUP "${children[0]}"
# The HSM refuses for a moment.
"$binaries/hsm-sim" fault set device-removed --dir "$dir/lethe/hsm" >/dev/null
shown '^lethe_hsm_up 0$'
"$binaries/hsm-sim" fault clear device-removed --dir "$dir/lethe/hsm" >/dev/null

python3 scripts/observability/check "$rules" "$tests" packaging/grafana/lethe.json docs/runbooks docs/reference/metrics.md src \
    "http://127.0.0.1:$ops/metrics" "http://127.0.0.1:$scraper"
