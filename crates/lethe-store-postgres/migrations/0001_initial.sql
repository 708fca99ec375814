-- Everything that must outlive the process. No row for a live conversation, no key in the clear.
-- CHECK: what the code cannot have written, the database does not take either. Every number is a bigint,
-- so that the code knows one type of them, and every text is compared byte by byte.

-- Which release made or changed the tables: `version` is that of the last migration. A release that knows
-- `readable_by` can use them.
CREATE TABLE schema (
    row_id      bigint PRIMARY KEY CHECK (row_id = 1),
    version     bigint NOT NULL,
    readable_by bigint NOT NULL CHECK (readable_by BETWEEN 1 AND version)
);
INSERT INTO schema (row_id, version, readable_by) VALUES (1, 1, 1);

-- The copies of the database that could ever be promoted: a name, under which each follows the primary, and
-- where it is. `host` is a folder for a socket.
CREATE TABLE member (
    name text COLLATE "C" PRIMARY KEY CHECK (name <> ''),
    host text NOT NULL,
    port bigint NOT NULL CHECK (port BETWEEN 1 AND 65535)
);

-- Advanced by each process that takes the lock on the database. One that sees another number has been replaced.
CREATE TABLE fence (
    row_id bigint PRIMARY KEY CHECK (row_id = 1),
    epoch  bigint NOT NULL CHECK (epoch >= 0)
);
INSERT INTO fence (row_id, epoch) VALUES (1, 0);

-- The columns `mac`: HMAC of each row that can lead to a signature, a destruction, or a key that opens. Null
-- only until the first batch of the deployment: from then on a row without one is refused.

-- The clock's mark is kept before the deployment has its id, so both may be null. The lag: by how much the
-- deployment's time is ahead of the wall clock, as an operator confirmed it. With the mark stands what the time
-- since boot was then, and how far the wall clock had gained on it.
CREATE TABLE deployment (
    row_id              bigint PRIMARY KEY CHECK (row_id = 1),
    id                  bytea CHECK (octet_length(id) = 16),
    clock_high_water_ms bigint CHECK (clock_high_water_ms >= 0),
    clock_lag_ms        bigint NOT NULL DEFAULT 0 CHECK (clock_lag_ms >= 0),
    clock_boot_id       bytea CHECK (octet_length(clock_boot_id) = 16),
    clock_boot_ms       bigint CHECK ((clock_boot_id IS NULL) = (clock_boot_ms IS NULL) AND clock_boot_ms >= 0),
    clock_gained_ms     bigint NOT NULL DEFAULT 0 CHECK (clock_gained_ms >= 0),
    mac                 bytea CHECK (octet_length(mac) = 32)
) WITH (fillfactor = 10);
INSERT INTO deployment (row_id) VALUES (1);

-- What the claim in the HSM has to say for this copy of the store to be the one that goes on. No row
-- before the first start. `next` is the nonce that a start or a stop is about to take.
CREATE TABLE seat (
    row_id   bigint PRIMARY KEY CHECK (row_id = 1),
    store_id bytea NOT NULL CHECK (octet_length(store_id) = 16),
    nonce    bytea NOT NULL CHECK (octet_length(nonce) = 16),
    next     bytea CHECK (octet_length(next) = 16)
);

CREATE TABLE keyspace (
    id                   bytea PRIMARY KEY CHECK (octet_length(id) = 16),
    name                 text COLLATE "C" NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9-]{1,63}$'),
    retention_s          bigint NOT NULL CHECK (retention_s > 0),
    -- Shorter retentions that an issue may choose: seconds (8 bytes, big-endian) of each, ascending.
    shorter_retentions_s bytea NOT NULL
        CHECK (octet_length(shorter_retentions_s) % 8 = 0 AND octet_length(shorter_retentions_s) <= 64),
    granularity_s        bigint NOT NULL CHECK (granularity_s BETWEEN 1 AND retention_s),
    rotation_ms          bigint NOT NULL CHECK (rotation_ms > 0),
    cache_ttl_ms         bigint NOT NULL CHECK (cache_ttl_ms >= 0),
    -- When the last lease of a plaintext key under earlier settings can have ended, and the last bucket of a
    -- key issued under earlier settings has expired.
    leases_until_ms      bigint NOT NULL CHECK (leases_until_ms >= 0),
    expiries_until_ms    bigint NOT NULL CHECK (expiries_until_ms >= 0),
    minimum_version      bigint NOT NULL CHECK (minimum_version BETWEEN 1 AND 4294967295)
);

