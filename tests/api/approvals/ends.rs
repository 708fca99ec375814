//! How approvals end without being approved: with their keyspace, by a withdrawal, or with the grant of the
//! client that asked.

use crate::support::approvals::{
    CHAT, ELSEWHERE, SECOND, approve, approve_async, certificate, key, listed, records, start,
    state, use_up, uuid, waits, withdraw,
};
use crate::support::{Api, Role, eventually, refused};
use serde_json::json;

/// Two key versions, so that an id that waits is of a version that a new keyspace does not have.
async fn rotated(operator: &Api, keyspace: &str) {
    let path = format!("/v1/keyspaces/{keyspace}");
    operator.set_keyspace(keyspace, "72h", "1h").await.ok(201);
    operator
        .post_bytes(&format!("{path}/versions"), "")
        .await
        .ok(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyspace_of_the_same_name_is_another_one() {
    let (_dev, api, first, second) = start("");
    use_up(&api).await;
    rotated(&first, "other").await;
    key(&api, "other", "room").await;
    let erase = waits(&first.delete("/v1/keyspaces/other").await);
    let with_id = format!("/v1/keyspaces/other?id={}", uuid(1));
    let erase_with_id = waits(&first.delete(&with_id).await);
    let drop = waits(&first.delete("/v1/keyspaces/other/versions/1").await);
    let shred = waits(&api.shred_as("other", "room", &uuid(2)).await);
    approve(&second, &erase).await.ok(200);

    first.set_keyspace("other", "72h", "1h").await.ok(201);
    let wrapped = key(&api, "other", "room").await;
    // Of a version that the new one does not have.
    let again = api.shred_as("other", "room", &uuid(2)).await;
    assert_ne!(again.body["id"], shred.as_str(), "{}", again.body);
    first
        .post_bytes("/v1/keyspaces/other/versions", "")
        .await
        .ok(201);
    let new_erase = waits(&first.delete("/v1/keyspaces/other").await);
    let new_drop = waits(&first.delete("/v1/keyspaces/other/versions/1").await);
    assert!(![&erase, &erase_with_id, &drop].contains(&&new_erase));
    assert_ne!(new_drop, drop);
    for old in [&erase_with_id, &drop, &shred] {
        let late = approve(&second, old).await;
        assert!([404, 409].contains(&late.status), "{}", late.body);
    }
    api.unwrap("other", "room", &wrapped).await.ok(200);
    refused(&approve(&first, &new_drop).await, 403, "forbidden");
    approve(&second, &new_erase).await.ok(200);
    refused(
        &api.unwrap("other", "room", &wrapped).await,
        404,
        "unknown_keyspace",
    );
    first.get(CHAT).await.ok(200);
    assert!(listed(&first).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_does_not_keep_others_from_asking_and_takes_back_what_it_asked_for() {
    let (dev, api, first, second) = start("per_client = 2\n");
    let wrapped = key(&api, "chat", "room").await;
    use_up(&api).await;
    let one = waits(&api.shred_as("chat", "room", &uuid(1)).await);
    let two = waits(&api.shred_as("chat", "two", &uuid(2)).await);
    let third = api.shred_as("chat", "three", &uuid(3)).await;
    refused(&third, 409, "too_many_approvals");
    // What waits already is answered as ever, and others have room.
    assert_eq!(waits(&api.shred_as("chat", "room", &uuid(1)).await), one);
    let erase = waits(&first.delete(CHAT).await);

    let elsewhere = Api::new(&dev, &certificate(&dev, "elsewhere", ELSEWHERE));
    for (nobody, id) in [(&elsewhere, &one), (&api, &erase)] {
        refused(&withdraw(nobody, id).await, 404, "not_found");
    }
    refused(
        &withdraw(&dev.api(Role::Auditor), &one).await,
        403,
        "forbidden",
    );
    let taken_back = withdraw(&api, &one).await.ok(200);
    assert_eq!(taken_back["state"], "withdrawn");
    assert_eq!(
        taken_back["withdrawn_by"],
        "spiffe://lethe.dev/message-server"
    );
    assert_eq!(withdraw(&api, &one).await.ok(200), taken_back);
    assert_eq!(state(&first, &one).await, "withdrawn");
    refused(&approve(&second, &one).await, 409, "conflict");
    api.unwrap("chat", "room", &wrapped).await.ok(200);
    // There is room again, for the same id too; and any operator may take back.
    let again = waits(&api.shred_as("chat", "room", &uuid(1)).await);
    assert_ne!(again, one);
    for id in [&two, &erase] {
        assert_eq!(withdraw(&second, id).await.ok(200)["withdrawn_by"], SECOND);
    }
    approve(&second, &again).await.ok(200);
    refused(&withdraw(&api, &again).await, 409, "conflict");
    refused(&api.unwrap("chat", "room", &wrapped).await, 410, "shredded");
    assert!(listed(&first).await.is_empty());

    let withdrawn = records(&dev, "withdraw_approval");
    let by = |id: &str, client: &str| {
        let is_it = |it: &serde_json::Value| it["requests"] == json!([id]) && it["outcome"] == "ok";
        withdrawn
            .iter()
            .any(|it| is_it(it) && it["client"] == client)
    };
    assert!(
        by(&one, "spiffe://lethe.dev/message-server"),
        "{withdrawn:?}"
    );
    assert!(by(&two, SECOND) && by(&erase, SECOND), "{withdrawn:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shred_that_an_erase_covers_goes_with_it_and_says_so() {
    let (dev, api, first, second) = start("");
    first.set_keyspace("other", "72h", "1h").await.ok(201);
    use_up(&api).await;
    let waiting = waits(&api.shred_as("other", "room", &uuid(1)).await);
    let other = waits(&api.shred_as("other", "room", &uuid(2)).await);
    let asked = waits(&api.shred_as("other", "room", &uuid(3)).await);
    let erase = format!("/v1/keyspaces/other?id={}", uuid(4));
    let erase = waits(&first.delete(&erase).await);
    // Accepted and not destroyed: a pending erase covers as much as one that is done.
    dev.hsm_sim(&["fault", "set", "hang"]);
    let accepted = approve_async(&second, &erase).await;
    assert_eq!(accepted.ok(202)["state"], "accepted");
    let covered = async |first: &Api, second: &Api| {
        for id in [&waiting, &other, &asked] {
            let late = approve(second, id).await;
            refused(&late, 404, "unknown_keyspace");
            let detail = late.text("detail");
            assert!(detail.contains(&uuid(4)), "{detail}");
            let shown = first.get(&format!("/v1/approvals/{id}")).await.ok(200);
            assert_eq!(shown["state"], "void");
            assert_eq!(shown["why_void"], "keyspace_gone");
            assert_eq!(shown["covered_by"], uuid(4));
        }
    };
    covered(&first, &second).await;
    assert!(listed(&first).await.is_empty());
    dev.hsm_sim(&["fault", "clear", "--all"]);
    let shred = format!("/v1/keyspaces/other/shreds/{}", uuid(4));
    eventually("it is erased", async || {
        first.get(&shred).await.ok(200)["state"] == "destroyed"
    })
    .await;
    covered(&first, &second).await;
    let voided = records(&dev, "void_approval");
    for (number, id) in (1..).zip([&waiting, &other, &asked]) {
        let requests = json!([id, uuid(number)]);
        assert!(
            voided.iter().any(|it| it["requests"] == requests),
            "{voided:?}"
        );
    }
    eventually("nothing waits", async || {
        dev.metric("lethe_waiting_approvals").await == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_asked_for_goes_with_its_grant() {
    let (dev, api, _, second) = start("");
    let wrapped = key(&api, "chat", "room").await;
    use_up(&api).await;
    let id = waits(&api.shred_as("chat", "room", &uuid(1)).await);
    let other = waits(&api.shred_as("chat", "other", &uuid(2)).await);
    // It may do something still, but not there.
    let server = "spiffe_id = \"spiffe://lethe.dev/message-server\"\nrole = \"message-server\"\n";
    let granted = format!("{server}keyspaces = [\"*\"]");
    dev.edit(|text| {
        assert!(text.contains(&granted), "{text}");
        text.replace(&granted, &format!("{server}keyspaces = [\"team-*\"]"))
    });
    eventually("the grant is gone", async || {
        api.issue("chat", "room").await.status == 403
    })
    .await;
    let late = approve(&second, &id).await;
    refused(&late, 409, "conflict");
    assert!(late.text("detail").contains("who asked"), "{}", late.body);
    for id in [&id, &other] {
        let shown = second.get(&format!("/v1/approvals/{id}")).await.ok(200);
        assert_eq!(shown["state"], "void");
        assert_eq!(shown["why_void"], "asker_gone");
    }
    assert!(listed(&second).await.is_empty());
    eventually("nothing waits", async || {
        dev.metric("lethe_waiting_approvals").await == 0
    })
    .await;
    dev.edit(|text| text.replace("keyspaces = [\"team-*\"]", "keyspaces = [\"*\"]"));
    eventually("the grant is back", async || {
        api.unwrap("chat", "room", &wrapped).await.status == 200
    })
    .await;
    // It ended: the grant that came back is another one.
    refused(&approve(&second, &id).await, 409, "conflict");
}
