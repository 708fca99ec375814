//! Colours and bars. They are printed through `anstream`, which removes colours where they do not
//! belong.

use clap::builder::styling::{AnsiColor, Style};

/// Cells of a bar.
const WIDTH: u64 = 24;

fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Something that is as it should be.
pub(super) fn good(text: &str) -> String {
    paint(AnsiColor::Green.on_default(), text)
}

/// Something that somebody should look at.
pub(super) fn doubtful(text: &str) -> String {
    paint(AnsiColor::Yellow.on_default(), text)
}

/// Something that is wrong.
pub(super) fn bad(text: &str) -> String {
    paint(AnsiColor::Red.on_default().bold(), text)
}

/// A heading.
pub(super) fn strong(text: &str) -> String {
    paint(Style::new().bold(), text)
}

/// A bar that shows a part of a whole. More than nothing is never shown as empty, and less than all
/// never as full.
pub(super) fn share(part: u64, whole: u64) -> String {
    let exact = u128::from(part) * u128::from(WIDTH) / u128::from(whole.max(1));
    let mut full = u64::try_from(exact).unwrap_or(WIDTH).min(WIDTH);
    if part > 0 {
        full = full.max(1);
    }
    if part < whole {
        full = full.min(WIDTH - 1);
    }
    let cells = |cell: &str, count: u64| cell.repeat(usize::try_from(count).unwrap_or(0));
    format!("{}{}", cells("█", full), cells("░", WIDTH - full))
}

/// A row of small bars, one for each number.
pub(super) fn spread(counts: &[u64]) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let bar = |count: &u64| match count {
        0 => ' ',
        count => {
            let step = u128::from(*count) * 8 / u128::from(most);
            let step = usize::try_from(step).unwrap_or(8);
            HEIGHTS[step.clamp(1, 8) - 1]
        }
    };
    counts.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_say_nothing_and_all_only_when_it_is_so() {
        let full = |part, whole| share(part, whole).matches('█').count();
        assert_eq!(full(0, 100), 0);
        assert_eq!(full(1, 1_000_000), 1);
        assert_eq!(full(50, 100), 12);
        assert_eq!(full(999_999, 1_000_000), 23);
        assert_eq!(full(100, 100), 24);
        assert_eq!(full(300, 100), 24);
        assert_eq!(full(0, 0), 0);
        assert_eq!(full(u64::MAX, u64::MAX), 24);
        assert_eq!(share(7, 9).chars().count(), 24);
    }

    #[test]
    fn a_spread_has_the_height_of_its_largest() {
        assert_eq!(spread(&[0, 1, 4, 8]), " ▁▄█");
        assert_eq!(spread(&[5, 5]), "██");
        assert_eq!(spread(&[0, 0]), "  ");
        assert_eq!(spread(&[u64::MAX, 1]), "█▁");
        assert_eq!(spread(&[]), "");
    }
}
