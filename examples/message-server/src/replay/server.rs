//! The message server as its devices see it.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::input::Recorded;
use crate::message::Position;
use crate::serve::Failure;

/// Speaks plain HTTP to a message server.
#[derive(Clone)]
pub struct MessageServer {
    http: reqwest::Client,
    address: reqwest::Url,
}

/// What a device gets of one message.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Received {
    /// Its place.
    pub position: Position,
    /// None when it does not open any more.
    pub text: Option<String>,
    /// Why it does not.
    pub state: Option<String>,
}

#[derive(Deserialize)]
struct Stored {
    position: Position,
}

#[derive(Deserialize)]
struct Page {
    messages: Vec<Received>,
}

/// A client for plain HTTP that needs no certificates on the machine.
///
/// # Errors
/// Never in practice: nothing is read.
pub fn plain_http() -> Result<reqwest::Client, Failure> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let no_tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(no_tls)
        .no_proxy()
        .tcp_nodelay(true)
        .timeout(Duration::from_secs(60))
        .build()?)
}

impl MessageServer {
    /// At `http://host:port`.
    ///
    /// # Errors
    /// Another form of address.
    pub fn new(address: &str) -> Result<Self, Failure> {
        let parsed = reqwest::Url::parse(address).ok();
        let address = parsed
            .filter(|url| url.scheme() == "http" && url.path() == "/")
            .ok_or(format!("--server must be http://host:port, not {address}"))?;
        Ok(Self {
            http: plain_http()?,
            address,
        })
    }

    /// Whether it is there.
    ///
    /// # Errors
    /// It is not.
    pub async fn check(&self) -> Result<(), Failure> {
        let answer = self.http.get(self.url(&["healthz"])).send().await;
        answer
            .and_then(reqwest::Response::error_for_status)
            .map(drop)
            .map_err(|error| format!("no message server: {error}").into())
    }

    /// Stores a message.
    ///
    /// # Errors
    /// No answer, or one that is no success.
    pub async fn post(&self, message: &Recorded) -> Result<Position, Failure> {
        let body = json!({
            "sender": message.sender, "text": message.text,
            "sent_at": message.sent_at.to_string(),
        });
        let url = self.url(&["rooms", &message.conversation, "messages"]);
        let answer = self.http.post(url).json(&body).send().await?;
        Ok(success(answer).await?.json::<Stored>().await?.position)
    }

    /// Reads the message at a position.
    ///
    /// # Errors
    /// No answer, one that is no success, or another message.
    pub async fn read(&self, room: &str, at: Position) -> Result<Received, Failure> {
        let mut url = self.url(&["rooms", room, "messages"]);
        url.set_query(Some(&format!("since={}&limit=1", at.0 - 1)));
        let answer = self.http.get(url).send().await?;
        let page: Page = success(answer).await?.json().await?;
        let message = page.messages.into_iter().next();
        message
            .filter(|message| message.position == at)
            .ok_or_else(|| "the stored message is gone".into())
    }

    /// Shreds a room; true once it is irrevocable.
    ///
    /// # Errors
    /// No answer, or one that is no success.
    pub async fn shred(&self, room: &str) -> Result<bool, Failure> {
        let answer = self.http.delete(self.url(&["rooms", room])).send().await?;
        Ok(success(answer).await?.status() == reqwest::StatusCode::OK)
    }

    fn url(&self, segments: &[&str]) -> reqwest::Url {
        let mut url = self.address.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(segments);
        }
        url
    }
}

async fn success(answer: reqwest::Response) -> Result<reqwest::Response, Failure> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status();
    let body = answer.text().await.unwrap_or_default();
    Err(format!("{status}: {body}").into())
}
