//! Tor's pluggable transports, version 1 of the specification (spec.torproject.org/pt-spec): as client and as server.
//!
//! A client's server and certificate come with each connection, from the line `Bridge daylight_plain ADDRESS FINGERPRINT
//! cert=CERTIFICATE`. A server keeps its keys in Tor's folder for the state of transports, tells Tor its certificate, and
//! leaves the bridge's line there for its operator.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use fast_socks5::ReplyError;
use fast_socks5::server::{
    NoAuthentication, PasswordAuthentication, Socks5ServerProtocol, SocksServerError, StandardAuthentication,
    StandardAuthenticationStarted,
};
use fast_socks5::util::target_addr::TargetAddr;
use fast_socks5::{Socks5Command, server::AuthMethodSuccessState as _};
use tokio::net::{TcpListener, TcpStream};

use super::keys;
use super::relay::{dial, serve, welcome};
use super::{Certificate, Environment, PluginError, options};
use crate::relay::relay_program;
use crate::transports::door::Doorman;

/// The transport's name, as it stands in `torrc`.
pub const NAME: &str = "daylight_plain";
const BY: &str = "tor";
const VERSIONS: &str = "TOR_PT_MANAGED_TRANSPORT_VER";

/// Whether this program was started by these conventions.
pub fn is_wanted(environment: &Environment) -> bool {
    environment.contains_key(VERSIONS)
}

/// What is told to Tor, a line each.
struct Speaker<W>(Mutex<W>);

impl<W: Write> Speaker<W> {
    fn say(&self, line: &str) -> Result<(), PluginError> {
        let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(output, "{line}").and_then(|()| output.flush()).map_err(PluginError::Output)
    }
}

/// Does what Tor asks for, and tells it so on `output`. It goes on for ever; the caller ends it when Tor closes its
/// standard input, if [`ends_with_input`] says so.
///
/// # Errors
/// If Tor asks for something that can't be done; it has been told.
pub async fn run<W: Write + Send + 'static>(environment: &Environment, output: W) -> Result<(), PluginError> {
    let speaker = Arc::new(Speaker(Mutex::new(output)));
    let versions = environment.get(VERSIONS).ok_or(PluginError::Missing { variable: VERSIONS, by: BY })?;
    if !versions.split(',').any(|version| version == "1") {
        speaker.say("VERSION-ERROR no-version")?;
        let wrong = "this speaks version 1".into();
        return Err(PluginError::Variable { variable: VERSIONS, value: versions.clone(), wrong });
    }
    speaker.say("VERSION 1")?;
    let wanted = |variable: &str| environment.get(variable).filter(|list| !list.is_empty());
    let outcome = match (wanted("TOR_PT_CLIENT_TRANSPORTS"), wanted("TOR_PT_SERVER_TRANSPORTS")) {
        (Some(names), _) => client(environment, names, &speaker).await,
        (None, Some(names)) => server(environment, names, &speaker).await,
        (None, None) => {
            let variable = "TOR_PT_CLIENT_TRANSPORTS";
            Err(PluginError::Missing { variable, by: BY })
        }
    };
    if let Err(error) = &outcome {
        speaker.say(&format!("ENV-ERROR {}", one_line(error)))?;
    }
    outcome
}

/// Whether Tor ends transports by closing their standard input.
pub fn ends_with_input(environment: &Environment) -> bool {
    environment.get("TOR_PT_EXIT_ON_STDIN_CLOSE").is_some_and(|value| value == "1")
}

fn one_line(text: &impl ToString) -> String {
    text.to_string().replace(['\n', '\r'], " ")
}

/// Tells of each transport that is asked for and unknown; true if ours is among them.
fn ours<W: Write>(names: &str, method: &str, speaker: &Speaker<W>) -> Result<bool, PluginError> {
    let mut is_ours = false;
    for name in names.split(',') {
        if name == NAME || name == "*" {
            is_ours = true;
        } else {
            speaker.say(&format!("{method}-ERROR {name} no such transport here; there is {NAME}"))?;
        }
    }
    Ok(is_ours)
}

async fn client<W: Write + Send + 'static>(
    environment: &Environment,
    names: &str,
    speaker: &Arc<Speaker<W>>,
) -> Result<(), PluginError> {
    if environment.get("TOR_PT_PROXY").is_some_and(|proxy| !proxy.is_empty()) {
        return speaker.say("PROXY-ERROR going through another proxy is not supported");
    }
    let mut listener = None;
    if ours(names, "CMETHOD", speaker)? {
        match TcpListener::bind(("127.0.0.1", 0)).await.and_then(|bound| Ok((bound.local_addr()?, bound))) {
            Ok((address, bound)) => {
                speaker.say(&format!("CMETHOD {NAME} socks5 {address}"))?;
                listener = Some(bound);
            }
            Err(error) => speaker.say(&format!("CMETHOD-ERROR {NAME} {}", one_line(&error)))?,
        }
    }
    speaker.say("CMETHODS DONE")?;
    let Some(listener) = listener else { return Ok(()) };
    serve(listener, |connection| {
        let speaker = Arc::clone(speaker);
        async move {
            if let Err(why) = connect(connection).await {
                // Nobody is left to be told if this fails.
                let _ = speaker
                    .say(&format!("LOG SEVERITY=warning MESSAGE=\"{}\"", why.replace(['"', '\\'], "'")));
            }
        }
    })
    .await
}

