use super::{ApprovalOutcome, Metrics, Operation, Outcome, Request, hsm};

impl Metrics {
    /// Makes all counters begin at 0: otherwise `increase()` does not see the first event. The codes
    /// that each operation may answer with are those of its documentation.
    pub fn begin(&self, answers: &[(&'static str, Vec<&'static str>)]) {
        for (operation, codes) in answers {
            for code in codes {
                self.requests
                    .get_or_create_owned(&Request { operation, code });
            }
        }
        hsm::begin(&self.hsm_calls);
        self.begin_handshakes();
        for operation in ["issue", "unwrap"] {
            self.keys.get_or_create_owned(&Operation { operation });
        }
        for result in ["ok", "refused"] {
            self.reloads.get_or_create_owned(&Outcome { result });
        }
        for outcome in ["asked", "approved", "expired", "withdrawn", "void"] {
            self.approvals
                .get_or_create_owned(&ApprovalOutcome { outcome });
        }
    }
}
