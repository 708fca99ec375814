use super::template::{ED25519_NAME, flag, ulong};
use super::*;
use crate::wire::{Attribute, GcmParams, Mechanism, UserType};

struct Bench {
    token: Token,
    faults: Arc<Faults>,
    session: u64,
    _dir: tempfile::TempDir,
}

fn bench() -> Bench {
    bench_with(IvSource::Caller)
}

fn bench_with(iv: IvSource) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    initialise(dir.path(), "test", b"12345678", b"1234").unwrap();
    let faults = Arc::new(Faults::default());
    let mut token = Token::open(dir.path(), Arc::clone(&faults), iv).unwrap();
    let Ok(Answer::Session(session)) = token.handle(1, Request::OpenSession { read_write: true })
    else {
        panic!()
    };
    Bench {
        token,
        faults,
        session,
        _dir: dir,
    }
}

fn secret(bytes: &[u8]) -> Secret {
    Secret(bytes.to_vec())
}

fn attribute(kind: u64, value: Vec<u8>) -> Attribute {
    Attribute { kind, value }
}

fn plain(kind: u64) -> Mechanism {
    Mechanism { kind, gcm: None }
}

fn gcm(iv: usize) -> Mechanism {
    let gcm = GcmParams {
        iv: vec![7; iv],
        aad: b"aad".to_vec(),
        tag_bits: 128,
    };
    Mechanism {
        kind: CKM_AES_GCM,
        gcm: Some(gcm),
    }
}

impl Bench {
    fn log_in(&mut self, pin: &[u8]) -> Response {
        let request = Request::Login {
            session: self.session,
            user: UserType::User,
            pin: secret(pin),
        };
        self.token.handle(1, request)
    }

    fn generate(&mut self, more: Vec<Attribute>) -> Result<u64, u64> {
        let mut template = vec![
            attribute(CKA_VALUE_LEN, ulong(32)),
            attribute(CKA_TOKEN, flag(true)),
        ];
        template.extend(more);
        let request = Request::GenerateKey {
            session: self.session,
            mechanism: plain(CKM_AES_KEY_GEN),
            template,
        };
        match self.token.handle(1, request)? {
            Answer::Object(handle) => Ok(handle),
            other => panic!("{other:?}"),
        }
    }

    fn destroy(&mut self, object: u64) -> Response {
        self.token.handle(
            1,
            Request::DestroyObject {
                session: self.session,
                object,
            },
        )
    }

    fn set(&mut self, object: u64, change: Attribute) -> Response {
        self.token.handle(
            1,
            Request::SetAttributes {
                session: self.session,
                object,
                template: vec![change],
            },
        )
    }

    fn encrypt(&mut self, key: u64, mechanism: Mechanism) -> Response {
        self.token.handle(
            1,
            Request::Encrypt {
                session: self.session,
                mechanism,
                key,
                data: secret(b"data"),
            },
        )
    }

    fn find(&mut self) -> Response {
        self.token.handle(
            1,
            Request::FindObjects {
                session: self.session,
                template: vec![],
            },
        )
    }
}

#[test]
fn an_aes_key_encrypts_hides_its_value_and_is_destroyed() {
    let mut b = bench();
    assert_eq!(b.generate(vec![]), Err(CKR_USER_NOT_LOGGED_IN));
    b.log_in(b"1234").unwrap();
    let key = b.generate(vec![]).unwrap();
    let Ok(Answer::Data(sealed)) = b.encrypt(key, gcm(12)) else {
        panic!()
    };
    assert_eq!(sealed.0.len(), 20);
    let open = |data| Request::Decrypt {
        session: b.session,
        mechanism: gcm(12),
        key,
        data,
    };
    assert_eq!(
        b.token.handle(1, open(sealed.clone())),
        Ok(Answer::Data(secret(b"data")))
    );
    let mut bad = sealed.clone();
    bad.0[0] ^= 1;
    assert_eq!(
        b.token.handle(1, open(bad)),
        Err(CKR_ENCRYPTED_DATA_INVALID)
    );
    assert_eq!(b.encrypt(key, gcm(0)), Err(CKR_MECHANISM_PARAM_INVALID));
    let ask = Request::AttributeValues {
        session: b.session,
        object: key,
        kinds: vec![CKA_VALUE, CKA_LOCAL],
    };
    let answer = Answer::Attributes(vec![Err(CKR_ATTRIBUTE_SENSITIVE), Ok(vec![1])]);
    assert_eq!(b.token.handle(1, ask), Ok(answer));
    b.destroy(key).unwrap();
    assert_eq!(b.encrypt(key, gcm(12)), Err(CKR_KEY_HANDLE_INVALID));
    assert_eq!(b.destroy(key), Err(CKR_OBJECT_HANDLE_INVALID));
}

