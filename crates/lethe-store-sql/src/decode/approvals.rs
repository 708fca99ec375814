use lethe_core::approval::{
    Action, Approval, ApprovalId, ApprovalState, Decision, End, Scope, Void,
};
use lethe_core::duration::Span;
use lethe_core::identity::KeyspaceId;
use lethe_core::keyspace::Policy;
use lethe_core::ports::StoreError;
use lethe_core::receipt::ErasureId;

use super::Source;
use crate::row::StoredRow;

pub fn approval(row: &impl StoredRow) -> Result<Approval, StoreError> {
    let source = Source::new(row, "approval");
    let number = |column| {
        let number = source.number(column)?;
        u32::try_from(number).map_err(|_| source.corrupt(column))
    };
    let action = match source.number("kind")? {
        1 => Action::Shred {
            conversations: number("conversations")?,
            single: number("alone")? == 1,
        },
        2 => Action::EraseKeyspace,
        3 => Action::DropVersion(source.version("version")?),
        4 => Action::SetMinimum(source.version("version")?),
        5 => settings(&source)?,
        6 => Action::ConfirmClock,
        7 => Action::MoveHsm,
        _ => return Err(source.corrupt("kind")),
    };
    let scope = match source.optional_bytes("keyspace_id")? {
        None => None,
        Some(id) => Some(Scope {
            id: KeyspaceId::from_bytes(id),
            name: source.name("keyspace_name")?,
        }),
    };
    let decision = match source.optional_bytes("second_key")? {
        None => None,
        Some(key) => Some(Decision {
            by: source.principal("second_by", key)?,
            at: source.time("second_at_ms")?,
        }),
    };
    Ok(Approval {
        id: ApprovalId::from_bytes(source.bytes("id")?),
        action,
        scope,
        asked_by: source.principal("asked_by", source.bytes("asked_key")?)?,
        asked_at: source.time("asked_at_ms")?,
        expires_at: source.time("expires_at_ms")?,
        reason: source.optional_text("reason")?.map(Into::into),
        digest: source.optional_bytes("digest")?,
        state: approval_state(&source)?,
        decision,
    })
}

fn approval_state(source: &Source<'_>) -> Result<ApprovalState, StoreError> {
    Ok(ApprovalState::Ended(match source.number("state")? {
        0 => return Ok(ApprovalState::Waiting),
        2 => return Ok(ApprovalState::Approved),
        3 => End::Expired,
        4 => End::Void(match source.number("void_reason")? {
            1 => Void::KeyspaceGone,
            2 => Void::AskerGone,
            3 => Void::Outdated,
            _ => return Err(source.corrupt("void_reason")),
        }),
        5 => End::Withdrawn,
        _ => return Err(source.corrupt("state")),
    }))
}

/// Twelve numbers each: the settings before and after.
fn settings(source: &Source<'_>) -> Result<Action, StoreError> {
    let bytes: [u8; 192] = source.bytes("settings")?;
    let (numbers, _) = bytes.as_chunks::<8>();
    let numbers: Vec<u64> = numbers.iter().copied().map(u64::from_be_bytes).collect();
    let policy = |numbers: &[u64]| {
        let policy = Policy::new(
            Span::from_seconds(numbers[0]),
            Span::from_seconds(numbers[1]),
            Span::from_millis(numbers[2]),
            Span::from_millis(numbers[3]),
        );
        let shorter = numbers[4..].iter().filter(|seconds| **seconds > 0);
        let shorter: Vec<Span> = shorter.copied().map(Span::from_seconds).collect();
        let policy = policy.and_then(|policy| policy.with_shorter_retentions(&shorter));
        policy.map_err(|_| source.corrupt("settings"))
    };
    let (from, to) = (policy(&numbers[..12])?, policy(&numbers[12..])?);
    Ok(Action::SetPolicy { from, to })
}

pub fn waiting_erasure(row: &impl StoredRow) -> Result<(ErasureId, ApprovalId), StoreError> {
    let source = Source::new(row, "waiting_request");
    let erasure = ErasureId::from_bytes(source.bytes("id")?);
    Ok((
        erasure,
        ApprovalId::from_bytes(source.bytes("approval_id")?),
    ))
}
