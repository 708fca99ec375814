use std::sync::Mutex;

use super::*;

/// Wall clock and time since boot, in milliseconds, and which boot it is.
struct Hands(Mutex<(u64, u64)>, Option<u8>);

impl Hands {
    fn new(wall: u64, boot: u64) -> Self {
        Self(Mutex::new((wall, boot)), None)
    }

    fn of_boot(id: u8, wall: u64, boot: u64) -> Self {
        Self(Mutex::new((wall, boot)), Some(id))
    }

    fn set(&self, wall: u64, boot: u64) {
        *self.0.lock().unwrap() = (wall, boot);
    }
}

impl Clock for &Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.lock().unwrap().0)
    }
    fn since_boot(&self) -> Duration {
        Duration::from_millis(self.0.lock().unwrap().1)
    }
    fn boot_id(&self) -> Option<BootId> {
        self.1.map(|id| [id; 16])
    }
}

const GAP: u64 = 10_000;
const YEAR: u64 = 365 * 86_400_000;

fn mark(high_water: Option<u64>, lag: u64) -> Mark {
    Mark {
        high_water: high_water.map(Timestamp::from_millis),
        lag: Duration::from_millis(lag),
        ..Mark::default()
    }
}

fn at(hands: &Hands, high_water: Option<u64>) -> SteadyClock<&Hands> {
    restarted(hands, mark(high_water, 0))
}

fn restarted(hands: &Hands, mark: Mark) -> SteadyClock<&Hands> {
    SteadyClock::new(hands, mark, trust(false))
}

fn trust(confirm_after_reboot: bool) -> Trust {
    Trust {
        max_gap: Duration::from_millis(GAP),
        confirm_after_reboot,
    }
}

/// As the store would keep it.
fn confirm(clock: &SteadyClock<&Hands>) -> Mark {
    let confirmed = clock.confirmation();
    let mark = clock.mark_of(confirmed);
    clock.adopt(confirmed);
    mark
}

fn judged(clock: &SteadyClock<&Hands>, expiry_ms: u64) -> Judgement {
    clock.judge(Expiry::from_seconds(expiry_ms / 1_000))
}

#[test]
fn follows_the_wall_clock_forward_and_never_back() {
    let hands = Hands::new(1_000, 50);
    let clock = at(&hands, None);
    for (wall, boot, steady) in [
        (1_000, 50, 1_000),
        (2_000, 60, 2_000),
        (500, 160, 2_100),
        (2_050, 260, 2_200),
        (9_000, 300, 9_000),
    ] {
        hands.set(wall, boot);
        assert_eq!(clock.now().as_millis(), steady);
        assert_eq!(clock.watch(), None);
    }
}

#[test]
fn a_wall_clock_that_stands_still_does_not_stop_time_however_long() {
    let hands = Hands::new(1_000, 0);
    let clock = at(&hands, None);
    for boot in (0..20 * GAP).step_by(500) {
        hands.set(1_000, boot);
        assert_eq!(clock.watch(), None);
        assert_eq!(clock.now().as_millis(), 1_000 + boot);
        assert_eq!(clock.reading().doubt, None);
    }
    // What was slow is put right: no jump, since as much has run.
    hands.set(1_000 + 20 * GAP, 20 * GAP);
    assert_eq!(clock.watch(), None);
    assert_eq!(clock.now().as_millis(), 1_000 + 20 * GAP);
}

#[test]
fn starts_no_earlier_than_the_high_water_mark() {
    let hands = Hands::new(1_000, 50);
    let clock = at(&hands, Some(5_000));
    assert_eq!(clock.now().as_millis(), 5_000);
    hands.set(1_010, 60);
    assert_eq!(clock.now().as_millis(), 5_010);
    assert_eq!(clock.watch(), None);
}

