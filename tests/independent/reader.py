#!/usr/bin/env python3
"""Opens all that can be opened: written from docs/FORMATS.md alone, with `cryptography` only.

An attacker's view: any number of copies of the database (with their WAL), a dump of what is inside
the HSM now, and every wrapped key. Prints one JSON line for each wrapped key: its line number and
its data key, or null.

    reader.py --dump dump.json --wrapped wrapped.jsonl COPY_FOLDER...

A line of wrapped.jsonl: {"keyspace", "conversation", "wrapped_key"}. A copy folder holds lethe.db
and, if there was one, lethe.db-wal.
"""

import argparse
import base64
import hashlib
import hmac
import json
import pathlib
import sqlite3
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def lp(field: bytes) -> bytes:
    return struct.pack(">H", len(field)) + field


def gcm_open(key: bytes, iv: bytes, sealed: bytes, aad: bytes):
    try:
        return AESGCM(key).decrypt(iv, sealed, aad)
    except InvalidTag:
        return None


class Copy:
    """One copy of the database."""

    def __init__(self, folder: pathlib.Path):
        database = sqlite3.connect(folder / "lethe.db")
        self.deployment = database.execute("SELECT id FROM deployment").fetchone()[0]
        self.keyspaces = dict(database.execute("SELECT name, id FROM keyspace"))
        self.buckets = database.execute("SELECT expiry_s, hsm_key_id, iv, ciphertext FROM bucket").fetchall()
        self.metas = database.execute("SELECT sequence, root_id, iv, ciphertext, directory FROM meta").fetchall()
        database.close()

    def bucket_secrets(self, hsm):
        for expiry, key_id, iv, sealed in self.buckets:
            if key_id in hsm:
                aad = b"lethe/v1/bucket" + self.deployment + struct.pack(">Q", expiry) + key_id
                secret = gcm_open(hsm[key_id], iv, sealed, aad)
                if secret:
                    yield expiry, secret

    def versions(self, hsm):
        for sequence, root, iv, sealed, directory in self.metas:
            if root not in hsm:
                continue
            number = struct.pack(">Q", sequence)
            key = gcm_open(hsm[root], iv, sealed, b"lethe/v1/meta" + self.deployment + number + root)
            page = key and gcm_open(key, bytes(12), directory, b"lethe/v1/directory" + self.deployment + number)
            if page:
                yield from entries(page)


def entries(page: bytes):
    (count,) = struct.unpack(">I", page[:4])
    assert len(page) == 4 + count * 85
    for at in range(4, len(page), 85):
        entry = page[at : at + 85]
        assert entry[52] == 0, "a cover of another kind"
        yield entry[:16], struct.unpack(">I", entry[16:20])[0], entry[20:52], entry[53:85]


def conversation_key(address_key: bytes, seed: bytes, conversation: bytes, generation: int) -> bytes:
    message = b"lethe/v1/address" + lp(conversation) + struct.pack(">H", generation)
    address = hmac.new(address_key, message, hashlib.sha256).digest()[:8]
    for bit in range(64):
        way = address[bit // 8] >> (7 - bit % 8) & 1
        seed = hashlib.sha256(b"lethe/v1/tree" + bytes([way]) + seed).digest()
    return seed


def try_open(wrapped: bytes, keyspace: bytes, conversation: bytes, row: bytes, column: bytes):
    version, generation, expiry = struct.unpack(">IHQ", wrapped[:14])
    info = b"lethe/v1/wrap" + b"".join(
        lp(field)
        for field in (
            keyspace,
            struct.pack(">I", version),
            conversation,
            struct.pack(">H", generation),
            struct.pack(">Q", expiry),
        )
    )
    key = HKDF(hashes.SHA256(), 32, None, info).derive(row + column)
    try:
        return keywrap.aes_key_unwrap(key, wrapped[14:])
    except keywrap.InvalidUnwrap:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dump", required=True, type=pathlib.Path)
    parser.add_argument("--wrapped", required=True, type=pathlib.Path)
    parser.add_argument("copies", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()

    objects = json.loads(arguments.dump.read_text())["objects"]
    hsm = {
        bytes.fromhex(item["id"]): bytes.fromhex(item["value"])
        for item in objects
        if item["class"] == "secret-key"
    }
    copies = [Copy(folder) for folder in arguments.copies]
    ids, columns, rows = {}, {}, {}
    for copy in copies:
        for name, number in copy.keyspaces.items():
            ids.setdefault(name, set()).add(number)
        for expiry, secret in copy.bucket_secrets(hsm):
            columns.setdefault(expiry, set()).add(secret)
        for keyspace, version, address_key, seed in copy.versions(hsm):
            rows.setdefault((keyspace, version), set()).add((address_key, seed))

    for number, line in enumerate(arguments.wrapped.read_text().splitlines()):
        item = json.loads(line)
        text = item["wrapped_key"].removeprefix("lethe:v1:")
        wrapped = base64.urlsafe_b64decode(text)
        version, generation, expiry = struct.unpack(">IHQ", wrapped[:14])
        conversation = item["conversation"].encode()
        found = None
        for keyspace in ids.get(item["keyspace"], ()):
            for address_key, seed in rows.get((keyspace, version), ()):
                row = conversation_key(address_key, seed, conversation, generation)
                for column in columns.get(expiry, ()):
                    found = found or try_open(wrapped, keyspace, conversation, row, column)
        data_key = found and base64.b64encode(found).decode()
        print(json.dumps({"line": number, "data_key": data_key}))


if __name__ == "__main__":
    main()
