//! An issuer's folder.
//!
//! ```text
//! root.key             the root's private key; move it off the machine when the issuer is certified
//! root.pem             the root's public key, that people are told
//! issuer.key           the issuer's private key
//! issuer.pem           its public key
//! issuer.pem.sig       the root's signature of that file, for `openssl`
//! certificates.card    the root's certificates of this issuer's keys, the present one last
//! revoked.card         what was revoked, if anything was
//! channels.key         deals servers to channels
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::line::{self, LineError};
use crate::signed::{Body, Kind, Signed};
use crate::{
    Card, Certificate, ChannelKey, Day, Id, Issuer, PublicKey, Revocation, Revoked, SecretKey, Trust,
    Validity,
};

/// An issuer's folder.
#[derive(Clone, Debug)]
pub struct Keyring {
    folder: PathBuf,
}

/// Who revokes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoker {
    /// The issuer, its own cards.
    Issuer,
    /// The root, any card.
    Root,
}

impl Keyring {
    /// The folder, which is not looked at yet.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes what is missing: a root, and an issuer's key that the root certifies from `today` on for so many days. If
    /// there is an issuer, `renew` gives it a new key; the old one is gone then, and what it signed stays good.
    ///
    /// # Errors
    /// If there is an issuer and `renew` is not set, if the root's key is elsewhere, or a file can't be written.
    pub fn create(&self, today: Day, days: u32, renew: bool) -> Result<Certificate> {
        fs::create_dir_all(&self.folder).map_err(Error::io("create", &self.folder))?;
        if self.path("issuer.key").exists() && !renew {
            let what = format!("issuer's key {}", self.path("issuer.key").display());
            return Err(Error::Key { what, why: "is there; say --renew to replace it".to_owned() });
        }
        let root_path = self.path("root.key");
        let root = if self.path("root.pem").exists() {
            // A second root would be a stranger to all who know the first.
            SecretKey::open(&root_path)?
        } else {
            let root = SecretKey::generate()?;
            root.save(&root_path)?;
            write(&self.path("root.pem"), root.public().to_pem().as_bytes())?;
            ChannelKey::create(&self.path("channels.key"))?;
            root
        };
        let issuer = SecretKey::generate()?;
        let certificate =
            Certificate::sign(&Issuer { key: issuer.public() }, Validity::new(today, days), &root)?;
        let mut certificates = self.certificates()?;
        certificates.push(certificate.clone());
        // The private key last: until it is there, the old one is in force.
        write(&self.path("certificates.card"), lines(&certificates)?.as_bytes())?;
        let pem = issuer.public().to_pem();
        write(&self.path("issuer.pem"), pem.as_bytes())?;
        write(&self.path("issuer.pem.sig"), &root.sign(pem.as_bytes()))?;
        let new = self.path("issuer.key.new");
        let _ = fs::remove_file(&new);
        issuer.save(&new)?;
        fs::rename(&new, self.path("issuer.key")).map_err(Error::io("rename", &new))?;
        Ok(certificate)
    }

    /// The root's public key.
    ///
    /// # Errors
    /// If its file can't be read.
    pub fn root(&self) -> Result<PublicKey> {
        PublicKey::open(&self.path("root.pem"))
    }

    /// The issuer's private key.
    ///
    /// # Errors
    /// If its file can't be read.
    pub fn issuer(&self) -> Result<SecretKey> {
        SecretKey::open(&self.path("issuer.key"))
    }

    /// The key that deals servers to channels.
    ///
    /// # Errors
    /// If its file can't be read.
    pub fn channels(&self) -> Result<ChannelKey> {
        ChannelKey::open(&self.path("channels.key"))
    }

    /// All certificates of this issuer.
    ///
    /// # Errors
    /// If their file can't be read.
    pub fn certificates(&self) -> Result<Vec<Certificate>> {
        self.read("certificates.card")
    }

    /// What was revoked.
    ///
    /// # Errors
    /// If its file can't be read.
    pub fn revocations(&self) -> Result<Vec<Revocation>> {
        self.read("revoked.card")
    }

    /// The root's signature of `issuer.pem`, and that file.
    pub(crate) fn issuer_pem(&self) -> Result<(Vec<u8>, Vec<u8>)> {
        let read = |name: &str| fs::read(self.path(name)).map_err(Error::io("read", &self.path(name)));
        Ok((read("issuer.pem")?, read("issuer.pem.sig")?))
    }

    /// Believes the root of this folder, the certificates and the revocations in it.
    ///
    /// # Errors
    /// If a file can't be read, or is of another root.
    pub fn trust(&self) -> Result<Trust> {
        let mut trust = Trust::new([self.root()?]);
        for certificate in self.certificates()? {
            trust.add_certificate(certificate)?;
        }
        for revocation in self.revocations()? {
            trust.add_revocation(&revocation)?;
        }
        Ok(trust)
    }

    /// From `today` on for so many days, but not beyond the issuer's certificate.
    ///
    /// # Errors
    /// If the issuer has no certificate that is good today.
    pub fn validity(&self, today: Day, days: u32) -> Result<Validity> {
        let issuer = self.issuer()?.public();
        let certificates = self.certificates()?;
        let own = certificates.iter().rev().find(|one| one.body().key == issuer);
        let own = own.ok_or_else(|| Error::Key {
            what: format!("issuer's key {}", issuer.id()),
            why: "has no certificate; make a new one (card keys --renew)".to_owned(),
        })?;
        own.check_day(today)?;
        let Validity { first, last } = own.validity();
        let first = today.max(first);
        Ok(Validity { first, last: first.plus(days).min(last) })
    }

