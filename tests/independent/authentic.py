#!/usr/bin/env python3
"""Whether every row of a database is as the service wrote it, by the key in its directory.

    authentic.py --dump dump.json COPY_FOLDER

The copy is that of a stopped service, which the HSM's root opens. Prints one JSON line: the tables and
rows that are not, and whether the keyspaces are those that the directory commits to.
"""

import argparse
import json
import pathlib

import rows
from seized import Seized


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dump", required=True, type=pathlib.Path)
    parser.add_argument("copy", type=pathlib.Path)
    arguments = parser.parse_args()

    database = arguments.copy / "lethe.db"
    seized = Seized(arguments.dump, [arguments.copy])
    (key,) = {commitments.key for commitments in seized.commitments}
    altered = [f"{table} {row}" for table, row in rows.altered(database, key)]
    digest = rows.keyspaces_digest(database)
    agree = any(commitments.keyspaces == digest for commitments in seized.commitments)
    print(json.dumps({"altered": altered, "keyspaces": agree}))


if __name__ == "__main__":
    main()
