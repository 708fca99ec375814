"""Receipts out of the rows of a database: `batch` with its `request`s, and `expiry`."""

import sqlite3

from merkle import leaf_hash, path_of
from receipt import DROP, EXPIRY, KINDS, METHODS, SHRED, Item, base64_text, uuid_text
from spelling import time_text

NAMES = {number: name for name, number in KINDS.items()}
METHOD_NAMES = {number: name for name, number in METHODS.items()}


def receipts(path):
    """Each receipt of a database as JSON, batches first."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    database.row_factory = sqlite3.Row
    (deployment,) = database.execute("SELECT id FROM deployment").fetchone()
    for batch in database.execute("SELECT * FROM batch WHERE signature IS NOT NULL ORDER BY sequence"):
        yield from of_batch(database, deployment, batch)
    for expiry in database.execute("SELECT * FROM expiry ORDER BY expiry_s, hsm_key_id"):
        yield of_expiry(deployment, expiry)
    database.close()


def of_batch(database, deployment: bytes, batch):
    chosen = (batch["first_request"], batch["last_request"])
    rows = database.execute("SELECT * FROM request WHERE number BETWEEN ? AND ? ORDER BY number", chosen)
    items = [of_request(row) for row in rows]
    if not items:
        return  # The last batch, whose requests were kept long enough.
    assert len(items) == chosen[1] - chosen[0] + 1, "requests of a batch are missing"
    leaves = [leaf_hash(Item(item, deployment).encode()) for item in items]
    keys = [batch["destroyed"][at : at + 16] for at in range(0, len(batch["destroyed"]), 16)]
    for index, item in enumerate(items):
        place = (len(items), index, path_of(leaves, index))
        yield receipt(deployment, 1, batch["sequence"], batch, keys, item, place)


def of_request(row) -> dict:
    item = {
        "kind": NAMES[row["kind"]],
        "id": uuid_text(row["id"]),
        "keyspace": row["keyspace_id"].hex(),
        "accepted_at": time_text(row["accepted_at_ms"]),
        "leases_end_at": time_text(row["leases_end_at_ms"]),
    }
    if row["kind"] == SHRED:
        item["commitment"] = base64_text(row["commitment"])
    if row["kind"] == DROP:
        item["version"] = row["version"]
    return item


def of_expiry(deployment: bytes, row) -> dict:
    label = f"lethe/v1/bucket/{deployment.hex()}/{row['expiry_s']}"
    item = {"kind": NAMES[EXPIRY], "key": row["hsm_key_id"].hex(), "label": label}
    return receipt(deployment, 2, 0, row, [row["hsm_key_id"]], item, (1, 0, []))


def receipt(deployment: bytes, method: int, sequence: int, signed, destroyed, item, place) -> dict:
    size, index, path = place
    return {
        "format": "lethe/v1/receipt",
        "item": item,
        "destroyed_at": time_text(signed["destroyed_at_ms"]),
        "destroyed": [key.hex() for key in destroyed],
        "method": METHOD_NAMES[method],
        "deployment": deployment.hex(),
        "sequence": sequence,
        "batch": {"size": size, "index": index, "path": [base64_text(step) for step in path]},
        "signature": {
            "algorithm": "Ed25519",
            "key": signed["signing_key"].hex(),
            "value": base64_text(signed["signature"]),
        },
    }
