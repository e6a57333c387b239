//! The scenario's own certificate authority. It lives in memory and ends with the run.

use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData as _,
};
use sha2::{Digest as _, Sha256};

use super::write;
use crate::LabError;
use crate::scenario::model::Certificate;

/// The name in a certificate for another name.
const OTHER_NAME: &str = "somebody-else.example";

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, as a file.
    pub(crate) file: PathBuf,
}

impl Authority {
    /// Makes one, and writes its certificate to `ca.pem`.
    pub(crate) fn new(folder: &Path) -> Result<Self, LabError> {
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name("Daylight lab CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(failed)?;
        let file = folder.join("ca.pem");
        write(&file, certificate.pem())?;
        Ok(Self { issuer: Issuer::new(params, key), file })
    }

    /// SHA-256 of its public key (SubjectPublicKeyInfo, DER), in base64: what browsers pin it by.
    pub(crate) fn key_sha256(&self) -> String {
        BASE64_STANDARD.encode(Sha256::digest(self.issuer.key().subject_public_key_info()))
    }

    /// Writes a certificate for these names and its key.
    pub(crate) fn certify(&self, names: &[String], folder: &Path) -> Result<(PathBuf, PathBuf), LabError> {
        self.certify_with(names, None, folder)
    }

    /// As [`certify`](Self::certify), with something wrong with it.
    pub(crate) fn certify_with(
        &self,
        names: &[String],
        fault: Option<Certificate>,
        folder: &Path,
    ) -> Result<(PathBuf, PathBuf), LabError> {
        let other = [OTHER_NAME.to_owned()];
        let names = if fault == Some(Certificate::OtherName) { &other } else { names };
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::new(names.to_vec()).map_err(failed)?;
        if fault == Some(Certificate::Expired) {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        params.distinguished_name = name(names.first().map_or("site", String::as_str));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let certificate = match fault {
            Some(Certificate::SelfSigned) => params.self_signed(&key),
            _ => params.signed_by(&key, &self.issuer),
        };
        let certificate = certificate.map_err(failed)?;
        let (certificate_file, key_file) = (folder.join("certificate.pem"), folder.join("key.pem"));
        write(&certificate_file, certificate.pem())?;
        write(&key_file, key.serialize_pem())?;
        Ok((certificate_file, key_file))
    }
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn failed(error: rcgen::Error) -> LabError {
    LabError::Failed { what: "making a certificate".into(), message: error.to_string() }
}