CREATE TABLE key_version (
    keyspace_id   bytea NOT NULL REFERENCES keyspace (id) ON DELETE CASCADE,
    version       bigint NOT NULL CHECK (version BETWEEN 1 AND 4294967295),
    created_at_ms bigint NOT NULL CHECK (created_at_ms >= 0),
    PRIMARY KEY (keyspace_id, version)
);

-- What each client did with the keys of each version: nothing for a conversation. The client is empty for
-- those beyond the number that is told apart.
CREATE TABLE key_use (
    keyspace_id       bytea NOT NULL,
    version           bigint NOT NULL,
    client            text COLLATE "C" NOT NULL,
    issued            bigint NOT NULL CHECK (issued >= 0),
    last_issued_ms    bigint CHECK (last_issued_ms >= 0),
    unwrapped         bigint NOT NULL CHECK (unwrapped >= 0),
    last_unwrapped_ms bigint CHECK (last_unwrapped_ms >= 0),
    PRIMARY KEY (keyspace_id, version, client),
    FOREIGN KEY (keyspace_id, version) REFERENCES key_version (keyspace_id, version) ON DELETE CASCADE
) WITH (fillfactor = 50);

-- A bucket secret, encrypted under the key in one HSM that dies at the expiry. Device 0 is the only one.
CREATE TABLE bucket_share (
    expiry_s   bigint NOT NULL CHECK (expiry_s >= 0),
    device     bigint NOT NULL CHECK (device >= 0),
    hsm_key_id bytea NOT NULL CHECK (octet_length(hsm_key_id) = 16),
    iv         bytea NOT NULL CHECK (octet_length(iv) = 12),
    ciphertext bytea NOT NULL CHECK (octet_length(ciphertext) = 48),
    mac        bytea CHECK (octet_length(mac) = 32),
    PRIMARY KEY (expiry_s, device)
);

-- Which root is the right one. No row before the first batch, then always one.
CREATE TABLE meta (
    row_id    bigint PRIMARY KEY CHECK (row_id = 1),
    sequence  bigint NOT NULL CHECK (sequence > 0),
    epoch     bigint NOT NULL CHECK (epoch > 0),
    directory bytea NOT NULL CHECK (octet_length(directory) >= 20)
) WITH (fillfactor = 10);
ALTER TABLE meta ALTER directory SET STORAGE EXTERNAL;

-- The directory key under the root in one HSM.
CREATE TABLE meta_share (
    device     bigint PRIMARY KEY CHECK (device >= 0),
    root_id    bytea NOT NULL CHECK (octet_length(root_id) = 16),
    iv         bytea NOT NULL CHECK (octet_length(iv) = 12),
    ciphertext bytea NOT NULL CHECK (octet_length(ciphertext) = 48)
) WITH (fillfactor = 10);

-- A tree's number names its rows, and is given once: those of a dropped tree go bit by bit.
-- Tails have row ids from number * 2^40 on.
CREATE TABLE tree (
    number      bigint PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY CHECK (number BETWEEN 1 AND 4194303),
    keyspace_id bytea NOT NULL CHECK (octet_length(keyspace_id) = 16),
    version     bigint NOT NULL CHECK (version BETWEEN 1 AND 4294967295),
    next_tail   bigint NOT NULL CHECK (next_tail >= 0),
    dropped     bigint NOT NULL DEFAULT 0 CHECK (dropped IN (0, 1)),
    UNIQUE (keyspace_id, version)
) WITH (fillfactor = 50);

-- Inner pages: replaced in place. The prefix is its bits, then a 1, then zeros, as a signed number. Rows of
-- 2 to 4 kB stay in line, and nothing tries to compress what is encrypted; so with tails.
CREATE TABLE page (
    tree   bigint NOT NULL,
    prefix bigint NOT NULL,
    bytes  bytea NOT NULL,
    PRIMARY KEY (tree, prefix)
) WITH (fillfactor = 80, toast_tuple_target = 8160);
ALTER TABLE page ALTER bytes SET STORAGE EXTERNAL;

-- Appended, never changed.
CREATE TABLE tail (
    row_id bigint PRIMARY KEY,
    bytes  bytea NOT NULL
) WITH (toast_tuple_target = 8160);
ALTER TABLE tail ALTER bytes SET STORAGE EXTERNAL;

-- The end of the table of requests. Who appends to it locks this row, so the numbers have no gaps and are
-- committed in their order.
CREATE TABLE head (
    row_id       bigint PRIMARY KEY CHECK (row_id = 1),
    last_request bigint NOT NULL CHECK (last_request >= 0)
) WITH (fillfactor = 10);
INSERT INTO head (row_id, last_request) VALUES (1, 0);

