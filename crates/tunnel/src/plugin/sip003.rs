//! SIP003, the plug-ins of Shadowsocks.
//!
//! The program is told by variables where to listen and where to go to, and by options what it is: `server;state=FOLDER`,
//! or `cert=CERTIFICATE` with what the server printed when it started.

use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::keys;
use super::relay::{dial, serve, welcome};
use super::{Certificate, Environment, PluginError, options};
use crate::relay::relay_program;

const BY: &str = "Shadowsocks";
const OPTIONS: &str = "SS_PLUGIN_OPTIONS";

/// Whether this program was started by these conventions.
pub fn is_wanted(environment: &Environment) -> bool {
    environment.contains_key("SS_LOCAL_HOST")
}

/// Does what is asked, for ever. `say` gets what is to be printed for whoever set it up.
///
/// # Errors
/// If something asked for can't be done.
pub async fn run(
    environment: &Environment,
    say: impl FnOnce(&str),
) -> Result<std::convert::Infallible, PluginError> {
    let variable = |variable: &'static str| {
        environment.get(variable).map(String::as_str).ok_or(PluginError::Missing { variable, by: BY })
    };
    let address = |host: &str, port: &str| {
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    };
    let near = address(variable("SS_LOCAL_HOST")?, variable("SS_LOCAL_PORT")?);
    let far = address(variable("SS_REMOTE_HOST")?, variable("SS_REMOTE_PORT")?);
    let text = environment.get(OPTIONS).map_or("", String::as_str);
    let wrong = |wrong: String| PluginError::Variable { variable: OPTIONS, value: text.into(), wrong };
    let options = options::read(text).map_err(wrong)?;
    const KNOWN: [&str; 3] = ["server", "state", "cert"];
    if let Some(other) = options.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(wrong(format!("there is no option {other:?}; there are {}", KNOWN.join(", "))));
    }
    let listen = |address: String| async {
        let bound = TcpListener::bind(&address).await;
        bound.map_err(|cause| PluginError::Listen { address, cause })
    };
    if options.contains_key("server") {
        let state = options.get("state").filter(|state| !state.is_empty());
        let state =
            state.ok_or_else(|| wrong("a server keeps its keys in a folder: add state=FOLDER".into()))?;
        let (door, certificate) = keys::open(Path::new(state), &mut rand::rng())?;
        let door = Arc::new(door);
        let listener = listen(far).await?;
        say(&format!("clients' option: cert={certificate}"));
        serve(listener, |connection| welcome(connection, Arc::clone(&door), near.clone())).await
    } else {
        let certificate = options.get("cert").ok_or_else(|| {
            wrong(
                "a client needs the server's certificate: add cert=CERTIFICATE, or `server` to be one".into(),
            )
        })?;
        let certificate: Arc<Certificate> =
            Arc::new(certificate.parse().map_err(|error| wrong(format!("{error}")))?);
        let listener = listen(near.clone()).await?;
        say(&format!("listening on {near}"));
        serve(listener, |connection| {
            let (certificate, far) = (Arc::clone(&certificate), far.clone());
            async move {
                if let Ok(stream) = dial(far, &certificate).await {
                    relay_program(connection, stream).await;
                }
            }
        })
        .await
    }
}
