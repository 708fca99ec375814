#!/usr/bin/env bash
# Proves that the HSM simulator works with tools that are not ours: pkcs11-tool and python-pkcs11.
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

python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" -q install python-pkcs11
"$dir/venv/bin/python" - "$module" <<'PY'
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
echo "all well"
