//! Finds receipts and openings in JSON: one alone, an answer of the API, the answer of a batch, or any
//! number of these one after the other, as in JSON lines. The text of a value is kept as it is, so that
//! nothing that was signed is altered.

use std::cell::Cell;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

use serde::Deserialize;
use serde_json::Deserializer;
use serde_json::value::RawValue;

/// Longest value that is read, the answer of a large batch many times over.
const LONGEST: usize = 64 << 20;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("not JSON: {0}")]
    Json(String),
    #[error("a value in it is longer than 64 MiB")]
    TooLong,
    #[error("value {0} in it holds no {1}")]
    Nothing(usize, &'static str),
    #[error(transparent)]
    System(#[from] io::Error),
}

/// What one value holds, as text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Receipt {
        receipt: String,
        opening: Option<String>,
    },
    /// An answer that says that there is none: refused, or not yet destroyed.
    NoReceipt,
}

/// Every receipt of a file, in order; ends after the first error.
pub(super) fn receipts(file: impl Read) -> impl Iterator<Item = Result<Found, Unreadable>> {
    receipts_below(LONGEST, file)
}

fn receipts_below(
    longest: usize,
    file: impl Read,
) -> impl Iterator<Item = Result<Found, Unreadable>> {
    each(longest, file, |answer, number| {
        answer.receipt(number).map(Some)
    })
}

/// Every opening of a file.
pub(super) fn openings(file: impl Read) -> Result<Vec<String>, Unreadable> {
    each(LONGEST, file, |answer, number| answer.opening(number)).collect()
}

/// The fields that show what kind of value this is. All other fields are skipped.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(skip)]
    text: &'a str,
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
    /// Present in a page of receipts of expired buckets.
    #[serde(borrow)]
    expiries: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    receipt: Option<&'a RawValue>,
    #[serde(borrow)]
    opening: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    state: Option<String>,
    /// Present in a receipt that stands alone.
    #[serde(borrow)]
    format: Option<&'a RawValue>,
    /// Present in an opening that stands alone.
    #[serde(borrow)]
    salt: Option<&'a RawValue>,
}

impl<'a> Answer<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let answer: Self = serde_json::from_str(text).ok()?;
        Some(Self { text, ..answer })
    }

    fn receipt(&self, number: usize) -> Result<Found, Unreadable> {
        let text = |value: &RawValue| value.get().to_owned();
        match (self.format, self.receipt) {
            (Some(_), None) => Ok(Found::Receipt {
                receipt: self.text.to_owned(),
                opening: None,
            }),
            (None, Some(receipt)) => Ok(Found::Receipt {
                receipt: text(receipt),
                opening: self.opening.map(text),
            }),
            (None, None) if self.error.is_some() || self.state.as_deref() == Some("accepted") => {
                Ok(Found::NoReceipt)
            }
            _ => Err(Unreadable::Nothing(number, "receipt")),
        }
    }

    fn opening(&self, number: usize) -> Result<Option<String>, Unreadable> {
        match (self.salt, self.opening) {
            (Some(_), None) => Ok(Some(self.text.to_owned())),
            (None, Some(opening)) => Ok(Some(opening.get().to_owned())),
            (None, None) if self.error.is_some() => Ok(None),
            _ => Err(Unreadable::Nothing(number, "opening")),
        }
    }
}

/// One value after the other, the items of a batch one by one.
fn each<T>(
    longest: usize,
    file: impl Read,
    take: impl Fn(&Answer<'_>, usize) -> Result<Option<T>, Unreadable>,
) -> impl Iterator<Item = Result<T, Unreadable>> {
    let left = Rc::new(Cell::new(longest));
    let file = Limited {
        file: BufReader::new(file),
        left: Rc::clone(&left),
    };
    let values = Deserializer::from_reader(file).into_iter::<Box<RawValue>>();
    let mut broken = false;
    (1..)
        .zip(values)
        .map(move |(number, value)| {
            let over = left.replace(longest) == 0;
            let value = value.map_err(|error| unreadable(&error, over))?;
            items(value.get(), number, &take)
        })
        .flat_map(|taken| match taken {
            Ok(items) => items.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
        .take_while(move |taken| {
            let go_on = !broken;
            broken |= taken.is_err();
            go_on
        })
}

fn items<T>(
    text: &str,
    number: usize,
    take: &impl Fn(&Answer<'_>, usize) -> Result<Option<T>, Unreadable>,
) -> Result<Vec<T>, Unreadable> {
    let nothing = || Unreadable::Nothing(number, "answer of Lethe");
    let answer = Answer::read(text).ok_or_else(nothing)?;
    let Some(items) = answer.items.as_ref().or(answer.expiries.as_ref()) else {
        return Ok(take(&answer, number)?.into_iter().collect());
    };
    let items = items.iter().map(|item| {
        let item = Answer::read(item.get()).ok_or_else(nothing)?;
        take(&item, number)
    });
    items.filter_map(Result::transpose).collect()
}

fn unreadable(error: &serde_json::Error, over: bool) -> Unreadable {
    match error.io_error_kind() {
        Some(_) if over => Unreadable::TooLong,
        Some(kind) => Unreadable::System(kind.into()),
        None => Unreadable::Json(error.to_string()),
    }
}

/// Ends a value that would fill the memory.
struct Limited<R> {
    file: R,
    left: Rc<Cell<usize>>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let most = bytes.len().min(self.left.get());
        let read = self.file.read(&mut bytes[..most])?;
        self.left.set(self.left.get() - read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
