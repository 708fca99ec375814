"""Reads directory, forgetting tree and receipts from docs/FORMATS.md alone, with Python's
`cryptography`. Shares no code with the Rust side.

    Directory(sealed, key, deployment, sequence).entries
    Tree(deployment, keyspace, version, entry, load_page, load_tail).leaf(address)   None: forgotten
    verify_receipt(receipt, public_key), opens(receipt, opening)
"""
import base64
import calendar
import hashlib
import struct
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE = bytes(12)


def child(seed: bytes, bit: int) -> bytes:
    return hashlib.sha256(b"lethe/v1/tree" + bytes([bit]) + seed).digest()


def descend(seed: bytes, depth: int, address: int) -> bytes:
    for level in range(depth, 64):
        seed = child(seed, address >> (63 - level) & 1)
    return seed


def read_directory(sealed: bytes, key: bytes, deployment: bytes, sequence: int) -> dict:
    """(keyspace, version) to (address key, kind, seed or top page key, forgotten)."""
    aad = b"lethe/v1/directory" + deployment + sequence.to_bytes(8, "big")
    clear = AESGCM(key).decrypt(NONCE, sealed, aad)
    (count,), rest, entries = struct.unpack(">I", clear[:4]), clear[4:], {}
    for _ in range(count):
        keyspace, version, address_key, kind, secret = struct.unpack(">16sI32sB32s", rest[:85])
        rest, forgotten = rest[85:], 0
        if kind == 1:
            (forgotten,), rest = struct.unpack(">Q", rest[:8]), rest[8:]
        elif kind != 0:
            raise ValueError("kind of cover")
        entries[keyspace, version] = (address_key, kind, secret, forgotten)
    if rest:
        raise ValueError("bytes behind the directory")
    return entries


class Tree:
    """`load_page(depth, prefix)` and `load_tail(row id)` give the bytes of rows."""

    def __init__(self, deployment, keyspace, version, load_page, load_tail):
        self.place = deployment + keyspace + version.to_bytes(4, "big")
        self.load_page, self.load_tail = load_page, load_tail

    def aad(self, label: bytes, depth: int, prefix: int, last: bytes) -> bytes:
        return label + self.place + prefix.to_bytes(8, "big") + bytes([depth]) + last

    def open_page(self, key: bytes, depth: int, prefix: int) -> bytes:
        row = self.load_page(depth, prefix)
        return AESGCM(key).decrypt(NONCE, row[8:], self.aad(b"lethe/v1/page", depth, prefix, row[:8]))

    def open_tail(self, key: bytes, depth: int, prefix: int, row_id: int) -> bytes:
        aad = self.aad(b"lethe/v1/tail", depth, prefix, row_id.to_bytes(8, "big"))
        return AESGCM(key).decrypt(NONCE, self.load_tail(row_id), aad)

    def leaf(self, key: bytes, address: int):
        """From the top page's key; None when the leaf is forgotten."""
        depth = prefix = 0
        while True:
            width = min(6, 64 - depth)
            seeds, entries = read_page(self.open_page(key, depth, prefix), depth, width)
            slot = address >> (64 - depth - width) & ((1 << width) - 1)
            for first, slots, seed in seeds:
                if first <= slot < first + slots:
                    return descend(seed, depth + width - slots.bit_length() + 1, address)
            if depth + width == 64:
                return None
            row_id, key = entries[slot]
            depth += width
            prefix = address >> (64 - depth) << (64 - depth)
            if row_id is not None:
                return tail_leaf(self.open_tail(key, depth, prefix, row_id), depth, address)


