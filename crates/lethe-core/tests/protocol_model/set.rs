//! Small sets.

use std::fmt;
use std::marker::PhantomData;

/// What can be a member of a [`Set`].
pub(crate) trait Member: Copy {
    /// How many there can be, at most 16.
    const COUNT: usize;

    /// Below [`Self::COUNT`].
    fn index(self) -> usize;

    fn of_index(index: usize) -> Self;
}

/// A set in two bytes, so that a state is small and quickly hashed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Set<T> {
    bits: u16,
    of: PhantomData<T>,
}

impl<T: Member> Set<T> {
    pub(crate) const EMPTY: Self = Self::of_bits(0);

    const fn of_bits(bits: u16) -> Self {
        Self {
            bits,
            of: PhantomData,
        }
    }

    pub(crate) fn single(member: T) -> Self {
        Self::of_bits(1 << member.index())
    }

    pub(crate) fn all() -> Self {
        (0..T::COUNT).map(T::of_index).collect()
    }

    pub(crate) fn contains(self, member: T) -> bool {
        self.meets(Self::single(member))
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.bits == 0
    }

    pub(crate) const fn with(self, other: Self) -> Self {
        Self::of_bits(self.bits | other.bits)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self::of_bits(self.bits & !other.bits)
    }

    pub(crate) const fn meets(self, other: Self) -> bool {
        self.bits & other.bits != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = T> {
        (0..T::COUNT)
            .map(T::of_index)
            .filter(move |member| self.contains(*member))
    }
}

impl<T: Member> FromIterator<T> for Set<T> {
    fn from_iter<I: IntoIterator<Item = T>>(members: I) -> Self {
        let members = members.into_iter().map(Self::single);
        members.fold(Self::EMPTY, Self::with)
    }
}

impl<T: Member + fmt::Debug> fmt::Debug for Set<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
