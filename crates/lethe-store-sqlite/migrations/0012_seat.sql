-- What the claim in the HSM has to say for this copy of the store to be the one that goes on. No row
-- before the first start. `next` is the nonce that a start or a stop is about to take.
CREATE TABLE seat (
    row_id   INTEGER PRIMARY KEY CHECK (row_id = 1),
    store_id BLOB NOT NULL CHECK (length(store_id) = 16),
    nonce    BLOB NOT NULL CHECK (length(nonce) = 16),
    next     BLOB CHECK (length(next) = 16)
) STRICT;
