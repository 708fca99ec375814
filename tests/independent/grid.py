"""Addresses, wrapping keys, wrapped keys: where a row crosses a column."""

import base64
import hashlib
import hmac
import struct
from typing import NamedTuple

from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from encoding import lp, u16, u32, u64


class WrappedKey(NamedTuple):
    version: int
    generation: int
    expiry: int
    sealed: bytes


def read_wrapped_key(text: str) -> WrappedKey:
    encoded = text.removeprefix("lethe:v1:")
    if encoded == text or len(encoded) != 72:
        raise ValueError("not a wrapped key")
    return WrappedKey(*struct.unpack(">IHQ40s", base64.urlsafe_b64decode(encoded)))


def keyed(address_key: bytes, message: bytes) -> bytes:
    return hmac.digest(address_key, message, hashlib.sha256)


def address(address_key: bytes, conversation: bytes, generation: int) -> int:
    message = b"lethe/v1/address" + lp(conversation) + u16(generation)
    return int.from_bytes(keyed(address_key, message)[:8], "big")


def child(seed: bytes, bit: int) -> bytes:
    return hashlib.sha256(b"lethe/v1/tree" + bytes((bit,)) + seed).digest()


def descend(seed: bytes, depth: int, leaf: int) -> bytes:
    """The leaf, from the seed that covers it at `depth`."""
    for level in range(depth, 64):
        seed = child(seed, leaf >> (63 - level) & 1)
    return seed


def unwrap(wrapped: WrappedKey, keyspace: bytes, conversation: bytes, row: bytes, column: bytes):
    """The data key; None where it does not open."""
    info = b"lethe/v1/wrap" + lp(keyspace) + lp(u32(wrapped.version)) + lp(conversation)
    info += lp(u16(wrapped.generation)) + lp(u64(wrapped.expiry))
    wrapping_key = HKDF(hashes.SHA256(), 32, None, info).derive(row + column)
    try:
        return keywrap.aes_key_unwrap(wrapping_key, wrapped.sealed)
    except keywrap.InvalidUnwrap:
        return None
