-- What waits can be withdrawn, and is void before a second word when its keyspace goes. New states:
-- 5 withdrawn, by whom in second_by, second_key, second_at_ms; 4 now also without a second word.
-- New kind: 4 a keyspace's smallest version is raised, to which one in version; it accepts no request.
CREATE TABLE approval_2 (
    id              BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    kind            INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 4),
    keyspace_id     BLOB NOT NULL CHECK (length(keyspace_id) = 16),
    keyspace_name   TEXT NOT NULL,
    conversations   INTEGER CHECK ((kind = 1) = (conversations IS NOT NULL) AND conversations > 0),
    alone           INTEGER CHECK ((kind = 1) = (alone IS NOT NULL) AND alone IN (0, 1)),
    version         INTEGER CHECK ((kind IN (3, 4)) = (version IS NOT NULL)),
    asked_by        TEXT NOT NULL,
    asked_key       BLOB NOT NULL CHECK (length(asked_key) = 32),
    asked_at_ms     INTEGER NOT NULL CHECK (asked_at_ms >= 0),
    expires_at_ms   INTEGER NOT NULL CHECK (expires_at_ms >= 0),
    state           INTEGER NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 5),
    second_by       TEXT CHECK (CASE WHEN state IN (1, 2, 5) THEN second_by IS NOT NULL
                                     WHEN state IN (0, 3) THEN second_by IS NULL ELSE 1 END),
    second_key      BLOB CHECK ((second_by IS NULL) = (second_key IS NULL) AND length(second_key) = 32),
    second_at_ms    INTEGER CHECK ((second_by IS NULL) = (second_at_ms IS NULL) AND second_at_ms >= 0)
) STRICT, WITHOUT ROWID;

INSERT INTO approval_2 SELECT * FROM approval;

-- A new one too: dropping the table that the old one refers to would delete its rows.
CREATE TABLE waiting_request_2 (
    approval_id   BLOB NOT NULL REFERENCES approval_2 (id) ON DELETE CASCADE,
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

INSERT INTO waiting_request_2 SELECT * FROM waiting_request;

DROP TABLE waiting_request;
DROP TABLE approval;
-- The reference follows.
ALTER TABLE approval_2 RENAME TO approval;
ALTER TABLE waiting_request_2 RENAME TO waiting_request;

CREATE INDEX approval_state ON approval (state, id);
CREATE INDEX waiting_request_id ON waiting_request (id);
