use std::cell::RefCell;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use lethe_core::approval::{Approval, Decision, Pool, Principal};
use lethe_core::audit::KeyEvent;
use lethe_core::clock::Reading;
use lethe_core::keyspace::KeyspaceName;
use lethe_core::ports::Entropy;
use lethe_core::receipt::RequestId as ForgetId;
use lethe_core::time::{Expiry, Timestamp};
use lethe_core::tree::LeafId;

use super::problem::{Code, Problem};
use crate::approvals::Caller;
use crate::identity::{Role, SpiffeId};
use crate::limits::Kind;
use crate::observability::telemetry::Trace;
use crate::service::Service;

/// One request on its way.
pub(super) struct Call {
    pub(super) service: Arc<Service>,
    /// Who calls.
    pub(super) client: SpiffeId,
    /// SHA-256 of its certificate's public key.
    pub(super) key: [u8; 32],
    /// When it was identified; the whole request has one time.
    pub(super) now: Timestamp,
    /// What is to be said against that time; looked at anew before the answer.
    pub(super) reading: Reading,
    /// The keyspace in the path.
    pub(super) keyspace: Option<KeyspaceName>,
    /// Empty where the endpoint takes none.
    pub(super) body: Bytes,
    /// Behind `?`.
    pub(super) query: String,
    /// Named parts of the path but for the keyspace.
    pub(super) parameters: Vec<(String, String)>,
    /// `Prefer: respond-async` (RFC 7240): an answer as soon as it is accepted.
    pub(super) respond_async: bool,
    /// What is traced of it.
    pub(super) trace: Trace,
}

impl Call {
    /// Whether a keyspace is granted to the caller; for lists.
    pub(super) fn grants(&self, keyspace: &KeyspaceName) -> bool {
        let rules = self.service.gate.rules();
        let grant = rules.access().grant(&self.client);
        grant.is_some_and(|grant| grant.allows(keyspace))
    }

    /// Whether what an approval is about is granted to the caller: its keyspace, or all of them where it
    /// concerns the whole deployment.
    pub(super) fn grants_approval(&self, approval: &Approval) -> bool {
        let rules = self.service.gate.rules();
        let grant = rules.access().grant(&self.client);
        grant.is_some_and(|grant| match approval.keyspace_name() {
            Some(keyspace) => grant.allows(keyspace),
            None => grant.allows_all(),
        })
    }

    /// Who calls, as one of two.
    pub(super) fn principal(&self) -> Principal {
        Principal {
            client: self.client.as_str().into(),
            key: self.key,
        }
    }

    /// Who calls, as shreds are counted.
    pub(super) fn caller(&self) -> Caller {
        let rules = self.service.gate.rules();
        let grant = rules.access().grant(&self.client);
        let operator = grant.is_some_and(|grant| grant.role == Role::Operator);
        Caller {
            client: self.client.clone(),
            pool: if operator {
                Pool::Operators
            } else {
                Pool::MessageServers
            },
        }
    }

    /// What the caller decides, now.
    pub(super) fn decision(&self) -> Decision {
        Decision {
            by: self.principal(),
            at: self.now,
        }
    }

    /// For what is done before its record is written: nothing is when none could be.
    pub(super) fn check_audit(&self) -> Result<(), Problem> {
        let audit = self.service.audit.check();
        audit.map_err(|_| Problem::new(Code::AuditUnavailable, "the audit log cannot be written"))
    }

    /// Takes keys off the caller's quota.
    pub(super) fn take(&self, kind: Kind, count: usize) -> Result<(), Problem> {
        let limits = &self.service.limits;
        Ok(limits.take(&self.client, kind, count, self.now)?)
    }

    /// For what is computed from the time.
    pub(super) fn check_clock(&self) -> Result<(), Problem> {
        match self.reading.doubt {
            None => Ok(()),
            Some(_) => Err(Problem::clock_suspect()),
        }
    }

    /// A key leaves only while it is certain that it has not expired.
    pub(super) fn check_expiry(&self, expiry: Expiry) -> Result<(), Problem> {
        Problem::of_expiry(self.reading.judge(expiry))
    }

    /// A named part of the path; `what` says how it should look.
    pub(super) fn parameter<T: FromStr>(&self, name: &str, what: &str) -> Result<T, Problem> {
        let mut found = self.parameters.iter().filter(|(it, _)| it == name);
        let text = found.next().map(|(_, text)| text.parse());
        text.and_then(Result::ok)
            .ok_or_else(|| Problem::invalid(what))
    }

    /// The keyspace of an endpoint that has one in its path.
    pub(super) fn keyspace(&self) -> Result<&KeyspaceName, Problem> {
        self.keyspace
            .as_ref()
            .ok_or_else(|| Problem::invalid("no keyspace"))
    }
}

