//! What somebody can do to the database of a stopped service.

use super::state::{Batch, Phase, ROWS, Request, Row, State, Who};

/// Edits of one history, at most.
const MOST: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Edit {
    /// The request of this place forgets another leaf.
    OtherLeaf(u8),
    /// It speaks of somebody else.
    OtherConversation(u8),
    /// A request of this place that nobody made.
    MakeUp(u8),
    Remove(u8),
    /// The row that stood in one place stands in another one, with its MAC.
    Copy(u8, u8),
    /// A batch of an old sequence, or of the present one, over this request.
    OldBatch(u8),
    PresentBatch(u8),
    /// A bucket that never was, expired.
    Bucket,
    LowerMinimum,
}

impl Edit {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let places = 1..=ROWS as u8;
        let of_one = places.clone().flat_map(|place| {
            [
                Self::OtherLeaf(place),
                Self::OtherConversation(place),
                Self::MakeUp(place),
                Self::Remove(place),
                Self::OldBatch(place),
                Self::PresentBatch(place),
            ]
        });
        let copies = places
            .clone()
            .flat_map(|from| (1..=ROWS as u8).map(move |to| (from, to)));
        let copies = copies.map(|(from, to)| Self::Copy(from, to));
        of_one
            .chain(copies)
            .chain([Self::Bucket, Self::LowerMinimum])
    }

    /// None where it is not possible, or changes nothing.
    pub(crate) fn apply(self, state: &mut State) -> Option<()> {
        if state.phase != Phase::Stopped || state.edits == MOST {
            return None;
        }
        let before = state.clone();
        match self {
            Self::OtherLeaf(place) => row(state, place).as_mut()?.request.leaf = Who::NeverAsked,
            Self::OtherConversation(place) => {
                row(state, place).as_mut()?.request.of = Who::NeverAsked;
            }
            Self::MakeUp(place) => {
                let request = Request {
                    of: Who::NeverAsked,
                    leaf: Who::First,
                };
                *row(state, place) = Some(Row { request, mac: None });
            }
            Self::Remove(place) => *row(state, place) = None,
            Self::Copy(from, to) => {
                let archive = state.archive.clone();
                let (_, found) = archive.iter().find(|(number, _)| *number == from)?;
                *row(state, to) = Some(*found);
            }
            Self::OldBatch(place) => state.unsigned = Some(batch(0, place)),
            Self::PresentBatch(place) => {
                state.unsigned = Some(batch(state.directory.sequence, place));
            }
            Self::Bucket => state.bucket = Some(false),
            Self::LowerMinimum => state.minimum = 0,
        }
        state.edits += 1;
        let changed = State {
            edits: before.edits + 1,
            ..before
        };
        (*state != changed).then_some(())
    }
}

fn row(state: &mut State, place: u8) -> &mut Option<Row> {
    &mut state.requests[usize::from(place - 1)]
}

const fn batch(sequence: u8, place: u8) -> Batch {
    Batch {
        sequence,
        first: place,
        last: place,
    }
}
