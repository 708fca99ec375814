-- An approval changes once, in the transaction that does what it was for. States: 0 waiting, 2 approved
-- and done, 3 expired, 4 void, 5 withdrawn; 1, approved and not yet done, is not any more. New kinds: 5
-- settings under which keys live longer, 6 the clock is right, 7 the move to another HSM; the last two
-- concern the whole deployment. asked_key and second_key name the key pair, no longer the spelling of
-- the public key: what waited cannot be compared with them, and has to be asked for again.
CREATE TABLE approval_3 (
    id              BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    kind            INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 7),
    keyspace_id     BLOB CHECK ((kind IN (6, 7)) = (keyspace_id IS NULL) AND length(keyspace_id) = 16),
    keyspace_name   TEXT CHECK ((keyspace_id IS NULL) = (keyspace_name IS NULL)),
    conversations   INTEGER CHECK ((kind = 1) = (conversations IS NOT NULL) AND conversations > 0),
    alone           INTEGER CHECK ((kind = 1) = (alone IS NOT NULL) AND alone IN (0, 1)),
    version         INTEGER CHECK ((kind IN (3, 4)) = (version IS NOT NULL)),
    -- Before and after: retention (s), granularity (s), rotation (ms), cache_ttl (ms), and up to 8 shorter
    -- retentions (s), 0 behind them; 8 bytes each.
    settings        BLOB CHECK ((kind = 5) = (settings IS NOT NULL) AND length(settings) = 192),
    asked_by        TEXT NOT NULL,
    asked_key       BLOB NOT NULL CHECK (length(asked_key) = 32),
    asked_at_ms     INTEGER NOT NULL CHECK (asked_at_ms >= 0),
    expires_at_ms   INTEGER NOT NULL CHECK (expires_at_ms >= 0),
    reason          TEXT,
    digest          BLOB CHECK (length(digest) = 32),
    state           INTEGER NOT NULL DEFAULT 0 CHECK (state IN (0, 2, 3, 4, 5)),
    -- 1 its keyspace is gone, 2 who asked may not do it any more, 3 what it was for has changed.
    void_reason     INTEGER CHECK ((state = 4) = (void_reason IS NOT NULL) AND void_reason BETWEEN 1 AND 3),
    second_by       TEXT CHECK (CASE WHEN state IN (2, 5) THEN second_by IS NOT NULL
                                     WHEN state IN (0, 3) THEN second_by IS NULL ELSE 1 END),
    second_key      BLOB CHECK ((second_by IS NULL) = (second_key IS NULL) AND length(second_key) = 32),
    second_at_ms    INTEGER CHECK ((second_by IS NULL) = (second_at_ms IS NULL) AND second_at_ms >= 0),
    changed_at_ms   INTEGER CHECK ((state = 0) = (changed_at_ms IS NULL) AND changed_at_ms >= 0),
    recorded        INTEGER NOT NULL DEFAULT 0 CHECK (recorded IN (0, 1) AND NOT (state = 0 AND recorded))
) STRICT, WITHOUT ROWID;

INSERT INTO approval_3
    SELECT id, kind, keyspace_id, keyspace_name, conversations, alone, version, NULL, asked_by, asked_key,
           asked_at_ms, expires_at_ms, NULL, NULL, CASE WHEN state IN (0, 1) THEN 3 ELSE state END,
           CASE state WHEN 4 THEN 3 END, CASE WHEN state > 1 THEN second_by END,
           CASE WHEN state > 1 THEN second_key END, CASE WHEN state > 1 THEN second_at_ms END,
           asked_at_ms, state > 1
    FROM approval;

-- A new one too: dropping the table that the old one refers to would delete its rows.
CREATE TABLE waiting_request_3 (
    approval_id   BLOB NOT NULL REFERENCES approval_3 (id) ON DELETE CASCADE,
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

INSERT INTO waiting_request_3 SELECT * FROM waiting_request;

DROP TABLE waiting_request;
DROP TABLE approval;
-- The reference follows.
ALTER TABLE approval_3 RENAME TO approval;
ALTER TABLE waiting_request_3 RENAME TO waiting_request;

CREATE INDEX approval_state ON approval (state, id);
CREATE INDEX approval_unrecorded ON approval (id) WHERE state <> 0 AND recorded = 0;
CREATE INDEX waiting_request_id ON waiting_request (id);

-- Shreds that went through without a second operator, by who asked for them, where, and in which part of
-- the window, named by its end: what counts after a restart.
CREATE TABLE shred_window (
    pool          INTEGER NOT NULL CHECK (pool IN (1, 2)),
    client        TEXT NOT NULL,
    keyspace_id   BLOB NOT NULL CHECK (length(keyspace_id) = 16),
    end_ms        INTEGER NOT NULL CHECK (end_ms >= 0),
    conversations INTEGER NOT NULL CHECK (conversations > 0),
    PRIMARY KEY (end_ms, pool, client, keyspace_id)
) STRICT, WITHOUT ROWID;
