#!/usr/bin/env python3
"""Computes tests/vectors/envelope.json from docs/FORMATS.md alone, with Python's `cryptography`.

Shares no code with the Rust side. Prints the file; scripts/check-vectors compares.
"""
import hashlib
import json

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def length_prefixed(field: str) -> bytes:
    encoded = field.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def secret(name: str) -> bytes:
    return hashlib.sha256(b"test vector " + name.encode()).digest()


def vector(index: int, keyspace: str, conversation: str, message_id: str, plaintext: bytes) -> dict:
    data_key, nonce = secret(f"message key {index}"), secret(f"nonce {index}")[:12]
    fields = (keyspace, conversation, message_id)
    associated_data = b"lethe/v1/message" + b"".join(map(length_prefixed, fields))
    sealed = AESGCM(data_key).encrypt(nonce, plaintext, associated_data)
    return {
        "keyspace": keyspace,
        "conversation": conversation,
        "message_id": message_id,
        "data_key": data_key.hex(),
        "nonce": nonce.hex(),
        "plaintext": plaintext.hex(),
        "associated_data": associated_data.hex(),
        "envelope": (b"\x01" + nonce + sealed).hex(),
    }


print(json.dumps([
    vector(0, "chat", "c1", "m1", b"hello"),
    vector(1, "chat", "c1", "m2", b""),
    vector(2, "a", "bb77c559-b666-495c-bc7c-82ca3c01f6a3", "1", "\u00e9t\u00e9 \u2603 \U0001f600".encode()),
    vector(3, "k" * 63, "x" * 256, "y" * 256, bytes(range(256)) * 3),
    vector(4, "chat-2", "e\u0301", "\u00e9", b"\x00"),
], indent=2, ensure_ascii=True))
