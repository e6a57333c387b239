//! Daylight's own tunnel, by its real programs.

use std::path::PathBuf;
use std::process::Command;

use super::place::{COVER_NAME, Place, Running, SERVER_NAME};
use super::site;
use super::subject::{CLIENT_PORT, Cover, Expected, SERVER_PORT, Subject};
use super::visitor::{Route, Seen, Visitor};
use crate::LabError;
use crate::service::write;

/// The server's secret key, and its one card's secret. They guard nothing.
const KEY: [u8; 32] = [7; 32];
const SECRET: [u8; 16] = [9; 16];

/// `daylight tunnel` with one transport.
pub(super) struct Tunnel {
    pub(super) transport: &'static str,
    pub(super) about: &'static str,
    pub(super) cover: Cover,
    /// Detectors that it passes.
    pub(super) passes: &'static [&'static str],
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn program() -> Result<Command, LabError> {
    let own = std::env::current_exe().map_err(LabError::file("find", "this program"))?;
    let mut command = Command::new(own);
    command.arg("tunnel");
    Ok(command)
}

impl Tunnel {
    /// A server on a host, and who is let in.
    fn start(&self, place: &Place, host: &str, port: u16, cards: &str) -> Result<Running, LabError> {
        let name = format!("{}-{host}", self.transport);
        let folder = place.folder.join(&name);
        std::fs::create_dir_all(&folder).map_err(LabError::file("make", &folder))?;
        let (certificate, key) = site::certify(place, SERVER_NAME, &folder)?;
        let listen = format!("listen = [\"{}:{port}\"]", place.address(host)?);
        let way = match self.transport {
            "web" | "h3" => {
                let h3 = if self.transport == "h3" { format!("[h3]\n{listen}\n") } else { String::new() };
                format!(
                    "[web]\n{listen}\ncertificate = {certificate:?}\ncertificate_key = {key:?}\n{h3}[site]\nfolder = {:?}\n",
                    site::root(place, COVER_NAME)
                )
            }
            transport => format!("[{transport}]\n{listen}\n"),
        };
        write(&folder.join("server.key"), hex(&KEY))?;
        write(&folder.join("cards"), cards)?;
        let config = folder.join("server.toml");
        let text = format!(
            "key = \"server.key\"\ncards = \"cards\"\nstate = \"state\"\n{way}[egress]\nreach_private = [\"10.0.0.0/8\"]\n"
        );
        write(&config, text)?;
        let mut command = program()?;
        command.arg("server").arg(config);
        let mut running = place.start(host, &name, command)?;
        place.wait_for(host, port, &mut running)?;
        Ok(running)
    }

    /// The card, made the first time that it is wanted.
    fn card(&self, place: &Place) -> Result<PathBuf, LabError> {
        let card = place.folder.join(format!("{}.card", self.transport));
        if card.exists() {
            return Ok(card);
        }
        let keys = place.folder.join(format!("{}-keys", self.transport));
        let run = |arguments: &[&str]| {
            let output = program()?.arg("card").args(arguments).output();
            let output = output.map_err(LabError::file("start", "daylight tunnel card"))?;
            if output.status.success() {
                return Ok(());
            }
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(LabError::Failed { what: "making a card".into(), message })
        };
        let offer = match self.transport {
            web @ ("web" | "h3") => format!("{web}:name={SERVER_NAME}"),
            transport => transport.to_owned(),
        };
        let (keys, address) = (keys.display().to_string(), place.address("server")?.to_string());
        run(&["keys", &keys])?;
        run(&[
            "new",
            "--keys",
            &keys,
            "--address",
            &address,
            "--port",
            &SERVER_PORT.to_string(),
            "--transport",
            &offer,
            "--server-key",
            &hex(&daylight_session::public_key(&KEY)),
            "--secret",
            &hex(&SECRET),
            "--output",
            &card.display().to_string(),
        ])?;
        Ok(card)
    }
}

impl Subject for Tunnel {
    fn name(&self) -> &'static str {
        self.transport
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn needs(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn cover(&self) -> Cover {
        self.cover
    }

    fn expected(&self, _: Visitor) -> Expected {
        Expected::Passes(self.passes)
    }

    fn seen(&self) -> Seen {
        if self.transport == "h3" { Seen::Quic } else { Seen::Tcp }
    }

    fn is_multiplexed(&self) -> bool {
        true
    }

    fn start_server(&self, place: &Place) -> Result<Running, LabError> {
        self.start(place, "server", SERVER_PORT, &format!("{}\n", hex(&SECRET)))
    }

    fn start_locked(&self, place: &Place, host: &str, port: u16) -> Result<Option<Running>, LabError> {
        match self.cover {
            Cover::Locked => self.start(place, host, port, "").map(Some),
            Cover::Site | Cover::Silence => Ok(None),
        }
    }

    fn start_client(&self, place: &Place, _: &Running) -> Result<(Running, Route), LabError> {
        let state = place.folder.join(format!("{}-client", self.transport));
        std::fs::create_dir_all(&state).map_err(LabError::file("make", &state))?;
        let mut command = program()?;
        command.arg("client").arg(self.card(place)?).args(["--no-local", "--quiet", "--state"]).arg(&state);
        command.arg("--authority").arg(&place.authority.file);
        command.arg("--listen").arg(format!("127.0.0.1:{CLIENT_PORT}")).env("XDG_RUNTIME_DIR", &state);
        let mut running = place.start("client", &format!("{}-client", self.transport), command)?;
        place.wait_for("client", CLIENT_PORT, &mut running)?;
        Ok((running, Route::Socks(CLIENT_PORT)))
    }
}