def read_page(clear: bytes, depth: int, width: int):
    """Seeds as (first slot, slots, seed), entries by slot as (row id or None, key)."""
    occupied, inner = struct.unpack(">QQ", clear[:16])
    rest, seeds, entries = clear[16:], [], {}

    def walk(first: int, slots: int):
        nonlocal rest
        if occupied >> first & ((1 << slots) - 1) == 0:
            seeds.append((first, slots, rest[:32]))
            rest = rest[32:]
        elif slots > 1:
            walk(first, slots // 2)
            walk(first + slots // 2, slots // 2)

    walk(0, 1 << width)
    if depth + width < 64:
        for slot in (slot for slot in range(64) if occupied >> slot & 1):
            row_id = None
            if not inner >> slot & 1:
                row_id, rest = int.from_bytes(rest[:8], "big"), rest[8:]
            entries[slot], rest = (row_id, rest[:32]), rest[32:]
    if rest:
        raise ValueError("bytes behind the page")
    return seeds, entries


def tail_leaf(clear: bytes, depth: int, address: int):
    forgotten = int.from_bytes(clear[:8], "big")
    if len(clear) != 8 + 32 * (64 - depth):
        raise ValueError("length of the tail")
    if forgotten == address:
        return None
    level = 65 - (forgotten ^ address).bit_length()
    at = 8 + 32 * (level - depth - 1)
    return descend(clear[at:at + 32], level, address)


def milliseconds(text: str) -> bytes:
    whole, fraction = text[:-1].split(".")
    seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
    return (seconds * 1000 + int(fraction)).to_bytes(8, "big")


def uuid_bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))


def item_bytes(item: dict) -> bytes:
    if item["kind"] == "bucket_expiry":
        expiry = int(item["label"].split("/")[-1])
        return b"\x04" + bytes.fromhex(item["key"]) + expiry.to_bytes(8, "big")
    kind = {"shred": 1, "keyspace_erase": 2, "version_drop": 3}[item["kind"]]
    fields = bytes([kind]) + uuid_bytes(item["id"]) + bytes.fromhex(item["keyspace"])
    fields += milliseconds(item["accepted_at"]) + milliseconds(item["leases_end_at"])
    if kind == 1:
        fields += base64.b64decode(item["commitment"], validate=True)
    if kind == 3:
        fields += item["version"].to_bytes(4, "big")
    return fields


def merkle_root(leaf: bytes, index: int, size: int, path: list) -> bytes:
    """Level by level: a node without a sibling goes up as it is."""
    path = list(path)
    while size > 1:
        if index ^ 1 < size:
            sibling = path.pop(0)
            left, right = (sibling, leaf) if index & 1 else (leaf, sibling)
            leaf = hashlib.sha256(b"\x01" + left + right).digest()
        index, size = index // 2, (size + 1) // 2
    if path:
        raise ValueError("path too long")
    return leaf


def verify_receipt(receipt: dict, public_key: bytes) -> None:
    """Raises when it does not verify."""
    batch, method = receipt["batch"], receipt["method"]
    leaf = hashlib.sha256(b"\x00" + item_bytes(receipt["item"])).digest()
    path = [base64.b64decode(step, validate=True) for step in batch["path"]]
    statement = b"lethe/v1/receipt" + bytes.fromhex(receipt["deployment"])
    statement += bytes([{"hsm-roots-destroyed": 1, "hsm-bucket-key-destroyed": 2}[method]])
    statement += receipt["sequence"].to_bytes(8, "big") + milliseconds(receipt["destroyed_at"])
    statement += bytes.fromhex(receipt["signature"]["key"])
    statement += len(receipt["destroyed"]).to_bytes(4, "big")
    statement += b"".join(map(bytes.fromhex, receipt["destroyed"]))
    statement += batch["size"].to_bytes(4, "big")
    statement += merkle_root(leaf, batch["index"], batch["size"], path)
    signature = base64.b64decode(receipt["signature"]["value"], validate=True)
    Ed25519PublicKey.from_public_bytes(public_key).verify(signature, statement)


def opens(receipt: dict, opening: dict) -> bool:
    conversation = opening["conversation"].encode()
    data = b"lethe/v1/commitment" + base64.b64decode(opening["salt"], validate=True)
    data += bytes.fromhex(opening["keyspace"]) + len(conversation).to_bytes(2, "big") + conversation
    data += len(opening["keys"]).to_bytes(2, "big")
    for key in opening["keys"]:
        data += struct.pack(">IH", key["version"], key["generation"])
    commitment = base64.b64encode(hashlib.sha256(data).digest()).decode()
    return receipt["item"].get("commitment") == commitment
