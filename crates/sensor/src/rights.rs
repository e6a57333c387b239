//! What a sensor may do, once its interfaces are open.
//!
//! To listen takes CAP_NET_RAW and nothing else (AF_XDP also CAP_NET_ADMIN and CAP_BPF). Started as root, a sensor gives up
//! being root and keeps that one capability, by which it can open an interface again that has come back; started with
//! the capability alone, it keeps just that.

use std::io;

use nix::unistd::{Gid, Uid, User, setgroups, setresgid, setresuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
    set_keep_capabilities, set_no_new_privs,
};

/// What could not be given up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RightsError {
    /// There is no such user.
    #[error("there is no user {0}: name another with --user, or make it (`useradd --system {0}`)")]
    NoUser(String),
    /// Only root may become somebody else.
    #[error("only root can go on as another user: leave --user out")]
    NotRoot,
    /// Anything else.
    #[error("privileges can't be given up: {what}: {cause}")]
    System {
        /// What could not be done.
        what: &'static str,
        /// What the system says.
        cause: io::Error,
    },
}

/// Whom to go on as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// User.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its name.
    pub name: String,
}

impl Account {
    /// Of this name; or, without one, who called `sudo`, else the user `daylight`, else, if nothing is to be written, `nobody`.
    /// `None` if the process is not root's, or its root is to stay.
    ///
    /// # Errors
    /// If there is no such user, or the process may not become it.
    pub fn choose(wanted: Option<&str>, writes: bool) -> Result<Option<Self>, RightsError> {
        if !Uid::effective().is_root() {
            return if wanted.is_some() { Err(RightsError::NotRoot) } else { Ok(None) };
        }
        if let Some(name) = wanted {
            let found = Self::named(name).ok_or_else(|| RightsError::NoUser(name.into()))?;
            return Ok(Some(found).filter(|account| account.uid != 0));
        }
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
        let caller = number("SUDO_UID").filter(|uid| *uid != 0).zip(number("SUDO_GID"));
        let caller = caller.map(|(uid, gid)| {
            let known = User::from_uid(Uid::from_raw(uid)).ok().flatten();
            Self { uid, gid, name: known.map_or_else(|| uid.to_string(), |user| user.name) }
        });
        let nobody = || if writes { None } else { Self::named("nobody") };
        Ok(caller.or_else(|| Self::named("daylight")).or_else(nobody))
    }

    fn named(name: &str) -> Option<Self> {
        let user = User::from_name(name).ok().flatten()?;
        Some(Self { uid: user.uid.as_raw(), gid: user.gid.as_raw(), name: user.name })
    }
}

/// Goes on as `account`, if one is given, with those of the capabilities for listening that the process has (by AF_XDP, if
/// `xdp`); and never gets more. To be called while the process has one thread: the others would keep what they have.
///
/// # Errors
/// If the system refuses.
pub fn give_up(account: Option<&Account>, xdp: bool) -> Result<(), RightsError> {
    let failed = |what| move |cause: rustix::io::Errno| RightsError::System { what, cause: cause.into() };
    let changed = |what| move |cause: nix::errno::Errno| RightsError::System { what, cause: cause.into() };
    let held = capabilities(None).map_err(failed("capabilities can't be read"))?;
    let for_xdp = CapabilitySet::NET_ADMIN | CapabilitySet::BPF;
    let needed = CapabilitySet::NET_RAW | if xdp { for_xdp } else { CapabilitySet::empty() };
    let kept = held.permitted & needed;
    if let Some(account) = account {
        set_keep_capabilities(true).map_err(failed("capabilities can't be kept"))?;
        let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
        setgroups(&[gid]).map_err(changed("other groups can't be left"))?;
        setresgid(gid, gid, gid).map_err(changed("the group can't be changed"))?;
        setresuid(uid, uid, uid).map_err(changed("the user can't be changed"))?;
    }
    if held.effective.contains(CapabilitySet::SETPCAP) && account.is_none() {
        for capability in CapabilitySet::all().difference(kept).iter() {
            // Unknown to older kernels.
            let _ = remove_capability_from_bounding_set(capability);
        }
    }
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).map_err(failed("capabilities can't be dropped"))?;
    set_no_new_privs(true).map_err(failed("others can't be ruled out"))
}
