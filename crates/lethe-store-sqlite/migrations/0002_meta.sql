-- Which root is the right one. No row before the first batch, then always one.
CREATE TABLE meta (
    row_id     INTEGER PRIMARY KEY CHECK (row_id = 1),
    sequence   INTEGER NOT NULL CHECK (sequence > 0),
    epoch      INTEGER NOT NULL CHECK (epoch > 0),
    root_id    BLOB NOT NULL CHECK (length(root_id) = 16),
    iv         BLOB NOT NULL CHECK (length(iv) = 12),
    ciphertext BLOB NOT NULL CHECK (length(ciphertext) = 48),
    directory  BLOB NOT NULL CHECK (length(directory) >= 20)
) STRICT;
