-- What each client did with the keys of each version: nothing for a conversation. The client is empty for
-- those beyond the number that is told apart.
CREATE TABLE key_use (
    keyspace_id       BLOB NOT NULL,
    version           INTEGER NOT NULL,
    client            TEXT NOT NULL,
    issued            INTEGER NOT NULL CHECK (issued >= 0),
    last_issued_ms    INTEGER CHECK (last_issued_ms >= 0),
    unwrapped         INTEGER NOT NULL CHECK (unwrapped >= 0),
    last_unwrapped_ms INTEGER CHECK (last_unwrapped_ms >= 0),
    PRIMARY KEY (keyspace_id, version, client),
    FOREIGN KEY (keyspace_id, version) REFERENCES key_version (keyspace_id, version) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
