//! Finding and reading objects.

use std::num::NonZeroUsize;

use cryptoki::error::Error;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use lethe_core::identity::{DeploymentId, HsmKeyId};
use lethe_core::ports::{HsmError, HsmKey, KeyLabel};

use crate::call::Call;
use crate::errors::{self, Failure, Meaning};

/// Most handles that one `C_FindObjects` returns when many are expected.
const AT_ONCE: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// Attributes of a key that the device made itself and never exported.
pub(crate) const NEVER_OUTSIDE: [Attribute; 3] = [
    Attribute::Local(true),
    Attribute::AlwaysSensitive(true),
    Attribute::NeverExtractable(true),
];

/// What a template says of copies, in its stricter form: a copy would outlive the destroy. Not every
/// device knows the attribute.
pub(crate) const NO_COPIES: Attribute = Attribute::Copyable(false);

/// 16 bytes for `CKA_ID`.
pub(crate) fn new_id() -> Result<HsmKeyId, HsmError> {
    let mut bytes = [0; 16];
    random_bytes(&mut bytes)?;
    Ok(HsmKeyId::from_bytes(bytes))
}

pub(crate) fn random_bytes(bytes: &mut [u8]) -> Result<(), HsmError> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| HsmError::Device("no random bytes".into()))
}

/// What a key is found by: class, id and label.
pub(crate) fn key_template(class: ObjectClass, id: HsmKeyId, label: &str) -> Vec<Attribute> {
    vec![
        Attribute::Token(true),
        Attribute::Class(class),
        Attribute::Id(id.as_bytes().to_vec()),
        Attribute::Label(label.as_bytes().to_vec()),
    ]
}

/// Exactly one object of a template, in this session.
pub(crate) fn find_one(call: &Call<'_>, template: &[Attribute]) -> Result<ObjectHandle, Failure> {
    match call.session()?.find_objects(template)?.as_slice() {
        [] => Err(HsmError::NotFound.into()),
        [one] => Ok(*one),
        _ => Err(HsmError::Ambiguous.into()),
    }
}

/// The AES key of this id and label.
pub(crate) fn find_key(call: &Call<'_>, key: HsmKey) -> Result<ObjectHandle, Failure> {
    find_one(
        call,
        &key_template(ObjectClass::SECRET_KEY, key.id, &key.label.to_string()),
    )
}

/// `CKA_LABEL`, `CKA_ID` and the value asked for, of an object; `None` when it went away
/// meanwhile, empty where it has none.
pub(crate) fn read(
    call: &Call<'_>,
    object: ObjectHandle,
    wanted: &[AttributeType],
) -> Result<Option<Vec<Attribute>>, Failure> {
    match call.session()?.get_attributes(object, wanted) {
        Ok(attributes) => Ok(Some(attributes)),
        Err(error) if errors::meaning(&error) == Meaning::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Checks that a new object has the attributes of its template, and that its device does not say that it
/// may be copied: a device may accept a template and ignore part of it.
pub(crate) fn ensure_has(
    call: &Call<'_>,
    object: ObjectHandle,
    demanded: &[Attribute],
) -> Result<(), Failure> {
    let mut kinds: Vec<_> = demanded.iter().map(Attribute::attribute_type).collect();
    kinds.push(NO_COPIES.attribute_type());
    let has = read(call, object, &kinds)?.unwrap_or_default();
    let missing = demanded.iter().find(|attribute| !has.contains(attribute));
    let copyable = has.contains(&Attribute::Copyable(true));
    match missing.or(copyable.then_some(&NO_COPIES)) {
        None => Ok(()),
        Some(ignored) => Err(HsmError::Device(format!(
            "it made an object without the {} that was demanded",
            ignored.attribute_type()
        ))
        .into()),
    }
}

/// [`ensure_has`] for each of the objects that were just made, all of which go where one has not.
pub(crate) fn keep_if_right(
    call: &Call<'_>,
    made: &[(ObjectHandle, &[Attribute])],
) -> Result<(), Failure> {
    let checked = made
        .iter()
        .try_for_each(|(object, demanded)| ensure_has(call, *object, demanded));
    if let Err(Failure::Decided(_)) = checked {
        for (object, _) in made {
            call.session()?.destroy_object(*object)?;
            call.device.room.freed(1);
        }
    }
    checked
}

/// All objects of a template that may match many, in large steps.
fn find_many(call: &Call<'_>, template: &[Attribute]) -> Result<Vec<ObjectHandle>, Failure> {
    let found = call
        .session()?
        .iter_objects_with_cache_size(template, AT_ONCE)?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Id and label of all objects of a class that have both; foreign ones included.
pub(crate) fn list(
    call: &Call<'_>,
    class: ObjectClass,
) -> Result<Vec<(ObjectHandle, HsmKeyId, String)>, Failure> {
    let handles = find_many(call, &[Attribute::Token(true), Attribute::Class(class)])?;
    let mut found = Vec::with_capacity(handles.len());
    for handle in handles {
        let attributes = read(call, handle, &[AttributeType::Id, AttributeType::Label])?;
        let (mut id, mut label) = (None, None);
        for attribute in attributes.unwrap_or_default() {
            match attribute {
                Attribute::Id(bytes) => id = <[u8; 16]>::try_from(bytes).ok(),
                Attribute::Label(bytes) => label = String::from_utf8(bytes).ok(),
                _ => {}
            }
        }
        if let (Some(id), Some(label)) = (id, label) {
            found.push((handle, HsmKeyId::from_bytes(id), label));
        }
    }
    Ok(found)
}

/// The AES keys of a deployment.
pub(crate) fn keys_of(call: &Call<'_>, deployment: DeploymentId) -> Result<Vec<HsmKey>, Failure> {
    let all = list(call, ObjectClass::SECRET_KEY)?;
    Ok(all
        .into_iter()
        .filter_map(|(_, id, text)| {
            let label: KeyLabel = text.parse().ok()?;
            let (KeyLabel::Bucket {
                deployment: whose, ..
            }
            | KeyLabel::Root {
                deployment: whose, ..
            }) = label;
            (whose == deployment).then_some(HsmKey { id, label })
        })
        .collect())
}

/// How many objects the token holds that this user sees.
pub(crate) fn count_all(call: &Call<'_>) -> Result<u64, Failure> {
    let all = find_many(call, &[Attribute::Token(true)])?;
    Ok(u64::try_from(all.len()).unwrap_or(u64::MAX))
}

/// Tries templates, beginning with the strictest. If the device does not know an attribute, the next
/// one is tried.
pub(crate) fn first_accepted<Template, T>(
    templates: &[Template],
    mut attempt: impl FnMut(&Template) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut last = Failure::Module(Error::NotSupported);
    for template in templates {
        match attempt(template) {
            Err(Failure::Module(error)) if errors::is_refused_template(&error) => {
                last = error.into()
            }
            other => return other,
        }
    }
    Err(last)
}
