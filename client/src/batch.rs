//! Divides long lists into calls that the service accepts.

use serde::Serialize;

/// Most items that the service accepts in one call.
const MAX_ITEMS: usize = 1_000;
/// Below the service's limit of 1 MiB for a body, with room for the frame.
const MAX_BYTES: usize = (1 << 20) - 1_024;

/// The body of one batch, and the number of its items.
pub(crate) struct Chunk {
    pub(crate) body: Vec<u8>,
    pub(crate) items: usize,
}

/// As many `{"items":[...]}` as needed, in order. One item is far below the limit, because ids are
/// bounded.
pub(crate) fn chunks<T: Serialize>(
    items: impl IntoIterator<Item = T>,
) -> serde_json::Result<Vec<Chunk>> {
    let mut chunks: Vec<Chunk> = Vec::new();
    for item in items {
        let json = serde_json::to_vec(&item)?;
        match chunks.last_mut() {
            Some(open) if open.items < MAX_ITEMS && open.body.len() + json.len() < MAX_BYTES => {
                open.body.push(b',');
                open.body.extend_from_slice(&json);
                open.items += 1;
            }
            _ => chunks.push(Chunk {
                body: [b"{\"items\":[".as_slice(), &json].concat(),
                items: 1,
            }),
        }
    }
    for chunk in &mut chunks {
        chunk.body.extend_from_slice(b"]}");
    }
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunk: &Chunk) -> Vec<String> {
        let value: serde_json::Value = serde_json::from_slice(&chunk.body).unwrap();
        let items = value["items"].as_array().unwrap();
        assert_eq!(items.len(), chunk.items);
        items
            .iter()
            .map(|item| item.as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn a_thousand_fit_and_one_more_opens_the_next() {
        let items: Vec<_> = (0..2_001).map(|n| n.to_string()).collect();
        let chunks = chunks(&items).unwrap();
        let sizes: Vec<_> = chunks.iter().map(|chunk| chunk.items).collect();
        assert_eq!(sizes, [1_000, 1_000, 1]);
        assert_eq!(chunks.iter().flat_map(read).collect::<Vec<_>>(), items);
        assert!(super::chunks(Vec::<String>::new()).unwrap().is_empty());
    }

    #[test]
    fn long_items_stay_below_the_limit_of_a_body() {
        let items = vec!["\"".repeat(1_000); 1_000];
        let chunks = chunks(&items).unwrap();
        assert_eq!(chunks.len(), 2);
        assert!(chunks.iter().all(|chunk| chunk.body.len() <= 1 << 20));
        assert_eq!(chunks.iter().flat_map(read).count(), 1_000);
    }
}
