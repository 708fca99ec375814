#!/usr/bin/env python3
"""Computes tests/vectors/grid.json from docs/FORMATS.md alone, with Python's `cryptography`.

Shares no code with the Rust side. Prints the file; scripts/check-vectors compares.
"""
import base64
import hashlib
import hmac
import json

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap


def length_prefixed(field: bytes) -> bytes:
    return len(field).to_bytes(2, "big") + field


def address(key: bytes, conversation: bytes, generation: int) -> int:
    message = b"lethe/v1/address" + length_prefixed(conversation) + generation.to_bytes(2, "big")
    return int.from_bytes(hmac.new(key, message, hashlib.sha256).digest()[:8], "big")


def leaf(seed: bytes, bits: int) -> bytes:
    for level in range(64):
        bit = bits >> (63 - level) & 1
        seed = hashlib.sha256(b"lethe/v1/tree" + bytes([bit]) + seed).digest()
    return seed


def wrapping_key(conversation_key, bucket_key, keyspace, version, conversation, generation, expiry):
    fields = [keyspace, version.to_bytes(4, "big"), conversation, generation.to_bytes(2, "big"), expiry.to_bytes(8, "big")]
    info = b"lethe/v1/wrap" + b"".join(map(length_prefixed, fields))
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(conversation_key + bucket_key)


def wrapped_key(version, generation, expiry, wrapping, data_key):
    header = version.to_bytes(4, "big") + generation.to_bytes(2, "big") + expiry.to_bytes(8, "big")
    body = header + aes_key_wrap(wrapping, data_key)
    return "lethe:v1:" + base64.urlsafe_b64encode(body).decode().rstrip("=")


def secret(name: str) -> bytes:
    return hashlib.sha256(b"test vector " + name.encode()).digest()


def vector(index: int, conversation: str, version: int, generation: int, expiry: int) -> dict:
    tree_seed, address_key = secret(f"tree {index}"), secret(f"address {index}")
    bucket_key, data_key = secret(f"bucket {index}"), secret(f"data {index}")
    keyspace = secret(f"keyspace {index}")[:16]
    id_bytes = conversation.encode()
    bits = address(address_key, id_bytes, generation)
    conversation_key = leaf(tree_seed, bits)
    wrapping = wrapping_key(conversation_key, bucket_key, keyspace, version, id_bytes, generation, expiry)
    return {
        "keyspace": keyspace.hex(),
        "conversation": conversation,
        "version": version,
        "generation": generation,
        "expiry": expiry,
        "tree_seed": tree_seed.hex(),
        "address_key": address_key.hex(),
        "bucket_key": bucket_key.hex(),
        "data_key": data_key.hex(),
        "address": f"{bits:016x}",
        "conversation_key": conversation_key.hex(),
        "wrapping_key": wrapping.hex(),
        "wrapped_key": wrapped_key(version, generation, expiry, wrapping, data_key),
    }


print(json.dumps([
    vector(0, "c1", 1, 0, 1_600_000_000),
    vector(1, "bb77c559-b666-495c-bc7c-82ca3c01f6a3", 7, 3, 1_523_642_400),
    vector(2, "\u00e9t\u00e9 \u2603 \U0001f600", 2**32 - 1, 2**16 - 1, 2**40),
    vector(3, "x" * 256, 1, 0, 1),
    vector(4, "e\u0301", 2, 256, 4_102_444_800),
], indent=2, ensure_ascii=True))
