#!/usr/bin/env python3
"""Leaves of the forgetting trees, for comparing with another implementation.

    leaves.py --dump dump.json --addresses addresses.jsonl COPY_FOLDER...

A line of addresses.jsonl: {"keyspace": id, "version", "address": 16 hex digits}. Prints one JSON
line for each: the leaf in hex, or null where no key leads to one.
"""

import argparse
import json
import pathlib

from encoding import read_lines
from seized import Seized


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dump", required=True, type=pathlib.Path)
    parser.add_argument("--addresses", required=True, type=pathlib.Path)
    parser.add_argument("copies", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()

    seized = Seized(arguments.dump, arguments.copies)
    for line in read_lines(arguments.addresses):
        item = json.loads(line)
        tree = (bytes.fromhex(item["keyspace"]), item["version"])
        address = int(item["address"], 16)
        leaves = seized.leaves(tree, lambda _: address)
        if len(leaves) > 1:
            raise SystemExit(f"{line}: more than one leaf")
        print(json.dumps({"leaf": leaves.pop().hex() if leaves else None}))


if __name__ == "__main__":
    main()
