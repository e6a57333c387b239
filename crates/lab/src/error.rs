//! What can go wrong with a run.

use std::io;
use std::path::PathBuf;

use crate::scenario::ScenarioError;

/// Why a scenario did not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// The scenario's text is wrong.
    #[error("{0}")]
    Scenario(#[from] ScenarioError),
    /// A file or folder can't be read or written.
    #[error("can't {what} {}: {source}", path.display())]
    File {
        /// What was to be done with it.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The kernel refuses namespaces.
    #[error(
        "can't make namespaces ({0}): run as root, or allow user namespaces (sysctl user.max_user_namespaces, \
         kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)"
    )]
    Namespaces(String),
    /// A program is missing.
    #[error("{program} is missing, which {needs} needs: install the Debian package {package}")]
    Missing {
        /// The program.
        program: String,
        /// What needs it.
        needs: String,
        /// The package that has it.
        package: &'static str,
    },
    /// A program failed.
    #[error("{what} failed: {message}")]
    Failed {
        /// What.
        what: String,
        /// Its own words.
        message: String,
    },
    /// A service doesn't answer.
    #[error("service {service:?} doesn't answer after {waited_s} s; its log ends with:\n{log}")]
    NotReady {
        /// Which.
        service: String,
        /// How long it was waited for.
        waited_s: u64,
        /// The end of its log.
        log: String,
    },
    /// The world process ended before its work was done.
    #[error("the run ended early: {0}")]
    Ended(String),
}

impl LabError {
    /// For `map_err`: what was to be done with which file.
    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}