    /// Revokes cards, and writes it down.
    ///
    /// # Errors
    /// If a file can't be read or written.
    pub fn revoke(&self, cards: &[Id], keys: &[Id], by: Revoker, today: Day) -> Result<Revocation> {
        let key = match by {
            Revoker::Issuer if !keys.is_empty() => {
                let why = "are revoked by the root only; say --root".to_owned();
                return Err(Error::Key { what: "issuers' keys".to_owned(), why });
            }
            Revoker::Issuer => self.issuer()?,
            Revoker::Root => SecretKey::open(&self.path("root.key"))?,
        };
        let mut revocations = self.revocations()?;
        let own = key.public().id();
        let mut revoked = Revoked::default();
        for earlier in revocations.iter().filter(|earlier| earlier.signer() == own) {
            revoked.cards.extend(&earlier.body().cards);
            revoked.keys.extend(&earlier.body().keys);
        }
        revocations.retain(|earlier| earlier.signer() != own);
        revoked.cards.extend(cards);
        revoked.keys.extend(keys);
        // Nothing that was certified until now is good for longer than the last of the certificates.
        let last =
            self.certificates()?.iter().map(|one| one.validity().last).max().unwrap_or(today).max(today);
        let revocation = Revocation::sign(&revoked, Validity { first: today, last }, &key)?;
        revocations.push(revocation.clone());
        write(&self.path("revoked.card"), lines(&revocations)?.as_bytes())?;
        Ok(revocation)
    }

    fn read<T: Body>(&self, name: &str) -> Result<Vec<Signed<T>>> {
        let path = self.path(name);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let read = |line: line::Line| {
            if line.kind == T::KIND {
                Signed::parse(&line.bytes)
            } else {
                Err(LineError::Kind { found: line.kind, wanted: T::KIND }.into())
            }
        };
        line::read_all(&text)?.into_iter().map(read).collect()
    }
}

/// The lines of signed things, one below the other: the content of a `.card` file.
///
/// # Errors
/// If one is too long for a line.
pub fn lines<T: Body>(signed: &[Signed<T>]) -> Result<String> {
    signed.iter().map(|one| Ok(line::write(T::KIND, one.as_bytes())? + "\n")).collect()
}

/// Writes a file anew, so that at any time there is the old one or the new one.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, bytes).map_err(Error::io("write", &new))?;
    fs::rename(&new, path).map_err(Error::io("rename", &new))
}

/// What a file with cards holds, whichever kinds they are.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    /// Cards by themselves.
    pub cards: Vec<Card>,
    /// Certificates.
    pub certificates: Vec<Certificate>,
    /// Revocations.
    pub revocations: Vec<Revocation>,
    /// Lists.
    pub lists: Vec<crate::List>,
    /// Sealed lists.
    pub sealed: Vec<crate::seal::SealedList>,
    /// Shares of sealed lists.
    pub shares: Vec<crate::seal::Share>,
    /// Mistakes that were mended in lines.
    pub mended: Vec<line::Mended>,
}

impl Bundle {
    /// Reads a file's bytes, or a line: lines of text in any number, or the bytes of a list, a sealed list or a card.
    ///
    /// # Errors
    /// If there is nothing in it that can be read.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let mut bundle = Self::default();
        // What is signed begins with 0x82, with which no UTF-8 begins.
        let Ok(text) = std::str::from_utf8(bytes) else {
            bundle.read_binary(bytes)?;
            return Ok(bundle);
        };
        for line in line::read_all(text)? {
            bundle.mended.extend(&line.mended);
            let bytes = &line.bytes;
            match line.kind {
                Kind::Card => bundle.cards.push(Signed::parse(bytes)?),
                Kind::Certificate => bundle.certificates.push(Signed::parse(bytes)?),
                Kind::List => bundle.lists.push(Signed::parse(bytes)?),
                Kind::Revocation => bundle.revocations.push(Signed::parse(bytes)?),
                Kind::Sealed => bundle.sealed.push(Signed::parse(bytes)?),
                Kind::Share => bundle.shares.push(crate::seal::Share::decode(bytes)?),
                Kind::Frame => {
                    return Err(LineError::Kind { found: Kind::Frame, wanted: Kind::List }.into());
                }
            }
        }
        Ok(bundle)
    }

    /// The fields of the kinds differ so much that no bytes are of two of them.
    fn read_binary(&mut self, bytes: &[u8]) -> Result<()> {
        if let Ok(list) = Signed::parse(bytes) {
            self.lists.push(list);
        } else if let Ok(sealed) = Signed::parse(bytes) {
            self.sealed.push(sealed);
        } else {
            self.cards.push(Signed::parse(bytes)?);
        }
        Ok(())
    }

    /// Adds the certificates and revocations that are of one of the roots, and what the lists carry.
    ///
    /// # Errors
    /// If a certificate or revocation by someone who is known is forged.
    pub fn teach(&self, trust: &mut Trust) -> Result<()> {
        let strangers_pass = |outcome| match outcome {
            Err(Error::UnknownSigner { .. }) | Ok(()) => Ok(()),
            Err(other) => Err(other),
        };
        for certificate in &self.certificates {
            strangers_pass(trust.add_certificate(certificate.clone()))?;
        }
        for revocation in &self.revocations {
            strangers_pass(trust.add_revocation(revocation))?;
        }
        Ok(())
    }
}
