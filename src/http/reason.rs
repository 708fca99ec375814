//! The reason that a caller gives for a destruction. It goes into the audit record and is shown to the second operator.

use super::problem::Problem;

/// Largest number of characters.
const MOST: usize = 256;

/// Checks a reason. An empty text counts as no reason.
pub(super) fn reason(text: Option<&str>) -> Result<Option<Box<str>>, Problem> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text.chars().count() > MOST || text.chars().any(char::is_control) {
        return Err(Problem::invalid(
            "a reason has at most 256 characters, and no control characters",
        ));
    }
    Ok(Some(text.into()))
}

/// The reason of a batch. All items that give one must give the same.
pub(super) fn common<'a>(
    texts: impl Iterator<Item = Option<&'a str>>,
) -> Result<Option<Box<str>>, Problem> {
    let mut found = None;
    for text in texts.flatten().filter(|text| !text.is_empty()) {
        match found {
            None => found = Some(text),
            Some(first) if first == text => {}
            Some(_) => return Err(Problem::invalid("the items of a batch bear one reason")),
        }
    }
    reason(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_one_for_all() {
        let longest = "ä".repeat(256);
        assert_eq!(reason(Some(&longest)).unwrap().as_deref(), Some(&*longest));
        assert!(reason(Some(&(longest + "a"))).is_err());
        assert!(reason(Some("a\u{1b}[31m")).is_err());
        assert_eq!(reason(Some("")), Ok(None));
        let all = |texts: &[Option<&str>]| common(texts.iter().copied());
        assert_eq!(
            all(&[None, Some("a"), Some(""), Some("a")]),
            Ok(Some("a".into()))
        );
        assert!(all(&[Some("a"), Some("b")]).is_err());
        assert_eq!(all(&[None, None]), Ok(None));
    }
}