#[test]
fn a_pause_up_to_the_gap_is_caught_up_and_a_longer_one_doubted() {
    let hands = Hands::new(5_000 + GAP, 0);
    let clock = at(&hands, Some(5_000));
    assert_eq!(clock.now().as_millis(), 5_000 + GAP);
    assert_eq!((clock.doubt(), clock.watch()), (None, None));
    let clock = at(&hands, Some(4_999));
    assert_eq!(clock.now().as_millis(), 4_999);
    assert_eq!(clock.doubt(), Some(Doubt::Ahead));
}

#[test]
fn a_jump_ahead_moves_nothing_until_it_is_confirmed() {
    let hands = Hands::new(YEAR, 1_000);
    let clock = at(&hands, None);
    assert_eq!(clock.watch(), None);
    hands.set(2 * YEAR, 2_000);
    // Before anybody has watched, too.
    assert_eq!(clock.now().as_millis(), YEAR + 1_000);
    assert_eq!(clock.reading().doubt, Some(Doubt::Ahead));
    assert_eq!(clock.watch(), Some(Doubt::Ahead));
    hands.set(2 * YEAR + 1_000, 3_000);
    assert_eq!(clock.now().as_millis(), YEAR + 2_000);
    assert_eq!(judged(&clock, YEAR), Judgement::Expired);
    assert_eq!(judged(&clock, YEAR + 60_000), Judgement::Suspect);
    assert_eq!(judged(&clock, 3 * YEAR), Judgement::Lives);
    let mark = confirm(&clock);
    assert_eq!(clock.now().as_millis(), 2 * YEAR + 1_000);
    assert_eq!((clock.watch(), clock.reading().doubt), (None, None));
    assert_eq!(judged(&clock, YEAR + 60_000), Judgement::Expired);
    // Known after a restart.
    let clock = restarted(&hands, mark);
    assert_eq!((clock.doubt(), clock.watch()), (None, None));
    assert_eq!(clock.now().as_millis(), 2 * YEAR + 1_000);
}

#[test]
fn many_small_jumps_ahead_are_a_large_one() {
    let hands = Hands::new(YEAR, 0);
    let clock = at(&hands, None);
    let mut doubted = None;
    for step in 1..=3 {
        hands.set(YEAR + step * (GAP / 2 + 1), step);
        doubted = clock.watch();
        // Who asks for the time goes along with it.
        clock.now();
    }
    assert_eq!(doubted, Some(Doubt::Ahead));
    assert!(clock.now().as_millis() <= YEAR + GAP + 3);
}

#[test]
fn a_wall_clock_that_comes_back_serves_again_and_destroys_nothing() {
    let hands = Hands::new(YEAR, 0);
    let clock = at(&hands, None);
    hands.set(2 * YEAR, 1_000);
    assert_eq!(clock.watch(), Some(Doubt::Ahead));
    hands.set(YEAR + 2_000, 2_000);
    assert_eq!(clock.watch(), Some(Doubt::Ahead));
    assert_eq!(clock.reading().doubt, None);
    assert_eq!(judged(&clock, YEAR + 60_000), Judgement::Lives);
    let mark = confirm(&clock);
    assert_eq!(mark.lag, Duration::ZERO);
    assert_eq!(clock.watch(), None);
    assert_eq!(clock.now().as_millis(), YEAR + 2_000);
}

#[test]
fn a_jump_back_is_doubted_and_time_goes_on() {
    let hands = Hands::new(2 * YEAR, 0);
    let clock = at(&hands, None);
    assert_eq!(clock.watch(), None);
    hands.set(YEAR, 1_000);
    assert_eq!(clock.watch(), Some(Doubt::Behind));
    assert_eq!(clock.reading().doubt, Some(Doubt::Behind));
    assert_eq!(clock.now().as_millis(), 2 * YEAR + 1_000);
    assert_eq!(judged(&clock, 2 * YEAR), Judgement::Expired);
    assert_eq!(judged(&clock, 2 * YEAR + 60_000), Judgement::Lives);
}

