//! Virtual Network Computing: the Remote Framebuffer protocol (RFC 6143). Both sides say their version in twelve bytes,
//! the server first; then they agree on a security type, and the server shows the desktop's size and name.
//!
//! Security types other than "none" and "VNC" go their own ways: there, versions and types are all that is read. Versions
//! 4 and 5 (RealVNC) offer security types like 3.8 does.

use crate::cursor::Cursor;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Verdict, fields, risks, tcp,
};

fields! { ProtocolId::Vnc;
    SERVER_VERSION: Str "server_version" "The server's protocol version";
    CLIENT_VERSION: Str "client_version" "The client's protocol version: the one that is used";
    SECURITY_TYPES: [Str] "security_types" "Security types that the server offers";
    SECURITY: Str "security" "Security type that the client chose";
    AUTHENTICATED: Bool "authenticated" "The server accepted the login, or refused it";
    DESKTOP: Str "desktop" "Name of the desktop";
    WIDTH: Uint "width" "Width of the desktop in pixels";
    HEIGHT: Uint "height" "Height of the desktop in pixels";
}

risks! {
    VNC_NO_AUTHENTICATION: High Server "vnc-no-authentication" "The server let the client in without asking for anything.";
    VNC_WEAK_AUTHENTICATION: Medium Server "vnc-weak-authentication" "The login is VNC's own: a password of at most eight characters, guessable from what crosses the network (RFC 6143 §7.2.2). All that follows is unencrypted.";
}

/// Virtual Network Computing (RFB).
pub const PROTOCOL: Protocol = Protocol {
    name: "vnc",
    title: "Virtual Network Computing (RFB)",
    family: Family::Remote,
    source: "RFC 6143",
    ports: &[tcp(5900), tcp(5901), tcp(5902), tcp(5903), tcp(5800), tcp(5500)],
    well_known: true,
    cleartext: true,
    patterns: &[Pattern::tcp().starts(b"RFB 00")],
    identify,
    parser: Some(|| Box::new(Vnc::default())),
    fields: FIELDS,
    risks: RISKS,
    ..Protocol::BASE
};

/// `RFB 003.008\n`
fn version(bytes: &[u8]) -> Option<(u16, u16)> {
    let digits = bytes.strip_prefix(b"RFB ")?;
    let number =
        |d: &[u8]| d.iter().try_fold(0u16, |n, b| b.is_ascii_digit().then(|| n * 10 + u16::from(b - b'0')));
    match digits {
        [a, b, c, b'.', d, e, f, b'\n', ..] => Some((number(&[*a, *b, *c])?, number(&[*d, *e, *f])?)),
        _ => None,
    }
}

fn identify(p: &Probe<'_>) -> Verdict {
    match version(p.payload) {
        // The server speaks first: who speaks before any answer is the server.
        Some((3..=5, _)) if p.dir == Dir::Client && p.other.is_empty() => Verdict::YesReversed,
        Some((3..=5, _)) => Verdict::Yes,
        None if p.payload.len() < 12 => Verdict::Need(12),
        _ => Verdict::No,
    }
}

fn security_name(number: u32) -> &'static str {
    match number {
        0 => "invalid",
        1 => "none",
        2 => "vnc",
        5 => "rsa-aes",
        6 => "rsa-aes-unencrypted",
        13 => "rsa-aes-two-step",
        16 => "tight",
        17 => "ultra",
        18 => "tls",
        19 => "vencrypt",
        20 => "sasl",
        21 => "md5",
        22 => "xvp",
        30 | 35 => "apple",
        129 => "rsa-aes-256",
        130 => "rsa-aes-256-unencrypted",
        133 => "rsa-aes-256-two-step",
        _ => "other",
    }
}

/// What the server sends next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    #[default]
    Version,
    Security,
    /// What depends on the client's choice: a challenge, a result, or the desktop at once.
    AfterChoice,
    Result,
    Desktop,
}

#[derive(Default)]
struct Vnc {
    server: Next,
    server_version: Option<(u16, u16)>,
    client_version: Option<(u16, u16)>,
    chosen: Option<u32>,
}

impl Parser for Vnc {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        match dir {
            Dir::Client => self.client(bytes, out),
            Dir::Server => self.server(bytes, out),
        }
    }
}

impl Vnc {
    fn client(&mut self, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        if self.client_version.is_none() {
            if bytes.len() < 12 {
                return Step::Need(12);
            }
            let Some(v) = version(bytes) else { return Step::Malformed(0) };
            self.client_version = Some(v);
            out.set_text(CLIENT_VERSION, &bytes[4..11]);
            if self.server_version.is_some() {
                out.confirm();
            }
            return Step::Consumed(12);
        }
        // From version 3.7 on the client chooses among the types offered; before, the server decides alone.
        if self.chosen.is_none() && self.version() >= (3, 7) {
            self.choose(bytes[0].into(), out);
        }
        Step::Done
    }

    /// The version in use: the client answers with one that it and the server can do.
    fn version(&self) -> (u16, u16) {
        self.client_version.or(self.server_version).unwrap_or_default()
    }

