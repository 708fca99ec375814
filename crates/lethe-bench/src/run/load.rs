use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::control;
use crate::cpu::Pid;
use crate::error::BenchError;
use crate::identity::{Endpoint, Identity};
use crate::load::{Fixed, Interval, Measured, Workload, head_before_length, measure};
use crate::output::print;
use crate::pki;

use super::keys::{Issue, Keys};

/// As long as the body of an issue.
pub(super) const BODY: &str = r#"{"conversation":"room-0000000000"}"#;

/// Where and how to load.
#[derive(clap::Args)]
pub(crate) struct Load {
    #[arg(long)]
    pki: PathBuf,
    #[arg(long)]
    address: SocketAddr,
    /// The server's process, to see its CPU
    #[arg(long)]
    pid: u32,
    #[arg(long, default_value_t = 16)]
    connections: usize,
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Issue keys at the service, for this many conversations in turn, instead of asking a control
    #[arg(long)]
    issue: Option<u64>,
    /// Body of the requests; an empty one is answered 400, and so fails the run
    #[arg(long, default_value = BODY)]
    body: String,
}

impl Load {
    /// Loads and prints what was measured as JSON.
    ///
    /// # Errors
    /// [`BenchError`], also for one wrong answer.
    pub(crate) fn run(&self) -> Result<(), BenchError> {
        let endpoint = Endpoint::new(self.address, &Identity::in_folder(&self.pki, pki::CLIENT))?;
        let measured = match self.issue {
            Some(conversations) => self.measure(
                &endpoint,
                Issue {
                    keys: Keys::for_keyspace(self.address, "chat"),
                    first: 0,
                    conversations,
                },
            ),
            None => self.measure(&endpoint, control_workload(self.address, &self.body)),
        }?;
        print(|out| writeln!(out, "{}", serde_json::json!(measured)))
    }

    fn measure(
        &self,
        endpoint: &Endpoint,
        workload: impl Workload + 'static,
    ) -> Result<Measured, BenchError> {
        let interval = Interval {
            warm_up: Duration::from_secs(1),
            measured: Duration::from_secs(self.seconds),
        };
        super::runtime()?.block_on(measure(
            endpoint,
            Rc::new(workload),
            self.connections,
            interval,
            Pid(self.pid),
        ))
    }
}

/// Requests to the control server.
pub(super) fn control_workload(address: SocketAddr, body: &str) -> Fixed {
    let head = head_before_length(control::PATH, address, "");
    Fixed::new(&head, body, 201, control::is_right)
}
