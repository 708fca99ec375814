//! The steady clock over stops, starts, and a wall clock that somebody sets: every sequence of a few of
//! these, with the real clock's code. What the service writes down of it and when is played here, and
//! each rule of it that is left out breaks a promise.

use std::cell::Cell;
use std::time::Duration;

use lethe_core::clock::{Judgement, Mark, SteadyClock, Trust};
use lethe_core::ports::{BootId, Clock};
use lethe_core::time::{Expiry, Timestamp};

/// Seconds since the epoch when it all begins; a key expires two units later.
const BEGIN: i64 = 1_000;
/// A unit of time, in seconds.
const UNIT: i64 = 10;
const EXPIRY: i64 = BEGIN + 2 * UNIT;
/// What a wall clock may gain unconfirmed: more than the whole history takes.
const MAX_GAP: i64 = 4 * UNIT;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// A unit of time goes by.
    Wait,
    /// The wall clock is put to where it was in the beginning, or far ahead.
    PutBack,
    PutAhead,
    /// Stops, or is killed and writes nothing.
    Stop,
    Kill,
    Start,
    /// The machine is booted anew; while the service is down.
    Reboot,
    /// Somebody asks for the key.
    Ask,
}

use Action::{Ask, Kill, PutAhead, PutBack, Reboot, Start, Stop, Wait};

const ACTIONS: [Action; 8] = [Wait, PutBack, PutAhead, Stop, Kill, Start, Reboot, Ask];

/// A rule that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    /// The mark does not say on which boot it was written.
    NoBoot,
    /// A key is refused before that is written down.
    NoMarkBeforeRefusal,
    /// Every start lets the wall clock gain anew.
    NoGain,
}

/// Clocks of the machine, in seconds.
#[derive(Default)]
struct Machine {
    real: Cell<i64>,
    /// By how much the wall clock is away from the real time.
    shift: Cell<i64>,
    booted: Cell<i64>,
    boot: Cell<u8>,
}

fn millis(seconds: i64) -> u64 {
    u64::try_from(seconds * 1_000).unwrap()
}

/// One machine, one thread: the port wants more.
struct Hands(std::sync::Mutex<(i64, i64, u8)>);

impl Clock for &Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(millis(self.0.lock().unwrap().0))
    }
    fn since_boot(&self) -> Duration {
        Duration::from_millis(millis(self.0.lock().unwrap().1))
    }
    fn boot_id(&self) -> Option<BootId> {
        Some([self.0.lock().unwrap().2; 16])
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Broken {
    /// A key opened after its expiry, though the machine was never booted anew.
    Stretched,
    /// A key opened that had been refused as expired.
    Revived,
    /// The time ran ahead of the real one by more than a wall clock is believed.
    Early,
}

fn show(machine: &Machine, hands: &Hands) {
    let (real, shift) = (machine.real.get(), machine.shift.get());
    let since_boot = real - machine.booted.get();
    *hands.0.lock().unwrap() = (real + shift, since_boot, machine.boot.get());
}

fn start(hands: &Hands, mark: Mark) -> SteadyClock<&Hands> {
    let trust = Trust {
        max_gap: Duration::from_millis(millis(MAX_GAP)),
        confirm_after_reboot: false,
    };
    SteadyClock::new(hands, mark, trust)
}

/// Plays a history; the first promise that it breaks.
fn play(history: &[Action], mistake: Mistake) -> Option<Broken> {
    let machine = Machine::default();
    machine.real.set(BEGIN);
    let hands = Hands(std::sync::Mutex::default());
    show(&machine, &hands);
    let mut clock = Some(start(&hands, Mark::default()));
    let (mut mark, mut refused) = (Mark::default(), false);
    let written = |clock: &SteadyClock<&Hands>| {
        let mut mark = clock.mark();
        if mistake == Mistake::NoBoot {
            mark.boot = None;
        }
        if mistake == Mistake::NoGain {
            mark.gained = Duration::ZERO;
        }
        mark
    };
    mark = clock.as_ref().map_or(mark, written);
    for action in history {
        match (action, &clock) {
            (Wait, _) => machine.real.set(machine.real.get() + UNIT),
            (PutBack, _) => machine.shift.set(BEGIN - machine.real.get()),
            (PutAhead, _) => machine.shift.set(machine.shift.get() + MAX_GAP - UNIT),
            (Stop, Some(running)) => {
                mark = written(running);
                clock = None;
            }
            (Kill, Some(_)) => clock = None,
            (Start, None) => {
                show(&machine, &hands);
                clock = Some(start(&hands, mark));
            }
            (Reboot, None) => {
                machine.booted.set(machine.real.get());
                machine.boot.set(machine.boot.get() + 1);
            }
            (Ask, Some(running)) => {
                show(&machine, &hands);
                running.watch();
                match running.judge(Expiry::from_seconds(EXPIRY as u64)) {
                    Judgement::Expired => {
                        refused = true;
                        if mistake != Mistake::NoMarkBeforeRefusal {
                            mark = written(running);
                        }
                    }
                    Judgement::Lives if refused => return Some(Broken::Revived),
                    Judgement::Lives if machine.boot.get() == 0 && machine.real.get() >= EXPIRY => {
                        return Some(Broken::Stretched);
                    }
                    Judgement::Lives | Judgement::Suspect => {}
                }
            }
            _ => return None,
        }
        show(&machine, &hands);
        if let Some(running) = &clock {
            let ahead = running
                .now()
                .as_millis()
                .saturating_sub(millis(machine.real.get()));
            if machine.boot.get() == 0 && ahead > millis(MAX_GAP) {
                return Some(Broken::Early);
            }
        }
    }
    None
}

/// A history of at most so many actions that breaks such a promise first.
fn search(
    length: usize,
    mistake: Mistake,
    wanted: impl Fn(&Broken) -> bool,
) -> Option<(Vec<Action>, Broken)> {
    let mut histories: Vec<Vec<Action>> = vec![Vec::new()];
    for _ in 0..length {
        let longer = histories.iter().flat_map(|history| {
            ACTIONS.map(|action| {
                let mut longer = history.clone();
                longer.push(action);
                longer
            })
        });
        histories = longer.filter(|it| is_sensible(it)).collect();
        for history in &histories {
            if let Some(broken) = play(history, mistake).filter(&wanted) {
                return Some((history.clone(), broken));
            }
        }
    }
    None
}

/// Leaves out what cannot happen or changes nothing.
fn is_sensible(history: &[Action]) -> bool {
    let mut runs = true;
    let mut before = None;
    for action in history {
        let possible = match action {
            Wait | PutBack | PutAhead => true,
            Stop | Kill | Ask => runs,
            Start | Reboot => !runs,
        };
        if !possible || (before == Some(*action) && *action != Wait && *action != PutAhead) {
            return false;
        }
        runs = match action {
            Stop | Kill => false,
            Start => true,
            _ => runs,
        };
        before = Some(*action);
    }
    true
}

#[test]
fn no_history_breaks_a_promise() {
    assert_eq!(search(7, Mistake::None, |_| true), None);
}

#[test]
fn each_rule_is_needed() {
    for (mistake, broken) in [
        (Mistake::NoBoot, Broken::Stretched),
        (Mistake::NoMarkBeforeRefusal, Broken::Revived),
        (Mistake::NoGain, Broken::Early),
    ] {
        let found = search(7, mistake, |found| *found == broken);
        assert!(found.is_some(), "{mistake:?}");
        println!("{mistake:?}: {found:?}");
    }
}
