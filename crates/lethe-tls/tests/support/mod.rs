//! Certificates of any shape, and a verifier that counts.

use std::cell::Cell;
use std::sync::Arc;

use lethe_tls::{Bounded, KeyExchange, TrustAnchors, provider};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    NameConstraints, PublicKeyData, SanType, SignatureAlgorithm, SigningKey,
};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm, UnixTime,
};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName as RawName, Error, RootCertStore, SignatureScheme,
};

/// A certificate to be made, and who shall have issued it where nobody real does.
#[derive(Clone)]
pub(crate) struct Draft(pub(crate) CertificateParams, String);

/// One that may stand for a client.
pub(crate) fn certificate(name: &str, issuer: &str) -> Draft {
    let mut params = CertificateParams::default();
    params.distinguished_name = called(name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Draft(params, issuer.to_owned())
}

fn called(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

impl Draft {
    pub(crate) fn ca(mut self) -> Self {
        self.0.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self.0.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        self.0.extended_key_usages.clear();
        self
    }

    pub(crate) fn ca_with_path(self, most: u8) -> Self {
        let mut draft = self.ca();
        draft.0.is_ca = IsCa::Ca(BasicConstraints::Constrained(most));
        draft
    }

    pub(crate) fn usage(mut self, usage: &[KeyUsagePurpose]) -> Self {
        self.0.key_usages = usage.to_vec();
        self
    }

    /// Says that its issuer's key has this id, whatever it has.
    pub(crate) fn with_authority(mut self, key_id: &[u8]) -> Self {
        let length = u8::try_from(key_id.len()).unwrap();
        let content = [&[0x30, length + 2, 0x80, length], key_id].concat();
        let extension = CustomExtension::from_oid_content(&[2, 5, 29, 35], content);
        self.0.use_authority_key_identifier_extension = false;
        self.0.custom_extensions.push(extension);
        self
    }

    pub(crate) fn named(mut self, names: Vec<String>) -> Self {
        let names = names.into_iter();
        self.0.subject_alt_names = names
            .map(|name| SanType::DnsName(name.try_into().unwrap()))
            .collect();
        self
    }

    pub(crate) fn constrained(mut self, names: Vec<String>) -> Self {
        self.0.name_constraints = Some(NameConstraints {
            permitted_subtrees: names.into_iter().map(GeneralSubtree::DnsName).collect(),
            excluded_subtrees: Vec::new(),
        });
        self
    }
}

/// A certificate, and what else it may issue.
#[derive(Clone)]
pub(crate) struct Made {
    name: String,
    params: CertificateParams,
    key: Arc<KeyPair>,
    der: CertificateDer<'static>,
}

impl Made {
    pub(crate) fn root(name: &str) -> Self {
        Self::root_with(name, certificate(name, name).ca())
    }

    pub(crate) fn root_with(name: &str, draft: Draft) -> Self {
        let key = Arc::new(KeyPair::generate().unwrap());
        let mut params = draft.0;
        params.distinguished_name = called(name);
        let der = params.self_signed(&*key).unwrap().der().clone();
        Self::new(name, params, key, der)
    }

    fn new(
        name: &str,
        params: CertificateParams,
        key: Arc<KeyPair>,
        der: CertificateDer<'static>,
    ) -> Self {
        let name = name.to_owned();
        Self {
            name,
            params,
            key,
            der,
        }
    }

    pub(crate) fn issue(&self, draft: Draft) -> Self {
        let key = Arc::new(KeyPair::generate().unwrap());
        let params = draft.0;
        let issuer = Issuer::from_params(&self.params, &*self.key);
        let der = params.signed_by(&*key, &issuer).unwrap().der().clone();
        Self::new("", params, key, der)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    pub(crate) fn key_id(&self) -> Vec<u8> {
        self.params.key_identifier(&*self.key)
    }
}

/// Signs with anything.
struct Junk(KeyPair, usize);

impl PublicKeyData for Junk {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl SigningKey for Junk {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(vec![0x5a; self.1])
    }
}

/// Made by somebody who has nobody's key.
pub(crate) fn junk(draft: Draft) -> Made {
    with_signature(draft, 70)
}

pub(crate) fn with_signature(draft: Draft, bytes: usize) -> Made {
    let Draft(params, issuer) = draft;
    let key = Arc::new(KeyPair::generate().unwrap());
    let mut issued_by = CertificateParams::default();
    issued_by.distinguished_name = called(&issuer);
    issued_by.key_identifier_method = KeyIdMethod::PreSpecified(Vec::new());
    let mut params = params;
    // No key id of a made-up issuer, unless the draft has one.
    params.use_authority_key_identifier_extension = false;
    let issuer = Issuer::new(issued_by, Junk(KeyPair::generate().unwrap(), bytes));
    let der = params.signed_by(&*key, &issuer).unwrap().der().clone();
    Made::new("", params, key, der)
}

thread_local! {
    static SIGNATURES: Cell<usize> = const { Cell::new(0) };
    static SHOWN: Cell<usize> = const { Cell::new(0) };
}

/// What a verification took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Signatures that were checked.
    pub(crate) signatures: usize,
    /// Intermediate certificates that path building was shown.
    pub(crate) shown: usize,
}

#[derive(Debug)]
struct Counted(&'static dyn SignatureVerificationAlgorithm);

impl SignatureVerificationAlgorithm for Counted {
    fn verify_signature(
        &self,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        SIGNATURES.set(SIGNATURES.get() + 1);
        self.0.verify_signature(key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.0.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.0.signature_alg_id()
    }
}

/// Counts what it is shown.
#[derive(Debug)]
struct Spy(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Spy {
    fn root_hint_subjects(&self) -> &[RawName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        SHOWN.set(others.len());
        self.0.verify_client_cert(own, others, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, own, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, own, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// As service and simulator put it together.
pub(crate) struct Verifier(Bounded<dyn ClientCertVerifier>);

impl Verifier {
    pub(crate) fn for_roots(roots: &[&Made]) -> Self {
        let ders: Vec<_> = roots.iter().map(|root| root.der.clone()).collect();
        let mut store = RootCertStore::empty();
        for der in &ders {
            store.add(der.clone()).unwrap();
        }
        let mut provider = (*provider(KeyExchange::HybridPreferred)).clone();
        let known = provider.signature_verification_algorithms;
        let counted = known.all.iter().map(|known| {
            let counted: &'static dyn SignatureVerificationAlgorithm =
                Box::leak(Box::new(Counted(*known)));
            counted
        });
        provider.signature_verification_algorithms = WebPkiSupportedAlgorithms {
            all: counted.collect::<Vec<_>>().leak(),
            mapping: known.mapping,
        };
        let verifier = WebPkiClientVerifier::builder_with_provider(store.into(), provider.into());
        let spy: Arc<dyn ClientCertVerifier> = Arc::new(Spy(verifier.build().unwrap()));
        Self(Bounded::new(TrustAnchors::new(&ders).unwrap(), spy))
    }

    pub(crate) fn verify(&self, chain: &[Made]) -> (Result<ClientCertVerified, Error>, Cost) {
        SIGNATURES.set(0);
        SHOWN.set(0);
        let ders: Vec<_> = chain.iter().map(|made| made.der.clone()).collect();
        let verified = self
            .0
            .verify_client_cert(&ders[0], &ders[1..], UnixTime::now());
        let cost = Cost {
            signatures: SIGNATURES.get(),
            shown: SHOWN.get(),
        };
        (verified, cost)
    }
}
