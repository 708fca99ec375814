use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use async_trait::async_trait;
use lethe_core::identity::{DeploymentId, HsmKeyId};
use lethe_core::ports::{
    ClaimKind, Hsm, HsmError, HsmKey, HsmStatus, KeyLabel, SealedSecret, SigningPurpose,
    VerificationKey,
};
use lethe_core::secret::Secret32;

use crate::config::Pkcs11Config;
use crate::errors::{self, Failure};
use crate::pool::Pool;
use crate::session::Device;
use crate::{claim, objects, operations, signing};

/// The HSM behind a PKCS#11 module.
pub struct Pkcs11Hsm {
    pool: Pool,
}

impl Pkcs11Hsm {
    /// Loads the module, logs in once and looks whether the token can do what is needed. Blocks
    /// for at most `call_timeout`.
    ///
    /// # Errors
    /// [`HsmError::Pin`] when the PIN is refused: ask the operator, do not repeat.
    pub fn open(config: Pkcs11Config) -> Result<Self, HsmError> {
        let timeout = config.call_timeout;
        let (sender, receiver) = mpsc::channel();
        std::thread::Builder::new()
            .name("lethe-pkcs11-open".into())
            // If the caller does not wait any more, the device is dropped.
            .spawn(move || drop(sender.send(Device::open(config))))
            .map_err(|error| HsmError::Unavailable(error.to_string()))?;
        let opened = receiver
            .recv_timeout(timeout)
            .map_err(|_| HsmError::Unavailable("the module does not open in time".into()))?;
        let device = opened.map_err(|failure| match failure {
            Failure::Module(error) => errors::to_hsm_error(&error),
            Failure::Decided(error) => error,
            Failure::GivenUp => HsmError::Unavailable("given up".into()),
        })?;
        Ok(Self {
            pool: Pool::new(device)?,
        })
    }
}

#[async_trait]
impl Hsm for Pkcs11Hsm {
    async fn create_key(&self, label: KeyLabel) -> Result<HsmKey, HsmError> {
        let key = HsmKey {
            id: objects::new_id()?,
            label,
        };
        let tried = AtomicBool::new(false);
        self.pool
            .change(move |call| {
                // The first attempt may have made it before its session was lost.
                let tried = tried.swap(true, Ordering::SeqCst);
                operations::create_key(call, key, tried).map(|()| key)
            })
            .await
    }

    async fn keys(&self, deployment: DeploymentId) -> Result<Vec<HsmKey>, HsmError> {
        self.pool
            .run(move |call| objects::keys_of(call, deployment))
            .await
    }

    async fn holds(&self, key: HsmKey) -> Result<bool, HsmError> {
        self.pool
            .run(move |call| operations::holds(call, key))
            .await
    }

    async fn seal(
        &self,
        key: HsmKey,
        aad: &[u8],
        secret: &Secret32,
    ) -> Result<SealedSecret, HsmError> {
        let aad = aad.to_vec();
        // The call may outlive its caller, so it has a copy of its own, which is wiped with it.
        let secret = Secret32::filled(|bytes| bytes.copy_from_slice(secret.expose()));
        self.pool
            .run(move |call| operations::seal(call, key, &aad, &secret))
            .await
    }

    async fn open(
        &self,
        key: HsmKey,
        aad: &[u8],
        sealed: &SealedSecret,
    ) -> Result<Secret32, HsmError> {
        let (aad, sealed) = (aad.to_vec(), sealed.clone());
        self.pool
            .run(move |call| operations::open(call, key, &aad, &sealed))
            .await
    }

    async fn destroy(&self, key: HsmKey) -> Result<(), HsmError> {
        let sent = Arc::new(AtomicBool::new(false));
        self.pool
            .change(move |call| {
                // A destroy whose answer was lost may have worked.
                if sent.load(Ordering::SeqCst) && operations::ensure_gone(call, key).is_ok() {
                    return Ok(());
                }
                operations::destroy(call, key, || sent.store(true, Ordering::SeqCst))
            })
            .await
    }

    async fn claim(
        &self,
        deployment: DeploymentId,
        kind: ClaimKind,
    ) -> Result<Vec<String>, HsmError> {
        let found = self
            .pool
            .run(move |call| claim::claim(call, deployment, kind));
        Ok(found.await?.into_iter().collect())
    }

    async fn set_claim(
        &self,
        deployment: DeploymentId,
        kind: ClaimKind,
        text: &str,
    ) -> Result<(), HsmError> {
        let text = text.to_owned();
        self.pool
            .change(move |call| claim::set_claim(call, deployment, kind, &text))
            .await
    }

    async fn claims(&self) -> Result<Vec<(DeploymentId, String)>, HsmError> {
        self.pool.run(claim::claims).await
    }

    async fn remove_claim(
        &self,
        deployment: DeploymentId,
        kind: ClaimKind,
    ) -> Result<(), HsmError> {
        // This does not wait for its turn: a challenge is answered at once, whatever keys are being
        // made.
        self.pool
            .run(move |call| claim::remove_claim(call, deployment, kind))
            .await
    }

    async fn create_signing_key(
        &self,
        deployment: DeploymentId,
        purpose: SigningPurpose,
    ) -> Result<VerificationKey, HsmError> {
        let id = objects::new_id()?;
        let label = signing::label(deployment, purpose);
        let tried = AtomicBool::new(false);
        self.pool
            .change(move |call| {
                let tried = tried.swap(true, Ordering::SeqCst);
                signing::create(call, id, &label, tried)?;
                let public_key = signing::public_key(call, id, &label)?;
                Ok(VerificationKey {
                    id,
                    purpose,
                    public_key,
                })
            })
            .await
    }

    async fn verification_keys(
        &self,
        deployment: DeploymentId,
    ) -> Result<Vec<VerificationKey>, HsmError> {
        self.pool
            .run(move |call| signing::verification_keys(call, deployment))
            .await
    }

    async fn signing_pairs(
        &self,
        deployment: DeploymentId,
    ) -> Result<Vec<(HsmKeyId, SigningPurpose)>, HsmError> {
        self.pool
            .run(move |call| signing::pairs(call, deployment))
            .await
    }

    async fn destroy_signing_pair(
        &self,
        deployment: DeploymentId,
        id: HsmKeyId,
        purpose: SigningPurpose,
    ) -> Result<(), HsmError> {
        let label = signing::label(deployment, purpose);
        self.pool
            .change(move |call| signing::destroy(call, id, &label))
            .await
    }

    async fn sign(&self, key: HsmKeyId, message: &[u8]) -> Result<[u8; 64], HsmError> {
        let message = message.to_vec();
        self.pool
            .run(move |call| signing::sign(call, key, &message))
            .await
    }

    async fn random(&self, length: usize) -> Result<Vec<u8>, HsmError> {
        let length =
            u32::try_from(length).map_err(|_| HsmError::Device("too many random bytes".into()))?;
        self.pool
            .run(move |call| Ok(call.session()?.generate_random_vec(length)?))
            .await
    }

    async fn status(&self, deployment: DeploymentId) -> Result<HsmStatus, HsmError> {
        self.pool
            .run(move |call| {
                let (_, info) = call.device.slot()?;
                let model = format!("{} {}", info.manufacturer_id(), info.model());
                Ok(HsmStatus {
                    token: info.label().to_owned(),
                    model,
                    objects: objects::count_all(call)?,
                    claim: claim::claim(call, deployment, ClaimKind::Held)?,
                    free_memory: info.free_private_memory().map(|free| free as u64),
                })
            })
            .await
    }
}
