//! Two copies of one embedded store on one HSM: the original that is served, and a clone that is
//! started beside it, by somebody who does not know, at the same path.
//!
//! | step | where |
//! |---|---|
//! | compare nonces, ask who is alive, wait, rotate the nonce, a root of its own | `start` |
//! | look at claim and root, answer who asks | `serve` |
//! | one shred: root, commit, list, destroy, receipt | `batch` |
//!
//! `promises` has what must hold and the searches. Time is counted in ticks; a process may be
//! stopped for any number of them between two of its steps, the last of which is a call that the HSM
//! does late. Left out: what `batch` of the other model shows, acceptance, buckets.

mod batch;
mod promises;
mod serve;
mod start;

use stateright::{Model, Property};

/// A node serves so long after its last look began.
const LEASE: u8 = 2;
/// Who asks waits longer.
const WAIT: u8 = LEASE + 1;
/// The end of time.
const END: u8 = 6;
const NO_ROOT: u32 = 0;

/// One rule that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    /// The claim names the path, as every copy at that path does.
    NoNonce,
    /// A start leaves the nonce as it is.
    NoRotation,
    /// A start by who cannot know that the holder is dead serves at once.
    NoWait,
    /// Nobody answers who asks.
    NoAnswer,
    /// Who has taken the claim serves, although an answer came while he took it.
    NoSecondWait,
    /// Who takes over claims as one who knows.
    NoDoubt,
    /// A look sees the claim first, and answers then.
    LateAnswer,
    /// A look sees the claim alone.
    NoLookForOwnRoot,
    /// A lease runs from the end of the look.
    LeaseFromTheEnd,
    /// Who takes over sweeps first, as after a crash, and goes on with the root that it found.
    NoFreshRoot,
}

/// What may happen.
#[derive(Debug, Clone, Copy)]
struct Copies {
    mistakes: &'static [Mistake],
    /// The original may lose the HSM, and the clone not.
    cut_off: bool,
    /// Without the HSM a lease is not renewed.
    strict: bool,
}

/// A copy's meta row, and what its seat says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Store {
    nonce: u8,
    next: u8,
    root: u8,
    shredded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Process {
    Down,
    Halted,
    /// Has asked, with this time.
    Asking(u8),
    /// May take the claim; knows whether the holder is certainly dead.
    Claiming(bool),
    /// Has the claim, since then.
    Opening(bool, u8),
    Running {
        /// When the last look began.
        looked: u8,
        /// A look under way: when it began.
        looking: Option<u8>,
        batch: Batch,
    },
}

/// How far a shred is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Batch {
    None,
    /// This new root is made.
    Rooted(u8),
    /// The store names it; the old one.
    Committed(u8),
    /// Claim and roots were looked at; the old one is about to be destroyed.
    Listed(u8),
    Destroyed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    now: u8,
    /// One more than the last nonce or root.
    next: u8,
    claim: u8,
    /// Whose place the claim names; or [`FREE`], or [`DOUBTFUL`].
    holder: usize,
    /// Who asks.
    wanted: Option<usize>,
    /// Bit i: root i is in the HSM.
    roots: u32,
    stores: [Option<Store>; 2],
    processes: [Process; 2],
    cut_off: bool,
    /// Who gave the receipt.
    receipt: Option<usize>,
    /// The original was late: it may be taken for dead.
    was_late: bool,
    /// A copy has looked at the HSM after another one's receipt, and goes on.
    looked_too_late: bool,
    starts: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Tick,
    Clone,
    CutOff,
    Start(usize),
    Go(usize),
    BeginLook(usize),
    EndLook(usize),
    Shred(usize),
    Step(usize),
    Stop(usize),
    Kill(usize),
}

/// It was given up.
const FREE: usize = 2;
/// Somebody has taken it, and does not serve yet: another may do so.
const DOUBTFUL: usize = 3;

impl State {
    fn holds(&self, root: u8) -> bool {
        self.roots & (1 << root) != 0
    }

    fn destroy(&mut self, root: u8) {
        self.roots &= !(1 << root);
    }

    fn draw(&mut self) -> u8 {
        self.next += 1;
        self.next - 1
    }

    fn make_root(&mut self) -> u8 {
        let root = self.draw();
        self.roots |= 1 << root;
        root
    }

    fn reaches(&self, who: usize) -> bool {
        who == 1 || !self.cut_off
    }

    fn serves(&self, who: usize) -> bool {
        match self.processes[who] {
            Process::Running { looked, .. } => self.now - looked <= LEASE,
            _ => false,
        }
    }
}

impl Model for Copies {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let store = Store {
            nonce: 1,
            next: 0,
            root: 2,
            shredded: false,
        };
        let running = Process::Running {
            looked: 0,
            looking: None,
            batch: Batch::None,
        };
        vec![State {
            now: 0,
            next: 3,
            claim: 1,
            holder: 0,
            wanted: None,
            roots: 1 << 2,
            stores: [Some(store), None],
            processes: [running, Process::Down],
            cut_off: false,
            receipt: None,
            was_late: false,
            looked_too_late: false,
            starts: 2,
        }]
    }

    fn actions(&self, _: &State, actions: &mut Vec<Action>) {
        use Action::{BeginLook, Clone, CutOff, EndLook, Go, Kill, Shred, Start, Step, Stop, Tick};
        actions.extend([Tick, Clone, CutOff]);
        for who in [0, 1] {
            let each = [Start, Go, BeginLook, EndLook, Shred, Step, Stop, Kill];
            actions.extend(each.map(|action| action(who)));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        match action {
            Action::Tick => {
                (state.now < END).then_some(())?;
                state.now += 1;
            }
            Action::Clone => {
                state.stores[1].is_none().then_some(())?;
                state.stores[1] = state.stores[0];
            }
            Action::CutOff => {
                (self.cut_off && !state.cut_off).then_some(())?;
                state.cut_off = true;
            }
            Action::Start(who) => self.start(&mut state, who)?,
            Action::Go(who) => self.go_on(&mut state, who)?,
            Action::BeginLook(who) => self.begin_look(&mut state, who)?,
            Action::EndLook(who) => self.end_look(&mut state, who)?,
            Action::Shred(who) => self.shred(&mut state, who)?,
            Action::Step(who) => self.step(&mut state, who)?,
            Action::Stop(who) => self.stop(&mut state, who)?,
            Action::Kill(who) => {
                let down = matches!(state.processes[who], Process::Down | Process::Halted);
                (!down).then_some(())?;
                state.processes[who] = Process::Down;
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::all()
    }
}

impl Copies {
    fn makes(&self, mistake: Mistake) -> bool {
        self.mistakes.contains(&mistake)
    }
}