/// What an endpoint did: the answer, and what of it goes on record.
pub(super) struct Done {
    pub(super) status: StatusCode,
    /// For the record: `ok`, or what it waits for.
    pub(super) outcome: &'static str,
    /// JSON; it does not leave before the record is durable.
    pub(super) body: Vec<u8>,
    pub(super) keys: Vec<KeyEvent>,
    /// Rows that must still live when the answer leaves.
    pub(super) leaves: Vec<LeafId>,
    /// How many refusals there had been when it began.
    pub(super) refusals: u64,
    /// Items of a batch that were refused.
    pub(super) refused: u32,
    /// Requests to forget that were accepted, or are written down and wait, behind the approval: such
    /// an answer is never a failure any more.
    pub(super) requests: Vec<ForgetId>,
    /// Why the caller asked for it.
    pub(super) reason: Option<Box<str>>,
    /// Where to ask again.
    pub(super) location: Option<String>,
}

impl Done {
    /// An answer without keys.
    pub(super) fn json(status: StatusCode, body: &impl serde::Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_vec(body).map_err(Problem::invalid)?;
        Ok(Self::new(status, body))
    }

    /// An answer without keys yet.
    pub(super) const fn new(status: StatusCode, body: Vec<u8>) -> Self {
        Self {
            status,
            outcome: "ok",
            body,
            keys: Vec::new(),
            leaves: Vec::new(),
            refusals: 0,
            refused: 0,
            requests: Vec::new(),
            reason: None,
            location: None,
        }
    }

    /// Keys, requests to forget, and items refused.
    pub(super) const fn items(&self) -> usize {
        self.keys.len() + self.requests.len() + self.refused as usize
    }

    /// The first of its keys to expire.
    pub(super) fn earliest_expiry(&self) -> Option<Expiry> {
        self.keys.iter().map(|key| key.expiry).min()
    }
}

/// An endpoint: who may call it, and what it does. It neither authorizes nor records.
pub(super) trait Operation: Send + Sync + 'static {
    /// In audit records and metrics.
    const NAME: &'static str;
    const ROLES: &'static [Role];
    /// Whether it takes a JSON body.
    const BODY: bool;
    /// Whether it concerns the whole deployment: the caller needs a grant of all keyspaces.
    const WHOLE_DEPLOYMENT: bool = false;
    /// Whether it goes on to its record when the client hangs up: what it did cannot be undone.
    const LASTS: bool = false;

    fn run(call: &Call) -> impl Future<Output = Result<Done, Problem>> + Send;

    /// Its keys are on record and leave.
    fn left(_: &Call, _: &Done) {}
}

/// `x-request-id`: random, so that it tells nobody how much others ask for, and does not come again.
#[derive(Clone, Copy)]
pub(super) struct RequestId([u8; RequestId::DIGITS]);

/// Random bytes at hand, for one thread.
struct Random {
    bytes: [u8; RequestId::BYTES * 64],
    left: usize,
}

thread_local! {
    static RANDOM: RefCell<Random> = const {
        RefCell::new(Random { bytes: [0; RequestId::BYTES * 64], left: 0 })
    };
}

impl RequestId {
    const BYTES: usize = 12;
    const DIGITS: usize = 2 * Self::BYTES;

    pub(super) fn new(entropy: &impl Entropy) -> Self {
        RANDOM.with_borrow_mut(|random| {
            if random.left == 0 {
                // Without randomness ids repeat; no data key is issued then either.
                let _ = entropy.fill(&mut random.bytes);
                random.left = random.bytes.len();
            }
            random.left -= Self::BYTES;
            Self::of(&random.bytes[random.left..][..Self::BYTES])
        })
    }

    /// In lower-case hexadecimal.
    fn of(bytes: &[u8]) -> Self {
        let mut text = [0; Self::DIGITS];
        for (digits, byte) in text.chunks_exact_mut(2).zip(bytes) {
            digits.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        Self(text)
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    pub(super) fn header(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).unwrap_or_else(|_| HeaderValue::from_static("0"))
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::RequestId;
    use crate::node::entropy::SystemEntropy;

    #[test]
    fn ids_are_all_different_and_in_no_order() {
        let ids: Vec<_> = (0..1_000).map(|_| RequestId::new(&SystemEntropy)).collect();
        let texts: Vec<&str> = ids.iter().map(RequestId::as_str).collect();
        assert_eq!(texts.iter().collect::<HashSet<_>>().len(), texts.len());
        assert!(!texts.is_sorted());
        assert_eq!(ids[0].header(), texts[0]);
        assert_eq!(
            RequestId::of(b"\x01\xef0123456789").as_str(),
            "01ef30313233343536373839"
        );
    }
}
