//! What a release of each schema may have left behind, table by table, in the words of its own time:
//! [`expected`](super::expected) says what it means.

/// Rows that go in right after the migration of this number.
pub(crate) fn of_schema(version: i64) -> String {
    match version {
        1 => initial(),
        2 => meta(),
        3 => forgetting(),
        4 => {
            "UPDATE keyspace SET expiries_until_ms = 12000, minimum_version = 2 WHERE name = 'chat'"
                .into()
        }
        5 => "UPDATE deployment SET clock_lag_ms = 250".into(),
        6 => approvals(),
        8 => hsm_moves(),
        9 => approvals_end(),
        10 => approvals_once(),
        11 => authentic_rows(),
        12 => seat(),
        13 => format!(
            "UPDATE keyspace SET shorter_retentions_s = x'{:016x}{:016x}' WHERE name = 'chat'",
            3_600, 5_401
        ),
        14 => format!(
            "INSERT INTO key_use (keyspace_id, version, client, issued, last_issued_ms, unwrapped,
                 last_unwrapped_ms) VALUES ({}, 2, 'spiffe://example.org/chat', 3, 5000, 4, 6000)",
            id(1)
        ),
        15 => "INSERT INTO shred_window (pool, client, keyspace_id, end_ms, conversations)
                   VALUES (2, 'spiffe://asks/1', x'', 6000, 5)"
            .into(),
        other => {
            panic!("a new migration, {other}, needs rows here and in what is expected of them")
        }
    }
}

/// So many bytes that are all the same.
fn bytes(byte: u8, count: usize) -> String {
    format!("x'{}'", format!("{byte:02x}").repeat(count))
}

fn id(byte: u8) -> String {
    bytes(byte, 16)
}

fn initial() -> String {
    let (deployment, chat, mail) = (id(0xde), id(1), id(2));
    let bucket = |byte| {
        format!(
            "({byte}, {}, {}, {})",
            id(byte),
            bytes(byte, 12),
            bytes(byte, 48)
        )
    };
    format!(
        "UPDATE deployment SET id = {deployment}, clock_high_water_ms = 1000000;
         INSERT INTO keyspace (id, name, retention_s, granularity_s, rotation_ms, cache_ttl_ms)
             VALUES ({chat}, 'chat', 259200, 3600, 86400000, 500),
                    ({mail}, 'mail', 36000, 3600, 86400000, 500);
         INSERT INTO key_version (keyspace_id, version, created_at_ms)
             VALUES ({chat}, 1, 1500), ({chat}, 2, 2500), ({mail}, 7, 3500);
         INSERT INTO bucket (expiry_s, hsm_key_id, iv, ciphertext) VALUES {}, {};",
        bucket(60),
        bucket(120),
    )
}

fn meta() -> String {
    format!(
        "INSERT INTO meta (row_id, sequence, epoch, root_id, iv, ciphertext, directory)
             VALUES (1, 5, 6, {}, {}, {}, {})",
        id(5),
        bytes(5, 12),
        bytes(5, 48),
        bytes(5, 300),
    )
}

