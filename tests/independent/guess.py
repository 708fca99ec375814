#!/usr/bin/env python3
"""Which requests to forget speak of a conversation that is guessed: whoever holds the database and
the inside of the HSM can test it, as long as the request stands there.

    guess.py --dump dump.json --guesses guesses.jsonl COPY_FOLDER

A line of guesses.jsonl: a conversation, as JSON. Prints one JSON line for each request found: its
id and the opening of its commitment.
"""

import argparse
import json
import pathlib
import sqlite3
import struct

import receipt
from encoding import read_lines
from grid import address, keyed
from seized import Seized


def shreds(folder: pathlib.Path):
    """(id, keyspace id, tag, commitment, leaves) of each shred."""
    database = sqlite3.connect(f"file:{folder / 'lethe.db'}?mode=ro", uri=True)
    names = "id, keyspace_id, tag, commitment, leaves"
    for *row, leaves in database.execute(f"SELECT {names} FROM request WHERE kind = 1 ORDER BY number"):
        yield *row, list(struct.iter_unpack(">IHQ", leaves))
    database.close()


def opening(seized, shred, conversation: bytes):
    """None when the shred is of another conversation, or nobody can tell any more."""
    request, keyspace, tag, commitment, leaves = shred
    newest, generation, newest_address = leaves[-1]
    entries = seized.entries.get((keyspace, newest), ())
    # Earlier releases made the tag with the address key of the newest version.
    keys = {it.key for it in seized.commitments} | {entry.address_key for entry in entries}
    for key in keys:
        if keyed(key, b"lethe/v1/request-tag" + request + conversation)[:16] == tag:
            for entry in entries:
                assert newest_address == address(entry.address_key, conversation, generation)
            salt = keyed(key, b"lethe/v1/request-salt" + request + conversation)
            keys = [(version, generation) for version, generation, _ in leaves]
            assert receipt.commitment(salt, keyspace, conversation, keys) == commitment
            return salt, keys
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dump", required=True, type=pathlib.Path)
    parser.add_argument("--guesses", required=True, type=pathlib.Path)
    parser.add_argument("copy", type=pathlib.Path)
    arguments = parser.parse_args()

    seized = Seized(arguments.dump, [arguments.copy])
    guesses = [json.loads(line) for line in read_lines(arguments.guesses)]
    for shred in shreds(arguments.copy):
        for guess in guesses:
            found = opening(seized, shred, guess.encode())
            if found:
                salt, keys = found
                shown = {
                    "salt": receipt.base64_text(salt),
                    "keyspace": shred[1].hex(),
                    "conversation": guess,
                    "keys": [{"version": v, "generation": g} for v, g in keys],
                }
                print(json.dumps({"id": receipt.uuid_text(shred[0]), "opening": shown}))


if __name__ == "__main__":
    main()
