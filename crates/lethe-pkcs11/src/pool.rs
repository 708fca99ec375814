//! Threads for calls that block.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use lethe_core::ports::HsmError;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::call::{Call, Ticket};
use crate::errors::Failure;
use crate::session::Device;
use crate::worker::{self, Held};

/// Number of hung threads, for each configured thread, at which new calls are refused.
const GIVEN_UP_PER_THREAD: usize = 4;

/// Time in which all threads have to end when the pool is dropped.
const ENDING: Duration = Duration::from_secs(2);
/// Time between two looks whether a thread has ended.
const LOOK: Duration = Duration::from_millis(1);

/// A job does its work and answers. It returns false if nobody waits for the answer any more.
type Job = Box<dyn FnOnce(&Device, &mut Option<Held>) -> bool + Send>;

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Number of threads that take jobs.
    live: usize,
    /// Number of threads inside a call that nobody waits for any more.
    given_up: usize,
    closed: bool,
    /// All threads that may still be in the module.
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    device: Device,
    state: Mutex<State>,
    wake: Condvar,
}

/// The pool. Dropping it waits until idle threads have closed their sessions and ended: the process
/// may exit next, and the module's destructors must not meet them. Hung ones end when their call
/// does.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    /// Held by the one call that makes or removes objects: see [`Pool::change`].
    changing: tokio::sync::Mutex<()>,
}

impl Drop for Pool {
    fn drop(&mut self) {
        let threads = {
            let mut state = self.shared.state.lock();
            state.closed = true;
            std::mem::take(&mut state.threads)
        };
        self.shared.wake.notify_all();
        let mut left = ENDING;
        for thread in threads {
            while !thread.is_finished() && !left.is_zero() {
                std::thread::sleep(LOOK);
                left = left.saturating_sub(LOOK);
            }
            if thread.is_finished() {
                // A thread that panicked has ended too.
                let _ = thread.join();
            }
        }
    }
}

impl Pool {
    pub(crate) fn new(device: Device) -> Result<Self, HsmError> {
        let threads = device.config.threads.max(1);
        let shared = Arc::new(Shared {
            device,
            state: Mutex::default(),
            wake: Condvar::new(),
        });
        let pool = Self {
            shared,
            changing: tokio::sync::Mutex::new(()),
        };
        for _ in 0..threads {
            if !pool.shared.add_thread() {
                return Err(HsmError::Unavailable("no thread".into()));
            }
        }
        Ok(pool)
    }

    /// Runs an operation that makes or removes objects, after the one before it has ended or its
    /// caller has left. SoftHSM2 fails now and then when two sessions do so at once
    /// (`CKR_GENERAL_ERROR`, issue 573 of its project), and no device makes keys often.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        operation: impl Fn(&Call<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, HsmError> {
        let in_turn = async {
            let _changing = self.changing.lock().await;
            self.run(operation).await
        };
        tokio::time::timeout(self.shared.device.config.call_timeout, in_turn)
            .await
            .unwrap_or_else(|_| Err(HsmError::Unavailable("no answer in time".into())))
    }

    /// Runs an operation on a thread of the pool. It may run twice, when the session was lost.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        operation: impl Fn(&Call<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, HsmError> {
        let ticket = Arc::new(Ticket::default());
        let (sender, receiver) = oneshot::channel();
        let theirs = Arc::clone(&ticket);
        self.shared.push(Box::new(move |device, held| {
            if !theirs.start() {
                return true;
            }
            let answer = worker::attempt(device, held, &theirs, &operation);
            let wanted = theirs.finish();
            if wanted {
                // The caller may give up just now. Then the answer is lost.
                let _ = sender.send(answer);
            }
            wanted
        }))?;
        // From here on the call is given up when the caller leaves, by a timeout or a dropped future.
        let _leave = Leave {
            shared: &self.shared,
            ticket,
        };
        match tokio::time::timeout(self.shared.device.config.call_timeout, receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(HsmError::Unavailable("the call's thread ended".into())),
            Err(_) => Err(HsmError::Unavailable("no answer in time".into())),
        }
    }
}

struct Leave<'a> {
    shared: &'a Arc<Shared>,
    ticket: Arc<Ticket>,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.ticket.give_up() {
            self.shared.replace_thread();
        }
    }
}

impl Shared {
    fn push(&self, job: Job) -> Result<(), HsmError> {
        let mut state = self.state.lock();
        if state.live == 0 {
            return Err(HsmError::Unavailable(
                "all threads hang in the module".into(),
            ));
        }
        state.jobs.push_back(job);
        self.wake.notify_one();
        Ok(())
    }

    fn threads(&self) -> usize {
        self.device.config.threads.max(1)
    }

    fn add_thread(self: &Arc<Self>) -> bool {
        let shared = Arc::clone(self);
        self.state.lock().live += 1;
        let started = std::thread::Builder::new()
            .name("lethe-pkcs11".into())
            .spawn(move || shared.serve());
        let mut state = self.state.lock();
        match started {
            Ok(thread) => {
                state.threads.retain(|thread| !thread.is_finished());
                state.threads.push(thread);
                true
            }
            Err(_) => {
                state.live -= 1;
                false
            }
        }
    }

    /// Replaces a thread that was left alone with its call.
    fn replace_thread(self: &Arc<Self>) {
        let may_add = {
            let mut state = self.state.lock();
            state.live = state.live.saturating_sub(1);
            state.given_up += 1;
            state.given_up <= GIVEN_UP_PER_THREAD * self.threads()
        };
        if may_add {
            // Without a thread the pool is smaller until the hung call ends.
            self.add_thread();
        }
        self.drop_jobs_without_thread();
    }

    /// With no thread left, waiting jobs are answered now (their senders are dropped).
    fn drop_jobs_without_thread(&self) {
        let mut state = self.state.lock();
        if state.live == 0 {
            state.jobs.clear();
        }
    }

    fn serve(&self) {
        let mut held = None;
        while let Some(job) = self.next_job() {
            let wanted = job(&self.device, &mut held);
            if !wanted && !self.rejoin() {
                break;
            }
        }
        worker::close(&self.device, held);
    }

    fn next_job(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            self.wake.wait(&mut state);
        }
    }

    /// A hung call has ended. Its thread goes on only if it was not replaced.
    fn rejoin(&self) -> bool {
        let mut state = self.state.lock();
        state.given_up = state.given_up.saturating_sub(1);
        let needed = state.live < self.threads();
        if needed {
            state.live += 1;
        }
        needed
    }
}
