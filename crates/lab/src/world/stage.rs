//! The way into a world of its own: two steps, as a process can't make itself the first of a PID namespace.
//!
//! `outer` is a fresh process (only one with a single thread may enter a user namespace). It unshares everything, and
//! starts `inner`, which is the first of the PID namespace and stays the world's one process of ours. Orders come in over
//! standard input; when its other end is gone, whoever held it is too, and the world ends.

use std::fs;
use std::io;
use std::process::{Command, ExitStatus, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::LabError;

/// What the outer process is told to be in place of a user: root itself, or root of a user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// Root, as the system knows it.
    Root,
    /// Root of a user namespace: nobody in particular outside.
    UserNamespace,
}

impl Privilege {
    /// What this process may do: root if it is.
    pub fn of_process() -> Self {
        if geteuid().is_root() { Self::Root } else { Self::UserNamespace }
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::UserNamespace => "user namespace",
        }
    }

    /// As an argument of the command that calls [`outer`].
    pub fn argument(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::UserNamespace => "user-namespace",
        }
    }
}

/// Enters new namespaces and runs `inner` (a command line of this same program) as their first process.
///
/// # Errors
/// If the kernel refuses namespaces, or the program can't be started.
pub fn outer(privilege: Privilege, inner: &[String]) -> Result<ExitStatus, LabError> {
    let refused = |e: nix::Error| LabError::Namespaces(e.to_string());
    let (uid, gid) = (geteuid(), getegid());
    if privilege == Privilege::UserNamespace {
        unshare(CloneFlags::CLONE_NEWUSER).map_err(refused)?;
        let map = |file: &'static str, text: String| {
            fs::write(file, text).map_err(|e| LabError::Namespaces(format!("{file}: {e}")))
        };
        map("/proc/self/setgroups", "deny".into())?;
        map("/proc/self/uid_map", format!("0 {uid} 1"))?;
        map("/proc/self/gid_map", format!("0 {gid} 1"))?;
    }
    unshare(
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC,
    )
    .map_err(refused)?;
    let program = std::env::current_exe().map_err(LabError::file("find", "this program"))?;
    let mut child = Command::new(&program)
        .args(inner)
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .spawn()
        .map_err(LabError::file("start", program))?;
    child.wait().map_err(LabError::file("wait for", "the world"))
}

/// What the first process does before anything else: it will end with its parent, and gets its own `/proc` and `/run`.
///
/// # Errors
/// If a mount is refused.
pub fn inner() -> Result<(), LabError> {
    let failed = |what: &'static str| move |e: nix::Error| LabError::Namespaces(format!("{what}: {e}"));
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|e| LabError::Namespaces(format!("death signal: {}", io::Error::from(e))))?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(failed("private mounts"))?;
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("proc"), "/proc", Some("proc"), safe | MsFlags::MS_NOEXEC, None::<&str>)
        .map_err(failed("/proc"))?;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), safe, Some("mode=0755")).map_err(failed("/run"))?;
    for folder in ["/run/netns", "/run/sshd"] {
        fs::create_dir_all(folder).map_err(LabError::file("make", folder))?;
    }
    Ok(())
}
