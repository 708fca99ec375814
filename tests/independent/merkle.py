"""The Merkle tree of receipts, level by level."""

import hashlib


def leaf_hash(item: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + item).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(leaf: bytes, index: int, size: int, path):
    """Where a path leads; None when it has another length than this place gives it."""
    path = list(path)
    if index >= size:
        return None
    while size > 1:
        # A node without a sibling goes up as it is.
        if index ^ 1 < size:
            if not path:
                return None
            sibling = path.pop(0)
            leaf = node_hash(sibling, leaf) if index & 1 else node_hash(leaf, sibling)
        index, size = index // 2, (size + 1) // 2
    return None if path else leaf


def levels(leaves):
    """From the leaves up to the root alone."""
    yield leaves
    while len(leaves) > 1:
        pairs = [leaves[at : at + 2] for at in range(0, len(leaves), 2)]
        leaves = [node_hash(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
        yield leaves


def path_of(leaves, index: int):
    path = []
    for level in levels(leaves):
        if index ^ 1 < len(level):
            path.append(level[index ^ 1])
        index //= 2
    return path
