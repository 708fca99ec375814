"""Bytes as docs/FORMATS.md writes them, and AES-256-GCM."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: Of a key that seals one content only.
NONCE = bytes(12)


def u16(number: int) -> bytes:
    return number.to_bytes(2, "big")


def u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def lp(field: bytes) -> bytes:
    return u16(len(field)) + field


def gcm_open(key: bytes, iv: bytes, sealed: bytes, aad: bytes):
    """The clear bytes; None where it does not open."""
    try:
        return AESGCM(key).decrypt(iv, sealed, aad)
    except InvalidTag:
        return None


def read_lines(path):
    """JSON lines. Not splitlines(): it cuts at characters that JSON may hold as they are."""
    text = path.read_bytes().decode()
    return text.removesuffix("\n").split("\n")
