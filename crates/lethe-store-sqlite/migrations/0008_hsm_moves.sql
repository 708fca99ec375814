-- The signing keys that are published, in order of succession, from the first move to another HSM on.
-- Purposes: 1 receipt, 2 checkpoint. The endorsement is the predecessor's signature.
CREATE TABLE signing_key (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    id          BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    purpose     INTEGER NOT NULL CHECK (purpose BETWEEN 1 AND 2),
    public_key  BLOB NOT NULL CHECK (length(public_key) = 32),
    predecessor BLOB REFERENCES signing_key (id) CHECK (length(predecessor) = 16),
    endorsement BLOB CHECK ((predecessor IS NULL) = (endorsement IS NULL) AND length(endorsement) = 64)
) STRICT;

-- The move that is under way; no row when none is.
CREATE TABLE hsm_move (
    row_id  INTEGER PRIMARY KEY CHECK (row_id = 1),
    emptied INTEGER NOT NULL DEFAULT 0 CHECK (emptied IN (0, 1))
) STRICT;
