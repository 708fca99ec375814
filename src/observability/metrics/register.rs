use prometheus_client::registry::{Registry, Unit};

use super::Metrics;

impl Metrics {
    /// Names and descriptions of all but those of the process.
    pub(super) fn register(&self, to: &mut Registry) {
        self.parts.register(to);
        to.register(
            "requests",
            "Requests by operation and code",
            self.requests.clone(),
        );
        to.register_with_unit(
            "request",
            "Time to the answer",
            Unit::Seconds,
            self.request_seconds.clone(),
        );
        to.register("data_keys", "Data keys that left", self.keys.clone());
        to.register("hsm_calls", "HSM calls by result", self.hsm_calls.clone());
        to.register_with_unit(
            "hsm_call",
            "Time of an HSM call",
            Unit::Seconds,
            self.hsm_seconds.clone(),
        );
        to.register_with_unit(
            "audit_append",
            "Wait for the audit log",
            Unit::Seconds,
            self.audit_seconds.clone(),
        );
        to.register(
            "live_buckets",
            "Buckets that live",
            self.live_buckets.clone(),
        );
        to.register("serving", "Whether this node serves", self.serving.clone());
        to.register("keyspaces", "Keyspaces", self.keyspaces.clone());
        to.register_with_unit(
            "next_expiry",
            "Time until the next bucket dies",
            Unit::Seconds,
            self.next_expiry.clone(),
        );
        to.register_with_unit(
            "expiry_lag",
            "How late the oldest destruction is",
            Unit::Seconds,
            self.expiry_lag.clone(),
        );
        to.register(
            "failed_destroys",
            "Destroys to be tried again",
            self.failed_destroys.clone(),
        );
        to.register_with_unit(
            "expiry_destroy",
            "Time to destroy one bucket",
            Unit::Seconds,
            self.expiry_destroy_seconds.clone(),
        );
        to.register(
            "requests_forgotten",
            "Requests to forget that are done",
            self.requests_forgotten.clone(),
        );
        to.register_with_unit(
            "forget_batch",
            "Time of a batch, from the new root to the signature",
            Unit::Seconds,
            self.batch_seconds.clone(),
        );
        to.register(
            "forget_page_bytes",
            "Sealed bytes of pages and tails written by batches",
            self.page_bytes.clone(),
        );
        to.register(
            "open_requests",
            "Requests to forget that are accepted and not done",
            self.open_requests.clone(),
        );
        to.register_with_unit(
            "oldest_open_request",
            "Age of the oldest of them",
            Unit::Seconds,
            self.oldest_open_request.clone(),
        );
        to.register(
            "waiting_approvals",
            "What waits for a second operator",
            self.waiting_approvals.clone(),
        );
        to.register(
            "lengthened_keyspaces",
            "Changes of settings under which keys, or leases of them, live longer",
            self.lengthened_keyspaces.clone(),
        );
        to.register(
            "approvals",
            "What was asked for, approved, withdrawn, void, or expired",
            self.approvals.clone(),
        );
        to.register(
            "clock_suspect",
            "1 while nothing is destroyed because the wall clock jumped",
            self.clock_suspect.clone(),
        );
        to.register_with_unit(
            "clock_lead",
            "How far the wall clock is ahead of the service's time; below 0 it is behind",
            Unit::Seconds,
            self.clock_lead.clone(),
        );
        to.register(
            "requests_under_way",
            "Requests under way",
            self.requests_under_way.clone(),
        );
        to.register(
            "clients_above_ceiling",
            "Clients that unwrap more different conversations than their ceiling",
            self.clients_above_ceiling.clone(),
        );
        to.register(
            "ceilings_reached",
            "Times a client began to unwrap more different conversations than its ceiling",
            self.ceilings_reached.clone(),
        );
        to.register("connections", "Open connections", self.connections.clone());
        self.register_handshakes(to);
        to.register(
            "connections_cut_off",
            "Connections closed because their client's certificate ended or is not taken any more",
            self.cut_off.clone(),
        );
        to.register(
            "budget_used",
            "What is in use of each budget of clients, connections and addresses",
            self.budget_used.clone(),
        );
        to.register(
            "budget_limit",
            "What each budget has in all",
            self.budget_limit.clone(),
        );
        to.register(
            "budget_exceeded",
            "Times that more of a budget was wanted than there was for that client or address",
            self.budget_exceeded.clone(),
        );
        to.register(
            "unrecorded_refusals",
            "Refusals that are on record as a number only",
            self.unrecorded_refusals.clone(),
        );
        to.register(
            "reloads",
            "Readings of a changed configuration by result",
            self.reloads.clone(),
        );
        to.register_with_unit(
            "server_certificate_left",
            "Time until the server's certificate ends",
            Unit::Seconds,
            self.certificate_left.clone(),
        );
        to.register_with_unit(
            "crl_left",
            "Time until the first revocation list ends",
            Unit::Seconds,
            self.crl_left.clone(),
        );
        to.register(
            "telemetry_spans_exported",
            "Spans that the collector took",
            self.spans_exported.clone(),
        );
        to.register(
            "telemetry_spans_dropped",
            "Spans that were lost, on their way or because too many waited",
            self.spans_dropped.clone(),
        );
    }
}
