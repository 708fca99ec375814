-- Everything that must outlive the process. No row for a live conversation, no key in the clear.
-- STRICT and CHECK: what the code cannot have written, the database does not take either.

-- One row. The high-water mark is kept before the deployment has its id, so both may be null.
CREATE TABLE deployment (
    row_id              INTEGER PRIMARY KEY CHECK (row_id = 1),
    id                  BLOB CHECK (id IS NULL OR length(id) = 16),
    clock_high_water_ms INTEGER CHECK (clock_high_water_ms IS NULL OR clock_high_water_ms >= 0)
) STRICT;

INSERT INTO deployment (row_id) VALUES (1);

CREATE TABLE keyspace (
    id            BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name          TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 63 AND name NOT GLOB '*[^a-z0-9-]*'),
    retention_s   INTEGER NOT NULL CHECK (retention_s > 0),
    granularity_s INTEGER NOT NULL CHECK (granularity_s BETWEEN 1 AND retention_s),
    rotation_ms   INTEGER NOT NULL CHECK (rotation_ms > 0),
    cache_ttl_ms  INTEGER NOT NULL CHECK (cache_ttl_ms >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE key_version (
    keyspace_id   BLOB NOT NULL REFERENCES keyspace (id) ON DELETE CASCADE,
    version       INTEGER NOT NULL CHECK (version BETWEEN 1 AND 4294967295),
    created_at_ms INTEGER NOT NULL CHECK (created_at_ms >= 0),
    PRIMARY KEY (keyspace_id, version)
) STRICT, WITHOUT ROWID;

-- The bucket secret lies here encrypted under the HSM key that dies at the expiry.
CREATE TABLE bucket (
    expiry_s   INTEGER NOT NULL PRIMARY KEY CHECK (expiry_s >= 0),
    hsm_key_id BLOB NOT NULL CHECK (length(hsm_key_id) = 16),
    iv         BLOB NOT NULL CHECK (length(iv) = 12),
    ciphertext BLOB NOT NULL CHECK (length(ciphertext) = 48)
) STRICT;
