use std::time::Duration;

use http::Uri;
use serde::Deserialize;

/// The path below a base address, as OTLP defines it.
const TRACES: &str = "/v1/traces";

/// `[telemetry]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetrySection {
    /// Address of a collector that takes traces by OTLP over HTTP. Without it there are no traces.
    pub otlp_endpoint: Option<String>,
    /// The part of requests that are traced if their callers do not decide it: 0 to 1.
    pub sample_ratio: f64,
    /// The name of this service at the collector (`service.name`).
    pub service_name: String,
    /// How long one delivery to the collector may take.
    #[serde(deserialize_with = "super::span::deserialize")]
    pub timeout: Duration,
}

/// The ratio of a checked section is never NaN.
impl Eq for TelemetrySection {}

impl Default for TelemetrySection {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            sample_ratio: 0.01,
            service_name: "lethe".into(),
            timeout: Duration::from_secs(5),
        }
    }
}

impl TelemetrySection {
    pub(super) fn check(&self) -> Result<(), String> {
        self.endpoint()?;
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            return Err("telemetry.sample_ratio must be 0 to 1".into());
        }
        if !(1..=255).contains(&self.service_name.len()) {
            return Err("telemetry.service_name must be 1 to 255 bytes".into());
        }
        let possible = Duration::from_millis(10)..=Duration::from_secs(60);
        if possible.contains(&self.timeout) {
            Ok(())
        } else {
            Err("telemetry.timeout must be 10ms to 60s".into())
        }
    }

    /// The address for traces: with its own path, or with the usual one if it has none.
    ///
    /// # Errors
    /// Why it is not valid, with the option's name.
    pub fn endpoint(&self) -> Result<Option<Uri>, String> {
        let Some(text) = &self.otlp_endpoint else {
            return Ok(None);
        };
        let refused = |why: &str| Err(format!("telemetry.otlp_endpoint {why}"));
        let Ok(uri) = text.parse::<Uri>() else {
            return refused("must be an address such as http://127.0.0.1:4318");
        };
        match (uri.scheme_str(), uri.authority()) {
            (Some("https"), _) => {
                return refused(
                    "must begin with http://: https is not spoken here; let a collector on this host go on with it",
                );
            }
            (Some("http"), Some(authority)) if authority.as_str().contains('@') => {
                return refused("must hold no user and no password");
            }
            (Some("http"), Some(_)) => {}
            _ => return refused("must be an address such as http://127.0.0.1:4318"),
        }
        if uri.query().is_some() || text.contains('#') {
            return refused("must have nothing behind its path");
        }
        if uri.path() != "/" {
            return Ok(Some(uri));
        }
        let whole = format!("{}{TRACES}", text.trim_end_matches('/'));
        match whole.parse() {
            Ok(uri) => Ok(Some(uri)),
            Err(_) => refused("must be an address such as http://127.0.0.1:4318"),
        }
    }
}
