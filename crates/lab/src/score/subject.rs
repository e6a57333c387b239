//! What is scored: ways to carry traffic, of ours and of others.
//!
//! A new one is an `impl` here and a line in [`SUBJECTS`].

use std::os::unix::fs::symlink;
use std::process::Command;

use super::place::{COVER_NAME, Place, Running, SITE_NAME};
use super::tunnel::Tunnel;
use super::visitor::{Route, Seen, Visitor};
use crate::LabError;

/// Where a subject's server listens, as its censor sees it.
pub(crate) const SERVER_PORT: u16 = 443;
/// Where the server that it is compared with listens.
pub(crate) const COVER_PORT: u16 = 8443;
/// Where its client listens, on the visitor's own host.
pub(crate) const CLIENT_PORT: u16 = 1080;

/// What a server is to be taken for by somebody who probes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cover {
    /// An ordinary site.
    Site,
    /// The same server, with the same site, to which nobody has a card. Visits to its site are the control, too.
    Locked,
    /// A port that takes everything and says nothing.
    Silence,
}

/// What is known or claimed of a way to carry traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// These detectors find it; it is there to show that they do.
    FoundBy(&'static [&'static str]),
    /// These detectors, and no probe, tell it from the control.
    Passes(&'static [&'static str]),
}

/// A way to carry traffic.
pub(crate) trait Subject: Sync {
    /// Its name, for the command line and the table: at most ten characters.
    fn name(&self) -> &'static str;

    /// What it is.
    fn about(&self) -> &'static str;

    /// The programs it needs, and the Debian packages that have them.
    fn needs(&self) -> &'static [(&'static str, &'static str)];

    /// What its server is to be taken for.
    fn cover(&self) -> Cover;

    /// What is known or claimed of it.
    fn expected(&self, visitor: Visitor) -> Expected;

    /// What carries its connections.
    fn seen(&self) -> Seen {
        Seen::Tcp
    }

    /// Whether one connection carries several visits, so that each needs a client of its own.
    fn is_multiplexed(&self) -> bool {
        false
    }

    /// Starts its server, on the host `server`.
    fn start_server(&self, place: &Place) -> Result<Running, LabError>;

    /// Starts the same server without cards on a host, if it is to be taken for [that](Cover::Locked).
    fn start_locked(&self, _: &Place, _host: &str, _port: u16) -> Result<Option<Running>, LabError> {
        Ok(None)
    }

    /// Starts its client on the host `client`, and says how visitors go through it.
    fn start_client(&self, place: &Place, server: &Running) -> Result<(Running, Route), LabError>;
}

/// All of them.
pub(crate) const SUBJECTS: &[&dyn Subject] = &[
    &Shadowsocks { plain: false },
    &TlsRelay,
    &Shadowsocks { plain: true },
    &Tunnel {
        transport: "plain",
        about: "Daylight's tunnel by plain",
        cover: Cover::Silence,
        passes: LOOKS_LIKE_NOTHING,
    },
    &Tunnel {
        transport: "web",
        about: "Daylight's tunnel by web",
        cover: Cover::Locked,
        passes: LOOKS_LIKE_THE_WEB,
    },
    &Tunnel {
        transport: "h3",
        about: "Daylight's tunnel by h3",
        cover: Cover::Locked,
        passes: LOOKS_LIKE_QUIC,
    },
];

/// What the transport `plain` passes: it looks like nothing, and hides no sizes and no times.
const LOOKS_LIKE_NOTHING: &[&str] = &[
    "fully-encrypted",
    "trojan-tree",
    "openvpn",
    "wireguard",
    "quic-china",
    "quic-russia",
    "inspect-risk",
    "ndpi-risk",
];
/// What the transport `h3` passes. The datagrams after the first two are cut otherwise than a browser's, which whoever looks
/// at their sizes and bursts can tell.
const LOOKS_LIKE_QUIC: &[&str] = &[
    "fully-encrypted",
    "entropy",
    "trojan-tree",
    "openvpn",
    "wireguard",
    "quic-china",
    "quic-russia",
    "connection-count",
    "ja4",
    "inspect-label",
    "inspect-risk",
    "ndpi-label",
    "ndpi-risk",
];
/// What the transport `web` passes.
const LOOKS_LIKE_THE_WEB: &[&str] = &[
    "fully-encrypted",
    "entropy",
    "tls-in-tls",
    "trojan-tree",
    "openvpn",
    "wireguard",
    "quic-china",
    "quic-russia",
    "connection-count",
    "ja4",
    "inspect-label",
    "inspect-risk",
    "ndpi-label",
    "ndpi-risk",
];

/// Their names.
pub fn names() -> impl Iterator<Item = &'static str> {
    SUBJECTS.iter().map(|subject| subject.name())
}

/// shadowsocks-libev with AES-256-GCM: bare, or through Daylight's transport `plain` as its plug-in.
struct Shadowsocks {
    plain: bool,
}

impl Shadowsocks {
    fn command(&self, place: &Place, program: &str) -> Result<Command, LabError> {
        let mut command = Command::new(program);
        let address = place.address("server")?.to_string();
        command.args([
            "-s",
            &address,
            "-p",
            &SERVER_PORT.to_string(),
            "-k",
            "a password",
            "-m",
            "aes-256-gcm",
        ]);
        if self.plain {
            let plugin = place.folder.join("daylight-plugin");
            if !plugin.exists() {
                let own = std::env::current_exe().map_err(LabError::file("find", "this program"))?;
                symlink(own, &plugin).map_err(LabError::file("make", &plugin))?;
            }
            command.arg("--plugin").arg(plugin).arg("--plugin-opts");
        }
        Ok(command)
    }
}

