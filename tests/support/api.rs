//! Calls over real mTLS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::{Method, Response};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use serde_json::{Value, json};

use super::Dev;

/// The clients of a development folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    MessageServer,
    Operator,
    Auditor,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::MessageServer, Self::Operator, Self::Auditor];

    pub const fn name(self) -> &'static str {
        match self {
            Self::MessageServer => "message-server",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
        }
    }
}

/// TLS of a client that trusts the development CA; `certificate` is a path without extension.
pub fn tls(
    dev: &Dev,
    certificate: Option<&Path>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    tls_trusting(&[dev.dir().join("pki/ca.crt")], certificate, versions)
}

/// The same for servers of these CAs.
pub fn tls_trusting(
    authorities: &[PathBuf],
    certificate: Option<&Path>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for path in authorities {
        for certificate in CertificateDer::pem_file_iter(path).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let chain = CertificateDer::pem_file_iter(path.with_extension("crt")).unwrap();
            let chain = chain.collect::<Result<_, _>>().unwrap();
            let key = PrivateKeyDer::from_pem_file(path.with_extension("key")).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.resumption = Resumption::disabled();
    config
}

/// A client with one certificate.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    base: String,
}

impl Api {
    /// With a certificate at a path without extension.
    pub fn new(dev: &Dev, certificate: &Path) -> Self {
        Self::with(dev, tls(dev, Some(certificate), &[&version::TLS13]))
    }

    pub fn with(dev: &Dev, tls: ClientConfig) -> Self {
        Self::speaking(dev, tls, &["h2", "http/1.1"])
    }

    /// One that does not speak HTTP/2.
    pub fn http1(dev: &Dev, role: Role) -> Self {
        let certificate = dev.dir().join("pki").join(role.name());
        let tls = tls(dev, Some(&certificate), &[&version::TLS13]);
        Self::speaking(dev, tls, &["http/1.1"])
    }

    fn speaking(dev: &Dev, tls: ClientConfig, protocols: &[&str]) -> Self {
        Self::at(dev.listen, tls, protocols)
    }

    pub fn at(listen: SocketAddr, mut tls: ClientConfig, protocols: &[&str]) -> Self {
        tls.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(super::WAIT_LIMIT)
            .build()
            .unwrap();
        Self {
            http,
            base: format!("https://{listen}"),
        }
    }

    /// Any request; the answer as it comes.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: impl Into<reqwest::Body>,
    ) -> Result<Response, reqwest::Error> {
        let mut request = self.request(method, path);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        request.body(body).send().await
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.raw(Method::GET, path, None, "").await.unwrap()).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        let answer = self.raw(
            Method::PUT,
            path,
            Some("application/json"),
            body.to_string(),
        );
        Answer::of(answer.await.unwrap()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_bytes(path, body.to_string()).await
    }

    /// A JSON body to a service that may die meanwhile.
    pub async fn sent(&self, path: &str, body: &Value) -> Option<(u16, Value)> {
        let kind = Some("application/json");
        let answer = self.raw(Method::POST, path, kind, body.to_string());
        let answer = answer.await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.json().await.ok()?))
    }

    pub async fn post_bytes(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let answer = self.raw(Method::POST, path, Some("application/json"), body);
        Answer::of(answer.await.unwrap()).await
    }

    pub async fn issue(&self, keyspace: &str, conversation: &str) -> Answer {
        let path = format!("/v1/keyspaces/{keyspace}/data-keys");
        self.post(&path, &json!({ "conversation": conversation }))
            .await
    }

    pub async fn unwrap(&self, keyspace: &str, conversation: &str, wrapped: &str) -> Answer {
        let path = format!("/v1/keyspaces/{keyspace}/data-keys/unwrap");
        let body = json!({ "conversation": conversation, "wrapped_key": wrapped });
        self.post(&path, &body).await
    }

    pub async fn set_keyspace(&self, name: &str, retention: &str, granularity: &str) -> Answer {
        let body = json!({ "retention": retention, "granularity": granularity,
            "rotation": "30d", "cache_ttl": "5m" });
        self.put(&format!("/v1/keyspaces/{name}"), &body).await
    }
}

/// An answer, checked for what every answer must have.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub request_id: String,
    pub retry_after: Option<String>,
}

impl Answer {
    pub async fn of(response: Response) -> Self {
        let status = response.status().as_u16();
        let header = |name: &str| {
            let value = response.headers().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        let content_type = header("content-type");
        let request_id = header("x-request-id");
        let retry_after = header("retry-after");
        let text = response.text().await.unwrap();
        let request_id =
            request_id.unwrap_or_else(|| panic!("{status} without x-request-id: {text}"));
        let expected = if status < 400 {
            "application/json"
        } else {
            "application/problem+json"
        };
        assert_eq!(content_type.as_deref(), Some(expected), "{status} {text}");
        let body: Value = serde_json::from_str(&text).unwrap();
        if status >= 400 {
            assert_eq!(body["status"], status);
            for field in ["type", "title", "code", "detail"] {
                assert!(body[field].is_string(), "{field} in {body}");
            }
        }
        Self {
            status,
            body,
            request_id,
            retry_after,
        }
    }

    /// The body of a success.
    pub fn ok(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("ok")
    }

    pub fn text(&self, field: &str) -> String {
        self.body[field].as_str().unwrap().to_owned()
    }
}

/// The answer must be this error.
#[track_caller]
pub fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status, answer.code()),
        (status, code),
        "{}",
        answer.body
    );
    assert_eq!(answer.retry_after.is_some(), [429, 503].contains(&status));
}
