use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::{LimitsSection, ServerSection};

/// File descriptors that the store, the audit log and the HSM need.
const OTHERS: usize = 128;
/// The least number of connections with which the service starts.
const LEAST: usize = 16;

/// Connections and handshakes that fit into the files that this process may open, the limit of which
/// is raised as far as needed and allowed.
///
/// # Errors
/// When too few are allowed for any connections at all.
pub fn fit(server: &ServerSection, limits: &LimitsSection) -> io::Result<(usize, usize)> {
    let needed = (server.max_connections, limits.handshakes);
    let others = OTHERS + server.ops_max_connections + limits.strangers;
    let allowed = raise(needed.0 + needed.1 + others)?;
    let fits = divide(allowed, others, needed)?;
    if fits != needed {
        tracing::warn!(
            allowed,
            max_connections = fits.0,
            handshakes = fits.1,
            "fewer connections are taken than configured: the process may not open as many files \
             (LimitNOFILE, ulimit -n)"
        );
    }
    Ok(fits)
}

/// Raises the limit as far as needed and allowed. Returns how many files may be open.
fn raise(needed: usize) -> io::Result<usize> {
    let limit = getrlimit(Resource::Nofile);
    let number = |limit: Option<u64>| {
        limit.map_or(usize::MAX, |it| usize::try_from(it).unwrap_or(usize::MAX))
    };
    let (current, maximum) = (number(limit.current), number(limit.maximum));
    let raised = needed.min(maximum);
    if raised <= current {
        return Ok(current);
    }
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(raised as u64),
            maximum: limit.maximum,
        },
    )?;
    Ok(raised)
}

/// Divides the files. If not all connections and handshakes fit, handshakes get a quarter at most.
fn divide(allowed: usize, others: usize, needed: (usize, usize)) -> io::Result<(usize, usize)> {
    let (connections, handshakes) = needed;
    let free = allowed.saturating_sub(others);
    let fits = if connections + handshakes <= free {
        needed
    } else {
        let handshakes = handshakes.min(free / 4);
        (connections.min(free - handshakes), handshakes)
    };
    let least = LEAST.min(connections);
    if fits.0 < least || fits.1 < least.min(handshakes) {
        return Err(io::Error::other(format!(
            "the process may open {allowed} files and needs at least {}: raise LimitNOFILE, or ulimit -n",
            others + LEAST * 4
        )));
    }
    Ok(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_into_the_files_or_are_refused() {
        let fits = |allowed| divide(allowed, 200, (10_000, 4_000)).ok();
        assert_eq!(fits(14_200), Some((10_000, 4_000)));
        assert_eq!(fits(1_000), Some((600, 200)));
        assert_eq!(fits(264), Some((48, 16)));
        assert_eq!(fits(256), None);
        assert_eq!(fits(100), None);
        assert_eq!(divide(220, 200, (6, 6)).ok(), Some((6, 6)));
    }
}