impl Subject for Shadowsocks {
    fn name(&self) -> &'static str {
        if self.plain { "ss-plain" } else { "ss" }
    }

    fn about(&self) -> &'static str {
        if self.plain {
            "Daylight's transport plain, as a plug-in of shadowsocks-libev"
        } else {
            "shadowsocks-libev, aes-256-gcm"
        }
    }

    fn needs(&self) -> &'static [(&'static str, &'static str)] {
        &[("ss-server", "shadowsocks-libev"), ("ss-local", "shadowsocks-libev")]
    }

    fn cover(&self) -> Cover {
        Cover::Silence
    }

    fn expected(&self, _: Visitor) -> Expected {
        if self.plain {
            Expected::Passes(LOOKS_LIKE_NOTHING)
        } else {
            Expected::FoundBy(&["fully-encrypted"])
        }
    }

    fn start_server(&self, place: &Place) -> Result<Running, LabError> {
        let mut command = self.command(place, "ss-server")?;
        if self.plain {
            command.arg(format!("server;state={}", place.folder.join("plain-state").display()));
        }
        let mut running = place.start("server", &format!("{}-server", self.name()), command)?;
        place.wait_for("server", SERVER_PORT, &mut running)?;
        Ok(running)
    }

    fn start_client(&self, place: &Place, server: &Running) -> Result<(Running, Route), LabError> {
        let mut command = self.command(place, "ss-local")?;
        if self.plain {
            let said = server.said();
            let certificate = said.split_once("clients' option: ").and_then(|(_, rest)| rest.lines().next());
            let missing = || LabError::Failed {
                what: "ss-plain-server".into(),
                message: "it said no certificate".into(),
            };
            command.arg(certificate.ok_or_else(missing)?.trim());
        }
        command.args(["-b", "127.0.0.1", "-l", &CLIENT_PORT.to_string()]);
        let mut running = place.start("client", &format!("{}-client", self.name()), command)?;
        place.wait_for("client", CLIENT_PORT, &mut running)?;
        if self.plain {
            // ss-local doesn't wait for its plug-in.
            running.wait(|running| running.said().contains("listening on").then_some(()))?;
        }
        Ok((running, Route::Socks(CLIENT_PORT)))
    }
}

/// A TLS connection for each connection, without padding or sharing: what encapsulated handshakes are looked for in.
struct TlsRelay;

impl Subject for TlsRelay {
    fn name(&self) -> &'static str {
        "tls-relay"
    }

    fn about(&self) -> &'static str {
        "one TLS connection for each inner one, by socat"
    }

    fn needs(&self) -> &'static [(&'static str, &'static str)] {
        &[("socat", "socat")]
    }

    fn cover(&self) -> Cover {
        Cover::Site
    }

    fn expected(&self, visitor: Visitor) -> Expected {
        match visitor {
            Visitor::Chromium => Expected::FoundBy(&["tls-in-tls"]),
            // Its ClientHello of 517 bytes comes out two bytes short of what nDPI takes for one inside TLS.
            Visitor::Curl => Expected::FoundBy(&["post-handshake"]),
        }
    }

    fn start_server(&self, place: &Place) -> Result<Running, LabError> {
        let folder = place.folder.join("tls-relay");
        std::fs::create_dir_all(&folder).map_err(LabError::file("make", &folder))?;
        let (certificate, key) = place.authority.certify(&[COVER_NAME.to_owned()], &folder)?;
        let mut command = Command::new("socat");
        command.arg(format!(
            "OPENSSL-LISTEN:{SERVER_PORT},reuseaddr,fork,verify=0,cert={},key={}",
            certificate.display(),
            key.display()
        ));
        command.arg(format!("TCP:{}:443", place.address("site")?));
        let mut running = place.start("server", "tls-relay-server", command)?;
        place.wait_for("server", SERVER_PORT, &mut running)?;
        Ok(running)
    }

    fn start_client(&self, place: &Place, _: &Running) -> Result<(Running, Route), LabError> {
        let mut command = Command::new("socat");
        command.arg(format!("TCP-LISTEN:{CLIENT_PORT},bind=127.0.0.1,reuseaddr,fork"));
        let server = place.address("server")?;
        command.arg(format!("OPENSSL:{server}:{SERVER_PORT},verify=0,snihost={COVER_NAME}"));
        let mut running = place.start("client", "tls-relay-client", command)?;
        place.wait_for("client", CLIENT_PORT, &mut running)?;
        Ok((running, Route::Forward(CLIENT_PORT)))
    }
}

/// The site that subjects are asked for.
pub(crate) const VISITED: &str = SITE_NAME;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::detect::DETECTORS;

    #[test]
    fn names_are_short_and_detectors_exist() {
        for subject in SUBJECTS {
            assert!(subject.name().len() <= 10 && subject.about().len() <= 70);
            let (Expected::FoundBy(names) | Expected::Passes(names)) = subject.expected(Visitor::Chromium);
            for name in names {
                assert!(DETECTORS.iter().any(|detector| detector.name == *name), "{name}");
            }
        }
    }
}