-- Requests to forget, in the order of acceptance. Kinds: 1 shred, 2 erase of a keyspace, 3 drop of a
-- version. Leaves: version (4), generation (2), address (8) of each.
CREATE TABLE request (
    number           bigint PRIMARY KEY CHECK (number > 0),
    id               bytea NOT NULL UNIQUE CHECK (octet_length(id) = 16),
    kind             bigint NOT NULL CHECK (kind BETWEEN 1 AND 3),
    keyspace_id      bytea NOT NULL CHECK (octet_length(keyspace_id) = 16),
    accepted_at_ms   bigint NOT NULL CHECK (accepted_at_ms >= 0),
    leases_end_at_ms bigint NOT NULL CHECK (leases_end_at_ms >= 0),
    tag              bytea CHECK ((kind = 1) = (tag IS NOT NULL) AND octet_length(tag) = 16),
    commitment       bytea CHECK ((kind = 1) = (commitment IS NOT NULL) AND octet_length(commitment) = 32),
    leaves           bytea CHECK ((kind = 1) = (leaves IS NOT NULL) AND octet_length(leaves) % 14 = 0),
    keyspace_name    text COLLATE "C" CHECK ((kind = 2) = (keyspace_name IS NOT NULL)),
    version          bigint CHECK ((kind = 3) = (version IS NOT NULL)),
    mac              bytea CHECK (octet_length(mac) = 32)
);
CREATE INDEX erased_keyspace ON request (keyspace_name) WHERE kind = 2;

-- A batch that fulfils requests first to last; the right half is filled in when the HSM has
-- confirmed the destruction.
CREATE TABLE batch (
    sequence        bigint PRIMARY KEY CHECK (sequence > 0),
    first_request   bigint NOT NULL,
    last_request    bigint NOT NULL UNIQUE CHECK (last_request >= first_request),
    replaced_root   bytea NOT NULL CHECK (octet_length(replaced_root) = 16),
    destroyed_at_ms bigint CHECK (destroyed_at_ms >= 0),
    destroyed       bytea CHECK (octet_length(destroyed) % 16 = 0),
    signing_key     bytea CHECK (octet_length(signing_key) = 16),
    signature       bytea CHECK (octet_length(signature) = 64)
);
CREATE INDEX unsigned_batch ON batch (sequence) WHERE signature IS NULL;

-- Expired buckets: which HSM key was destroyed, signed.
CREATE TABLE expiry (
    expiry_s        bigint NOT NULL CHECK (expiry_s >= 0),
    hsm_key_id      bytea NOT NULL CHECK (octet_length(hsm_key_id) = 16),
    destroyed_at_ms bigint NOT NULL CHECK (destroyed_at_ms >= 0),
    signing_key     bytea NOT NULL CHECK (octet_length(signing_key) = 16),
    signature       bytea NOT NULL CHECK (octet_length(signature) = 64),
    PRIMARY KEY (expiry_s, hsm_key_id)
);

-- What waits for a second operator, and what became of it. Kinds: 1 to 3 as in request, 4 a keyspace's
-- smallest version is raised, 5 settings under which keys live longer, 6 the clock is right, 7 the move to
-- another HSM; the last two concern the whole deployment. States: 0 waiting, 2 approved and done, 3 expired,
-- 4 void, 5 withdrawn.
CREATE TABLE approval (
    id              bytea PRIMARY KEY CHECK (octet_length(id) = 16),
    kind            bigint NOT NULL CHECK (kind BETWEEN 1 AND 7),
    keyspace_id     bytea CHECK ((kind IN (6, 7)) = (keyspace_id IS NULL) AND octet_length(keyspace_id) = 16),
    keyspace_name   text COLLATE "C" CHECK ((keyspace_id IS NULL) = (keyspace_name IS NULL)),
    conversations   bigint CHECK ((kind = 1) = (conversations IS NOT NULL) AND conversations > 0),
    alone           bigint CHECK ((kind = 1) = (alone IS NOT NULL) AND alone IN (0, 1)),
    version         bigint CHECK ((kind IN (3, 4)) = (version IS NOT NULL)),
    -- Before and after: retention (s), granularity (s), rotation (ms), cache_ttl (ms), and up to 8 shorter
    -- retentions (s), 0 behind them; 8 bytes each.
    settings        bytea CHECK ((kind = 5) = (settings IS NOT NULL) AND octet_length(settings) = 192),
    asked_by        text COLLATE "C" NOT NULL,
    asked_key       bytea NOT NULL CHECK (octet_length(asked_key) = 32),
    asked_at_ms     bigint NOT NULL CHECK (asked_at_ms >= 0),
    expires_at_ms   bigint NOT NULL CHECK (expires_at_ms >= 0),
    reason          text COLLATE "C",
    digest          bytea CHECK (octet_length(digest) = 32),
    state           bigint NOT NULL DEFAULT 0 CHECK (state IN (0, 2, 3, 4, 5)),
    -- 1 its keyspace is gone, 2 who asked may not do it any more, 3 what it was for has changed.
    void_reason     bigint CHECK ((state = 4) = (void_reason IS NOT NULL) AND void_reason BETWEEN 1 AND 3),
    second_by       text COLLATE "C" CHECK (CASE WHEN state IN (2, 5) THEN second_by IS NOT NULL
                                                 WHEN state IN (0, 3) THEN second_by IS NULL ELSE true END),
    second_key      bytea CHECK ((second_by IS NULL) = (second_key IS NULL) AND octet_length(second_key) = 32),
    second_at_ms    bigint CHECK ((second_by IS NULL) = (second_at_ms IS NULL) AND second_at_ms >= 0),
    changed_at_ms   bigint CHECK ((state = 0) = (changed_at_ms IS NULL) AND changed_at_ms >= 0),
    recorded        bigint NOT NULL DEFAULT 0 CHECK (recorded IN (0, 1) AND NOT (state = 0 AND recorded = 1))
);
CREATE INDEX approval_state ON approval (state, id);
CREATE INDEX approval_unrecorded ON approval (id) WHERE state <> 0 AND recorded = 0;

