//! `/v1/keyspaces/{keyspace}/shreds`, `/v1/shreds`

mod across;
mod answer;
mod create;
mod show;

use lethe_core::receipt::ErasureId;

use super::problem::Problem;

/// Parses an id that the caller chose. Programs that have no id often send the nil or the max UUID. Both are
/// refused, because all such calls would name the same request.
pub(super) fn chosen_id(text: Option<&str>) -> Result<Option<ErasureId>, Problem> {
    let id: Option<ErasureId> = text.map(str::parse).transpose().map_err(Problem::invalid)?;
    let special = [
        ErasureId::from_bytes([0; 16]),
        ErasureId::from_bytes([0xff; 16]),
    ];
    match id {
        Some(id) if special.contains(&id) => Err(Problem::invalid(
            "an id must be neither the nil nor the max UUID",
        )),
        id => Ok(id),
    }
}

pub(super) use across::{CreateAcross, ShredAcross, ShredAcrossItem};
pub(super) use answer::{WaitBudget, await_one};
pub(super) use create::{Create, ShredItem, await_many};
pub(super) use show::Show;

#[cfg(test)]
mod tests {
    use super::chosen_id;

    #[test]
    fn an_id_is_a_uuid_that_somebody_chose() {
        let taken = |text: &str| chosen_id(Some(text)).is_ok_and(|id| id.is_some());
        assert!(taken("01890a5d-ac96-774b-bcce-b302099a8057"));
        assert!(taken("00000000-0000-0000-0000-000000000001"));
        for text in [
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
            "1",
            "",
        ] {
            assert!(!taken(text), "{text}");
        }
        assert_eq!(chosen_id(None), Ok(None));
    }
}
