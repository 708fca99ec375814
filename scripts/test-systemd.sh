#!/usr/bin/env bash
# Checks the systemd units: systemd-analyze finds nothing wrong and little exposed, and a real systemd
# in a container over this machine's files installs them, runs the service from the first key to a halt,
# and shows that the sandbox holds.
# Usage: test-systemd.sh FOLDER-OF-BINARIES
set -euo pipefail
binaries=$(realpath "$1")
cd "$(dirname "$0")/.."
units=packaging/systemd

dir=$(mktemp -d)
container=
cleanup() {
    [ -z "$container" ] || kill -KILL "$container" 2>/dev/null || true
    [ -z "$container" ] || wait "$container" 2>/dev/null || true
    if mountpoint -q "$dir/root"; then umount -l "$dir/root"; fi
    if mountpoint -q "$dir/layer"; then umount -l "$dir/layer"; fi
    rm -rf --one-file-system "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
fail() { echo "FAILED: $*" >&2; exit 1; }
skip() {
    echo "SKIPPED: the units were checked by systemd-analyze only, not run: $*" >&2
    exit 0
}

# A root of their own, so that nothing depends on what this machine has installed.
stage=$dir/stage
mkdir -p "$stage"/{etc/systemd/system,usr/lib/systemd,usr/local/bin,usr/bin}
cp -r /lib/systemd/system "$stage/usr/lib/systemd/"
ln -s usr/lib "$stage/lib"
ln -s usr/bin "$stage/bin"
for program in usr/local/bin/lethe usr/local/bin/hsm-sim usr/bin/sh usr/bin/kill; do
    install -m 755 /bin/true "$stage/$program"
done

# verify UNIT-FILE: prints what systemd says of it, which should be nothing.
verify() {
    install -m 644 "$1" "$stage/etc/systemd/system/"
    systemd-analyze --root="$stage" --man=no verify "/etc/systemd/system/$(basename "$1")" 2>&1 \
        | grep -F "$(basename "$1")" || true
}
# exposed UNIT-FILE MOST: whether systemd's measure of exposure (0 to 100) is above.
exposed() {
    ! systemd-analyze security --offline=yes --no-pager --threshold="$2" "$1" >"$dir/exposure" 2>&1
}

for unit in "$units"/*.service; do
    said=$(verify "$unit")
    [ -z "$said" ] || fail "$unit: $said"
    most=12
    [ "$(basename "$unit")" != hsm-sim.service ] || most=3
    if exposed "$unit" "$most"; then cat "$dir/exposure" >&2; fail "$unit exposes more than $most of 100"; fi
    grep -o 'Overall.*[0-9]' "$dir/exposure"
done
# The checks see what is wrong.
sed 's/^ProtectHome=/ProtectHom=/' "$units/lethe.service" >"$dir/slip.service"
[ -n "$(verify "$dir/slip.service")" ] || fail "a slip of the pen was not seen"
sed '/^SystemCallFilter=/d' "$units/lethe.service" >"$dir/open.service"
exposed "$dir/open.service" 12 || fail "a unit without system call filter passed"
same() { sed -n '/the same in/,/^$/p' "$1" | sed '1d; /^$/d'; }
diff <(same "$units/lethe.service") <(same "$units/lethe-init.service") \
    || fail "lethe.service and lethe-init.service must have the same sandbox"

[ "$(id -u)" = 0 ] || skip "root is needed for a container"
# To a process in a chroot the kernel gives no user namespace, whatever its rights, and a unit with PrivateUsers= wants one. Where
# they are switched off it says something else.
if ! why=$(LC_ALL=C unshare --user true 2>&1) && [[ $why == *"Operation not permitted"* ]]; then
    skip "this is a chroot: the kernel gives it no user namespaces"
fi
mkdir "$dir/layer" "$dir/root"
mount -t tmpfs -o size=256m,mode=755 tmpfs "$dir/layer" 2>"$dir/why" || skip "$(cat "$dir/why")"
mkdir "$dir/layer/up" "$dir/layer/work"
mount -t overlay -o "lowerdir=/,upperdir=$dir/layer/up,workdir=$dir/layer/work" overlay "$dir/root" \
    2>"$dir/why" || skip "$(cat "$dir/why")"
root=$dir/root

# From here on what is changed is changed in the layer, which goes.
rm -rf "$root/etc/systemd/system" "$root/etc/lethe" "$root/var/lib/lethe" "$root/var/lib/hsm-sim"
: >"$root/etc/fstab"
install -d "$root/etc/systemd/system" "$root/etc/sysusers.d" "$root/etc/tmpfiles.d" "$root/usr/local/lib/lethe"
install -d -m 700 "$root/root/try"
touch "$root/usr/local/bin/lethe" "$root/usr/local/bin/hsm-sim" "$root/usr/local/lib/lethe/libhsm_sim_pkcs11.so"
cp -r "$units" "$root/root/try/systemd"
cp scripts/systemd/inside scripts/systemd/probe "$root/root/try/"
cat >"$root/etc/systemd/system/try.service" <<'UNIT'
[Unit]
After=basic.target
Requires=basic.target
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
WorkingDirectory=/root/try
Environment=HOME=/root
StandardOutput=append:/root/try/out
StandardError=append:/root/try/out
ExecStart=/bin/bash /root/try/inside
UNIT

systemd-nspawn --quiet --register=no --keep-unit --machine="lethe-test-$$" --directory="$root" \
    --private-network --link-journal=no --console=pipe \
    --bind-ro="$binaries/lethe:/usr/local/bin/lethe" --bind-ro="$binaries/hsm-sim:/usr/local/bin/hsm-sim" \
    --bind-ro="$binaries/libhsm_sim_pkcs11.so:/usr/local/lib/lethe/libhsm_sim_pkcs11.so" \
    --boot systemd.unit=try.service </dev/null >"$dir/console" 2>&1 &
container=$!
for _ in $(seq 1200); do
    kill -0 "$container" 2>/dev/null || break
    sleep 0.1
done
if kill -0 "$container" 2>/dev/null; then
    cat "$root/root/try/out" >&2 || true
    fail "the container did not end"
fi
wait "$container" || true
container=
[ -e "$root/root/try/out" ] || skip "no container can be booted here: $(tail -n 3 "$dir/console" | tr '\n' ' ')"
if [ ! -e "$root/root/try/well" ]; then
    cat "$root/root/try/out" >&2
    fail "the units do not do what they should, see above"
fi
grep '^this container' "$root/root/try/out" || true
echo "the units run under a real systemd, their sandboxes hold"
