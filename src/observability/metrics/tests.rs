use std::sync::Mutex;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use lethe_core::for_each_hsm_call;
use lethe_core::identity::{DeploymentId, HsmKeyId};
use lethe_core::ports::{
    ClaimKind, Hsm, HsmError, HsmKey, HsmStatus, KeyLabel, SealedSecret, SigningPurpose,
    VerificationKey,
};
use lethe_core::secret::Secret32;
use lethe_core::time::Expiry;

use super::*;
use crate::identity::tls::Failure;
use crate::node::status::Seen;

/// Answers each call with the next error.
struct Failing(Mutex<Vec<HsmError>>);

impl Failing {
    fn next<T>(&self) -> Result<T, HsmError> {
        Err(self.0.lock().unwrap().remove(0))
    }
}

macro_rules! failing {
    ($($call:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Hsm for Failing {
            $(async fn $call(&self, $(_: $type),*) -> Result<$answer, HsmError> {
                self.next()
            })*
        }
    };
}
for_each_hsm_call!(failing);

fn assert_shown(exposition: &Exposition, lines: &[&str]) {
    let text = exposition.open_metrics();
    for line in lines {
        assert!(text.lines().any(|shown| shown == *line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn every_hsm_call_is_passed_on_and_all_but_looks_counted_by_name_and_result() {
    let text = || "why".to_owned();
    let errors = [
        HsmError::Unavailable(text()),
        HsmError::Pin(text()),
        HsmError::Full,
        HsmError::NotFound,
        HsmError::DoesNotOpen,
        HsmError::Ambiguous,
        HsmError::Device(text()),
    ];
    let mut given: Vec<_> = errors.iter().cycle().take(17).cloned().collect();
    let (metrics, exposition) = Metrics::new();
    metrics.begin(&[]);
    let begun = exposition.text().matches("lethe_hsm_calls_total{").count();
    let hsm = MeteredHsm::new(Failing(Mutex::new(given.clone())), metrics);
    let deployment = DeploymentId::from_bytes([1; 16]);
    let id = HsmKeyId::from_bytes([2; 16]);
    let expiry = Expiry::from_seconds(1);
    let label = KeyLabel::Bucket { deployment, expiry };
    let key = HsmKey { id, label };
    let secret = Secret32::filled(|_| {});
    let (iv, ciphertext) = ([0; 12], [0; 48]);
    let sealed = SealedSecret { iv, ciphertext };
    let purpose = SigningPurpose::Receipt;
    let held = ClaimKind::Held;
    let mut seen = Vec::new();
    seen.extend(hsm.create_key(label).await.err());
    seen.extend(hsm.keys(deployment).await.err());
    seen.extend(hsm.seal(key, b"", &secret).await.err());
    seen.extend(hsm.open(key, b"", &sealed).await.err());
    seen.extend(hsm.destroy(key).await.err());
    seen.extend(hsm.claim(deployment, held).await.err());
    seen.extend(hsm.set_claim(deployment, held, "x").await.err());
    seen.extend(hsm.create_signing_key(deployment, purpose).await.err());
    seen.extend(hsm.verification_keys(deployment).await.err());
    seen.extend(hsm.sign(id, b"").await.err());
    seen.extend(hsm.random(1).await.err());
    seen.extend(hsm.holds(key).await.err());
    seen.extend(hsm.status(deployment).await.err());
    seen.extend(hsm.claims().await.err());
    seen.extend(hsm.remove_claim(deployment, held).await.err());
    seen.extend(hsm.signing_pairs(deployment).await.err());
    let destroyed = hsm.destroy_signing_pair(deployment, id, purpose);
    seen.extend(destroyed.await.err());
    assert_eq!(seen, std::mem::take(&mut given));
    assert_shown(
        &exposition,
        &[
            r#"lethe_hsm_calls_total{call="create_key",result="unavailable"} 1"#,
            r#"lethe_hsm_calls_total{call="keys",result="pin"} 1"#,
            r#"lethe_hsm_calls_total{call="seal",result="full"} 1"#,
            r#"lethe_hsm_calls_total{call="open",result="not_found"} 1"#,
            r#"lethe_hsm_calls_total{call="destroy",result="does_not_open"} 1"#,
            r#"lethe_hsm_calls_total{call="set_claim",result="device"} 1"#,
            r#"lethe_hsm_calls_total{call="create_signing_key",result="unavailable"} 1"#,
            r#"lethe_hsm_calls_total{call="verification_keys",result="pin"} 1"#,
            r#"lethe_hsm_calls_total{call="sign",result="full"} 1"#,
            r#"lethe_hsm_calls_total{call="random",result="not_found"} 1"#,
            r#"lethe_hsm_call_seconds_count{operation="random"} 1"#,
        ],
    );
    let text = exposition.text();
    assert!(!text.contains(r#"="status""#), "{text}");
    // No call and no result but those that begin at 0.
    assert_eq!(begun, 112);
    assert_eq!(text.matches("lethe_hsm_calls_total{").count(), begun);
}

#[test]
fn names_and_values_are_those_that_dashboards_read() {
    let (metrics, exposition) = Metrics::new();
    metrics.answered("issue", "ok", Duration::from_micros(75));
    metrics.answered("issue", "expired", Duration::from_secs(60));
    metrics.keys_left("issue", 3);
    metrics.recorded(Duration::from_micros(40));
    metrics.bucket_destroyed(Duration::from_millis(2));
    metrics.live_buckets.set(74);
    metrics.next_expiry.set(-3);
    metrics.expiry_lag.set(3);
    metrics.failed_destroys.inc();
    metrics.connections.inc();
    metrics.failed_handshake(Failure::Expired.label());
    metrics.probe();
    metrics.handshake(rustls::NamedGroup::X25519MLKEM768);
    metrics.handshake_computed(Duration::from_millis(1_500));
    assert_shown(
        &exposition,
        &[
            r#"lethe_requests_total{operation="issue",code="ok"} 1"#,
            r#"lethe_requests_total{operation="issue",code="expired"} 1"#,
            r#"lethe_request_seconds_bucket{le="0.00005",operation="issue"} 0"#,
            r#"lethe_request_seconds_bucket{le="0.0001",operation="issue"} 1"#,
            r#"lethe_request_seconds_bucket{le="+Inf",operation="issue"} 2"#,
            r#"lethe_data_keys_total{operation="issue"} 3"#,
            r#"lethe_audit_append_seconds_bucket{le="0.00005"} 1"#,
            "lethe_expiry_destroy_seconds_count 1",
            "lethe_live_buckets 74",
            "lethe_next_expiry_seconds -3",
            "lethe_expiry_lag_seconds 3",
            "lethe_failed_destroys_total 1",
            "lethe_connections 1",
            r#"lethe_failed_handshakes_total{reason="expired"} 1"#,
            "lethe_tcp_probes_total 1",
            r#"lethe_tls_handshakes_total{group="X25519MLKEM768"} 1"#,
            "lethe_handshake_cpu_seconds_total 1.5",
            "# EOF",
        ],
    );
}

#[test]
fn what_may_happen_begins_at_zero() {
    let (metrics, exposition) = Metrics::new();
    metrics.begin(&[("issue", vec!["ok", "quota_exceeded"])]);
    metrics.begin_failed_handshakes(Failure::COUNTED.map(Failure::label));
    assert_shown(
        &exposition,
        &[
            r#"lethe_requests_total{operation="issue",code="quota_exceeded"} 0"#,
            r#"lethe_hsm_calls_total{call="destroy",result="unavailable"} 0"#,
            r#"lethe_data_keys_total{operation="unwrap"} 0"#,
            r#"lethe_reloads_total{result="refused"} 0"#,
            r#"lethe_failed_handshakes_total{reason="revoked"} 0"#,
            r#"lethe_tls_handshakes_total{group="x25519"} 0"#,
            "lethe_tcp_probes_total 0",
            r#"lethe_approvals_total{outcome="expired"} 0"#,
        ],
    );
}

#[test]
fn parts_are_up_or_down_and_the_process_has_a_size() {
    let (metrics, exposition) = Metrics::new();
    let status = HsmStatus {
        token: "t".into(),
        model: "m".into(),
        objects: 17,
        claim: None,
        free_memory: None,
    };
    let at = Timestamp::from_millis(1);
    let mut condition = Condition {
        seen: Some(Seen { at, status }),
        ..Condition::default()
    };
    metrics.condition(&condition, 20_000);
    let objects = ["lethe_hsm_objects 17", "lethe_hsm_objects_max 20000"];
    assert_shown(&exposition, &["lethe_hsm_up 1", "lethe_store_up 1"]);
    assert_shown(&exposition, &objects);
    condition.hsm_check = Some("away".into());
    metrics.condition(&condition, 20_000);
    assert_shown(&exposition, &["lethe_hsm_up 0", "lethe_store_up 1"]);
    condition.store = Some("away".into());
    metrics.condition(&condition, 20_000);
    assert_shown(&exposition, &["lethe_store_up 0"]);
    assert_shown(&exposition, &objects);
    metrics.measure_process();
    let text = exposition.text();
    let mut lines = text.lines();
    let resident = lines.find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    let resident: u64 = resident.unwrap().parse().unwrap();
    assert!((1 << 20..1 << 34).contains(&resident), "{resident}");
}

#[test]
fn the_text_format_describes_counters_as_their_samples_are_named() {
    let (metrics, exposition) = Metrics::new();
    metrics.ceilings_reached.inc();
    let text = exposition.text();
    for line in [
        "# TYPE lethe_ceilings_reached_total counter",
        "lethe_ceilings_reached_total 1",
        "# TYPE lethe_connections gauge",
        "# TYPE lethe_audit_append_seconds histogram",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
    let described = text.lines().filter(|line| line.starts_with("# HELP"));
    assert!(described.clone().count() > 10);
    for unknown in ["# EOF", "# UNIT"] {
        assert!(!text.contains(unknown), "{text}");
    }
}

#[test]
fn the_metrics_are_written_out_one_after_the_other() {
    let (_, exposition) = Metrics::new();
    let exposition = Arc::new(exposition);
    // On one thread, so that what began before another piece of work has ended before it.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let turn = Arc::clone(&exposition.turn).lock_owned().await;
        let mut text = std::pin::pin!(Arc::clone(&exposition).render_in_turn(true));
        assert!(text.as_mut().now_or_never().is_none());
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        assert!(text.as_mut().now_or_never().is_none());
        drop(turn);
        assert!(text.await.ends_with("# EOF\n"));
    });
}
