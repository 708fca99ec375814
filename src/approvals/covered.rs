//! What the erase of a keyspace does to what waits in it: it goes with the keyspace.

use lethe_core::approval::Approval;
use lethe_core::ports::StoreError;
use lethe_core::receipt::RequestId;
use lethe_core::refusals::{Refusal, Target};

use crate::service::Service;

/// Whether the keyspace that it is about is there, and its erase not accepted. Another one may bear
/// the name by now.
#[must_use]
pub fn lives(service: &Service, approval: &Approval) -> bool {
    let keyring = service.live.keyring();
    let named = keyring.keyspaces.get(&approval.keyspace_name);
    let erased = service
        .live
        .refusals
        .of(Target::Keyspace(approval.keyspace));
    // While an erase is on its way to the disk nobody knows.
    named.is_some_and(|it| it.id == approval.keyspace)
        && matches!(erased, None | Some(Refusal::Pending))
}

/// The erase that forgets what it was to forget, while the store remembers that one.
///
/// # Errors
/// Of the store.
pub async fn covered_by(
    service: &Service,
    approval: &Approval,
) -> Result<Option<RequestId>, StoreError> {
    if lives(service, approval) {
        return Ok(None);
    }
    let name = &approval.keyspace_name;
    service.store.erase_of(name, approval.keyspace).await
}
