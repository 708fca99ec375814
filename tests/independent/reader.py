#!/usr/bin/env python3
"""Opens all that can be opened: written from docs/FORMATS.md alone, with `cryptography` only.

An attacker's view: any number of copies of the database (with their WAL), a dump of what is inside
the HSM now, and every wrapped key. Prints one JSON line for each wrapped key: its line number and
its data key, or null.

    reader.py --dump dump.json --wrapped wrapped.jsonl COPY_FOLDER...

A line of wrapped.jsonl: {"keyspace", "conversation", "wrapped_key"}. A copy folder holds lethe.db
and, if there was one, lethe.db-wal; either may be missing.
"""

import argparse
import base64
import json
import pathlib
import sys
import time

from encoding import read_lines
from grid import address, read_wrapped_key, unwrap
from seized import Seized


def open_one(seized: Seized, item: dict):
    """The data key, from any row and column that fit."""
    wrapped = read_wrapped_key(item["wrapped_key"])
    conversation = item["conversation"].encode()
    columns = seized.columns.get(wrapped.expiry, ())
    if not columns:
        return None
    for keyspace in seized.archive.keyspaces.get(item["keyspace"], ()):
        tree = (keyspace, wrapped.version)
        rows = seized.leaves(tree, lambda key: address(key, conversation, wrapped.generation))
        for row in rows:
            for column in columns:
                found = unwrap(wrapped, keyspace, conversation, row, column)
                if found:
                    return found
    return None


def summary(seized: Seized, lines: int, opened: int) -> str:
    archive, forest = seized.archive, seized.forest
    versions = sum(map(len, archive.pages.values()))
    pages = sum(map(len, forest.opened_pages.values()))
    tails = sum(map(len, forest.opened_tails.values()))
    return (
        f"{opened} of {lines} keys open; {archive.whole} whole copies, {len(archive.metas)} meta rows, "
        f"{versions} page rows, {len(archive.tails)} tails; opened: {len(seized.entries)} trees, "
        f"{pages} pages, {tails} tails, {len(seized.columns)} buckets"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dump", required=True, type=pathlib.Path)
    parser.add_argument("--wrapped", required=True, type=pathlib.Path)
    parser.add_argument("copies", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()

    begun, opened = time.monotonic(), 0
    seized = Seized(arguments.dump, arguments.copies)
    lines = read_lines(arguments.wrapped)
    for number, line in enumerate(lines):
        data_key = open_one(seized, json.loads(line))
        opened += data_key is not None
        text = data_key and base64.b64encode(data_key).decode()
        print(json.dumps({"line": number, "data_key": text}))
    took = time.monotonic() - begun
    print(f"{summary(seized, len(lines), opened)}; {took:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