/// One connection of Tor's; the error is for its log.
async fn connect(connection: TcpStream) -> Result<(), String> {
    let socks = |error: SocksServerError| format!("a connection of tor's failed: {}", one_line(&error));
    let methods = [
        StandardAuthentication::PasswordAuthentication(PasswordAuthentication),
        StandardAuthentication::NoAuthentication(NoAuthentication),
    ];
    let started = Socks5ServerProtocol::start(connection).negotiate_auth(&methods).await.map_err(socks)?;
    let (arguments, authenticated) = match started {
        StandardAuthenticationStarted::NoAuthentication(done) => (String::new(), done.finish_auth()),
        StandardAuthenticationStarted::PasswordAuthentication(auth) => {
            let (name, password, auth) = auth.read_username_password().await.map_err(socks)?;
            let arguments = format!("{name}{}", password.trim_end_matches('\0'));
            (arguments, auth.accept().await.map_err(socks)?.finish_auth())
        }
    };
    let (request, command, target) = authenticated.read_command().await.map_err(socks)?;
    let refuse = |request: Socks5ServerProtocol<_, _>, reply: ReplyError, why: String| async move {
        request.reply_error(&reply).await.map_err(socks)?;
        Err(why)
    };
    if command != Socks5Command::TCPConnect {
        return refuse(request, ReplyError::CommandNotSupported, "tor asked for more than to connect".into())
            .await;
    }
    let certificate = options::read(&arguments).and_then(|options| {
        let certificate =
            options.get("cert").ok_or("the bridge's line has no cert=…, as its operator has it")?;
        certificate.parse::<Certificate>().map_err(|error| error.to_string())
    });
    let certificate = match certificate {
        Ok(certificate) => certificate,
        Err(why) => return refuse(request, ReplyError::GeneralFailure, why).await,
    };
    let dialled = match &target {
        TargetAddr::Ip(address) => dial(*address, &certificate).await,
        TargetAddr::Domain(name, port) => dial((name.as_str(), *port), &certificate).await,
    };
    match dialled {
        Ok(stream) => {
            let connection = request.reply_success(([0, 0, 0, 0], 0).into()).await.map_err(socks)?;
            relay_program(connection, stream).await;
            Ok(())
        }
        Err(error) => {
            let why = format!("no connection to the bridge {target}: {}", one_line(&error));
            refuse(request, ReplyError::HostUnreachable, why).await
        }
    }
}

async fn server<W: Write + Send + 'static>(
    environment: &Environment,
    names: &str,
    speaker: &Speaker<W>,
) -> Result<(), PluginError> {
    let variable = |variable: &'static str| {
        environment.get(variable).map(String::as_str).ok_or(PluginError::Missing { variable, by: BY })
    };
    let state = Path::new(variable("TOR_PT_STATE_LOCATION")?);
    let to = variable("TOR_PT_ORPORT")?.to_owned();
    let mut at_work = None;
    if ours(names, "SMETHOD", speaker)? {
        let bind = environment.get("TOR_PT_SERVER_BINDADDR").map_or("", String::as_str);
        let own = bind.split(',').find_map(|one| one.strip_prefix(NAME)?.strip_prefix('-'));
        match begin(own.unwrap_or("0.0.0.0:0"), state).await {
            Ok((door, certificate, listener, address)) => {
                // Its letters need no escaping here.
                speaker.say(&format!("SMETHOD {NAME} {address} ARGS:cert={certificate}"))?;
                at_work = Some((door, listener));
            }
            Err(error) => speaker.say(&format!("SMETHOD-ERROR {NAME} {}", one_line(&error)))?,
        }
    }
    speaker.say("SMETHODS DONE")?;
    let Some((door, listener)) = at_work else { return Ok(()) };
    serve(listener, |connection| welcome(connection, Arc::clone(&door), to.clone())).await
}

async fn begin(
    address: &str,
    state: &Path,
) -> Result<(Arc<Doorman>, Certificate, TcpListener, std::net::SocketAddr), PluginError> {
    let folder = state.join(NAME);
    let (door, certificate) = keys::open(&folder, &mut rand::rng())?;
    let path = folder.join("bridge-line.txt");
    let line = format!("Bridge {NAME} ADDRESS:PORT FINGERPRINT cert={certificate}\n");
    std::fs::write(&path, line).map_err(|cause| PluginError::File { path, cause })?;
    let bound = TcpListener::bind(address).await.and_then(|bound| Ok((bound.local_addr()?, bound)));
    let (local, listener) = bound.map_err(|cause| PluginError::Listen { address: address.into(), cause })?;
    Ok((Arc::new(door), certificate, listener, local))
}
