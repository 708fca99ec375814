#!/usr/bin/env bash
# Shows that the message servers' host reaches the API's port over mTLS, and nothing else of the key
# management: no ops listener, no HSM, no database. Three hosts as network namespaces:
#
#     message server 192.0.2.2 ---- 192.0.2.1 Lethe 198.51.100.1 ---- 198.51.100.2 HSM
#
# Everything happens in namespaces that end with this script, however it ends. Needs root, or a kernel that
# lets users make namespaces.
# Usage: test-isolation.sh FOLDER-OF-BINARIES
set -euo pipefail
binaries=$(realpath "$1")
cd "$(dirname "$0")/.."
fail() { echo "FAILED: $*" >&2; exit 1; }
# Where ip and nft are, which not every user's path has.
PATH=$PATH:/usr/sbin:/sbin

if [ "${2:-}" != inside ]; then
    own=()
    [ "$(id -u)" = 0 ] || own=(--user --map-root-user)
    own+=(--net --mount --pid --fork --kill-child --mount-proc)
    # A folder in memory for the names of namespaces, as `ip netns` wants.
    attempt='mount -t tmpfs tmpfs /run && ip netns add try && nft "add table inet try"'
    if ! why=$(unshare "${own[@]}" sh -c "$attempt" 2>&1); then
        echo "SKIPPED: the separation of the networks was NOT tested: no network namespaces here" >&2
        echo "(CAP_NET_ADMIN and CAP_SYS_ADMIN are needed): $why" >&2
        exit 0
    fi
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # In the background, so that a signal ends it at once.
    unshare "${own[@]}" "$0" "$binaries" inside "$dir" &
    trap 'kill -KILL %1 2>/dev/null || true; rm -rf "$dir"' EXIT
    wait %1
    exit
fi

dir=$3
mount -t tmpfs tmpfs /run
# The host of Lethe is the namespace of this script.
ip link set lo up
for host in messages hsm; do
    ip netns add "$host"
    ip -n "$host" link set lo up
done
# wire HOST NETWORK: Lethe is .1 on it, HOST is .2 and sends what it does not know to Lethe.
wire() {
    ip link add "to-$1" type veth peer name eth0 netns "$1"
    ip address add "$2.1/24" dev "to-$1"
    ip link set "to-$1" up
    ip -n "$1" address add "$2.2/24" dev eth0
    ip -n "$1" link set eth0 up
    ip -n "$1" route add default via "$2.1"
}
wire messages 192.0.2
wire hsm 198.51.100

# await PORT ADDRESS LOG: until somebody listens there.
await() {
    for _ in $(seq 300); do
        if (: <"/dev/tcp/$2/$1") 2>/dev/null; then return; fi
        sleep 0.1
    done
    cat "$3" >&2
    fail "nobody listens on $2 port $1"
}
export PATH="$binaries:$PATH"
umask 077
cd "$dir"
printf 12345678 >so-pin
printf 87654321 >pin
{
    hsm-sim init --dir token --label lethe --so-pin-file so-pin --pin-file pin
    lethe pki ca --out ca
    lethe pki issue --ca ca --out server --server 192.0.2.1
    lethe pki issue --ca ca --out chat --spiffe-id spiffe://example.org/chat
    lethe pki issue --ca ca --out operator --spiffe-id spiffe://example.org/operator
    lethe pki ca --out hsm-ca
    lethe pki issue --ca hsm-ca --out hsm --server 198.51.100.2
    lethe pki issue --ca hsm-ca --out hsm-client --spiffe-id spiffe://example.org/lethe
} >/dev/null
ip netns exec hsm hsm-sim serve --dir token --listen 198.51.100.2:2310 --cert hsm.crt --key hsm.key \
    --client-ca hsm-ca/ca.crt >hsm.log 2>&1 &
await 2310 198.51.100.2 hsm.log
# In the place of a database, and of all else that listens on inner addresses.
"$OLDPWD/scripts/isolation/listener" 198.51.100.1 5432 >database.log 2>&1 &
await 5432 198.51.100.1 database.log