#[test]
fn attributes_bind() {
    let mut b = bench();
    b.log_in(b"1234").unwrap();
    let no = |kind| vec![attribute(kind, flag(false))];
    let key = b.generate(no(CKA_ENCRYPT)).unwrap();
    assert_eq!(b.encrypt(key, gcm(12)), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    assert_eq!(
        b.set(key, attribute(CKA_SENSITIVE, flag(false))),
        Err(CKR_ATTRIBUTE_READ_ONLY)
    );
    assert_eq!(
        b.set(key, attribute(CKA_EXTRACTABLE, flag(true))),
        Err(CKR_ATTRIBUTE_READ_ONLY)
    );
    assert_eq!(
        b.set(key, attribute(CKA_LABEL, b"x".to_vec())),
        Ok(Answer::Done)
    );
    let fixed = b.generate(no(CKA_MODIFIABLE)).unwrap();
    assert_eq!(
        b.set(fixed, attribute(CKA_LABEL, b"x".to_vec())),
        Err(CKR_ATTRIBUTE_READ_ONLY)
    );
    let kept = b.generate(no(CKA_DESTROYABLE)).unwrap();
    assert_eq!(b.destroy(kept), Err(CKR_ACTION_PROHIBITED));
    let wrong = vec![attribute(CKA_CLASS, ulong(CKO_DATA))];
    assert_eq!(b.generate(wrong), Err(CKR_TEMPLATE_INCONSISTENT));
}

#[test]
fn ed25519_signs_and_verifies() {
    let mut b = bench();
    b.log_in(b"1234").unwrap();
    let (session, mechanism) = (b.session, plain(CKM_EDDSA));
    let public = vec![attribute(CKA_EC_PARAMS, ED25519_NAME.to_vec())];
    let pair = plain(CKM_EC_EDWARDS_KEY_PAIR_GEN);
    let request = Request::GenerateKeyPair {
        session,
        mechanism: pair,
        public,
        private: vec![],
    };
    let Ok(Answer::KeyPair(public, private)) = b.token.handle(1, request) else {
        panic!()
    };
    let sign = Request::Sign {
        session,
        mechanism: mechanism.clone(),
        key: private,
        data: secret(b"m"),
    };
    let Ok(Answer::Data(signature)) = b.token.handle(1, sign) else {
        panic!()
    };
    let verify = |data: &[u8]| Request::Verify {
        session,
        mechanism: mechanism.clone(),
        key: public,
        data: secret(data),
        signature: signature.0.clone(),
    };
    assert_eq!(b.token.handle(1, verify(b"m")), Ok(Answer::Done));
    assert_eq!(b.token.handle(1, verify(b"n")), Err(CKR_SIGNATURE_INVALID));
}

#[test]
fn ten_wrong_pins_lock() {
    let mut b = bench();
    for _ in 0..9 {
        assert_eq!(b.log_in(b"9999"), Err(CKR_PIN_INCORRECT));
    }
    assert_eq!(b.log_in(b"9999"), Err(CKR_PIN_LOCKED));
    assert_eq!(b.log_in(b"1234"), Err(CKR_PIN_LOCKED));
}

#[test]
fn faults_bite() {
    let mut b = bench();
    b.log_in(b"1234").unwrap();
    let key = b.generate(vec![]).unwrap();
    b.faults.set(Fault::DestroyKeepsKey, None);
    assert_eq!(b.destroy(key), Ok(Answer::Done));
    assert_eq!(b.find(), Ok(Answer::Objects(vec![key])));
    b.faults.set(Fault::ObjectLimit, Some(1));
    assert_eq!(b.generate(vec![]), Err(CKR_DEVICE_MEMORY));
    b.faults.set(Fault::DeviceRemoved, None);
    assert_eq!(b.find(), Err(CKR_DEVICE_REMOVED));
    b.faults.clear(None);
    b.faults.set(Fault::SessionsLost, None);
    assert_eq!(b.find(), Err(CKR_SESSION_HANDLE_INVALID));
    b.token.tamper().unwrap();
    assert_eq!(b.find(), Err(CKR_DEVICE_ERROR));
}

#[test]
fn a_device_that_chooses_ivs_takes_its_own_only_and_each_once() {
    let mut b = bench_with(IvSource::Device);
    b.log_in(b"1234").unwrap();
    let key = b.generate(vec![]).unwrap();
    let with = |iv: &[u8]| {
        let mut mechanism = gcm(12);
        mechanism.gcm.as_mut().unwrap().iv = iv.to_vec();
        mechanism
    };
    let begin = |iv: &[u8]| Request::CheckKey {
        session: b.session,
        mechanism: with(iv),
        key,
        operation: crate::wire::Operation::Encrypt,
    };
    let (own, theirs) = (begin(&[7; 12]), begin(&[0; 12]));
    assert_eq!(b.token.handle(1, own), Err(CKR_MECHANISM_PARAM_INVALID));
    let Ok(Answer::Data(iv)) = b.token.handle(1, theirs.clone()) else {
        panic!()
    };
    assert!(b.encrypt(key, with(&iv.0)).is_ok());
    let again = b.encrypt(key, with(&iv.0));
    assert_eq!(again, Err(CKR_MECHANISM_PARAM_INVALID));
    b.token.handle(1, theirs).unwrap();
    assert_eq!(
        b.encrypt(key, with(&[0; 12])),
        Err(CKR_MECHANISM_PARAM_INVALID)
    );
}
