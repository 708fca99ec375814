//! Small damage to bytes that were valid.

use proptest::prelude::*;

/// One change; positions are taken modulo the length.
#[derive(Debug, Clone, Copy)]
pub enum Spoil {
    Flip {
        at: usize,
        bit: u8,
    },
    Set {
        at: usize,
        byte: u8,
    },
    /// A letter in its other case: other text for the same number.
    Case {
        at: usize,
    },
    Cut {
        at: usize,
        length: usize,
    },
    /// Bytes of one part again in another.
    Splice {
        from: usize,
        length: usize,
        to: usize,
    },
}

/// None in a third of the cases, so that valid ones come through, too.
pub fn spoils() -> impl Strategy<Value = Vec<Spoil>> {
    let at = || any::<usize>();
    let one = prop_oneof![
        (at(), 0_u8..8).prop_map(|(at, bit)| Spoil::Flip { at, bit }),
        (at(), any::<u8>()).prop_map(|(at, byte)| Spoil::Set { at, byte }),
        at().prop_map(|at| Spoil::Case { at }),
        (at(), 1_usize..80).prop_map(|(at, length)| Spoil::Cut { at, length }),
        (at(), 1_usize..80, at()).prop_map(|(from, length, to)| Spoil::Splice { from, length, to }),
    ];
    prop_oneof![1 => Just(vec![]), 2 => prop::collection::vec(one, 1..4)]
}

impl Spoil {
    pub fn all(spoils: &[Self], bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        spoils.iter().for_each(|spoil| spoil.apply(&mut bytes));
        bytes
    }

    fn apply(self, bytes: &mut Vec<u8>) {
        let Some(last) = bytes.len().checked_sub(1) else {
            return;
        };
        let place = |at: usize| at % (last + 1);
        let range = |at: usize, length: usize| place(at)..last.min(place(at) + length);
        match self {
            Self::Flip { at, bit } => bytes[place(at)] ^= 1 << bit,
            Self::Set { at, byte } => bytes[place(at)] = byte,
            Self::Case { at } if bytes[place(at)].is_ascii_alphabetic() => {
                bytes[place(at)] ^= 0x20;
            }
            Self::Case { .. } => {}
            Self::Cut { at, length } => drop(bytes.drain(range(at, length))),
            Self::Splice { from, length, to } => {
                let part = bytes[range(from, length)].to_vec();
                let to = place(to);
                drop(bytes.splice(to..to, part));
            }
        }
    }
}
