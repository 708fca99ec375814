#!/usr/bin/env python3
"""Checks receipts offline, or reads them out of a database: from docs/FORMATS.md alone.

    receipts.py verify --keys verify.pub RECEIPTS.jsonl [--openings]
    receipts.py rebuild COPY_FOLDER

A line of RECEIPTS.jsonl is a receipt, or an object with "receipt" and "opening" as the API answers
it; with --openings every shred must bear its opening. Prints one JSON line for each: what the
receipt covers, or why it proves nothing. Exits 0 only when all are valid.
"""

import argparse
import base64
import json
import pathlib
import re
import sys

import rebuild
import spelling
from encoding import read_lines
from receipt import DROP, EXPIRY, KINDS, SHRED, Opening, Receipt
from spelling import Refused, check

#: SubjectPublicKeyInfo of an Ed25519 key, RFC 8410 section 4, in front of its 32 bytes.
ED25519 = bytes.fromhex("302a300506032b6570032100")
KEY = re.compile(
    r"# (receipt|checkpoint) ([0-9a-f]{32})\n-----BEGIN PUBLIC KEY-----\n(.+)\n-----END PUBLIC KEY-----\n"
)


def read_keys(text: str):
    """Key id to (purpose, public key)."""
    keys = {}
    for purpose, key_id, encoded in KEY.findall(text):
        der = base64.b64decode(encoded, validate=True)
        check(der.startswith(ED25519) and len(der) == 44, "public key")
        keys[bytes.fromhex(key_id)] = (purpose, der[len(ED25519) :])
    return keys


def covers(receipt: Receipt, opening):
    """Which keys are gone; what is left out stands for all."""
    item = receipt.item
    if item.kind == EXPIRY:
        return [{"expiry": item.expiry}]
    keyspace = {"keyspace": item.keyspace.hex()}
    if item.kind == DROP:
        return [keyspace | {"version": item.version}]
    if item.kind != SHRED:
        return [keyspace]
    if opening is None:
        return []
    shredded = keyspace | {"conversation": opening.conversation.decode()}
    return [shredded | {"version": version, "generation": generation} for version, generation in opening.keys]


def verify(line: str, keys, need_opening: bool) -> dict:
    try:
        value, opening = spelling.parse(line), None
        if type(value) is dict and "receipt" in value:
            value, opening = value["receipt"], value.get("opening")
        receipt = Receipt(value)
        receipt.verify(keys)
        if opening is not None:
            opening = Opening(opening)
            opening.opens(receipt)
        check(opening or not (need_opening and receipt.item.kind == SHRED), "an opening is missing")
    except Refused as refused:
        return {"valid": False, "error": str(refused)}
    kind = {number: name for name, number in KINDS.items()}[receipt.item.kind]
    return {"valid": True, "kind": kind, "covers": covers(receipt, opening)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("verify")
    checking.add_argument("--keys", required=True, type=pathlib.Path)
    checking.add_argument("--openings", action="store_true")
    checking.add_argument("receipts", type=pathlib.Path)
    rebuilding = commands.add_parser("rebuild")
    rebuilding.add_argument("copy", type=pathlib.Path)
    arguments = parser.parse_args()

    if arguments.command == "rebuild":
        for receipt in rebuild.receipts(arguments.copy / "lethe.db"):
            print(json.dumps(receipt, separators=(",", ":")))
        return
    keys = read_keys(arguments.keys.read_text())
    lines = read_lines(arguments.receipts)
    answers = [verify(line, keys, arguments.openings) for line in lines]
    for answer in answers:
        print(json.dumps(answer))
    if not all(answer["valid"] for answer in answers):
        sys.exit(1)


if __name__ == "__main__":
    main()
