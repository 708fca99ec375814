-- What waits for a second operator. Kinds as in request. States: 0 waiting, 1 the second word is
-- there, 2 carried out, 3 expired, 4 could not be carried out any more.
CREATE TABLE approval (
    id              BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    kind            INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 3),
    keyspace_id     BLOB NOT NULL CHECK (length(keyspace_id) = 16),
    keyspace_name   TEXT NOT NULL,
    conversations   INTEGER CHECK ((kind = 1) = (conversations IS NOT NULL) AND conversations > 0),
    alone           INTEGER CHECK ((kind = 1) = (alone IS NOT NULL) AND alone IN (0, 1)),
    version         INTEGER CHECK ((kind = 3) = (version IS NOT NULL)),
    asked_by        TEXT NOT NULL,
    asked_key       BLOB NOT NULL CHECK (length(asked_key) = 32),
    asked_at_ms     INTEGER NOT NULL CHECK (asked_at_ms >= 0),
    expires_at_ms   INTEGER NOT NULL CHECK (expires_at_ms >= 0),
    state           INTEGER NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 4),
    second_by       TEXT CHECK ((state IN (1, 2, 4)) = (second_by IS NOT NULL)),
    second_key      BLOB CHECK ((second_by IS NULL) = (second_key IS NULL) AND length(second_key) = 32),
    second_at_ms    INTEGER CHECK ((second_by IS NULL) = (second_at_ms IS NULL) AND second_at_ms >= 0)
) STRICT, WITHOUT ROWID;

CREATE INDEX approval_state ON approval (state, id);

-- The requests that it would accept, as in request: no conversation id, addresses of leaves alone.
CREATE TABLE waiting_request (
    approval_id   BLOB NOT NULL REFERENCES approval (id) ON DELETE CASCADE,
    place         INTEGER NOT NULL CHECK (place >= 0),
    id            BLOB NOT NULL CHECK (length(id) = 16),
    kind          INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 3),
    keyspace_id   BLOB NOT NULL CHECK (length(keyspace_id) = 16),
    tag           BLOB CHECK ((kind = 1) = (tag IS NOT NULL) AND length(tag) = 16),
    commitment    BLOB CHECK ((kind = 1) = (commitment IS NOT NULL) AND length(commitment) = 32),
    leaves        BLOB CHECK ((kind = 1) = (leaves IS NOT NULL) AND length(leaves) % 14 = 0),
    keyspace_name TEXT CHECK ((kind = 2) = (keyspace_name IS NOT NULL)),
    version       INTEGER CHECK ((kind = 3) = (version IS NOT NULL)),
    PRIMARY KEY (approval_id, place)
) STRICT, WITHOUT ROWID;

CREATE INDEX waiting_request_id ON waiting_request (id);
