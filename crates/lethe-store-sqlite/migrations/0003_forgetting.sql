-- What the forgetting trees are made of, what was accepted for forgetting, and the signed word that
-- it is forgotten. Pages and tails open only under keys that stand in their parents, in the end
-- under the root in the HSM.

-- A tree's number names its rows, and is given once: those of a dropped tree go bit by bit.
-- Tails have row ids from number * 2^40 on.
CREATE TABLE tree (
    number      INTEGER PRIMARY KEY AUTOINCREMENT CHECK (number BETWEEN 1 AND 4194303),
    keyspace_id BLOB NOT NULL CHECK (length(keyspace_id) = 16),
    version     INTEGER NOT NULL CHECK (version BETWEEN 1 AND 4294967295),
    next_tail   INTEGER NOT NULL CHECK (next_tail >= 0),
    dropped     INTEGER NOT NULL DEFAULT 0 CHECK (dropped IN (0, 1)),
    UNIQUE (keyspace_id, version)
) STRICT;

INSERT INTO tree (keyspace_id, version, next_tail) SELECT keyspace_id, version, 0 FROM key_version;
UPDATE tree SET next_tail = number * 1099511627776;

-- Inner pages: replaced in place. The prefix is its bits, then a 1, then zeros, as a signed number.
CREATE TABLE page (
    row_id INTEGER PRIMARY KEY,
    tree   INTEGER NOT NULL,
    prefix INTEGER NOT NULL,
    bytes  BLOB NOT NULL,
    UNIQUE (tree, prefix)
) STRICT;

-- Appended, never changed.
CREATE TABLE tail (
    row_id INTEGER PRIMARY KEY,
    bytes  BLOB NOT NULL
) STRICT;

-- Requests to forget, in the order of acceptance. Kinds: 1 shred, 2 erase of a keyspace, 3 drop of a
-- version. Leaves: version (4), generation (2), address (8) of each.
CREATE TABLE request (
    number           INTEGER PRIMARY KEY AUTOINCREMENT,
    id               BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    kind             INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 3),
    keyspace_id      BLOB NOT NULL CHECK (length(keyspace_id) = 16),
    accepted_at_ms   INTEGER NOT NULL CHECK (accepted_at_ms >= 0),
    leases_end_at_ms INTEGER NOT NULL CHECK (leases_end_at_ms >= 0),
    tag              BLOB CHECK ((kind = 1) = (tag IS NOT NULL) AND length(tag) = 16),
    commitment       BLOB CHECK ((kind = 1) = (commitment IS NOT NULL) AND length(commitment) = 32),
    leaves           BLOB CHECK ((kind = 1) = (leaves IS NOT NULL) AND length(leaves) % 14 = 0),
    keyspace_name    TEXT CHECK ((kind = 2) = (keyspace_name IS NOT NULL)),
    version          INTEGER CHECK ((kind = 3) = (version IS NOT NULL))
) STRICT;

CREATE INDEX erased_keyspace ON request (keyspace_name) WHERE kind = 2;

-- A batch that fulfils requests first to last; the right half is filled in when the HSM has
-- confirmed the destruction.
CREATE TABLE batch (
    sequence        INTEGER PRIMARY KEY CHECK (sequence > 0),
    first_request   INTEGER NOT NULL,
    last_request    INTEGER NOT NULL UNIQUE CHECK (last_request >= first_request),
    replaced_root   BLOB NOT NULL CHECK (length(replaced_root) = 16),
    destroyed_at_ms INTEGER CHECK (destroyed_at_ms >= 0),
    destroyed       BLOB CHECK (length(destroyed) % 16 = 0),
    signing_key     BLOB CHECK (length(signing_key) = 16),
    signature       BLOB CHECK (length(signature) = 64)
) STRICT;

CREATE INDEX unsigned_batch ON batch (sequence) WHERE signature IS NULL;

-- Expired buckets: which HSM key was destroyed, signed.
CREATE TABLE expiry (
    expiry_s        INTEGER NOT NULL CHECK (expiry_s >= 0),
    hsm_key_id      BLOB NOT NULL CHECK (length(hsm_key_id) = 16),
    destroyed_at_ms INTEGER NOT NULL CHECK (destroyed_at_ms >= 0),
    signing_key     BLOB NOT NULL CHECK (length(signing_key) = 16),
    signature       BLOB NOT NULL CHECK (length(signature) = 64),
    PRIMARY KEY (expiry_s, hsm_key_id)
) STRICT, WITHOUT ROWID;

-- When the last lease of a plaintext key under earlier settings can have ended.
ALTER TABLE keyspace ADD COLUMN leases_until_ms INTEGER NOT NULL DEFAULT 0 CHECK (leases_until_ms >= 0);