# configure OPS-ADDRESS
configure() {
    cat >lethe.toml <<TOML
[server]
listen = "192.0.2.1:8443"
ops_listen = "$1:8444"
certificate = "server.crt"
key = "server.key"
client_ca = "ca/ca.crt"
[store]
sqlite = "lethe.db"
[hsm]
module = "$binaries/libhsm_sim_pkcs11.so"
token = "lethe"
pin_file = "pin"
[hsm.environment]
HSM_SIM_ADDRESS = "198.51.100.2:2310"
HSM_SIM_CA = "./hsm-ca/ca.crt"
HSM_SIM_CERT = "./hsm-client.crt"
HSM_SIM_KEY = "./hsm-client.key"
[audit]
directory = "audit"
[[access.client]]
spiffe_id = "spiffe://example.org/chat"
role = "message-server"
keyspaces = ["*"]
[[access.client]]
spiffe_id = "spiffe://example.org/operator"
role = "operator"
keyspaces = ["*"]
TOML
}
service=
# serve OPS-ADDRESS
serve() {
    if [ -n "$service" ]; then
        kill "$service"
        wait "$service" || true
    fi
    configure "$1"
    lethe serve --config lethe.toml >lethe.log 2>&1 &
    service=$!
    await 8443 192.0.2.1 lethe.log
}
on_message_server() { ip netns exec messages "$@"; }
# reaches ADDRESS EXPECTED...: which ports the message servers' host reaches there; status 1 when others
# than expected.
reaches() {
    local address=$1 found
    shift
    found=$(on_message_server python3 "$OLDPWD/scripts/isolation/scan" "$address" | tr '\n' ' ')
    [ "${found% }" = "$*" ] && return
    echo "the message servers' host reaches $address on: ${found:-nothing}"
    return 1
}
# call WHO... : a data key, from the message servers' host; prints the status.
call() {
    on_message_server curl --silent --max-time 10 --output answer --write-out '%{http_code}' --cacert ca/ca.crt \
        "$@" --header 'content-type: application/json' --data '{"conversation": "room 1"}' \
        https://192.0.2.1:8443/v1/keyspaces/chat/data-keys || true
}

configure 127.0.0.1
lethe init --config lethe.toml >/dev/null
serve 127.0.0.1
lethe keyspace set chat --retention 72h --granularity 1h --server https://192.0.2.1:8443 --ca ca/ca.crt \
    --cert operator.crt --key operator.key >/dev/null

# The scan sees what is open: without rules, an inner address answers whoever sets a route to it, and so does
# the HSM where the host forwards.
reaches 198.51.100.1 5432 || fail "what listens on the inner address is not what was seen"
echo 1 >/proc/sys/net/ipv4/ip_forward
reaches 198.51.100.2 2310 || fail "the HSM behind a host that forwards was not seen"
# What listens where is enough for the outer address.
reaches 192.0.2.1 8443 || fail "more than the API listens towards the message servers"
[ -z "$(ss --no-header --udp --listening --numeric)" ] || fail "something listens for UDP"

sed 's/^define message_servers = .*/define message_servers = "to-messages"/' \
    "$OLDPWD/packaging/nftables/lethe.nft" >lethe.nft
nft -f lethe.nft
# separated: the whole of what is promised.
separated() { reaches 192.0.2.1 8443 && reaches 198.51.100.1 && reaches 198.51.100.2; }
separated || fail "the networks are not separated"
[ "$(call --cert chat.crt --key chat.key)" = 201 ] || fail "no data key over mTLS: $(cat answer)"
[ "$(call)" = 000 ] || fail "the API answers without a certificate"
# The HSM's CA signs no clients of the API.
[ "$(call --cert hsm-client.crt --key hsm-client.key)" = 000 ] || fail "a foreign certificate gets through"

# Broken on purpose, and seen: the ops listener on all addresses without rules, and behind them.
serve 0.0.0.0
separated || fail "the rules do not cover an ops listener on all addresses"
nft delete table inet lethe
if reaches 192.0.2.1 8443 >open; then fail "an ops listener on all addresses was not seen"; fi
grep -q '8443 8444' open || fail "an ops listener on all addresses was not seen: $(cat open)"
echo "the message servers' host reaches the API's port and nothing else: 65535 TCP ports of each address tried"