/// The trees of the versions are there already: the migration made them.
fn forgetting() -> String {
    let shred = |byte| format!("{}, {}, {}", id(byte), bytes(byte, 32), bytes(byte, 28));
    format!(
        "UPDATE keyspace SET leases_until_ms = 9000 WHERE name = 'chat';
         UPDATE tree SET next_tail = next_tail + 2 WHERE keyspace_id = {chat} AND version = 1;
         INSERT INTO tree (keyspace_id, version, next_tail, dropped)
             VALUES ({gone}, 1, 4 * 1099511627776, 1);
         INSERT INTO page (tree, prefix, bytes)
             SELECT number, -9223372036854775808, {page} FROM tree
             WHERE keyspace_id = {chat} AND version = 1;
         INSERT INTO tail (row_id, bytes)
             SELECT next_tail - 2, {tail} FROM tree WHERE keyspace_id = {chat} AND version = 1;
         INSERT INTO request (number, id, kind, keyspace_id, accepted_at_ms, leases_end_at_ms, tag,
                 commitment, leaves, keyspace_name, version)
             VALUES (11, {first}, 1, {chat}, 1011, 2011, {first_shred}, NULL, NULL),
                    (12, {erase}, 2, {gone}, 1012, 2012, NULL, NULL, NULL, 'gone', NULL),
                    (13, {drop}, 3, {chat}, 1013, 2013, NULL, NULL, NULL, NULL, 1),
                    (14, {last}, 1, {chat}, 1014, 2014, {last_shred}, NULL, NULL);
         INSERT INTO batch (sequence, first_request, last_request, replaced_root, destroyed_at_ms,
                 destroyed, signing_key, signature)
             VALUES (4, 11, 12, {root}, 3004, {destroyed}, {signer}, {signature}),
                    (5, 13, 13, {next_root}, NULL, NULL, NULL, NULL);
         INSERT INTO expiry (expiry_s, hsm_key_id, destroyed_at_ms, signing_key, signature)
             VALUES (30, {bucket}, 3030, {signer}, {signature});",
        chat = id(1),
        gone = id(3),
        page = bytes(0x70, 700),
        tail = bytes(0x71, 300),
        first = id(11),
        first_shred = shred(11),
        erase = id(12),
        drop = id(13),
        last = id(14),
        last_shred = shred(14),
        root = id(0x40),
        destroyed = bytes(0x41, 32),
        next_root = id(0x42),
        signer = id(9),
        signature = bytes(8, 64),
        bucket = id(30),
    )
}

/// One in each state, of each kind; those that are over without having been done keep no erasures.
fn approvals() -> String {
    let asked = |byte: u8| {
        let (client, key) = (format!("'spiffe://asks/{byte}'"), bytes(byte, 32));
        format!("{client}, {key}, 10{byte}, 20{byte}")
    };
    let second = |byte: u8| {
        let key = bytes(byte + 100, 32);
        format!("'spiffe://agrees/{byte}', {key}, 15{byte}")
    };
    let shred = |byte| format!("{}, {}, {}", id(byte), bytes(byte, 32), bytes(byte, 28));
    let (chat, mail) = (id(1), id(2));
    let none = "NULL, NULL, NULL";
    format!(
        "INSERT INTO approval (id, kind, keyspace_id, keyspace_name, conversations, alone, version,
                 asked_by, asked_key, asked_at_ms, expires_at_ms, state, second_by, second_key,
                 second_at_ms)
             VALUES ({a}, 1, {chat}, 'chat', 2, 0, NULL, {asked_a}, 0, {none}),
                    ({b}, 2, {mail}, 'mail', NULL, NULL, NULL, {asked_b}, 0, {none}),
                    ({c}, 3, {chat}, 'chat', NULL, NULL, 1, {asked_c}, 1, {second_c}),
                    ({d}, 1, {chat}, 'chat', 1, 1, NULL, {asked_d}, 2, {second_d}),
                    ({e}, 3, {chat}, 'chat', NULL, NULL, 1, {asked_e}, 3, {none}),
                    ({f}, 2, {mail}, 'mail', NULL, NULL, NULL, {asked_f}, 4, {second_f});
         INSERT INTO waiting_request (approval_id, place, id, kind, keyspace_id, tag, commitment,
                 leaves, keyspace_name, version)
             VALUES ({a}, 0, {r52}, 1, {chat}, {shred_52}, NULL, NULL),
                    ({a}, 1, {r51}, 1, {chat}, {shred_51}, NULL, NULL),
                    ({b}, 0, {r53}, 2, {mail}, NULL, NULL, NULL, 'mail', NULL),
                    ({c}, 0, {r54}, 3, {chat}, NULL, NULL, NULL, NULL, 1),
                    ({d}, 0, {r55}, 1, {chat}, {shred_55}, NULL, NULL);",
        a = id(31),
        b = id(32),
        c = id(33),
        d = id(34),
        e = id(35),
        f = id(36),
        asked_a = asked(31),
        asked_b = asked(32),
        asked_c = asked(33),
        asked_d = asked(34),
        asked_e = asked(35),
        asked_f = asked(36),
        second_c = second(33),
        second_d = second(34),
        second_f = second(36),
        r51 = id(51),
        r52 = id(52),
        r53 = id(53),
        r54 = id(54),
        r55 = id(55),
        shred_51 = shred(51),
        shred_52 = shred(52),
        shred_55 = shred(55),
    )
}

