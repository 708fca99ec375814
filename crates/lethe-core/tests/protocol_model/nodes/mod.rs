//! Two nodes on one HSM and on a database with copies: a primary and a member that may be promoted while
//! the old primary lives on. An answer needs one copy (`durable_on = 1`), so either of two primaries is enough for it.
//!
//! | step | where |
//! |---|---|
//! | what the servers do: sessions and transactions end, copies flush, follow and are promoted | `servers` |
//! | take the lock, advance the fence, end sessions, challenge, wait, take the claim | `start` |
//! | look at lock, claim and root; take the lock again; recover; stop | `serve` |
//! | one shred: root, transaction, barrier, list, claim, destroy, receipt | `batch` |
//!
//! `promises` has what must hold and the searches. Time is what is left of leases and waits, in ticks. A node may
//! be stopped for any number of them between two of its steps; what it has sent to the server or the HSM takes
//! effect late.
//! Left out: acceptance, buckets, and what the models beside this one show.

mod batch;
mod numbers;
mod promises;
mod serve;
mod servers;
mod start;

use stateright::{Model, Property};

/// A node serves so long after its last look began.
const LEASE: u8 = 1;
/// Who challenges waits longer.
const WAIT: u8 = LEASE + 1;
/// Of [`State::roots`]; roots and nonces have numbers below. A number that nobody knows any more is drawn again.
const NUMBERS: usize = 8;

/// One rule that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    /// A transaction does not look at the fence.
    NoFence,
    /// Sessions are ended before the fence is advanced, and not again behind it.
    NoSecondEnd,
    /// Whoever has the lock takes the claim at once.
    NoWait,
    /// A lease runs from the end of the look.
    LeaseFromTheEnd,
    /// A look renews the lease whoever has the lock.
    LeaseWithoutLock,
    /// A node answers a challenge whoever has the lock.
    AnswerWithoutLock,
    /// A root is destroyed when as many members have its successor as an answer needs.
    WeakBarrier,
    /// Who takes over finishes the last batch with the root that it found.
    NoFreshRoot,
    /// A sweep looks at the claim once, before it lists the roots.
    ClaimBeforeList,
}

/// What may happen.
#[derive(Debug, Clone, Copy)]
struct Nodes {
    mistakes: &'static [Mistake],
    /// The second server is a member; else a backup, which somebody may start.
    two_members: bool,
    /// The first node may lose the HSM.
    cut_off: bool,
    /// Without the HSM no lease is renewed.
    strict: bool,
    /// The second server may become a primary.
    promotes: bool,
    failures: u8,
}

/// The rows of one copy of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Rows {
    fence: u8,
    nonce: u8,
    root: u8,
    epoch: u8,
    shredded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Server {
    /// Whom it follows; none if it can be written.
    follows: Option<usize>,
    rows: Rows,
    lock: Option<usize>,
    /// The fence of the newest node that has read the rows.
    read_by: u8,
}