-- The requests that it would accept, as in request: no conversation id, addresses of leaves alone.
CREATE TABLE waiting_request (
    approval_id   bytea NOT NULL REFERENCES approval (id) ON DELETE CASCADE,
    place         bigint NOT NULL CHECK (place >= 0),
    id            bytea NOT NULL CHECK (octet_length(id) = 16),
    kind          bigint NOT NULL CHECK (kind BETWEEN 1 AND 3),
    keyspace_id   bytea NOT NULL CHECK (octet_length(keyspace_id) = 16),
    tag           bytea CHECK ((kind = 1) = (tag IS NOT NULL) AND octet_length(tag) = 16),
    commitment    bytea CHECK ((kind = 1) = (commitment IS NOT NULL) AND octet_length(commitment) = 32),
    leaves        bytea CHECK ((kind = 1) = (leaves IS NOT NULL) AND octet_length(leaves) % 14 = 0),
    keyspace_name text COLLATE "C" CHECK ((kind = 2) = (keyspace_name IS NOT NULL)),
    version       bigint CHECK ((kind = 3) = (version IS NOT NULL)),
    PRIMARY KEY (approval_id, place)
);
CREATE INDEX waiting_request_id ON waiting_request (id);

-- Shreds that went through without a second operator: the window of all clients of a pool (`client` and
-- `keyspace_id` are empty), of one client, or of one keyspace, by the end of each part of it.
CREATE TABLE shred_window (
    pool          bigint NOT NULL CHECK (pool IN (1, 2)),
    client        text COLLATE "C" NOT NULL,
    keyspace_id   bytea NOT NULL CHECK (octet_length(keyspace_id) IN (0, 16)),
    end_ms        bigint NOT NULL CHECK (end_ms >= 0),
    conversations bigint NOT NULL CHECK (conversations > 0),
    PRIMARY KEY (pool, client, keyspace_id, end_ms),
    CHECK (client = '' OR keyspace_id = '')
) WITH (fillfactor = 50);

-- The signing keys that are published, in order of succession, from the first move to another HSM on.
-- Purposes: 1 receipt, 2 checkpoint. The endorsement is the predecessor's signature.
CREATE TABLE signing_key (
    number      bigint PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
    id          bytea NOT NULL UNIQUE CHECK (octet_length(id) = 16),
    purpose     bigint NOT NULL CHECK (purpose BETWEEN 1 AND 2),
    public_key  bytea NOT NULL CHECK (octet_length(public_key) = 32),
    predecessor bytea REFERENCES signing_key (id) CHECK (octet_length(predecessor) = 16),
    endorsement bytea CHECK ((predecessor IS NULL) = (endorsement IS NULL) AND octet_length(endorsement) = 64),
    mac         bytea CHECK (octet_length(mac) = 32)
);

-- The move that is under way; no row when none is.
CREATE TABLE hsm_move (
    row_id  bigint PRIMARY KEY CHECK (row_id = 1),
    emptied bigint NOT NULL DEFAULT 0 CHECK (emptied IN (0, 1)),
    mac     bytea CHECK (octet_length(mac) = 32)
);
