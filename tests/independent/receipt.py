"""One receipt and its opening: reading, checking, writing."""

import base64
import hashlib
import re
import uuid

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

import spelling
from encoding import lp, u16, u32, u64
from merkle import leaf_hash, root_of
from spelling import Refused, check

METHODS = {"hsm-roots-destroyed": 1, "hsm-bucket-key-destroyed": 2}
SHRED, ERASE, DROP, EXPIRY = 1, 2, 3, 4
KINDS = {"shred": SHRED, "keyspace_erase": ERASE, "version_drop": DROP, "bucket_expiry": EXPIRY}


class Item:
    """What a receipt speaks of, from JSON."""

    def __init__(self, value, deployment: bytes):
        kind = value.get("kind") if type(value) is dict else None
        check(type(kind) is str and kind in KINDS, "kind of item")
        self.kind = KINDS[kind]
        if self.kind == EXPIRY:
            self.read_expiry(value, deployment)
        else:
            self.read_request(value)

    def read_expiry(self, value, deployment: bytes) -> None:
        _, key, label = spelling.members(value, "kind key label")
        head, _, seconds = spelling.text(label).rpartition("/")
        check(head == f"lethe/v1/bucket/{deployment.hex()}", "label")
        check(re.fullmatch("0|[1-9][0-9]{0,19}", seconds), "label")
        self.key, self.expiry = spelling.hex_id(key), spelling.number(int(seconds), 64)

    def read_request(self, value) -> None:
        more = {SHRED: " commitment", ERASE: "", DROP: " version"}[self.kind]
        names = "kind id keyspace accepted_at leases_end_at" + more
        _, request, keyspace, accepted, leases, *rest = spelling.members(value, names)
        self.request, self.keyspace = spelling.request_id(request), spelling.hex_id(keyspace)
        self.accepted_at, self.leases_end_at = spelling.time(accepted), spelling.time(leases)
        if self.kind == SHRED:
            self.commitment = spelling.octets(rest[0], 32)
        if self.kind == DROP:
            self.version = spelling.number(rest[0], 32)
            check(self.version > 0, "version")

    def encode(self) -> bytes:
        if self.kind == EXPIRY:
            return bytes((EXPIRY,)) + self.key + u64(self.expiry)
        fields = bytes((self.kind,)) + self.request + self.keyspace
        fields += u64(self.accepted_at) + u64(self.leases_end_at)
        return fields + {SHRED: lambda: self.commitment, DROP: lambda: u32(self.version)}.get(self.kind, bytes)()


class Receipt:
    """From its JSON text."""

    def __init__(self, value):
        names = "format item destroyed_at destroyed method deployment sequence batch signature"
        form, item, at, destroyed, method, deployment, sequence, batch, signature = spelling.members(value, names)
        check(form == "lethe/v1/receipt", "format")
        check(type(method) is str and method in METHODS, "method")
        self.method, self.deployment = METHODS[method], spelling.hex_id(deployment)
        self.item = Item(item, self.deployment)
        self.destroyed_at = spelling.time(at)
        self.destroyed = [spelling.hex_id(key) for key in spelling.array(destroyed)]
        self.sequence = spelling.number(sequence, 64)
        size, index, path = spelling.members(batch, "size index path")
        self.size, self.index = spelling.number(size, 32), spelling.number(index, 32)
        self.path = [spelling.octets(step, 32) for step in spelling.array(path)]
        algorithm, key, signed = spelling.members(signature, "algorithm key value")
        check(algorithm == "Ed25519", "algorithm")
        self.signing_key, self.signature = spelling.hex_id(key), spelling.octets(signed, 64)

    def statement(self, root: bytes) -> bytes:
        facts = (self.deployment, self.method, self.sequence, self.destroyed_at, self.signing_key)
        return statement(*facts, self.destroyed, self.size, root)

    def fits(self) -> bool:
        """Whether item, method, destroyed keys and sequence agree."""
        if (self.method == 2) != (self.item.kind == EXPIRY):
            return False
        if self.method == 2:
            return self.sequence == 0 and self.destroyed == [self.item.key]
        return self.sequence > 0 and bool(self.destroyed)

    def verify(self, keys) -> None:
        """`keys`: key id to (purpose, public key)."""
        check(self.signing_key in keys, "unknown key")
        purpose, public = keys[self.signing_key]
        check(purpose == "receipt", "a key of another purpose")
        check(self.fits(), "contradiction")
        root = root_of(leaf_hash(self.item.encode()), self.index, self.size, self.path)
        check(root, "path")
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(self.signature, self.statement(root))
        except InvalidSignature:
            raise Refused("signature") from None


def statement(deployment, method, sequence, destroyed_at, signing_key, destroyed, size, root) -> bytes:
    facts = deployment + bytes((method,)) + u64(sequence) + u64(destroyed_at) + signing_key
    keys = u32(len(destroyed)) + b"".join(destroyed)
    return b"lethe/v1/receipt" + facts + keys + u32(size) + root


def commitment(salt: bytes, keyspace: bytes, conversation: bytes, keys) -> bytes:
    data = b"lethe/v1/commitment" + salt + keyspace + lp(conversation) + u16(len(keys))
    data += b"".join(u32(version) + u16(generation) for version, generation in keys)
    return hashlib.sha256(data).digest()


class Opening:
    """From its JSON."""

    def __init__(self, value):
        salt, keyspace, conversation, keys = spelling.members(value, "salt keyspace conversation keys")
        self.salt, self.keyspace = spelling.octets(salt, 32), spelling.hex_id(keyspace)
        self.conversation = spelling.conversation(conversation)
        self.keys = [self.read_key(key) for key in spelling.array(keys)]
        check(len(self.keys) < 1 << 16, "number of keys")

    @staticmethod
    def read_key(value):
        version, generation = spelling.members(value, "version generation")
        check(spelling.number(version, 32) > 0, "version")
        return version, spelling.number(generation, 16)

    def opens(self, receipt: Receipt) -> None:
        item = receipt.item
        check(item.kind == SHRED and item.keyspace == self.keyspace, "opening of something else")
        ours = commitment(self.salt, self.keyspace, self.conversation, self.keys)
        check(ours == item.commitment, "opening")


def base64_text(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def uuid_text(octets: bytes) -> str:
    return str(uuid.UUID(bytes=octets))
