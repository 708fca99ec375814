//! The claims of a deployment: data objects with a text, of the store that it belongs to, and of who
//! asks whether that is served.
//!
//! A value is `<number> <text>`. To set a claim is to make an object of the next
//! number and then remove the others. Whoever gives up in between leaves two, of which the higher
//! number counts: from the moment it exists the claim has been moved, on purpose, and the rest is
//! tidying up, which the next `set_claim` does.

use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use lethe_core::identity::DeploymentId;
use lethe_core::ports::{ClaimKind, HsmError};

use crate::call::Call;
use crate::errors::{self, Failure, Meaning};
use crate::objects::{NO_COPIES, ensure_has, first_accepted, read};

/// Attributes that every claim must have: somebody who could change a claim could give the deployment
/// to another store.
const DEMANDED: [Attribute; 2] = [Attribute::Private(true), Attribute::Modifiable(false)];

const fn prefix(kind: ClaimKind) -> &'static str {
    match kind {
        ClaimKind::Held => "lethe/v1/claim/",
        ClaimKind::Wanted => "lethe/v1/claim-wanted/",
    }
}

/// The template of the claims of all deployments.
fn any() -> Vec<Attribute> {
    vec![
        Attribute::Token(true),
        Attribute::Class(ObjectClass::DATA),
        Attribute::Application(b"lethe".to_vec()),
    ]
}

fn template(deployment: DeploymentId, kind: ClaimKind) -> Vec<Attribute> {
    let mut template = any();
    template.push(Attribute::Label(
        format!("{}{deployment}", prefix(kind)).into_bytes(),
    ));
    template
}

/// A claim's number and store instance.
fn parse(value: &[u8]) -> Option<(u64, String)> {
    let (number, store) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    Some((number.parse().ok()?, store.to_owned()))
}

type Found = (ObjectHandle, (u64, String));

fn find(call: &Call<'_>, deployment: DeploymentId, kind: ClaimKind) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    for object in call.session()?.find_objects(&template(deployment, kind))? {
        for attribute in read(call, object, &[AttributeType::Value])?.unwrap_or_default() {
            if let Attribute::Value(bytes) = attribute {
                let claim = parse(&bytes)
                    .ok_or_else(|| HsmError::Device("the claim is not readable".into()))?;
                found.push((object, claim));
            }
        }
    }
    Ok(found)
}

/// The text with the highest number. If two have the same number, two services claimed at the same
/// time, and it is not known which is right.
pub(crate) fn claim(
    call: &Call<'_>,
    deployment: DeploymentId,
    kind: ClaimKind,
) -> Result<Option<String>, Failure> {
    let mut claims: Vec<_> = find(call, deployment, kind)?
        .into_iter()
        .map(|(_, claim)| claim)
        .collect();
    claims.sort();
    claims.dedup();
    let last = claims.pop();
    match (claims.last(), &last) {
        (Some((number, _)), Some((highest, _))) if number == highest => {
            Err(HsmError::Ambiguous.into())
        }
        _ => Ok(last.map(|(_, store)| store)),
    }
}

/// The new claim is made before the old ones are removed, so that there is always one.
pub(crate) fn set_claim(
    call: &Call<'_>,
    deployment: DeploymentId,
    kind: ClaimKind,
    text: &str,
) -> Result<(), Failure> {
    let old = find(call, deployment, kind)?;
    let number = old.iter().map(|(_, (number, _))| number + 1).max();
    let value = format!("{} {text}", number.unwrap_or(1));
    let mut plain = template(deployment, kind);
    plain.extend(DEMANDED);
    plain.push(Attribute::Value(value.into_bytes()));
    let mut strict = plain.clone();
    strict.push(NO_COPIES);
    let templates = [strict, plain];
    let create = |template: &Vec<Attribute>| Ok(call.session()?.create_object(template)?);
    let make = || first_accepted(&templates, create);
    let made = if old.is_empty() {
        call.device.room.take(call, 1, make)?
    } else {
        // It replaces one that is removed, so it must be possible on a full token.
        make()?
    };
    if let Err(failure) = ensure_has(call, made, &DEMANDED) {
        remove(call, made)?;
        return Err(failure);
    }
    for (object, _) in old {
        remove(call, object)?;
    }
    Ok(())
}

/// The claim of each deployment that has one.
pub(crate) fn claims(call: &Call<'_>) -> Result<Vec<(DeploymentId, String)>, Failure> {
    let mut deployments = Vec::new();
    for object in call.session()?.find_objects(&any())? {
        for attribute in read(call, object, &[AttributeType::Label])?.unwrap_or_default() {
            if let Attribute::Label(label) = attribute {
                deployments.extend(deployment_of(&label));
            }
        }
    }
    deployments.sort_unstable();
    deployments.dedup();
    let mut claims = Vec::with_capacity(deployments.len());
    for deployment in deployments {
        claims.extend(claim(call, deployment, ClaimKind::Held)?.map(|store| (deployment, store)));
    }
    Ok(claims)
}

fn deployment_of(label: &[u8]) -> Option<DeploymentId> {
    let label = std::str::from_utf8(label).ok()?;
    label.strip_prefix(prefix(ClaimKind::Held))?.parse().ok()
}

/// The lowest numbers first: as long as one is left it is the one that counted before.
pub(crate) fn remove_claim(
    call: &Call<'_>,
    deployment: DeploymentId,
    kind: ClaimKind,
) -> Result<(), Failure> {
    let mut found = find(call, deployment, kind)?;
    found.sort_by_key(|(_, (number, _))| *number);
    for (object, _) in found {
        remove(call, object)?;
        call.device.room.freed(1);
    }
    if find(call, deployment, kind)?.is_empty() {
        Ok(())
    } else {
        Err(HsmError::Device("destroy did not remove the claim".into()).into())
    }
}

fn remove(call: &Call<'_>, object: ObjectHandle) -> Result<(), Failure> {
    match call.session()?.destroy_object(object) {
        Err(error) if errors::meaning(&error) != Meaning::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_a_number_and_a_store() {
        assert_eq!(parse(b"7 a store"), Some((7, "a store".to_owned())));
        for bad in [&b"store"[..], b"x store", b"\xff 1", b""] {
            assert_eq!(parse(bad), None);
        }
    }
}
