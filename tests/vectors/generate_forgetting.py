#!/usr/bin/env python3
"""Computes forgetting.json: what forgets, written from docs/FORMATS.md with Python's `cryptography`,
without any of our code. Prints the file.

A tree that has forgotten five leaves, with its pages, tails and directory; the rows that lead to it
from the HSM; a bucket; what an address key derives; and receipts.
"""

import base64
import hashlib
import hmac
import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

DEPLOYMENT, KEYSPACE = bytes(range(16)), bytes(range(16, 32))
VERSION, SEQUENCE, FIRST_TAIL = 3, 41, 7 << 40
DEEP, LONE = 0x0123456789ABCDEF, 0xFEDCBA9876543210
FORGOTTEN = sorted([DEEP, DEEP ^ 1, DEEP ^ 1 << 20, LONE, LONE ^ 1 << 63])


def made(what: str) -> bytes:
    """Some fixed 32 bytes."""
    return hashlib.sha256(f"lethe test vector: {what}".encode()).digest()


def number(value: int, length: int) -> bytes:
    return value.to_bytes(length, "big")


def sealed(key: bytes, iv: bytes, clear: bytes, aad: bytes) -> bytes:
    return AESGCM(key).encrypt(iv, clear, aad)


def child(seed: bytes, bit: int) -> bytes:
    return hashlib.sha256(b"lethe/v1/tree" + bytes([bit]) + seed).digest()


def under(seed: bytes, depth: int, address: int, to: int) -> bytes:
    for level in range(depth, to):
        seed = child(seed, address >> (63 - level) & 1)
    return seed