#[test]
fn a_confirmed_jump_back_never_turns_time_back_and_downtime_counts() {
    let hands = Hands::new(2 * YEAR, 0);
    let clock = at(&hands, None);
    hands.set(YEAR, 1_000);
    assert_eq!(clock.watch(), Some(Doubt::Behind));
    let mark = confirm(&clock);
    assert_eq!(mark.lag.as_millis(), u128::from(YEAR + 1_000));
    assert_eq!((clock.watch(), clock.reading().doubt), (None, None));
    assert_eq!(clock.now().as_millis(), 2 * YEAR + 1_000);
    // Down for 5 s, booted anew: the time down counts.
    hands.set(YEAR + 5_000, 7);
    let clock = restarted(&hands, mark);
    assert_eq!((clock.doubt(), clock.watch()), (None, None));
    assert_eq!(clock.now().as_millis(), 2 * YEAR + 6_000);
    // The wall clock is put right at last: a jump like any other, and then no lead is left.
    hands.set(2 * YEAR + 6_000, 1_007);
    assert_eq!(clock.watch(), Some(Doubt::Ahead));
    let mark = confirm(&clock);
    assert_eq!(clock.now().as_millis(), 2 * YEAR + 7_000);
    assert_eq!(mark.lag.as_millis(), 1_000);
}

#[test]
fn behind_the_mark_at_the_start_nobody_knows_how_long_it_was_down() {
    let hands = Hands::new(0, 0);
    let clock = at(&hands, Some(YEAR));
    assert_eq!(clock.doubt(), Some(Doubt::BehindAtStart));
    hands.set(1_000, 1_000);
    assert_eq!(clock.watch(), Some(Doubt::BehindAtStart));
    assert_eq!(clock.now().as_millis(), YEAR + 1_000);
    assert_eq!(judged(&clock, YEAR), Judgement::Expired);
    assert_eq!(judged(&clock, 3 * YEAR), Judgement::Suspect);
    // The time comes from the network.
    hands.set(YEAR + 8_000, 2_000);
    assert_eq!(clock.watch(), Some(Doubt::BehindAtStart));
    assert_eq!(clock.now().as_millis(), YEAR + 8_000);
    assert_eq!(judged(&clock, 3 * YEAR), Judgement::Lives);
}

#[test]
fn on_one_boot_the_time_down_counts_whatever_the_wall_clock_says() {
    let hands = Hands::of_boot(1, YEAR, 1_000);
    let mut mark = at(&hands, None).mark();
    // Stopped, put back to where it was, started: again and again.
    for stop in 1..=4 {
        hands.set(YEAR + stop, 1_000 + stop * 2_000);
        let clock = restarted(&hands, mark);
        assert_eq!(clock.doubt(), None, "{stop}");
        assert_eq!(clock.now().as_millis(), YEAR + stop * 2_000);
        mark = clock.mark();
    }
    // Further back than the gap: doubted, but the time is known.
    hands.set(YEAR, 50_000);
    let clock = restarted(&hands, mark);
    assert_eq!(clock.doubt(), Some(Doubt::Behind));
    assert_eq!(clock.now().as_millis(), YEAR + 49_000);
    assert_eq!(judged(&clock, YEAR + 49_000), Judgement::Expired);
    assert_eq!(judged(&clock, 2 * YEAR), Judgement::Lives);
}

#[test]
fn on_one_boot_restarts_do_not_let_the_wall_clock_gain_more() {
    let hands = Hands::of_boot(1, YEAR, 0);
    let mut mark = at(&hands, None).mark();
    let mut doubted = None;
    for start in 1..=3 {
        hands.set(YEAR + start * (GAP / 2 + 1), start);
        let clock = restarted(&hands, mark);
        doubted = clock.watch();
        assert!(clock.now().as_millis() <= YEAR + GAP + start);
        mark = clock.mark();
    }
    assert_eq!(doubted, Some(Doubt::Ahead));
}

