"""MACs of rows, and the digest of keyspaces that a directory commits to."""

import hashlib
import hmac
import sqlite3

from encoding import lp, u16, u32, u64

#: Columns in the order in which they are authenticated; those that name the row first.
TABLES = {
    "deployment": "row_id id clock_high_water_ms clock_lag_ms clock_boot_id clock_boot_ms clock_gained_ms",
    "request": "number id kind keyspace_id accepted_at_ms leases_end_at_ms tag commitment leaves"
    " keyspace_name version",
    "bucket": "expiry_s hsm_key_id iv ciphertext",
    "signing_key": "number id purpose public_key predecessor endorsement",
    "hsm_move": "row_id emptied",
}


def encoded(value) -> bytes:
    match value:
        case None:
            return b"\x00"
        case int(number):
            return b"\x01" + number.to_bytes(8, "big", signed=True)
        case str(text):
            return b"\x02" + u32(len(text.encode())) + text.encode()
        case bytes(octets):
            return b"\x03" + u32(len(octets)) + octets


def row_mac(key: bytes, table: str, values) -> bytes:
    data = b"lethe/v1/row" + lp(table.encode()) + b"".join(map(encoded, values))
    return hmac.digest(key, data, "sha256")


def altered(path, key: bytes):
    """(table, what names the row) of each row that is not as the service wrote it."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    for table, names in TABLES.items():
        columns = names.split()
        for *values, mac in database.execute(f"SELECT {', '.join(columns)}, mac FROM {table}"):
            if mac is None or not hmac.compare_digest(mac, row_mac(key, table, values)):
                yield table, values[0]
    database.close()


def keyspaces_digest(path) -> bytes:
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    names = (
        "id, name, retention_s, granularity_s, rotation_ms, cache_ttl_ms, leases_until_ms,"
        " expiries_until_ms, minimum_version, shorter_retentions_s"
    )
    rows = database.execute(f"SELECT {names} FROM keyspace ORDER BY id").fetchall()
    data = b"lethe/v1/keyspaces" + u32(len(rows))
    for id, name, *times, minimum, shorter in rows:
        data += id + u16(len(name.encode())) + name.encode() + b"".join(map(u64, times)) + u32(minimum)
        query = "SELECT version, created_at_ms FROM key_version WHERE keyspace_id = ? ORDER BY version"
        versions = database.execute(query, (id,)).fetchall()
        data += bytes((len(shorter) // 8,)) + shorter + u32(len(versions))
        data += b"".join(u32(version) + u64(created) for version, created in versions)
    database.close()
    return hashlib.sha256(data).digest()
