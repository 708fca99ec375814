//! The current generation of a conversation. Its shredded generations are always 0 to g-1, so g is
//! found by galloping and then halving.

use super::lookup::{LoadedPages, Walk};
use super::sealed::PageReference;
use super::{Address, Tree};
use crate::grid::Generation;

/// How many generations a conversation has in one key version.
pub const GENERATIONS: u32 = 1 << 16;

/// What the search finds.
#[derive(Debug)]
pub enum CurrentGeneration {
    /// The first generation that is not shredded.
    Found(Generation),
    /// All of them are shredded: the conversation ends here until the next key version.
    UsedUp,
    /// This row has to be loaded and opened first. Then search again.
    Missing(PageReference),
}

impl Tree<'_> {
    /// Finds the first generation whose leaf is neither forgotten nor `accepted` for forgetting.
    pub fn current_generation(
        &self,
        address: impl Fn(Generation) -> Address,
        accepted: impl Fn(Address) -> bool,
        pages: &impl LoadedPages,
    ) -> CurrentGeneration {
        let found = first_live(|generation| {
            let address = address(generation);
            if accepted(address) {
                return Ok(true);
            }
            match self.walk(address, pages, |_, _| ()) {
                Walk::Covered(()) => Ok(false),
                Walk::Forgotten => Ok(true),
                Walk::Missing(page) => Err(page),
            }
        });
        match found {
            Ok(Some(generation)) => CurrentGeneration::Found(generation),
            Ok(None) => CurrentGeneration::UsedUp,
            Err(page) => CurrentGeneration::Missing(page),
        }
    }
}

/// None when every generation is shredded.
fn first_live<E>(
    mut shredded: impl FnMut(Generation) -> Result<bool, E>,
) -> Result<Option<Generation>, E> {
    // All below `live_from` that were asked are shredded; `end` is live, or behind the last.
    let (mut live_from, mut end) = (0, 0);
    while let Some(generation) = numbered(end) {
        if !shredded(generation)? {
            break;
        }
        live_from = end + 1;
        end = end * 2 + 1;
    }
    end = end.min(GENERATIONS);
    while live_from < end {
        let middle = live_from.midpoint(end);
        match numbered(middle) {
            Some(generation) if shredded(generation)? => live_from = middle + 1,
            _ => end = middle,
        }
    }
    Ok(numbered(end))
}

fn numbered(number: u32) -> Option<Generation> {
    u16::try_from(number).ok().map(Generation::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(shredded: u32) -> (Option<u16>, u32) {
        let mut asked = 0;
        let found = first_live(|generation| {
            asked += 1;
            Ok::<_, std::convert::Infallible>(u32::from(generation.number()) < shredded)
        });
        (found.unwrap().map(Generation::number), asked)
    }

    #[test]
    fn finds_every_border_in_few_questions() {
        for shredded in (0..=300).chain(65_000..=65_535) {
            let (found, asked) = search(shredded);
            assert_eq!(found, u16::try_from(shredded).ok(), "{shredded}");
            assert!(asked <= 33, "{shredded}: {asked}");
        }
        assert_eq!(
            search(0).1,
            1,
            "a conversation never shredded costs one question"
        );
    }

    #[test]
    fn the_last_generation_is_the_end() {
        assert_eq!(search(65_535).0, Some(65_535));
        assert_eq!(search(65_536).0, None);
    }
}
