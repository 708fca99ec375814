"""All that lies in any number of copies of the database, read as SQLite reads it and carved out of
the raw files. No row is preferred to another: what opens, opens."""

import hashlib
import pathlib
import sqlite3
import sys
from collections import defaultdict

import carve

TABLES = {
    "deployment": "id",
    "keyspace": "id, name",
    "meta": "sequence, root_id, iv, ciphertext, directory",
    "bucket": "expiry_s, hsm_key_id, iv, ciphertext",
    "tree": "number, keyspace_id, version",
    "page": "tree, prefix, bytes",
    "tail": "row_id, bytes",
    "request": "keyspace_id, keyspace_name",
}


class Archive:
    """Rows of every copy, each of them once."""

    def __init__(self, folders):
        self.deployments = set()
        self.keyspaces = defaultdict(set)
        self.metas, self.buckets = set(), set()
        #: (keyspace id, version) to the numbers that its tree has in the tables.
        self.numbers = defaultdict(set)
        self.pages, self.tails = defaultdict(set), defaultdict(set)
        #: Copies that SQLite itself could read to the end.
        self.whole = 0
        #: Pages of files that were carved already: most are the same in all copies.
        self.carved = set()
        for folder in folders:
            self.whole += self.add_database(folder / "lethe.db")
            self.add_raw(folder)

    def add_database(self, path: pathlib.Path) -> bool:
        """Read only, so that closing leaves the WAL as it is. A copy may be torn, or of an older
        schema; what can be read counts."""
        if not path.exists():
            return False
        whole, database = True, sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        for table, names in TABLES.items():
            try:
                for row in database.execute(f"SELECT {names} FROM {table}"):
                    getattr(self, f"add_{table}")(*row)
            except sqlite3.DatabaseError as error:
                whole = False
                print(f"{path}: {table}: {error}", file=sys.stderr)
        database.close()
        return whole

    def add_raw(self, folder: pathlib.Path) -> None:
        for name, pages in (("lethe.db", carve.database_pages), ("lethe.db-wal", carve.wal_pages)):
            path = folder / name
            if path.exists():
                for page, header in pages(path.read_bytes()):
                    self.carve(page, header)

    def carve(self, page: bytes, header: int) -> None:
        digest = hashlib.blake2b(page, digest_size=16).digest()
        if digest not in self.carved:
            self.carved.add(digest)
            for row_id, columns in carve.records(page, header):
                self.add_record(row_id, columns)

    def add_record(self, row_id, columns) -> None:
        """Tells the tables apart by the shape of their records."""
        match columns:
            case (None, int(tree), int(prefix), bytes(sealed)):
                self.add_page(tree, prefix, sealed)
            case (None, bytes(sealed)):
                self.add_tail(row_id, sealed)
            case (None, int(sequence), int(), bytes(root), bytes(iv), bytes(sealed), bytes(directory)):
                self.add_meta(sequence, root, iv, sealed, directory)
            # Rows written before the last columns came lack them: here and below.
            case (None, bytes(key), bytes(iv), bytes(sealed)) | (
                None, bytes(key), bytes(iv), bytes(sealed), bytes() | None
            ):
                self.add_bucket(row_id, key, iv, sealed)
            case (None, bytes(keyspace), int(version), int(), int()):
                self.add_tree(row_id, keyspace, version)
            case (bytes(keyspace), str(name), int(), int(), int(), int(), *_):
                self.add_keyspace(keyspace, name)
            case (None, bytes(deployment), int() | None) | (
                None, bytes(deployment), int() | None, int(), *_
            ):
                self.add_deployment(deployment)

    def add_deployment(self, deployment) -> None:
        if deployment and len(deployment) == 16:
            self.deployments.add(deployment)

    def add_keyspace(self, keyspace, name) -> None:
        self.keyspaces[name].add(keyspace)

    def add_request(self, keyspace, name) -> None:
        if name:
            self.add_keyspace(keyspace, name)

    def add_meta(self, sequence, root, iv, sealed, directory) -> None:
        self.metas.add((sequence, root, iv, sealed, directory))

    def add_bucket(self, expiry, key, iv, sealed) -> None:
        self.buckets.add((expiry, key, iv, sealed))

    def add_tree(self, number, keyspace, version) -> None:
        self.numbers[keyspace, version].add(number)

    def add_page(self, tree, prefix, sealed) -> None:
        self.pages[tree, prefix].add(sealed)

    def add_tail(self, row_id, sealed) -> None:
        self.tails[row_id].add(sealed)

    def page_rows(self, tree, prefix: int, depth: int):
        """Every version of a page that was found anywhere."""
        key = prefix | 1 << (63 - depth)
        key -= (key >> 63) << 64
        for number in self.numbers[tree]:
            yield from self.pages.get((number, key), ())