class Cover:
    """Builds pages and tails from the tree's seed, the top page last."""

    def __init__(self):
        self.pages, self.tails = [], []
        self.top = self.page(made("tree seed"), 0, 0, FORGOTTEN)

    def aad(self, label: str, prefix: int, depth: int, last: int) -> bytes:
        place = DEPLOYMENT + KEYSPACE + number(VERSION, 4) + number(prefix, 8) + bytes([depth])
        return label.encode() + place + number(last, 8)

    def page(self, seed: bytes, prefix: int, depth: int, leaves) -> bytes:
        width = min(6, 64 - depth)
        slot_of = lambda leaf: leaf >> (64 - depth - width) & ((1 << width) - 1)
        occupied = sum({1 << slot_of(leaf) for leaf in leaves})
        seeds, entries, inner = b"", b"", 0

        def cover(first: int, slots: int, seed: bytes) -> None:
            nonlocal seeds, entries, inner
            inside = [leaf for leaf in leaves if first <= slot_of(leaf) < first + slots]
            if not inside:
                seeds += seed
            elif slots > 1:
                cover(first, slots // 2, child(seed, 0))
                cover(first + slots // 2, slots // 2, child(seed, 1))
            elif depth + width < 64:
                below = prefix | first << (64 - depth - width)
                if len(inside) == 1:
                    entries += self.tail(seed, below, depth + width, inside[0])
                else:
                    inner |= 1 << first
                    entries += self.page(seed, below, depth + width, inside)

        cover(0, 1 << width, seed)
        key = made(f"page {prefix:016x}/{depth}")
        clear = number(occupied, 8) + number(inner, 8) + seeds + entries
        row = number(SEQUENCE, 8)
        row += sealed(key, bytes(12), clear, self.aad("lethe/v1/page", prefix, depth, SEQUENCE))
        row_key = prefix | 1 << (63 - depth)
        self.pages.append(
            {
                "prefix": f"{prefix:016x}",
                "depth": depth,
                "row_key": row_key - (row_key >> 63 << 64),
                "key": key.hex(),
                "clear": clear.hex(),
                "bytes": row.hex(),
            }
        )
        return key

    def tail(self, seed: bytes, prefix: int, depth: int, leaf: int) -> bytes:
        row_id, key = FIRST_TAIL + len(self.tails), made(f"tail {prefix:016x}/{depth}")
        clear = number(leaf, 8)
        for level in range(depth + 1, 65):
            clear += under(seed, depth, leaf ^ 1 << (64 - level), level)
        row = sealed(key, bytes(12), clear, self.aad("lethe/v1/tail", prefix, depth, row_id))
        shown = {"prefix": f"{prefix:016x}", "depth": depth, "row_id": row_id}
        self.tails.append(shown | {"key": key.hex(), "clear": clear.hex(), "bytes": row.hex()})
        return number(row_id, 8) + key


def leaves():
    near = [leaf ^ 1 << bit for leaf in FORGOTTEN for bit in range(0, 64, 7)]
    for address in FORGOTTEN + sorted(set(near) - set(FORGOTTEN)) + [0, (1 << 64) - 1]:
        leaf = None if address in FORGOTTEN else under(made("tree seed"), 0, address, 64).hex()
        yield {"address": f"{address:016x}", "leaf": leaf}


def keyspaces_digest() -> bytes:
    """Of two keyspaces, the first of two versions."""
    first = KEYSPACE + number(4, 2) + b"chat" + number(259_200, 8) + number(3_600, 8)
    first += number(2_592_000_000, 8) + number(300_000, 8) + number(7, 8) + number(8, 8) + number(3, 4)
    first += number(2, 1) + number(3_600, 8) + number(86_400, 8)
    first += number(2, 4) + number(VERSION, 4) + number(5, 8) + number(VERSION + 1, 4) + number(6, 8)
    second = b"\xff" * 16 + number(1, 2) + b"b" + number(3_600, 8) + number(60, 8)
    second += number(86_400_000, 8) + number(0, 8) + number(0, 8) + number(0, 8) + number(1, 4)
    second += number(0, 1) + number(1, 4) + number(1, 4) + number(9, 8)
    return hashlib.sha256(b"lethe/v1/keyspaces" + number(2, 4) + first + second).digest()


def meta(top: bytes):
    """The directory: this tree, and one that has forgotten nothing."""
    entries = number(2, 4)
    entries += KEYSPACE + number(VERSION, 4) + made("address key") + b"\x01" + top + number(len(FORGOTTEN), 8)
    entries += KEYSPACE + number(VERSION + 1, 4) + made("another address key") + b"\x00" + made("whole seed")
    entries += b"\x01" + made("deployment key") + number(41, 8) + keyspaces_digest()
    entries += number(1_523_642_400_000, 8) + number(1_523_642_400_013, 8)
    entries += b"\x01" + number(SEQUENCE - 1, 8) + number(40, 8) + number(41, 8) + ROOTS[0]
    key, root, root_id, iv = made("directory key"), made("root"), bytes([0xA0] * 16), bytes(range(12))
    aad = DEPLOYMENT + number(SEQUENCE, 8)
    return {
        "sequence": SEQUENCE,
        "root_id": root_id.hex(),
        "root": root.hex(),
        "iv": iv.hex(),
        "ciphertext": sealed(root, iv, key, b"lethe/v1/meta" + aad + root_id).hex(),
        "directory_clear": entries.hex(),
        "directory": sealed(key, bytes(12), entries, b"lethe/v1/directory" + aad).hex(),
    }


def bucket():
    expiry, key_id, iv = 1_523_642_400, bytes([0xB0] * 16), bytes(range(12, 24))
    aad = b"lethe/v1/bucket" + DEPLOYMENT + number(expiry, 8) + key_id
    return {
        "expiry": expiry,
        "hsm_key_id": key_id.hex(),
        "hsm_key": made("bucket's key in the HSM").hex(),
        "iv": iv.hex(),
        "bucket_key": made("bucket key").hex(),
        "ciphertext": sealed(made("bucket's key in the HSM"), iv, made("bucket key"), aad).hex(),
    }


def keyed():
    conversation, request, day = "smörgåsbord 🌊", bytes([0x1D] * 16), 17_634
    derive = lambda *parts: hmac.digest(made("address key"), b"".join(parts), "sha256")
    id = conversation.encode()
    return {
        "address_key": made("address key").hex(),
        "conversation": conversation,
        "request": request.hex(),
        "tag": derive(b"lethe/v1/request-tag", request, id)[:16].hex(),
        "salt": derive(b"lethe/v1/request-salt", request, id).hex(),
        "day": day,
        "pseudonym": base64.urlsafe_b64encode(derive(b"lethe/v1/pseudonym", number(day, 4), id)[:16]).decode()[:22],
    }


REQUESTED = ("2018-04-13T18:00:00.000Z", 1_523_642_400_000), ("2018-04-13T18:05:00.250Z", 1_523_642_700_250)
DESTROYED = ("2018-04-13T18:00:00.013Z", 1_523_642_400_013)
ROOTS, SIGNER, BUCKET = [bytes([1] * 16), bytes([2] * 16)], bytes([0x51] * 16), bytes([0xB0] * 16)


def text(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def request(kind: int, name: str, more: bytes, shown):
    """(JSON, bytes) of an item."""
    id = bytes([0xC0 + kind] * 16)
    (accepted, accepted_ms), (leases, leases_ms) = REQUESTED
    fields = bytes([kind]) + id + KEYSPACE + number(accepted_ms, 8) + number(leases_ms, 8) + more
    hexed = id.hex()
    uuid = "-".join([hexed[:8], hexed[8:12], hexed[12:16], hexed[16:20], hexed[20:]])
    item = {"kind": name, "id": uuid, "keyspace": KEYSPACE.hex()}
    return item | {"accepted_at": accepted, "leases_end_at": leases} | shown, fields


def signed(method: int, items):
    """The receipts of a batch of one or three."""
    hashed = [hashlib.sha256(b"\x00" + fields).digest() for _, fields in items]
    node = lambda left, right: hashlib.sha256(b"\x01" + left + right).digest()
    if len(hashed) == 1:
        root, paths = hashed[0], [[]]
    else:
        first, second, third = hashed
        root = node(node(first, second), third)
        paths = [[second, third], [first, third], [node(first, second)]]
    name, sequence, destroyed = [
        ("hsm-roots-destroyed", SEQUENCE, ROOTS),
        ("hsm-bucket-key-destroyed", 0, [BUCKET]),
    ][method - 1]
    statement = b"lethe/v1/receipt" + DEPLOYMENT + bytes([method]) + number(sequence, 8)
    statement += number(DESTROYED[1], 8) + SIGNER + number(len(destroyed), 4) + b"".join(destroyed)
    statement += number(len(items), 4) + root
    signature = Ed25519PrivateKey.from_private_bytes(made("signing key")).sign(statement)
    for index, ((item, _), path) in enumerate(zip(items, paths)):
        yield {
            "format": "lethe/v1/receipt",
            "item": item,
            "destroyed_at": DESTROYED[0],
            "destroyed": [key.hex() for key in destroyed],
            "method": name,
            "deployment": DEPLOYMENT.hex(),
            "sequence": sequence,
            "batch": {"size": len(items), "index": index, "path": [text(step) for step in path]},
            "signature": {"algorithm": "Ed25519", "key": SIGNER.hex(), "value": text(signature)},
        }


def receipts():
    salt, conversation = made("salt"), "smörgåsbord 🌊".encode()
    data = b"lethe/v1/commitment" + salt + KEYSPACE + number(len(conversation), 2) + conversation
    data += number(2, 2) + number(3, 4) + number(65_535, 2) + number(4, 4) + number(0, 2)
    commitment = hashlib.sha256(data).digest()
    label = f"lethe/v1/bucket/{DEPLOYMENT.hex()}/1523642400"
    expiry = {"kind": "bucket_expiry", "key": BUCKET.hex(), "label": label}
    batch = [
        request(1, "shred", commitment, {"commitment": text(commitment)}),
        request(2, "keyspace_erase", b"", {}),
        request(3, "version_drop", number(VERSION, 4), {"version": VERSION}),
    ]
    public = Ed25519PrivateKey.from_private_bytes(made("signing key")).public_key().public_bytes_raw()
    keys = [{"version": 3, "generation": 65_535}, {"version": 4, "generation": 0}]
    shown = {"salt": text(salt), "keyspace": KEYSPACE.hex(), "conversation": conversation.decode(), "keys": keys}
    return {
        "key": SIGNER.hex(),
        "public_key": public.hex(),
        "receipts": [*signed(1, batch), *signed(2, [(expiry, b"\x04" + BUCKET + number(1_523_642_400, 8))])],
        "opening_of_the_first": shown,
    }


#: A row of each table with a MAC, as SQLite has its columns.
ROWS = {
    "deployment": [1, DEPLOYMENT, 1_523_642_400_000, 0, bytes([0xB0] * 16), 86_400_000, 25],
    "request": [41, bytes([0xC1] * 16), 1, KEYSPACE, 1_523_642_400_000, 1_523_642_700_250]
    + [bytes([1] * 16), bytes([2] * 32), bytes([3] * 28), None, None],
    "bucket": [1_523_642_400, BUCKET, bytes(12), bytes([4] * 48)],
    "signing_key": [2, SIGNER, 1, bytes([5] * 32), bytes([6] * 16), bytes([7] * 64)],
    "hsm_move": [1, 0],
    "a text": ["smörgåsbord", None, -1],
}


def column(value) -> bytes:
    if value is None:
        return b"\x00"
    if isinstance(value, int):
        return b"\x01" + value.to_bytes(8, "big", signed=True)
    kind, octets = (b"\x02", value.encode()) if isinstance(value, str) else (b"\x03", value)
    return kind + number(len(octets), 4) + octets


def rows():
    for table, values in ROWS.items():
        data = b"lethe/v1/row" + number(len(table), 2) + table.encode() + b"".join(map(column, values))
        shown = [{"hex": value.hex()} if isinstance(value, bytes) else value for value in values]
        mac = hmac.digest(made("deployment key"), data, "sha256")
        yield {"table": table, "columns": shown, "mac": mac.hex()}


def main() -> None:
    cover = Cover()
    vectors = {
        "deployment": DEPLOYMENT.hex(),
        "keyspace": KEYSPACE.hex(),
        "version": VERSION,
        "meta": meta(cover.top),
        "pages": cover.pages,
        "tails": cover.tails,
        "leaves": list(leaves()),
        "bucket": bucket(),
        "derived": keyed(),
        "signed": receipts(),
        "rows": list(rows()),
    }
    print(json.dumps(vectors, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
