//! Receipts are forgotten in parts, however many there are.

use lethe_core::ports::ReceiptStore;
use lethe_core::time::Timestamp;
use lethe_testkit::postgres::Server;

use crate::site::Site;

const MANY: &str = "
    INSERT INTO request (number, id, kind, keyspace_id, accepted_at_ms, leases_end_at_ms, version)
    SELECT n, decode(lpad(to_hex(n), 32, '0'), 'hex'), 3, decode(repeat('01', 16), 'hex'), 0, 0, 1
    FROM generate_series(1, 24000) n;
    INSERT INTO batch (sequence, first_request, last_request, replaced_root, destroyed_at_ms, destroyed,
        signing_key, signature)
    SELECT s, (s - 1) * 6000 + 1, s * 6000, decode(repeat('02', 16), 'hex'), 0, '',
        decode(repeat('03', 16), 'hex'), decode(repeat('04', 64), 'hex')
    FROM generate_series(1, 4) s;
    INSERT INTO expiry (expiry_s, hsm_key_id, destroyed_at_ms, signing_key, signature)
    SELECT n, decode(repeat('02', 16), 'hex'), 0, decode(repeat('03', 16), 'hex'),
        decode(repeat('04', 64), 'hex')
    FROM generate_series(1, 20001) n";

#[tokio::test(flavor = "multi_thread")]
async fn receipts_are_forgotten_in_parts() {
    let site = Site::new(Server::shared());
    let store = site.create().await;
    site.sql(MANY);
    let left = "SELECT (SELECT count(*) FROM request), (SELECT count(*) FROM expiry)";
    // Two batches whole, then the other two; the row of the last one stays.
    for (more, expected) in [(true, "12000|10001"), (true, "0|1"), (false, "0|0")] {
        let forgotten = store.forget_receipts(Timestamp::from_millis(1)).await;
        assert_eq!(forgotten, Ok(more));
        assert_eq!(site.sql(left), expected);
    }
    assert_eq!(site.sql("SELECT sequence FROM batch"), "4");
    store.close().await;
}
