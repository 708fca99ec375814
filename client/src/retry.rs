//! When to try again, and after how long. Decides without waiting.

use std::time::Duration;

use crate::error::{Error, Problem, TransportKind};

/// How safe calls are repeated. Full jitter: each pause is random between nothing and the
/// backoff, but never shorter than the service's `Retry-After`.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Number of attempts, with the first one; 1 means that no call is repeated.
    pub attempts: u32,
    /// The longest first pause. It doubles with each attempt.
    pub base: Duration,
    /// The longest pause of all.
    pub cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 6,
            base: Duration::from_millis(50),
            cap: Duration::from_secs(3),
        }
    }
}

impl RetryPolicy {
    /// The pause before the attempt after `failed` ones; none when `error` is final.
    /// `random` is drawn anew for each decision.
    pub(crate) fn pause(&self, failed: u32, error: &Error, random: u32) -> Option<Duration> {
        if failed >= self.attempts || !passing(error) {
            return None;
        }
        let doubled = 2_u32.saturating_pow(failed.saturating_sub(1));
        let backoff = self.base.saturating_mul(doubled).min(self.cap);
        let jitter = backoff.mul_f64(f64::from(random) / f64::from(u32::MAX));
        let asked = match error {
            Error::Service(problem) => problem.retry_after,
            _ => None,
        };
        Some(asked.map_or(jitter, |asked| asked.saturating_add(jitter)))
    }
}

/// Whether the same call may succeed a moment later: never after a 4xx but 429.
fn passing(error: &Error) -> bool {
    match error {
        Error::Service(Problem { status, .. }) => matches!(status, Some(429 | 503)),
        Error::Transport(transport) => transport.kind != TransportKind::Tls,
        Error::UnexpectedAnswer(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorCode, Transport};

    fn refused(status: u16, retry_after: Option<u64>) -> Error {
        Error::Service(Problem {
            code: ErrorCode::Overloaded,
            status: Some(status),
            detail: String::new(),
            retry_after: retry_after.map(Duration::from_secs),
            request_id: None,
        })
    }

    fn broken(kind: TransportKind) -> Error {
        Error::Transport(Transport {
            kind,
            message: "".into(),
        })
    }

    #[test]
    fn only_passing_failures_are_tried_again() {
        let policy = RetryPolicy::default();
        let retried = |error: &Error| policy.pause(1, error, 0).is_some();
        for status in [429, 503] {
            assert!(retried(&refused(status, None)), "{status}");
        }
        for status in [400, 403, 404, 409, 410, 413, 500] {
            assert!(!retried(&refused(status, Some(1))), "{status}");
        }
        for kind in [
            TransportKind::Connect,
            TransportKind::Timeout,
            TransportKind::Interrupted,
        ] {
            assert!(retried(&broken(kind)), "{kind:?}");
        }
        assert!(!retried(&broken(TransportKind::Tls)));
        assert!(!retried(&Error::unexpected("")));
    }

    #[test]
    fn pauses_double_up_to_the_cap_and_end() {
        let policy = RetryPolicy {
            attempts: 5,
            base: Duration::from_millis(100),
            cap: Duration::from_millis(350),
        };
        let error = broken(TransportKind::Connect);
        let longest: Vec<_> = (1..=5)
            .map(|failed| policy.pause(failed, &error, u32::MAX))
            .collect();
        let millis = |millis| Some(Duration::from_millis(millis));
        assert_eq!(
            longest,
            [millis(100), millis(200), millis(350), millis(350), None]
        );
        assert_eq!(policy.pause(1, &error, 0), millis(0));
    }

    #[test]
    fn retry_after_is_waited_out_in_full() {
        let policy = RetryPolicy::default();
        let pause = policy.pause(1, &refused(503, Some(2)), u32::MAX).unwrap();
        assert_eq!(pause, Duration::from_millis(2_050));
    }
}