/// The successor has the lower id: their order is not that of the ids.
fn hsm_moves() -> String {
    format!(
        "INSERT INTO signing_key (number, id, purpose, public_key, predecessor, endorsement)
             VALUES (3, {old}, 1, {old_key}, NULL, NULL), (5, {new}, 1, {new_key}, {old}, {word});
         INSERT INTO hsm_move (row_id, emptied) VALUES (1, 1);",
        old = id(9),
        old_key = bytes(9, 32),
        new = id(6),
        new_key = bytes(6, 32),
        word = bytes(7, 64),
    )
}

fn seat() -> String {
    let (store, nonce, next) = (id(0x51), id(0x52), id(0x53));
    format!("INSERT INTO seat (row_id, store_id, nonce, next) VALUES (1, {store}, {nonce}, {next})")
}

fn approvals_end() -> String {
    format!(
        "INSERT INTO approval (id, kind, keyspace_id, keyspace_name, version, asked_by, asked_key,
                 asked_at_ms, expires_at_ms, state, second_by, second_key, second_at_ms)
             VALUES ({}, 4, {}, 'chat', 2, 'spiffe://asks/37', {}, 1037, 2037, 5,
                     'spiffe://agrees/37', {}, 1537);",
        id(37),
        id(1),
        bytes(37, 32),
        bytes(137, 32),
    )
}

/// One of each new kind, in each state that there is now.
fn approvals_once() -> String {
    let before = [
        259_200_u64,
        3_600,
        86_400_000,
        500,
        3_600,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    let after = [
        36_000, 3_600, 86_400_000, 500, 3_600, 5_401, 0, 0, 0, 0, 0, 0,
    ];
    let numbers = before.iter().chain(&after);
    let settings: Vec<u8> = numbers.flat_map(|number| number.to_be_bytes()).collect();
    let settings: String = settings.iter().map(|byte| format!("{byte:02x}")).collect();
    let asked = |byte: u8| {
        let (client, key) = (format!("'spiffe://asks/{byte}'"), bytes(byte, 32));
        format!("{client}, {key}, 10{byte}, 20{byte}")
    };
    let second = |byte: u8| {
        let key = bytes(byte + 100, 32);
        format!("'spiffe://agrees/{byte}', {key}, 15{byte}")
    };
    let (chat, none) = (id(1), "NULL, NULL, NULL");
    let digest = bytes(40, 32);
    format!(
        "INSERT INTO approval (id, kind, keyspace_id, keyspace_name, settings, asked_by, asked_key,
                 asked_at_ms, expires_at_ms, reason, digest, state, void_reason, second_by, second_key,
                 second_at_ms, changed_at_ms, recorded)
             VALUES ({}, 5, {chat}, 'chat', x'{settings}', {}, 'why', {digest}, 0, NULL, {none}, NULL, 0),
                    ({}, 6, NULL, NULL, NULL, {}, NULL, NULL, 2, NULL, {}, 1541, 0),
                    ({}, 7, NULL, NULL, NULL, {}, NULL, NULL, 4, 2, {none}, 1542, 1);
         INSERT INTO shred_window (pool, client, keyspace_id, end_ms, conversations)
             VALUES (1, 'spiffe://asks/1', {chat}, 5000, 3), (1, 'spiffe://asks/2', {chat}, 5000, 4);",
        id(40),
        asked(40),
        id(41),
        asked(41),
        second(41),
        id(42),
        asked(42),
    )
}

/// Those that later tables have are of nobody's key.
fn authentic_rows() -> String {
    let tables = ["deployment", "request", "bucket", "signing_key", "hsm_move"];
    let mac = bytes(0xac, 32);
    let macs = tables.map(|table| format!("UPDATE {table} SET mac = {mac};"));
    let boot = bytes(0xb0, 16);
    format!(
        "UPDATE deployment SET clock_boot_id = {boot}, clock_boot_ms = 4000, clock_gained_ms = 30;
         {}",
        macs.concat()
    )
}
