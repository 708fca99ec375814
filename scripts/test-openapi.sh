#!/usr/bin/env bash
# Holds the service to its own OpenAPI document: clients that generators make of it work (scripts/openapi/test-clients),
# and schemathesis sends what the document allows and what it does
# not, as each role, and compares every answer with it. Takes about a minute; the same seed each time.
# OPENAPI_EXAMPLES says how many examples are made of each operation.
# What a schema cannot say stands in scripts/openapi/hooks.py; nothing else is excluded.
# Usage: test-openapi.sh FOLDER-OF-BINARIES
set -euo pipefail
binaries=$(realpath "$1")
cd "$(dirname "$0")/.."
schemathesis=$(scripts/python-environment schemathesis)/schemathesis
hooks=$PWD/scripts/openapi

dir=$(mktemp -d)
service=
cleanup() {
    status=$?
    trap - EXIT
    trap '' INT TERM
    if [ -n "$service" ]; then
        kill -TERM "$service" 2>/dev/null || true
        wait "$service" 2>/dev/null || true
    fi
    rm -rf "$dir"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
fail() { echo "FAILED: $*" >&2; exit 1; }

read -r api ops < <(python3 -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(each.getsockname()[1] for each in sockets))')
"$binaries/lethe" dev --dir "$dir/lethe" --listen "127.0.0.1:$api" --ops-listen "127.0.0.1:$ops" \
    >"$dir/lethe.out" 2>"$dir/lethe.log" &
service=$!
for _ in $(seq 300); do grep -q '^lethe ready' "$dir/lethe.out" && break; sleep 0.1; done
grep -q '^lethe ready' "$dir/lethe.out" || { cat "$dir/lethe.log" >&2; fail "the service does not start"; }

url=https://127.0.0.1:$api
pki=$dir/lethe/pki
call() {
    curl --silent --fail --cacert "$pki/ca.crt" --cert "$pki/message-server.crt" --key "$pki/message-server.key" \
        --header 'content-type: application/json' "$@"
}
member() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
call --output "$dir/openapi.json" "$url/v1/openapi.json"
"$binaries/lethe" openapi >"$dir/printed.json"
python3 -c 'import json, sys; sys.exit(json.load(open(sys.argv[1])) != json.load(open(sys.argv[2])))' \
    "$dir/openapi.json" "$dir/printed.json" || fail "the document that is served is not the one that is printed"

scripts/openapi/test-clients "$dir/openapi.json" "$url" "$pki" "$dir/clients"

# Names and keys that exist, so that more than refusals is seen.
"$binaries/lethe" keyspace set fuzz --retention 1h --granularity 1m --rotation 30d --cache-ttl 5m \
    --dir "$dir/lethe" >/dev/null
wrapped=$(call --data '{"conversation": "room 1"}' "$url/v1/keyspaces/fuzz/data-keys" | member wrapped_key)
shred=$(call --data '{"conversation": "room 3"}' "$url/v1/keyspaces/fuzz/shreds" | member id)
cat >"$dir/schemathesis.toml" <<TOML
[dictionaries]
keyspaces.values = ["fuzz", "chat"]
conversations.values = ["room 1", "room 2"]
wrapped.values = ["$wrapped"]
shreds.values = ["$shred"]
versions.values = [1, 2, 3]
spans.values = ["1m", "1h", "72h", "30d"]
[parameters]
"path.keyspace" = { dictionary = "keyspaces", probability = 0.7 }
"path.id" = { dictionary = "shreds", probability = 0.5 }
"path.version" = { dictionary = "versions", probability = 0.5 }
"body.conversation" = { dictionary = "conversations", probability = 0.3 }
"body.wrapped_key" = { dictionary = "wrapped", probability = 0.6 }
"body.retention" = { dictionary = "spans", probability = 0.8 }
"body.granularity" = { dictionary = "spans", probability = 0.8 }
"body.rotation" = { dictionary = "spans", probability = 0.8 }
"body.cache_ttl" = { dictionary = "spans", probability = 0.8 }
# In their place are valid_is_accepted and invalid_is_refused of hooks.py, which call them.
[checks]
positive_data_acceptance.enabled = false
negative_data_rejection.enabled = false
TOML

cd "$dir"
wrong=()
# Where an object is wanted a list of its values in order is none; chance finds this rarely.
refused() {
    local status
    status=$(curl --silent --output answer --write-out '%{http_code}' --cacert "$pki/ca.crt" \
        --cert "$pki/message-server.crt" --key "$pki/message-server.key" \
        --header 'content-type: application/json' --data "$2" "$url/v1/keyspaces/fuzz/$1")
    [ "$status" = 400 ] && return
    echo "POST /v1/keyspaces/fuzz/$1 answers $2 with $status: $(cut -c 1-200 answer)"
    lists=taken
}
lists=
refused data-keys '["room 1", false]'
refused data-keys '[[{"conversation": "room 1"}]]'
refused data-keys/unwrap "[\"room 1\", \"$wrapped\", null]"
refused data-keys/rewrap "[\"room 1\", \"$wrapped\"]"
refused shreds '["room 4", null]'
[ -z "$lists" ] || wrong+=("taker of lists for objects")
# The operator last: it erases the keyspaces.
for role in message-server auditor operator; do
    echo "--- as $role"
    # Retries are for connections that the service closed because they were idle. Long lines are bodies.
    SCHEMATHESIS_HOOKS=hooks PYTHONPATH=$hooks PYTHONDONTWRITEBYTECODE=1 \
        "$schemathesis" --config-file schemathesis.toml run openapi.json --url "$url" --no-color \
        --tls-verify "$pki/ca.crt" --request-cert "$pki/$role.crt" --request-cert-key "$pki/$role.key" \
        --request-retries 2 --seed 1 --max-examples "${OPENAPI_EXAMPLES:-50}" --continue-on-failure \
        --generation-database none --output-sanitize false 2>&1 | cut -c 1-800 >"$role.out" || wrong+=("$role")
    if [[ " ${wrong[*]} " == *" $role "* ]]; then sed -n '/= ERRORS =\|= FAILURES =/,$p' "$role.out"; fi
    tail -n 1 "$role.out"
done
if grep 'panicked' lethe.log; then fail "the service panicked"; fi
[ ${#wrong[@]} = 0 ] || fail "the API is not what its document says, as: ${wrong[*]}"
