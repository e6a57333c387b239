//! Whom one believes: roots, the issuers that they vouch for, and what was revoked.

use std::collections::BTreeMap;

use crate::card::Server;
use crate::error::{Error, Result};
use crate::revocation::Revoked;
use crate::signed::{Body, Signed};
use crate::{Card, Certificate, Day, Id, List, PublicKey, Revocation};

/// How far a card can be believed. What is wrong with it is an error instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A known root vouches for its issuer, and the issuer signed it.
    Vouched {
        /// The root's key.
        root: Id,
    },
    /// Its issuer isn't known here, so its signature can't be checked. It is as good as the hand that it came from.
    Unvouched {
        /// Whose signature it says it has.
        issuer: Id,
    },
}

/// Roots, issuers and revocations.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    roots: BTreeMap<Id, PublicKey>,
    certificates: BTreeMap<Id, Vec<Certificate>>,
    /// By who revoked them.
    revoked: BTreeMap<Id, Revoked>,
}

impl Trust {
    /// Believes these roots.
    #[must_use]
    pub fn new(roots: impl IntoIterator<Item = PublicKey>) -> Self {
        Self { roots: roots.into_iter().map(|key| (key.id(), key)).collect(), ..Self::default() }
    }

    /// The roots, by their ids.
    pub fn roots(&self) -> impl Iterator<Item = &PublicKey> {
        self.roots.values()
    }

    /// Takes a certificate that one of the roots signed. Its days are looked at when something hangs on it.
    ///
    /// # Errors
    /// If no root that is believed signed it.
    pub fn add_certificate(&mut self, certificate: Certificate) -> Result<()> {
        let root = self.roots.get(&certificate.signer()).ok_or_else(|| unknown(&certificate))?;
        certificate.verify(root)?;
        let known = self.certificates.entry(certificate.body().key.id()).or_default();
        if !known.contains(&certificate) {
            known.push(certificate);
        }
        Ok(())
    }

    /// Whether a root vouches for this issuer's key today.
    #[must_use]
    pub fn certifies(&self, issuer: &PublicKey, today: Day) -> bool {
        let id = issuer.id();
        let own = self.certificates.get(&id).into_iter().flatten();
        let mut good = own.filter(|one| one.body().key == *issuer && one.check_day(today).is_ok());
        good.next().is_some() && !self.is_key_revoked(&id)
    }

    fn is_key_revoked(&self, issuer: &Id) -> bool {
        let by = |root: &Id| self.revoked.get(root).is_some_and(|revoked| revoked.keys.contains(issuer));
        self.roots.keys().any(by)
    }

    /// Takes a revocation that a root or a certified issuer signed, whatever the day: what is revoked stays so.
    ///
    /// # Errors
    /// If nobody known signed it.
    pub fn add_revocation(&mut self, revocation: &Revocation) -> Result<()> {
        let signer = revocation.signer();
        let issuer = || self.certificates.get(&signer)?.first().map(|certificate| certificate.body().key);
        let key = self.roots.get(&signer).copied().or_else(issuer).ok_or_else(|| unknown(revocation))?;
        revocation.verify(&key)?;
        let known = self.revoked.entry(signer).or_default();
        known.cards.extend(&revocation.body().cards);
        known.keys.extend(&revocation.body().keys);
        Ok(())
    }

    /// Takes over what a list carries and checks the list itself. Its cards are to be checked one by one.
    ///
    /// # Errors
    /// If the list is not to be believed or not of today.
    pub fn add_list(&mut self, list: &List, today: Day) -> Result<()> {
        // Certificates and revocations stand by themselves; of others' roots they may be and are passed over.
        for certificate in &list.body().certificates {
            let _ = self.add_certificate(certificate.clone());
        }
        for revocation in &list.body().revocations {
            let _ = self.add_revocation(revocation);
        }
        list.check_day(today)?;
        match self.signer_of(list)? {
            Standing::Vouched { .. } => Ok(()),
            Standing::Unvouched { .. } => Err(unknown(list)),
        }
    }

    /// How far a card can be believed today.
    ///
    /// # Errors
    /// If it must not be used: expired, from the future, revoked, forged, or good beyond its issuer's certificate.
    pub fn check(&self, card: &Card, today: Day) -> Result<Standing> {
        card.check_day(today)?;
        let revoked =
            |by: &Id| self.revoked.get(by).is_some_and(|revoked| revoked.cards.contains(&card.id()));
        if revoked(&card.signer()) || self.roots.keys().any(revoked) {
            return Err(Error::Revoked { kind: Server::KIND, id: card.id() });
        }
        self.signer_of(card)
    }

    /// Whether something bears the signature of an issuer, or of a root itself, and lies within the days of its
    /// certificate.
    ///
    /// # Errors
    /// If the signature is wrong, the issuer's key was revoked, or it lasts longer than the certificate.
    pub fn signer_of<T: Body>(&self, signed: &Signed<T>) -> Result<Standing> {
        let signer = signed.signer();
        if let Some(root) = self.roots.get(&signer) {
            signed.verify(root)?;
            return Ok(Standing::Vouched { root: signer });
        }
        let Some(certificates) = self.certificates.get(&signer) else {
            return Ok(Standing::Unvouched { issuer: signer });
        };
        if self.is_key_revoked(&signer) {
            return Err(Error::Revoked { kind: T::KIND, id: signed.id() });
        }
        let mut outlived = None;
        for certificate in certificates {
            signed.verify(&certificate.body().key)?;
            if certificate.validity().contains(&signed.validity()) {
                return Ok(Standing::Vouched { root: certificate.signer() });
            }
            outlived = Some(certificate.validity());
        }
        let (own, its) = (signed.validity(), outlived.unwrap_or_else(|| signed.validity()));
        Err(Error::Outlives {
            kind: T::KIND,
            id: signed.id(),
            first: own.first,
            last: own.last,
            from: its.first,
            to: its.last,
        })
    }
}

fn unknown<T: Body>(signed: &Signed<T>) -> Error {
    Error::UnknownSigner { kind: T::KIND, id: signed.id(), signer: signed.signer() }
}