#[test]
fn over_a_boot_nobody_knows_the_time_down_and_an_operator_may_want_to_confirm_it() {
    let before = Hands::of_boot(1, YEAR, 500_000);
    let mark = at(&before, None).mark();
    // Booted anew; the same boot whose clock ran back; a machine that cannot name its boot.
    for (id, boot) in [(Some(2), 600_000), (Some(1), 400_000), (None, 600_000)] {
        let hands = Hands(Mutex::new((YEAR + 3, boot)), id);
        let clock = restarted(&hands, mark);
        assert_eq!(clock.doubt(), None);
        assert_eq!(clock.now().as_millis(), YEAR + 3);
        let mut clock = SteadyClock::new(&hands, mark, trust(true));
        for _ in 0..2 {
            assert_eq!(clock.watch(), Some(Doubt::Rebooted));
            assert_eq!(clock.reading().doubt, Some(Doubt::Rebooted));
            assert_eq!(judged(&clock, YEAR), Judgement::Expired);
            assert_eq!(judged(&clock, 2 * YEAR), Judgement::Suspect);
            // Another restart confirms nothing.
            clock = SteadyClock::new(&hands, clock.mark(), trust(true));
        }
        let mark = confirm(&clock);
        assert_eq!((clock.watch(), clock.reading().doubt), (None, None));
        assert_eq!(judged(&clock, 2 * YEAR), Judgement::Lives);
        let again = SteadyClock::new(&hands, mark, trust(true));
        let known = (id.is_none()).then_some(Doubt::Rebooted);
        assert_eq!(again.doubt(), known);
    }
    // The first start of all has no stop before it.
    let first = SteadyClock::new(&before, Mark::default(), trust(true));
    assert_eq!(first.doubt(), None);
}

#[test]
fn a_confirmation_tells_whether_it_leaps_whatever_was_doubted() {
    let mark = at(&Hands::of_boot(1, YEAR, 500_000), None).mark();
    for (wall, doubt) in [
        (YEAR + 3, Doubt::Rebooted),
        (YEAR - 2 * GAP, Doubt::BehindAtStart),
    ] {
        let hands = Hands::of_boot(2, wall, 600_000);
        let clock = SteadyClock::new(&hands, mark, trust(true));
        assert!(!clock.leaps(clock.confirmation()));
        hands.set(YEAR + 2 * GAP, 600_001);
        assert_eq!(clock.watch(), Some(doubt));
        assert!(clock.leaps(clock.confirmation()));
    }
}

#[test]
fn confirming_a_clock_that_is_trusted_changes_nothing() {
    let hands = Hands::new(YEAR, 0);
    let clock = at(&hands, None);
    hands.set(YEAR - 3_000, 1_000);
    let mark = confirm(&clock);
    assert_eq!(mark.lag, Duration::ZERO);
    assert_eq!(clock.now().as_millis(), YEAR + 1_000);
}

#[test]
fn numbers_at_the_end_of_time_do_no_harm() {
    for (wall, boot, high_water) in [
        (u64::MAX, 0, Some(0)),
        (0, u64::MAX, Some(u64::MAX)),
        (u64::MAX, u64::MAX, None),
    ] {
        let hands = Hands::new(wall, boot);
        let clock = restarted(&hands, mark(high_water, u64::MAX));
        clock.watch();
        clock.now();
        confirm(&clock);
        clock.now();
    }
}

proptest::proptest! {
    #[test]
    fn never_back_and_never_further_than_the_gap_unconfirmed(
        steps in proptest::collection::vec((0_u64..3 * YEAR, 0_u64..5_000), 1..50),
    ) {
        let hands = Hands::new(YEAR, 0);
        let clock = at(&hands, None);
        let (mut boot, mut before) = (0, 0);
        for (wall, elapsed) in steps {
            boot += elapsed;
            hands.set(wall, boot);
            clock.watch();
            let now = clock.now().as_millis();
            proptest::prop_assert!(now >= before + elapsed || before == 0);
            proptest::prop_assert!(now >= YEAR + boot);
            proptest::prop_assert!(now <= YEAR + boot + GAP);
            before = now;
        }
    }
}
