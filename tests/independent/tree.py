"""The directory and the forgetting trees: every leaf that some path of keys leads to."""

import struct
from typing import NamedTuple

from encoding import NONCE, gcm_open, u32, u64
from grid import descend


class Entry(NamedTuple):
    """A key version in one directory. `secret` is the tree's seed, or the key of its top page."""

    keyspace: bytes
    version: int
    address_key: bytes
    paged: bool
    secret: bytes

    @property
    def tree(self):
        return self.keyspace, self.version


class Commitments(NamedTuple):
    """What a directory says of the store's other rows, and the deployment key."""

    key: bytes
    fulfilled: int
    keyspaces: bytes
    changing_since: int
    time: int
    #: Sequence, first and last request, and replaced root of the last batch that fulfilled some; or None.
    batch: tuple | None


class Malformed(Exception):
    """Opens, and is not what docs/FORMATS.md says."""


def need(condition: bool, what: str) -> None:
    if not condition:
        raise Malformed(what)


def read_commitments(clear: bytes) -> Commitments:
    need(len(clear) in (90, 130) and clear[0] == 1, "what stands behind the entries")
    key, fulfilled, keyspaces, since, time, has_batch = struct.unpack(">32sQ32sQQB", clear[1:90])
    need(has_batch == (len(clear) == 130), "batch of a directory")
    batch = struct.unpack(">QQQ16s", clear[90:]) if has_batch else None
    return Commitments(key, fulfilled, keyspaces, since, time, batch)


def read_directory(clear: bytes):
    """Its entries, and its commitments: None of an earlier release."""
    (count,), rest, entries = struct.unpack(">I", clear[:4]), clear[4:], []
    for _ in range(count):
        keyspace, version, address_key, kind, secret = struct.unpack(">16sI32sB32s", rest[:85])
        rest = rest[85:]
        need(version > 0 and kind in (0, 1), "entry of a directory")
        if kind == 1:
            (forgotten,), rest = struct.unpack(">Q", rest[:8]), rest[8:]
            need(forgotten > 0, "a paged cover that forgets nothing")
        entries.append(Entry(keyspace, version, address_key, kind == 1, secret))
    trees = [entry.tree for entry in entries]
    need(trees == sorted(set(trees)), "order of the directory")
    return entries, read_commitments(rest) if rest else None


def read_page(clear: bytes, depth: int):
    """For each slot: (depth, seed), or (row id, or None for a page; key), or None: forgotten."""
    width = min(6, 64 - depth)
    occupied, inner = struct.unpack(">QQ", clear[:16])
    leaves = depth + width == 64
    need(occupied and not occupied >> (1 << width) and not inner & ~occupied, "masks")
    need(not (leaves and inner), "a page below a leaf")
    need(depth == 0 or inner or occupied & (occupied - 1), "a page of one tail")
    rest, ways = clear[16:], [None] * (1 << width)

    def take(length: int) -> bytes:
        nonlocal rest
        taken, rest = rest[:length], rest[length:]
        need(len(taken) == length, "length of a page")
        return taken

    def cover(first: int, height: int) -> None:
        slots = 1 << height
        if not occupied >> first & ((1 << slots) - 1):
            ways[first : first + slots] = [("seed", depth + width - height, take(32))] * slots
        elif height:
            cover(first, height - 1)
            cover(first + slots // 2, height - 1)

    cover(0, width)
    for slot in range(0 if leaves else 64):
        if occupied >> slot & 1:
            row_id = None if inner >> slot & 1 else int.from_bytes(take(8), "big")
            ways[slot] = ("below", row_id, take(32))
    need(not rest, "bytes behind a page")
    return ways


def read_tail(clear: bytes, prefix: int, depth: int):
    """The forgotten leaf and the seeds beside its path."""
    need(depth > 0 and len(clear) == 8 + 32 * (64 - depth), "length of a tail")
    forgotten = int.from_bytes(clear[:8], "big")
    need(forgotten >> (64 - depth) == prefix >> (64 - depth), "a tail of another place")
    return forgotten, clear[8:]


class Forest:
    """Opens pages of all copies, wherever their keys were found, and each only once."""

    def __init__(self, deployment: bytes, archive):
        self.deployment, self.archive = deployment, archive
        self.opened_pages, self.opened_tails = {}, {}

    def leaves(self, entry: Entry, address: int):
        """Every key that opens as this leaf: one, or none when it is forgotten."""
        seeds = self.seeds_above(entry, address) if entry.paged else {(0, entry.secret)}
        return {descend(seed, depth, address) for depth, seed in seeds}

    def seeds_above(self, entry: Entry, address: int):
        """(depth, seed) of every seed that covers the leaf. A key should open one page only; where
        it opens more, each of them leads on."""
        seeds, todo, done = set(), [(0, None, entry.secret)], set()
        while todo:
            step = todo.pop()
            if step in done:
                continue
            done.add(step)
            depth, row_id, key = step
            if row_id is not None:
                seeds |= self.seeds_of_tail(entry.tree, address, depth, row_id, key)
                continue
            width = min(6, 64 - depth)
            slot = address >> (64 - depth - width) & ((1 << width) - 1)
            for ways in self.pages(entry.tree, upper(address, depth), depth, key):
                match ways[slot]:
                    case ("seed", at, seed):
                        seeds.add((at, seed))
                    case ("below", row_id, key_below):
                        todo.append((depth + width, row_id, key_below))
        return seeds

    def seeds_of_tail(self, tree, address: int, depth: int, row_id: int, key: bytes):
        seeds = set()
        for forgotten, siblings in self.tails(tree, upper(address, depth), depth, row_id, key):
            if forgotten != address:
                # The level below the last common step.
                level = 65 - (forgotten ^ address).bit_length()
                at = 32 * (level - depth - 1)
                seeds.add((level, siblings[at : at + 32]))
        return seeds

    def pages(self, tree, prefix: int, depth: int, key: bytes):
        name = (tree, prefix, depth, key)
        if name not in self.opened_pages:
            rows = self.archive.page_rows(tree, prefix, depth)
            clear = [self.open(b"lethe/v1/page", name, row[8:], row[:8]) for row in rows]
            self.opened_pages[name] = [read_page(page, depth) for page in clear if page]
        return self.opened_pages[name]

    def tails(self, tree, prefix: int, depth: int, row_id: int, key: bytes):
        name = (tree, prefix, depth, key)
        if (name, row_id) not in self.opened_tails:
            rows = self.archive.tails.get(row_id, ())
            clear = [self.open(b"lethe/v1/tail", name, row, u64(row_id)) for row in rows]
            read = [read_tail(tail, prefix, depth) for tail in clear if tail]
            self.opened_tails[name, row_id] = read
        return self.opened_tails[name, row_id]

    def open(self, label: bytes, name, sealed: bytes, last: bytes):
        (keyspace, version), prefix, depth, key = name
        place = keyspace + u32(version) + u64(prefix) + bytes((depth,))
        return gcm_open(key, NONCE, sealed, label + self.deployment + place + last)


def upper(address: int, depth: int) -> int:
    return address >> (64 - depth) << (64 - depth)