    fn choose(&mut self, security: u32, out: &mut Sink<'_>) {
        self.chosen = Some(security);
        out.set(SECURITY, security_name(security));
        match security {
            2 => out.risk(&VNC_WEAK_AUTHENTICATION, || "vnc.security=vnc".to_owned()),
            1 => out.risk(&VNC_NO_AUTHENTICATION, || "vnc.security=none".to_owned()),
            _ => {}
        }
    }

    fn server(&mut self, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let mut c = Cursor::new(bytes);
        match self.server {
            Next::Version => {
                if bytes.len() < 12 {
                    return Step::Need(12);
                }
                let Some(v) = version(bytes) else { return Step::Malformed(0) };
                self.server_version = Some(v);
                self.server = Next::Security;
                out.set_text(SERVER_VERSION, &bytes[4..11]);
                if self.client_version.is_some() {
                    out.confirm();
                }
                Step::Consumed(12)
            }
            Next::Security if self.version() < (3, 7) => {
                let Some(security) = c.u32() else { return Step::Need(4) };
                out.push(SECURITY_TYPES, security_name(security));
                self.choose(security, out);
                self.server = Next::AfterChoice;
                Step::Consumed(4)
            }
            Next::Security => {
                // No types: a reason for the refusal follows.
                let Some(types) = c.vec8() else { return Step::Need(1 + usize::from(bytes[0])) };
                types.iter().for_each(|t| out.push(SECURITY_TYPES, security_name((*t).into())));
                self.server = Next::AfterChoice;
                if types.is_empty() { Step::Done } else { Step::Consumed(c.position()) }
            }
            Next::AfterChoice => match self.chosen {
                // A challenge of 16 bytes.
                Some(2) if bytes.len() < 16 => Step::Need(16),
                Some(2) => {
                    self.server = Next::Result;
                    Step::Consumed(16)
                }
                Some(1) if self.version() >= (3, 8) => {
                    self.server = Next::Result;
                    self.server(bytes, out)
                }
                Some(1) => {
                    self.server = Next::Desktop;
                    self.server(bytes, out)
                }
                _ => Step::Done,
            },
            Next::Result => {
                let Some(result) = c.u32() else { return Step::Need(4) };
                out.set(AUTHENTICATED, result == 0);
                self.server = Next::Desktop;
                if result == 0 { Step::Consumed(4) } else { Step::Done }
            }
            Next::Desktop => {
                // Width, height, pixel format, and the name with its length.
                let (Some(width), Some(height), Some(()), Some(n)) = (c.u16(), c.u16(), c.skip(16), c.u32())
                else {
                    return Step::Need(24);
                };
                if n > 4096 {
                    return Step::Malformed(20);
                }
                let Some(name) = c.take(n as usize) else { return Step::Need(24 + n as usize) };
                out.set(WIDTH, width);
                out.set(HEIGHT, height);
                out.set_text(DESKTOP, name);
                Step::Finished
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Confidence;
    use crate::testing::Flow;

    fn desktop() -> Vec<u8> {
        let mut d = vec![4, 0, 3, 0];
        d.extend([0; 16]);
        d.extend([0, 0, 0, 4]);
        d.extend(b"desk");
        d
    }

    #[test]
    fn version_3_8_with_a_password() {
        let seen = Flow::tcp(5900)
            .server(b"RFB 003.008\n")
            .client(b"RFB 003.008\n")
            .server(&[2, 2, 16])
            .client(&[2])
            .server(&[7; 16])
            .client(&[8; 16])
            .server(&[0, 0, 0, 0])
            .client(&[1])
            .server(&desktop())
            .run_split();
        assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Vnc, Confidence::Handshake));
        assert_eq!(seen.show(SECURITY_TYPES), "vnc,tight");
        assert_eq!(seen.show(AUTHENTICATED), "true");
        assert_eq!(seen.show(DESKTOP), "desk");
        assert_eq!(seen.show(WIDTH), "1024");
        assert_eq!(seen.risks(), ["vnc-weak-authentication"]);
    }

    #[test]
    fn version_3_3_without_one() {
        let seen = Flow::tcp(5900)
            .server(b"RFB 003.008\n")
            .client(b"RFB 003.003\n")
            .server(&[0, 0, 0, 1])
            .client(&[1])
            .server(&desktop())
            .run_split();
        assert_eq!(seen.show(SECURITY), "none");
        assert_eq!(seen.show(DESKTOP), "desk");
        assert_eq!(seen.risks(), ["vnc-no-authentication"]);
    }

    #[test]
    fn a_refused_login_and_no_types() {
        let start = Flow::tcp(5900).server(b"RFB 003.008\n").client(b"RFB 003.008\n");
        let refused =
            start.clone().server(&[1, 2]).client(&[2]).server(&[7; 16]).server(&[0, 0, 0, 1]).run_split();
        assert_eq!(refused.show(AUTHENTICATED), "false");
        let none = start.server(&[0, 0, 0, 0, 2, b'n', b'o']).run_split();
        assert!(none.risks().is_empty());
    }

    #[test]
    fn near_misses() {
        for payload in [&b"RFB 003-008\n"[..], b"RFB 009.008\n", b"RFB 003.00x\n", b"RFB 003.008 "] {
            assert_eq!(Flow::tcp(5900).server(payload).run().protocol, ProtocolId::Unknown, "{payload:?}");
        }
    }
}
