use std::time::Instant;

use async_trait::async_trait;
use rustls::pki_types::CertificateDer;

use super::certificates::{Unsigned, authority, name, showing};
use super::deployment::{Deployment, STRANGER};
use super::{Attack, Gained, is_over, side_by_side, step};
use crate::error::BenchError;
use crate::identity::Identity;
use crate::load::handshake;

/// Chains that take long to look through.
pub(super) struct Chains;

const CONNECTIONS: usize = 8;

/// How a chain looks: layers of namesakes, each of which names all of the next layer as its issuer.
#[derive(Debug, Clone, Copy)]
struct Shape {
    layers: usize,
    namesakes: usize,
    /// Certificates that belong to nothing and are parsed all the same.
    filling: usize,
    /// Whether the last layer names the service's own authority, so that signatures are checked.
    anchored: bool,
}

const SHAPES: [Shape; 5] = [
    Shape {
        layers: 6,
        namesakes: 8,
        filling: 240,
        anchored: false,
    },
    Shape {
        layers: 6,
        namesakes: 8,
        filling: 240,
        anchored: true,
    },
    Shape {
        layers: 2,
        namesakes: 140,
        filling: 0,
        anchored: false,
    },
    Shape {
        layers: 3,
        namesakes: 60,
        filling: 100,
        anchored: true,
    },
    Shape {
        layers: 6,
        namesakes: 1,
        filling: 280,
        anchored: false,
    },
];

impl Shape {
    fn chain(self, authority: &[u8]) -> Vec<CertificateDer<'static>> {
        let layer = |number: usize| name(&format!("layer {number}"));
        let mut chain = vec![Unsigned {
            subject: name("client"),
            issuer: layer(0),
            key: 0,
            authority: false,
        }];
        let mut keys = 1..;
        for number in 0..self.layers {
            let issuer = if self.anchored && number + 1 == self.layers {
                authority.to_vec()
            } else {
                layer(number + 1)
            };
            chain.extend(keys.by_ref().take(self.namesakes).map(|key| Unsigned {
                subject: layer(number),
                issuer: issuer.clone(),
                key,
                authority: true,
            }));
        }
        chain.extend(keys.take(self.filling).map(|key| Unsigned {
            subject: name("filling"),
            issuer: name("filling"),
            key,
            authority: false,
        }));
        chain.iter().map(Unsigned::encode).collect()
    }
}

#[async_trait]
impl Attack for Chains {
    fn name(&self) -> &'static str {
        "chains"
    }

    fn what(&self) -> &'static str {
        "a stranger shows chains of up to 289 certificates that nobody signed, made so that looking for a path takes seconds"
    }

    async fn run(&self, target: &Deployment, end: Instant) -> Result<Gained, BenchError> {
        let identity = Identity::in_folder(&target.folder().join("pki"), STRANGER);
        let (endpoint, authority) = (target.client(STRANGER)?, authority(&identity)?);
        let clients: Vec<_> = SHAPES
            .iter()
            .map(|shape| showing(&endpoint, &identity, shape.chain(&authority)))
            .collect::<Result<_, _>>()?;
        side_by_side(CONNECTIONS, |number| {
            // Most of them in the first shape, which costs most.
            let shape = number.saturating_sub(CONNECTIONS - SHAPES.len());
            let client = clients[shape].from(Deployment::source(number));
            async move {
                let mut gained = Gained::default();
                while !is_over(end) {
                    match step(shown(&client)).await {
                        Some(Ok(())) => {
                            gained
                                .reached
                                .push("a handshake without a certificate".into());
                            return Ok(gained);
                        }
                        Some(Err(_)) => gained.count("handshakes refused"),
                        None => gained.count("handshakes without an answer"),
                    }
                    tokio::time::sleep(super::PAUSE).await;
                }
                Ok(gained)
            }
        })
        .await
    }
}

/// Fails when the service refuses. With TLS 1.3 a client believes to be done before the service has
/// looked at its certificate, so the first answer counts.
async fn shown(client: &crate::identity::Endpoint) -> std::io::Result<()> {
    use tokio::io::AsyncReadExt;
    let mut stream = handshake(client).await?;
    stream.read_u8().await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A handshake message may be 64 KiB: a larger chain would be refused for its size.
    #[test]
    fn chains_fit_into_a_handshake() {
        for shape in SHAPES {
            let chain = shape.chain(&name("the authority"));
            let bytes: usize = chain.iter().map(|it| it.len() + 5).sum();
            assert!(chain.len() > 200 && bytes < 62_000, "{shape:?}: {bytes}");
        }
    }
}
