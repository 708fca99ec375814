#!/usr/bin/env bash
# Proves that the HSM simulator works with tools that are not ours: pkcs11-tool and python-pkcs11,
# and once more over TLS, with certificates made by openssl.
# Usage: test-hsm-sim-tools.sh HSM_SIM_BINARY MODULE
set -euo pipefail
sim=$(realpath "$1")
module=$(realpath "$2")
dir=$(mktemp -d)
daemon=
cleanup() {
    [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
    rm -rf "$dir"
}
trap cleanup EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

printf 12345678 >"$dir/so-pin"
printf 87654321 >"$dir/pin"
"$sim" init --dir "$dir/token" --label tools --so-pin-file "$dir/so-pin" --pin-file "$dir/pin"
"$sim" serve --dir "$dir/token" --socket "$dir/hsm.sock" >"$dir/log" 2>&1 &
daemon=$!
for _ in $(seq 100); do [ -S "$dir/hsm.sock" ] && break; sleep 0.1; done
[ -S "$dir/hsm.sock" ] || { cat "$dir/log" >&2; fail "the daemon did not start"; }
export HSM_SIM_SOCKET="$dir/hsm.sock"

tool() { pkcs11-tool --module "$module" "$@"; }
user() { tool --login --pin 87654321 "$@"; }

tool --list-mechanisms | tee "$dir/mechanisms"
for name in AES-GCM AES-KEY-GEN EDDSA EC-EDWARDS-KEY-PAIR-GEN; do
    grep -q "$name" "$dir/mechanisms" || fail "mechanism $name is not listed"
done
if tool --login --pin 00000000 --list-objects >/dev/null 2>&1; then fail "a wrong PIN was accepted"; fi
user --keygen --key-type AES:32 --label aes --id 01
user --keypairgen --key-type EC:edwards25519 --label ed --id 02
printf hello >"$dir/data"
user --sign --mechanism EDDSA --id 02 --input-file "$dir/data" --output-file "$dir/signature"
[ "$(stat -c %s "$dir/signature")" = 64 ] || fail "the signature is not 64 bytes long"

"$("$(dirname "$0")/python-environment" pkcs11)/python3" - "$module" <<'PY'
import sys
import pkcs11
from pkcs11 import Attribute, Mechanism, ObjectClass
from pkcs11.exceptions import AttributeSensitive, PKCS11Error

token = pkcs11.lib(sys.argv[1]).get_token(token_label="tools")
with token.open(rw=True, user_pin="87654321") as session:
    key = session.get_key(object_class=ObjectClass.SECRET_KEY, label="aes")
    iv, aad, text = b"\1" * 12, b"context", b"a secret of some length"
    param = pkcs11.GCMParams(iv, aad) if hasattr(pkcs11, "GCMParams") else (iv, aad, 128)
    sealed = key.encrypt(text, mechanism=Mechanism.AES_GCM, mechanism_param=param)
    assert len(sealed) == len(text) + 16
    assert key.decrypt(sealed, mechanism=Mechanism.AES_GCM, mechanism_param=param) == text
    other = pkcs11.GCMParams(iv, b"other") if hasattr(pkcs11, "GCMParams") else (iv, b"other", 128)
    try:
        key.decrypt(sealed, mechanism=Mechanism.AES_GCM, mechanism_param=other)
    except PKCS11Error:
        pass
    else:
        raise SystemExit("wrong additional data was accepted")
    try:
        key[Attribute.VALUE]
    except AttributeSensitive:
        pass
    else:
        raise SystemExit("the key's value was shown")
print("python-pkcs11: all well")
PY

user --delete-object --type secrkey --id 01
user --delete-object --type privkey --id 02
user --list-objects | tee "$dir/objects"
if grep -q 'label: *aes' "$dir/objects"; then fail "the deleted key is still there"; fi

kill "$daemon"
wait "$daemon" || true
unset HSM_SIM_SOCKET
# The keys must not be readable by others.
umask 077
new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$dir/$1.key" 2>/dev/null; }
new_key ca
openssl req -x509 -new -key "$dir/ca.key" -subj /CN=ca -days 2 -out "$dir/ca.crt"
for who in daemon client; do
    new_key "$who"
    openssl req -new -key "$dir/$who.key" -subj "/CN=$who" -out "$dir/$who.csr"
    openssl x509 -req -in "$dir/$who.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial -days 2 \
        -extfile <(echo "subjectAltName=DNS:$who") -out "$dir/$who.crt" 2>/dev/null
done
# serve_tls HOST:PORT
serve_tls() {
    # The log of an earlier one would say that it is ready.
    : >"$dir/log"
    "$sim" serve --dir "$dir/token" --listen "$1" --cert "$dir/daemon.crt" --key "$dir/daemon.key" \
        --client-ca "$dir/ca.crt" >>"$dir/log" 2>&1 &
    daemon=$!
    for _ in $(seq 100); do grep -q '^hsm-sim ready' "$dir/log" && break; sleep 0.1; done
    address=$(sed -n 's/^hsm-sim ready .* //p' "$dir/log")
    [ -n "$address" ] || { cat "$dir/log" >&2; fail "the daemon did not start with TLS"; }
}
serve_tls 127.0.0.1:0
export HSM_SIM_ADDRESS="$address" HSM_SIM_NAME=daemon
export HSM_SIM_CA="$dir/ca.crt" HSM_SIM_CERT="$dir/client.crt" HSM_SIM_KEY="$dir/client.key"
tool --list-mechanisms >"$dir/mechanisms"
grep -q AES-GCM "$dir/mechanisms" || fail "mechanism AES-GCM is not listed over TLS"
user --keygen --key-type AES:32 --label far --id 03
user --keypairgen --key-type EC:edwards25519 --label ed --id 04
user --sign --mechanism EDDSA --id 04 --input-file "$dir/data" --output-file "$dir/signature"
[ "$(stat -c %s "$dir/signature")" = 64 ] || fail "the signature over TLS is not 64 bytes long"
HSM_SIM_NAME=other tool --list-slots >"$dir/slots" 2>&1 || true
if grep -q tools "$dir/slots"; then fail "a daemon of another name was trusted"; fi
if HSM_SIM_CA= tool --list-slots >"$dir/refused" 2>&1; then fail "a missing CA was accepted"; fi
grep -q '^hsm-sim-pkcs11: ' "$dir/refused" || fail "the module did not say why it refused"
kill -9 "$daemon"
wait "$daemon" 2>/dev/null || true
if user --list-objects >/dev/null 2>&1; then fail "a dead daemon answered"; fi
serve_tls "$address"
user --delete-object --type secrkey --id 03
user --delete-object --type privkey --id 04
user --list-objects | tee "$dir/objects"
if grep -q 'label: *far' "$dir/objects"; then fail "the key deleted over TLS is still there"; fi
echo "all well"
