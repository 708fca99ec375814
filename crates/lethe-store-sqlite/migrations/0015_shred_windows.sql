-- One row for each window and part of it, so that the sum of a window is read by the primary key: the window
-- of all clients of a pool (`client` and `keyspace_id` are empty), of one client, or of one keyspace.
CREATE TABLE shred_window_2 (
    pool          INTEGER NOT NULL CHECK (pool IN (1, 2)),
    client        TEXT NOT NULL,
    keyspace_id   BLOB NOT NULL CHECK (length(keyspace_id) IN (0, 16)),
    end_ms        INTEGER NOT NULL CHECK (end_ms >= 0),
    conversations INTEGER NOT NULL CHECK (conversations > 0),
    PRIMARY KEY (pool, client, keyspace_id, end_ms),
    CHECK (client = '' OR keyspace_id = x'')
) STRICT, WITHOUT ROWID;
INSERT INTO shred_window_2
    SELECT pool, '', x'', end_ms, sum(conversations) FROM shred_window GROUP BY pool, end_ms;
INSERT INTO shred_window_2
    SELECT pool, client, x'', end_ms, sum(conversations) FROM shred_window GROUP BY pool, client, end_ms;
INSERT INTO shred_window_2
    SELECT pool, '', keyspace_id, end_ms, sum(conversations) FROM shred_window
    GROUP BY pool, keyspace_id, end_ms;
DROP TABLE shred_window;
ALTER TABLE shred_window_2 RENAME TO shred_window;
