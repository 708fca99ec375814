"""What an attacker has: copies of the database, and the inside of the HSM at one moment."""

import json
import pathlib
from collections import defaultdict

from encoding import NONCE, gcm_open, u64
from store import Archive
from tree import Forest, read_directory


def read_dump(path: pathlib.Path):
    """CKA_ID to the value of every secret key."""
    objects = json.loads(path.read_text())["objects"]
    return {
        bytes.fromhex(item["id"]): bytes.fromhex(item["value"])
        for item in objects
        if item["class"] == "secret-key" and item["value"]
    }


class Seized:
    """Every row and every column that opens."""

    def __init__(self, dump: pathlib.Path, folders):
        self.hsm, self.archive = read_dump(dump), Archive(folders)
        (self.deployment,) = self.archive.deployments
        self.forest = Forest(self.deployment, self.archive)
        #: (keyspace id, version) to the entries of all directories that open.
        self.entries = defaultdict(set)
        #: Commitments of all directories that open.
        self.commitments = set()
        for entries, commitments in self.open_directories():
            for entry in entries:
                self.entries[entry.tree].add(entry)
            if commitments:
                self.commitments.add(commitments)
        #: Expiry to bucket keys.
        self.columns = defaultdict(set)
        for expiry, secret in self.open_buckets():
            self.columns[expiry].add(secret)

    def open_directories(self):
        for sequence, root, iv, sealed, directory in self.archive.metas:
            if root in self.hsm:
                number = u64(sequence)
                aad = b"lethe/v1/meta" + self.deployment + number + root
                key = gcm_open(self.hsm[root], iv, sealed, aad)
                aad = b"lethe/v1/directory" + self.deployment + number
                clear = key and gcm_open(key, NONCE, directory, aad)
                if clear:
                    yield read_directory(clear)

    def open_buckets(self):
        for expiry, key_id, iv, sealed in self.archive.buckets:
            if key_id in self.hsm:
                aad = b"lethe/v1/bucket" + self.deployment + u64(expiry) + key_id
                secret = gcm_open(self.hsm[key_id], iv, sealed, aad)
                if secret:
                    yield expiry, secret

    def leaves(self, tree, address_of):
        """Leaves of a tree, by every directory that opens; `address_of` an address key."""
        found = set()
        for entry in self.entries.get(tree, ()):
            found |= self.forest.leaves(entry, address_of(entry.address_key))
        return found
