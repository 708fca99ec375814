-- With the clock's mark what the time since boot was then, and how far the wall clock had gained on it.
ALTER TABLE deployment ADD COLUMN clock_boot_id BLOB CHECK (length(clock_boot_id) = 16);
ALTER TABLE deployment ADD COLUMN clock_boot_ms INTEGER
    CHECK ((clock_boot_id IS NULL) = (clock_boot_ms IS NULL) AND clock_boot_ms >= 0);
ALTER TABLE deployment ADD COLUMN clock_gained_ms INTEGER NOT NULL DEFAULT 0 CHECK (clock_gained_ms >= 0);

-- HMAC of each row that can lead to a signature, a destruction, or a key that opens. Null only until the
-- first batch of the deployment that has a key for it: from then on a row without one is refused.
ALTER TABLE deployment ADD COLUMN mac BLOB CHECK (length(mac) = 32);
ALTER TABLE request ADD COLUMN mac BLOB CHECK (length(mac) = 32);
ALTER TABLE bucket ADD COLUMN mac BLOB CHECK (length(mac) = 32);
ALTER TABLE signing_key ADD COLUMN mac BLOB CHECK (length(mac) = 32);
ALTER TABLE hsm_move ADD COLUMN mac BLOB CHECK (length(mac) = 32);
