-- When the last bucket of a key issued under earlier settings has expired: an old key version lives
-- at least so long. Versions below the smallest are refused.
ALTER TABLE keyspace ADD COLUMN expiries_until_ms INTEGER NOT NULL DEFAULT 0 CHECK (expiries_until_ms >= 0);
ALTER TABLE keyspace ADD COLUMN minimum_version INTEGER NOT NULL DEFAULT 1 CHECK (minimum_version BETWEEN 1 AND 4294967295);
