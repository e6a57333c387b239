//! A GREASE `encrypted_client_hello` extension (RFC 9849 §6.2): it looks like Encrypted Client Hello, and holds nothing.
//!
//! rustls fills it in if it is given a suite of HPKE (RFC 9180), of which it only takes an encapsulated key: a fresh X25519
//! public key. The payload is random. So no HPKE is needed; all that would need one says no.

use ring::agreement::{EphemeralPrivateKey, X25519};
use ring::rand::SystemRandom;
use rustls::Error;
use rustls::client::{EchGreaseConfig, EchMode};
use rustls::crypto::hpke::{
    EncapsulatedSecret, Hpke, HpkeOpener, HpkePrivateKey, HpkePublicKey, HpkeSealer, HpkeSuite,
};
use rustls::internal::msgs::enums::{HpkeAead, HpkeKdf, HpkeKem};
use rustls::internal::msgs::handshake::HpkeSymmetricCipherSuite;

/// What makes rustls send the extension.
pub(super) fn mode() -> EchMode {
    EchMode::Grease(EchGreaseConfig::new(&Placeholder, HpkePublicKey(vec![0; 32])))
}

#[derive(Debug)]
struct Placeholder;

fn refuse<T>() -> Result<T, Error> {
    Err(Error::General("GREASE seals nothing".to_owned()))
}

impl Hpke for Placeholder {
    fn setup_sealer(
        &self,
        _: &[u8],
        _: &HpkePublicKey,
    ) -> Result<(EncapsulatedSecret, Box<dyn HpkeSealer + 'static>), Error> {
        let key = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new())
            .and_then(|key| key.compute_public_key())
            .map_err(|_| Error::FailedToGetRandomBytes)?;
        Ok((EncapsulatedSecret(key.as_ref().to_vec()), Box::new(NoSealer)))
    }

    fn seal(
        &self,
        _: &[u8],
        _: &[u8],
        _: &[u8],
        _: &HpkePublicKey,
    ) -> Result<(EncapsulatedSecret, Vec<u8>), Error> {
        refuse()
    }

    fn open(
        &self,
        _: &EncapsulatedSecret,
        _: &[u8],
        _: &[u8],
        _: &[u8],
        _: &HpkePrivateKey,
    ) -> Result<Vec<u8>, Error> {
        refuse()
    }

    fn setup_opener(
        &self,
        _: &EncapsulatedSecret,
        _: &[u8],
        _: &HpkePrivateKey,
    ) -> Result<Box<dyn HpkeOpener + 'static>, Error> {
        refuse()
    }

    fn generate_key_pair(&self) -> Result<(HpkePublicKey, HpkePrivateKey), Error> {
        refuse()
    }

    fn suite(&self) -> HpkeSuite {
        HpkeSuite {
            kem: HpkeKem::DHKEM_X25519_HKDF_SHA256,
            sym: HpkeSymmetricCipherSuite { kdf_id: HpkeKdf::HKDF_SHA256, aead_id: HpkeAead::AES_128_GCM },
        }
    }
}

#[derive(Debug)]
struct NoSealer;

impl HpkeSealer for NoSealer {
    fn seal(&mut self, _: &[u8], _: &[u8]) -> Result<Vec<u8>, Error> {
        refuse()
    }
}
