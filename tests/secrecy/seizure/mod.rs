//! Seizure: whoever has every copy of the database, every wrapped key and the inside of the HSM opens
//! every key that lives, and none that was shredded or has expired (`docs/design.md#p1`, `docs/design.md#p2`). The attacker
//! is `tests/independent/reader.py`, which shares nothing with the service but `docs/FORMATS.md`.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "helpers of tests panic like tests, and are shared"
)]

mod chance;
mod forgetting;
mod haul;
mod load;
mod moment;
mod receipts;
mod recording;
mod verdict;

use crate::support::{Dev, Role, eventually};
use forgetting::settle;
use load::Load;
use moment::Moment;

/// Data keys of the recorded conversations; others come on top.
const MESSAGES: usize = 8_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_until_its_receipt_and_never_again() {
    let dev = Dev::start();
    let load = Load::new(&dev, Vec::new()).await;
    load.issue("chat", &["doomed", "spared"]).await;
    let before = Moment::seize(&load).await;
    load.shred("chat", &["doomed"]).await;
    load.issue("chat", &["doomed", "spared"]).await;
    let after = Moment::seize(&load).await;

    let haul = load.into_haul();
    let opened = before.opened(&haul);
    assert!(opened.iter().all(Option::is_some), "{opened:?}");
    let opened = after.opened(&haul);
    let opens = |opened: &[Option<String>]| opened.iter().map(Option::is_some).collect::<Vec<_>>();
    assert_eq!(opens(&opened), [false, true, true, true]);
    after.judge(&dev, &haul, &opened);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_all_copies_open_what_lives_and_nothing_that_is_forgotten() {
    let dev = Dev::start();
    let operator = dev.api(Role::Operator);
    for keyspace in ["gone", "old"] {
        operator.set_keyspace(keyspace, "72h", "1h").await.ok(201);
    }
    operator.set_keyspace("short", "3s", "1s").await.ok(201);
    let load = Load::new(&dev, recording::conversations(MESSAGES)).await;
    let (before, mut unquiet) = load.run().await;
    settle(&load).await;
    let destroyed = async || dev.metric("lethe_expiry_destroy_seconds_count").await;
    let before_end = destroyed().await;
    eventually("the reaper is at work", async || {
        destroyed().await > before_end
    })
    .await;
    let no_arrears = async || dev.metric("lethe_expiry_lag_seconds").await == 0;
    eventually("the reaper has no arrears", no_arrears).await;
    let end = Moment::seize(&load).await;
    let told = load.ask_service().await;

    let haul = load.into_haul();
    let (opened_before, opened) = (before.opened(&haul), end.opened(&haul));
    let then = before.judge(&dev, &haul, &opened_before);
    let now = end.judge(&dev, &haul, &opened);
    unquiet.and_later_copies(&haul);
    let forgotten = unquiet.judge_forgotten(&dev, &haul);
    println!("then {then:?}\nat the end {now:?}\n{haul}, {forgotten} keys forgotten under load");
    now.check_size();
    let lost = opened_before
        .iter()
        .zip(&opened)
        .filter(|(then, now)| then.is_some() && now.is_none());
    assert!(lost.count() > 300, "keys that opened once, and never again");
    verdict::service_agrees(&haul, &told, &opened);
    receipts::cli_agrees(&dev, &end);
    receipts::expiries_agree(&dev, &end).await;
}