/// A transaction under way in a server. It outlives the process that sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Transaction {
    at: usize,
    fence: u8,
    root: u8,
    epoch: u8,
    shreds: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Process {
    Down,
    Halted,
    Starting { at: usize, start: Start },
    Running(Running),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Start {
    /// Has the lock, and has ended the sessions that were there.
    Locked,
    /// Has advanced the fence to this.
    Fenced(u8),
    /// Has challenged, and waits so much longer.
    Asking { fence: u8, wait: u8 },
    /// May take the claim; knows whether nobody else can serve.
    Claiming { fence: u8, known: bool },
    /// Has the claim with this nonce, and waits so much longer if there was an answer.
    Opening {
        fence: u8,
        known: bool,
        nonce: u8,
        wait: u8,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Running {
    at: usize,
    fence: u8,
    nonce: u8,
    epoch: u8,
    /// Nobody else can work on the HSM.
    known: bool,
    /// It refuses the keys of the conversation.
    refuses: bool,
    /// What is left of it.
    lease: u8,
    looking: Option<Look>,
    batch: Batch,
}

/// A look under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Look {
    /// What would be left of a lease that began with it.
    lease: u8,
    had_lock: bool,
    answered: bool,
}

/// How far a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Batch {
    None,
    /// This root is made.
    Rooted {
        root: u8,
        shreds: bool,
    },
    /// The transaction was sent.
    Sent {
        root: u8,
        replaced: u8,
    },
    /// The store names the root; the one before, if this process has replaced it, is still there.
    Committed {
        root: u8,
        replaced: u8,
    },
    /// Behind the barrier, and read again.
    Flushed {
        root: u8,
        replaced: u8,
    },
    /// [`Mistake::ClaimBeforeList`]
    Claimed {
        root: u8,
        replaced: u8,
    },
    /// Bit i: root i is to be destroyed.
    Listed {
        root: u8,
        others: u8,
    },
    /// The claim was ours when that was looked at. The call may be done long after it was sent.
    Destroying {
        root: u8,
        others: u8,
    },
    /// No other root is left.
    Swept,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    /// The nonce of the claim.
    claim: u8,
    /// Whose place the claim names; or [`FREE`], or [`DOUBTFUL`].
    holder: usize,
    /// Who challenges.
    wanted: Option<usize>,
    /// The epochs of the roots in the HSM; 0 where there is none.
    roots: [u8; NUMBERS],
    servers: [Server; 2],
    processes: [Process; 2],
    transactions: [Option<Transaction>; 2],
    cut_off: bool,
    receipt: bool,
    /// A transaction of a node took effect after its successor had read the rows.
    wrote_late: bool,
    /// How often each node has answered a challenge since it lost the lock.
    answers: [u8; 2],
    /// How many starts there may still be.
    starts: u8,
    /// How often a session may still end, or a node stop, die, or have to find out what became of its last batch.
    failures: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Tick,
    CutOff,
    Flush(usize),
    Promote,
    Rejoin,
    EndLock(usize),
    EndTransaction(usize),
    Commit(usize),
    Start(usize, usize),
    Go(usize),
    BeginLook(usize),
    Answer(usize),
    EndLook(usize),
    LockAgain(usize),
    Shred(usize),
    Step(usize),
    Recover(usize),
    Stop(usize),
    Kill(usize),
}

/// It was given up.
const FREE: usize = 2;
/// Somebody has taken it, and does not serve yet: another may do so.
const DOUBTFUL: usize = 3;

impl State {
    fn holds(&self, root: u8) -> bool {
        self.roots[usize::from(root)] != 0
    }

    fn reaches(&self, who: usize) -> bool {
        who == 1 || !self.cut_off
    }

    fn running(&self, who: usize) -> Option<Running> {
        match self.processes[who] {
            Process::Running(running) => Some(running),
            _ => None,
        }
    }

    fn serves(&self, who: usize) -> bool {
        let running = self.running(who);
        running.is_some_and(|it| it.lease > 0)
    }

    fn halt(&mut self, who: usize) -> Option<()> {
        self.processes[who] = Process::Halted;
        Some(())
    }

    fn fail(&mut self) -> Option<()> {
        self.failures = self.failures.checked_sub(1)?;
        Some(())
    }

    /// It starts again, as a spare.
    fn restart(&mut self, who: usize) -> Option<()> {
        self.processes[who] = Process::Down;
        Some(())
    }
}

impl Process {
    fn tick(&mut self) {
        let (first, second) = match self {
            Self::Starting {
                start: Start::Asking { wait, .. } | Start::Opening { wait, .. },
                ..
            } => (Some(wait), None),
            Self::Running(running) => {
                let looking = running.looking.as_mut();
                (
                    Some(&mut running.lease),
                    looking.map(|look| &mut look.lease),
                )
            }
            _ => (None, None),
        };
        for left in first.into_iter().chain(second) {
            *left = left.saturating_sub(1);
        }
    }
}

impl Model for Nodes {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let rows = Rows {
            fence: 1,
            nonce: 0,
            root: 1,
            epoch: 1,
            shredded: false,
        };
        let server = |follows, lock| Server {
            follows,
            rows,
            lock,
            read_by: 0,
        };
        let running = Process::Running(Running {
            at: 0,
            fence: 1,
            nonce: 0,
            epoch: 1,
            known: true,
            refuses: false,
            lease: LEASE,
            looking: None,
            batch: Batch::None,
        });
        let mut roots = [0; NUMBERS];
        roots[1] = 1;
        vec![State {
            claim: 0,
            holder: 0,
            wanted: None,
            roots,
            servers: [server(None, Some(0)), server(Some(0), None)],
            processes: [running, Process::Down],
            transactions: [None; 2],
            cut_off: false,
            receipt: false,
            wrote_late: false,
            answers: [0; 2],
            starts: 2,
            failures: self.failures,
        }]
    }

    fn actions(&self, _: &State, actions: &mut Vec<Action>) {
        use Action::{
            Answer, BeginLook, Commit, CutOff, EndLock, EndLook, EndTransaction, Flush, Go, Kill,
            LockAgain, Promote, Recover, Rejoin, Shred, Start, Step, Stop, Tick,
        };
        actions.extend([Tick, CutOff, Promote, Rejoin]);
        for who in [0, 1] {
            let of_server = [Flush, EndLock, EndTransaction, Commit];
            actions.extend(of_server.map(|action| action(who)));
            actions.extend([Start(who, 0), Start(who, 1)]);
            let of_node = [
                Go, BeginLook, Answer, EndLook, LockAgain, Shred, Step, Recover, Stop, Kill,
            ];
            actions.extend(of_node.map(|action| action(who)));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        let at = &mut state;
        match action {
            Action::Tick => {
                at.processes.iter_mut().for_each(Process::tick);
            }
            Action::CutOff => {
                (self.cut_off && !at.cut_off).then_some(())?;
                at.cut_off = true;
            }
            Action::Flush(server) => self.flush(at, server)?,
            Action::Promote => self.promote(at)?,
            Action::Rejoin => self.rejoin(at)?,
            Action::EndLock(server) => self.end_lock(at, server)?,
            Action::EndTransaction(who) => self.end_transaction(at, who)?,
            Action::Commit(who) => self.commit(at, who)?,
            Action::Start(who, server) => self.start(at, who, server)?,
            Action::Go(who) => self.go_on(at, who)?,
            Action::BeginLook(who) => self.begin_look(at, who)?,
            Action::Answer(who) => self.answer_in_look(at, who)?,
            Action::EndLook(who) => self.end_look(at, who)?,
            Action::LockAgain(who) => self.lock_again(at, who)?,
            Action::Shred(who) => self.shred(at, who)?,
            Action::Step(who) => self.step(at, who)?,
            Action::Recover(who) => self.recover_once(at, who)?,
            Action::Stop(who) => self.stop(at, who)?,
            Action::Kill(who) => {
                let down = matches!(at.processes[who], Process::Down | Process::Halted);
                (!down).then_some(())?;
                at.fail()?;
                at.processes[who] = Process::Down;
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::all()
    }
}

impl Nodes {
    fn makes(&self, mistake: Mistake) -> bool {
        self.mistakes.contains(&mistake)
    }
}
