use rustix::process::setpriority_process;
use rustix::thread::gettid;

use crate::error::BenchError;

/// An attacker shares the cores with the service, whom it is to harm by its requests and not by its
/// own computing.
const LAST: i32 = 19;

/// Runs `work` to its end on a thread that gives way to all others.
pub(super) fn behind_all_others<T: Send>(
    work: impl Future<Output = Result<T, BenchError>> + Send,
) -> Result<T, BenchError> {
    std::thread::scope(|scope| {
        let attacker = scope.spawn(|| {
            // On Linux a priority is a thread's. Without it the figures are a little worse.
            let _ = setpriority_process(Some(gettid()), LAST);
            crate::run::runtime()?.block_on(work)
        });
        let ended = attacker.join();
        ended.map_err(|_| BenchError::Server("the attacker panicked".into()))?
    })
}
