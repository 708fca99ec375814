//! A service with approvals, and its clients.

use std::path::{Path, PathBuf};
use std::process::Output;

use rcgen::{CertificateParams, Issuer, KeyPair, SanType};
use reqwest::Method;
use serde_json::Value;

use super::api::{Answer, Api};
use super::{Dev, Role, lethe};

pub const SECOND: &str = "spiffe://lethe.dev/operator-two";
/// An operator of other keyspaces.
pub const ELSEWHERE: &str = "spiffe://lethe.dev/operator-elsewhere";
pub const CHAT: &str = "/v1/keyspaces/chat";

/// Starts [`with`] these options. Also returns a message server, the operator that asks, and the one that
/// approves.
pub fn start(options: &str) -> (Dev, Api, Api, Api) {
    let dev = with(options);
    let (api, first, second) = (
        dev.api(Role::MessageServer),
        dev.api(Role::Operator),
        second(&dev),
    );
    (dev, api, first, second)
}

/// A service in which three shreds need no approval.
pub fn with(options: &str) -> Dev {
    with_shreds(3, options)
}

/// A service in which so many shreds need no approval.
pub fn with_shreds(shreds: u32, options: &str) -> Dev {
    let client = |id: &str, keyspaces: &str| {
        format!(
            "\n[[access.client]]\nspiffe_id = \"{id}\"\nrole = \"operator\"\nkeyspaces = [\"{keyspaces}\"]\n"
        )
    };
    let client = client(SECOND, "*") + &client(ELSEWHERE, "team-*");
    Dev::start_with(|text| {
        let required = format!("required = true\nshreds = {shreds}\n{options}");
        text.replace("required = false", &required) + &client
    })
}

pub fn second_path(dev: &Dev) -> PathBuf {
    certificate(dev, "operator-two", SECOND)
}

/// A certificate with a key of its own.
pub fn certificate(dev: &Dev, name: &str, spiffe_id: &str) -> PathBuf {
    let path = dev.scratch().join(name);
    if !path.with_extension("crt").exists() {
        let mut command = lethe(&["pki", "issue", "--spiffe-id", spiffe_id]);
        command.arg("--ca").arg(dev.dir().join("pki"));
        let output = command.arg("--out").arg(&path).output().unwrap();
        assert!(output.status.success());
    }
    path
}

pub fn second(dev: &Dev) -> Api {
    Api::new(dev, &second_path(dev))
}

/// The second operator's name, with the first one's key.
pub fn borrowed(dev: &Dev) -> Api {
    let read = |name: &str| std::fs::read_to_string(dev.dir().join("pki").join(name)).unwrap();
    let authority = KeyPair::from_pem(&read("ca.key")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&read("ca.crt"), authority).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = vec![SanType::URI(SECOND.try_into().unwrap())];
    let key = read("operator.key");
    let signed = params
        .signed_by(&KeyPair::from_pem(&key).unwrap(), &issuer)
        .unwrap();
    let path = dev.scratch().join("borrowed");
    std::fs::write(path.with_extension("crt"), signed.pem()).unwrap();
    std::fs::write(path.with_extension("key"), key).unwrap();
    Api::new(dev, &path)
}

/// The approval that an answer says it waits for.
#[track_caller]
pub fn waits(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(answer.body["state"], "approval_required", "{}", answer.body);
    assert_eq!(answer.body["code"], "approval_required");
    answer.text("id")
}

/// Runs the command line, with another certificate than the operator's if there is one.
pub fn run_as(dev: &Dev, certificate: Option<&Path>, words: &[&str]) -> Output {
    let mut command = lethe(words);
    command.arg("--dir").arg(dev.dir());
    if let Some(path) = certificate {
        command.arg("--cert").arg(path.with_extension("crt"));
        command.arg("--key").arg(path.with_extension("key"));
    }
    command.output().unwrap()
}

/// Approves, and does not wait until its erasures are destroyed.
pub async fn approve_async(api: &Api, id: &str) -> Answer {
    let request = api.request(Method::POST, &format!("/v1/approvals/{id}"));
    let request = request.header("prefer", "respond-async");
    Answer::of(request.send().await.unwrap()).await
}

pub async fn approve(api: &Api, id: &str) -> Answer {
    api.post_bytes(&format!("/v1/approvals/{id}"), "").await
}

pub async fn withdraw(api: &Api, id: &str) -> Answer {
    api.delete(&format!("/v1/approvals/{id}")).await
}

/// The audit log's records of an operation.
pub fn records(dev: &Dev, operation: &str) -> Vec<Value> {
    let audit = dev.audit();
    let lines = audit.lines().filter(|line| !line.is_empty());
    let records = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter(|it| it["operation"] == operation).collect()
}

pub async fn listed(api: &Api) -> Vec<Value> {
    let shown = api.get("/v1/approvals").await.ok(200);
    shown["approvals"].as_array().unwrap().clone()
}

pub async fn state(api: &Api, id: &str) -> String {
    let shown = api.get(&format!("/v1/approvals/{id}")).await.ok(200);
    shown["state"].as_str().unwrap().to_owned()
}

pub async fn key(api: &Api, keyspace: &str, conversation: &str) -> String {
    let issued = api.issue(keyspace, conversation).await;
    assert_eq!(issued.status, 201, "{}", issued.body);
    issued.text("wrapped_key")
}

pub fn uuid(number: u64) -> String {
    format!("0190f2a4-7c1e-7b7d-8c7b-{number:012x}")
}

/// Uses up the shreds that need no approval.
pub async fn use_up(api: &Api) {
    for room in ["one", "two", "three"] {
        api.shred("chat", room).await.ok(200);
    }
}
