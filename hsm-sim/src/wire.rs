//! What module and daemon say to each other: one request, one response, in frames of a
//! big-endian `u32` length and a postcard body. A session belongs to its connection: when the
//! connection ends, all its sessions are closed.
#![allow(missing_docs, reason = "the fields bear PKCS#11's names")]

use std::io::{Read, Write};

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Longest frame either side accepts, in bytes.
pub const MAX_FRAME: usize = 1 << 20;

/// A PKCS#11 attribute: its `CKA_*` type and its value as PKCS#11 lays it out in memory
/// (`CK_ULONG` as 8 little-endian bytes, `CK_BBOOL` as one byte).
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Attribute {
    /// `CKA_*`
    pub kind: u64,
    /// The value, byte for byte.
    pub value: Vec<u8>,
}

/// AES-GCM parameters (`CK_GCM_PARAMS`), or none for EdDSA and key generation.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Mechanism {
    /// `CKM_*`
    pub kind: u64,
    /// Present for `CKM_AES_GCM` only.
    pub gcm: Option<GcmParams>,
}

/// The fields of `CK_GCM_PARAMS` that carry meaning.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct GcmParams {
    /// Initialisation vector, 12 bytes.
    pub iv: Vec<u8>,
    /// Additional authenticated data.
    pub aad: Vec<u8>,
    /// Tag length in bits, 128.
    pub tag_bits: u64,
}

/// Bytes that may be secret: wiped when dropped, never shown.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

/// Who logs in.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
pub enum UserType {
    /// Security officer.
    SecurityOfficer,
    /// Normal user.
    User,
}

/// A call of the module. Handles are the daemon's.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub enum Request {
    /// Token label, flags and counters.
    TokenInfo,
    /// `C_InitToken`.
    InitToken { so_pin: Secret, label: String },
    /// `C_InitPIN`.
    InitPin { session: u64, pin: Secret },
    /// `C_SetPIN`.
    SetPin {
        session: u64,
        old: Secret,
        new: Secret,
    },
    /// `C_OpenSession`.
    OpenSession { read_write: bool },
    /// `C_CloseSession`.
    CloseSession { session: u64 },
    /// `C_CloseAllSessions`.
    CloseAllSessions,
    /// `C_GetSessionInfo`.
    SessionInfo { session: u64 },
    /// `C_Login`.
    Login {
        session: u64,
        user: UserType,
        pin: Secret,
    },
    /// `C_Logout`.
    Logout { session: u64 },
    /// `C_CreateObject` (data objects, public keys).
    CreateObject {
        session: u64,
        template: Vec<Attribute>,
    },
    /// `C_DestroyObject`.
    DestroyObject { session: u64, object: u64 },
    /// `C_GetAttributeValue`: one answer for each kind asked.
    AttributeValues {
        session: u64,
        object: u64,
        kinds: Vec<u64>,
    },
    /// `C_SetAttributeValue`.
    SetAttributes {
        session: u64,
        object: u64,
        template: Vec<Attribute>,
    },
    /// `C_FindObjectsInit` to `C_FindObjectsFinal` in one: every match.
    FindObjects {
        session: u64,
        template: Vec<Attribute>,
    },
    /// `C_GenerateKey`.
    GenerateKey {
        session: u64,
        mechanism: Mechanism,
        template: Vec<Attribute>,
    },
    /// `C_GenerateKeyPair`.
    GenerateKeyPair {
        session: u64,
        mechanism: Mechanism,
        public: Vec<Attribute>,
        private: Vec<Attribute>,
    },
    /// `C_EncryptInit` and `C_Encrypt` in one; the result is ciphertext and tag.
    Encrypt {
        session: u64,
        mechanism: Mechanism,
        key: u64,
        data: Secret,
    },
    /// `C_DecryptInit` and `C_Decrypt` in one.
    Decrypt {
        session: u64,
        mechanism: Mechanism,
        key: u64,
        data: Secret,
    },
    /// Checks that a key may be used so, for the `*Init` calls. A device that chooses IVs answers
    /// [`Answer::Data`] with the one to encrypt with.
    CheckKey {
        session: u64,
        mechanism: Mechanism,
        key: u64,
        operation: Operation,
    },
    /// `C_SignInit` and `C_Sign` in one.
    Sign {
        session: u64,
        mechanism: Mechanism,
        key: u64,
        data: Secret,
    },
    /// `C_VerifyInit` and `C_Verify` in one.
    Verify {
        session: u64,
        mechanism: Mechanism,
        key: u64,
        data: Secret,
        signature: Vec<u8>,
    },
    /// `C_GenerateRandom`.
    Random { session: u64, length: u32 },
}

/// What `CheckKey` asks about.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
pub enum Operation {
    /// `CKA_ENCRYPT`
    Encrypt,
    /// `CKA_DECRYPT`
    Decrypt,
    /// `CKA_SIGN`
    Sign,
    /// `CKA_VERIFY`
    Verify,
}

/// The daemon's answer; an error is the `CK_RV` the module returns.
pub type Response = Result<Answer, u64>;

/// The answer of a call that succeeded.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub enum Answer {
    /// The call is done, and has no result.
    Done,
    /// A session.
    Session(u64),
    /// An object.
    Object(u64),
    /// Public key, private key.
    KeyPair(u64, u64),
    /// All objects that match.
    Objects(Vec<u64>),
    /// For each kind asked: its value, or the `CK_RV` why not
    /// (`CKR_ATTRIBUTE_SENSITIVE`, `CKR_ATTRIBUTE_TYPE_INVALID`).
    Attributes(Vec<Result<Vec<u8>, u64>>),
    /// Output of a cryptographic operation.
    Data(Secret),
    /// `CK_SESSION_INFO`: state and flags.
    SessionInfo { state: u64, flags: u64 },
    /// What `CK_TOKEN_INFO` shows.
    Token(TokenInfo),
}

/// The parts of `CK_TOKEN_INFO` that vary.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct TokenInfo {
    /// Token label, at most 32 bytes.
    pub label: String,
    /// Serial number, at most 16 bytes.
    pub serial: String,
    /// `CKF_*`
    pub flags: u64,
    /// Objects that still fit.
    pub free_objects: u64,
}

/// Writes one frame.
///
/// # Errors
/// When the stream fails or the body exceeds [`MAX_FRAME`].
pub fn send<T: Serialize>(stream: &mut impl Write, message: &T) -> std::io::Result<()> {
    let mut body = postcard::to_stdvec(message).map_err(std::io::Error::other)?;
    if body.len() > MAX_FRAME {
        body.zeroize();
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "frame too large",
        ));
    }
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend_from_slice(&body);
    body.zeroize();
    let sent = stream.write_all(&frame).and_then(|()| stream.flush());
    frame.zeroize();
    sent
}

/// Reads one frame.
///
/// # Errors
/// When the stream ends or fails, the length exceeds [`MAX_FRAME`], or the body is not a `T`.
pub fn receive<T: for<'de> Deserialize<'de>>(stream: &mut impl Read) -> std::io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_FRAME {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "frame too large",
        ));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let message = postcard::from_bytes(&body)
        .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error));
    body.zeroize();
    message
}
