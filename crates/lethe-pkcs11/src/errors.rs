//! The meaning of each return value of a module, in one exhaustive match.

use cryptoki::error::{Error, RvError};
use lethe_core::ports::HsmError;

/// Why an operation stopped.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The module returned this error.
    Module(Error),
    /// The adapter decided this without the module.
    Decided(HsmError),
    /// The caller does not wait any more, so no further call is made.
    GivenUp,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Module(error)
    }
}

impl From<HsmError> for Failure {
    fn from(error: HsmError) -> Self {
        Self::Decided(error)
    }
}

/// What to do about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Session, device or connection lost: reopen and try once more.
    Lost,
    /// As [`Self::Lost`], but the session may still be closed by us.
    Unwell,
    /// The HSM cannot do it now, and perhaps later.
    Unavailable,
    /// The PIN was refused. It must not be tried again.
    Pin,
    /// The token has no room for the object.
    Full,
    /// The object is not on the token any more.
    NotFound,
    /// The HSM refused the ciphertext: its tag is wrong.
    Refused,
    /// Anything else: a device or a caller outside of the standard.
    Odd,
}

/// The meaning of a return value.
pub(crate) fn meaning(error: &Error) -> Meaning {
    match error {
        Error::Pkcs11(value, _) => meaning_of_value(*value),
        Error::LibraryLoading(_)
        | Error::NotSupported
        | Error::TryFromInt(_)
        | Error::TryFromSlice(_)
        | Error::ParseInt(_)
        | Error::Utf8(_)
        | Error::NulError(_)
        | Error::NullFunctionPointer
        | Error::MissingSymbol(_)
        | Error::InvalidValue
        | Error::PinNotSet => Meaning::Odd,
    }
}

fn meaning_of_value(value: RvError) -> Meaning {
    use RvError as R;
    match value {
        R::SessionHandleInvalid
        | R::SessionClosed
        | R::DeviceRemoved
        | R::TokenNotPresent
        | R::TokenNotRecognized
        | R::SlotIdInvalid
        | R::CryptokiNotInitialized => Meaning::Lost,
        R::UserNotLoggedIn
        | R::DeviceError
        | R::GeneralError
        | R::FunctionFailed
        | R::OperationActive => Meaning::Unwell,
        R::Cancel
        | R::HostMemory
        | R::FunctionCanceled
        | R::SessionCount
        | R::FunctionRejected
        | R::UserAnotherAlreadyLoggedIn
        | R::UserTooManyTypes
        | R::OperationNotInitialized => Meaning::Unavailable,
        R::PinIncorrect
        | R::PinInvalid
        | R::PinLenRange
        | R::PinExpired
        | R::PinLocked
        | R::PinTooWeak
        | R::NewPinMode
        | R::UserPinNotInitialized => Meaning::Pin,
        R::DeviceMemory => Meaning::Full,
        R::ObjectHandleInvalid | R::KeyHandleInvalid => Meaning::NotFound,
        R::EncryptedDataInvalid | R::EncryptedDataLenRange | R::DataInvalid | R::DataLenRange => {
            Meaning::Refused
        }
        R::NoEvent
        | R::NeedToCreateThreads
        | R::ArgumentsBad
        | R::CantLock
        | R::AttributeReadOnly
        | R::AttributeSensitive
        | R::AttributeTypeInvalid
        | R::AttributeValueInvalid
        | R::ActionProhibited
        | R::FunctionNotParallel
        | R::FunctionNotSupported
        | R::CurveNotSupported
        | R::KeySizeRange
        | R::KeyTypeInconsistent
        | R::KeyNotNeeded
        | R::KeyChanged
        | R::KeyNeeded
        | R::KeyIndigestible
        | R::KeyFunctionNotPermitted
        | R::KeyNotWrappable
        | R::KeyUnextractable
        | R::MechanismInvalid
        | R::MechanismParamInvalid
        | R::SessionParallelNotSupported
        | R::SessionReadOnly
        | R::SessionExists
        | R::SessionReadOnlyExists
        | R::SessionReadWriteSoExists
        | R::SignatureInvalid
        | R::SignatureLenRange
        | R::TemplateIncomplete
        | R::TemplateInconsistent
        | R::TokenWriteProtected
        | R::UnwrappingKeyHandleInvalid
        | R::UnwrappingKeySizeRange
        | R::UnwrappingKeyTypeInconsistent
        | R::UserAlreadyLoggedIn
        | R::UserTypeInvalid
        | R::WrappedKeyInvalid
        | R::WrappedKeyLenRange
        | R::WrappingKeyHandleInvalid
        | R::WrappingKeySizeRange
        | R::WrappingKeyTypeInconsistent
        | R::RandomSeedNotSupported
        | R::RandomNoRng
        | R::DomainParamsInvalid
        | R::BufferTooSmall
        | R::SavedStateInvalid
        | R::InformationSensitive
        | R::StateUnsaveable
        | R::CryptokiAlreadyInitialized
        | R::MutexBad
        | R::MutexNotLocked
        | R::NextOtp
        | R::ExceededMaxIterations
        | R::FipsSelfTestFailed
        | R::LibraryLoadFailed
        | R::PublicKeyInvalid
        | R::VendorDefined(_)
        | R::UnknownErrorCode(_) => Meaning::Odd,
    }
}

/// A short text: function and code, without the long texts of the standard.
fn text(error: &Error) -> String {
    match error {
        Error::Pkcs11(value, function) => format!("{function}: {value:?}"),
        other => other.to_string(),
    }
}

/// The error that the caller of the port gets.
pub(crate) fn to_hsm_error(error: &Error) -> HsmError {
    match meaning(error) {
        Meaning::Lost | Meaning::Unwell | Meaning::Unavailable => {
            HsmError::Unavailable(text(error))
        }
        Meaning::Pin => HsmError::Pin(text(error)),
        Meaning::Full => HsmError::Full,
        Meaning::NotFound => HsmError::NotFound,
        Meaning::Refused | Meaning::Odd => HsmError::Device(text(error)),
    }
}

/// Whether a module may say this of a failed tag. SoftHSM2 says `CKR_GENERAL_ERROR`, so the
/// caller must look whether the device still lives.
pub(crate) fn may_be_a_failed_tag(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::EncryptedDataInvalid
                | RvError::EncryptedDataLenRange
                | RvError::DataInvalid
                | RvError::DataLenRange
                | RvError::SignatureInvalid
                | RvError::GeneralError
                | RvError::FunctionFailed,
            _
        )
    )
}

/// Whether a template was refused for an attribute the device does not know.
pub(crate) fn is_refused_template(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::AttributeTypeInvalid
                | RvError::AttributeValueInvalid
                | RvError::AttributeReadOnly
                | RvError::TemplateInconsistent
                | RvError::CurveNotSupported
                | RvError::DomainParamsInvalid,
            _
        )
    )
}
