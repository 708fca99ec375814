"""Records out of the pages of SQLite files, whatever they belong to now: pages that are free, and
frames of a WAL that were written again since, hold what the database itself shows no more.

The file format is SQLite's own (https://www.sqlite.org/fileformat2.html). Records that go on
on overflow pages are left out; those of pages and tails of a forgetting tree are never so long.
"""

import struct

TABLE_LEAF, INDEX_LEAF = 0x0D, 0x0A
INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


def database_pages(file: bytes):
    """(page, offset of its header)"""
    size = int.from_bytes(file[16:18], "big") if file.startswith(b"SQLite format 3\0") else 4096
    size = 65_536 if size == 1 else size
    for at in range(0, len(file) - size + 1, size):
        yield file[at : at + size], 100 if at == 0 else 0


def wal_pages(file: bytes):
    """Of every frame that is there, of this round of the WAL or of one before."""
    size = int.from_bytes(file[8:12], "big")
    if size < 512:
        return
    for at in range(32, len(file) - size - 24 + 1, size + 24):
        number = int.from_bytes(file[at : at + 4], "big")
        yield file[at + 24 : at + 24 + size], 100 if number == 1 else 0


def records(page: bytes, header: int):
    """(row id, or None in an index; columns) of each whole record on a leaf page."""
    kind, _, cells = struct.unpack_from(">BHH", page, header)
    if kind not in (TABLE_LEAF, INDEX_LEAF):
        return
    if header + 8 + 2 * cells > len(page):
        return
    for (at,) in struct.iter_unpack(">H", page[header + 8 : header + 8 + 2 * cells]):
        try:
            record = cell(page, at, kind)
        except (IndexError, ValueError, KeyError, UnicodeDecodeError):
            continue
        if record:
            yield record


def cell(page: bytes, at: int, kind: int):
    length, at = varint(page, at)
    row_id = None
    if kind == TABLE_LEAF:
        row_id, at = varint(page, at)
        if length > len(page) - 35:
            return None
    payload = page[at : at + length]
    return (row_id, columns(payload)) if len(payload) == length else None


def columns(payload: bytes):
    size, at = varint(payload, 0)
    types = []
    while at < size:
        kind, at = varint(payload, at)
        types.append(kind)
    values = []
    for kind in types:
        value, at = column(payload, at, kind)
        values.append(value)
    if at != len(payload):
        raise ValueError("not a record")
    return tuple(values)


def column(payload: bytes, at: int, kind: int):
    if kind == 0:
        return None, at
    if kind in (8, 9):
        return kind - 8, at
    if kind >= 12:
        end = at + (kind - 12) // 2
        value = payload[at:end]
        if len(value) != end - at:
            raise ValueError("cut off")
        return (value.decode() if kind & 1 else value), end
    end = at + INTEGERS[kind]
    return int.from_bytes(payload[at:end], "big", signed=True), end


def varint(page: bytes, at: int):
    value = 0
    for index in range(8):
        byte = page[at + index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + index + 1
    value = value << 8 | page[at + 8]
    # Row ids are signed; ours are not negative.
    return value, at + 9
