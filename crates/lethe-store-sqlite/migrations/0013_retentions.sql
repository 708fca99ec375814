-- Shorter retentions that an issue may choose: seconds (8 bytes, big-endian) of each, ascending.
ALTER TABLE keyspace ADD COLUMN shorter_retentions_s BLOB NOT NULL DEFAULT x''
    CHECK (length(shorter_retentions_s) % 8 = 0 AND length(shorter_retentions_s) <= 64);
