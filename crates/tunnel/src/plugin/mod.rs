//! Conventions by which other programs use a transport of ours for what they carry: Tor's pluggable transports
//! ([`tor`]) and Shadowsocks' plugins ([`sip003`]). They need no session of ours: a transport's stream carries theirs.

mod certificate;
mod keys;
mod options;
mod relay;
pub mod sip003;
pub mod tor;

use std::collections::BTreeMap;
use std::io::{Read, Write};

pub use certificate::{Certificate, CertificateError};

/// The variables by which another program tells what it wants.
pub type Environment = BTreeMap<String, String>;

/// Reads options as programs write them, for the fuzz targets.
///
/// # Errors
/// Says what is wrong.
#[cfg(feature = "fuzzing")]
pub fn read_options(text: &str) -> Result<BTreeMap<String, String>, String> {
    options::read(text)
}

/// Does what the program that started this one asks for, until it is ended. `input` and `output` are the standard ones;
/// `say` gets what is to be told to a person.
///
/// # Errors
/// If something asked for can't be done, or nobody asks for anything.
pub fn run(
    environment: &Environment,
    mut input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    say: impl FnOnce(&str),
) -> Result<(), PluginError> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(PluginError::Start)?;
    runtime.block_on(async {
        if tor::is_wanted(environment) {
            let (is_closed, closes) = tokio::sync::oneshot::channel();
            if tor::ends_with_input(environment) {
                std::thread::spawn(move || {
                    // Whatever comes, and however it ends.
                    let _ = std::io::copy(&mut input, &mut std::io::sink());
                    let _ = is_closed.send(());
                });
                tokio::select! {
                    done = tor::run(environment, output) => done,
                    _ = closes => Ok(()),
                }
            } else {
                tor::run(environment, output).await
            }
        } else if sip003::is_wanted(environment) {
            sip003::run(environment, say).await.map(|never| match never {})
        } else {
            Err(PluginError::Nobody)
        }
    })
}

/// Why a plug-in can't do what it is asked to. The message is for whoever set it up.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// It was started by hand.
    #[error(
        "nobody asks for anything: this is started by tor (ClientTransportPlugin or ServerTransportPlugin) or by \
         Shadowsocks (--plugin), which say by variables what they want"
    )]
    Nobody,
    /// There are no threads, or no sockets, to work with.
    #[error("can't start: {0}")]
    Start(std::io::Error),
    /// A variable is missing.
    #[error("{variable} is not set: this is to be started by {by}, not by hand")]
    Missing {
        /// Its name.
        variable: &'static str,
        /// Who sets it.
        by: &'static str,
    },
    /// A variable says something that is not understood.
    #[error("{variable} is {value:?}: {wrong}")]
    Variable {
        /// Its name.
        variable: &'static str,
        /// What it says.
        value: String,
        /// What is wrong with that, and what to write.
        wrong: String,
    },
    /// A file can't be read or written.
    #[error("{path}: {cause}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// An address can't be listened on.
    #[error("can't listen on {address}: {cause}")]
    Listen {
        /// The address.
        address: String,
        /// Why not.
        cause: std::io::Error,
    },
    /// Nobody listens to what is said.
    #[error("can't tell the program that started this: {0}")]
    Output(std::io::Error),
}
