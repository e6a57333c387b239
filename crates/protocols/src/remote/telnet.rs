//! Telnet (RFC 854): text with commands in between, each after a byte 255 (IAC). Option negotiation at the start is what
//! gives it away; a Telnet server that negotiates nothing is not recognised, since its text could be anything's.
//!
//! Read until a password prompt was answered: options (RFC 855), terminal type (RFC 1091), speed (RFC 1079), window size
//! (RFC 1073), user name.

use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Verdict, byte, fields, masked,
    risk, tcp,
};

fields! { ProtocolId::Telnet;
    CLIENT_OPTIONS: [Str] "client_options" "Options the client negotiates: will, wont, do or dont, and the option";
    SERVER_OPTIONS: [Str] "server_options" "Options the server negotiates";
    TERMINAL_TYPE: Str "terminal_type" "What terminal the client is";
    TERMINAL_SPEED: Str "terminal_speed" "Speed of the client's terminal, bit/s each way";
    WINDOW: Str "window" "Size of the client's window, columns x rows";
    USER: Str "user" "What the client answered to the login prompt";
}

/// Telnet.
pub const PROTOCOL: Protocol = Protocol {
    name: "telnet",
    title: "Telnet",
    family: Family::Remote,
    source: "RFC 854",
    ports: &[tcp(23)],
    well_known: true,
    cleartext: true,
    patterns: &[Pattern::tcp().min(3).tests(&[byte(0, IAC), masked(1, 0xf8, 0xf8)])],
    identify,
    parser: Some(|| Box::new(Telnet::default())),
    fields: FIELDS,
    risks: &[&risk::CLEAR_TEXT_CREDENTIALS],
    ..Protocol::BASE
};

const IAC: u8 = 255;
const SB: u8 = 250;
const SE: u8 = 240;
/// A subnegotiation is not longer than this.
const SUBNEGOTIATION_MAX: usize = 1024;
/// So much is read of a flow at most.
const READ_MAX: u64 = 64 * 1024;

/// One piece of a Telnet stream.
enum Piece<'a> {
    /// Text up to the next command.
    Text(&'a [u8]),
    /// DO, DONT, WILL, WONT and an option.
    Option(u8, u8),
    /// An option and its parameters, IACs still doubled.
    Parameters(u8, &'a [u8]),
    /// Any other command.
    Command,
}

/// The first piece and its length; `Err(Some(n))` if it takes n bytes to tell, `Err(None)` if this is no Telnet.
fn piece(bytes: &[u8]) -> Result<(Piece<'_>, usize), Option<usize>> {
    match bytes {
        [IAC, 251..=254, option, ..] => Ok((Piece::Option(bytes[1], *option), 3)),
        [IAC] => Err(Some(2)),
        [IAC, 250..=254] => Err(Some(3)),
        [IAC, SB, option, rest @ ..] => {
            let end = rest.windows(2).position(|w| w == [IAC, SE]);
            match end {
                Some(n) if n <= SUBNEGOTIATION_MAX => Ok((Piece::Parameters(*option, &rest[..n]), n + 5)),
                None if rest.len() < SUBNEGOTIATION_MAX + 2 => Err(Some(bytes.len() + 1)),
                _ => Err(None),
            }
        }
        // End of file to go ahead (RFC 854, RFC 1184), and an escaped 255.
        [IAC, 236..=239 | 241..=249 | IAC, ..] => Ok((Piece::Command, 2)),
        [IAC, ..] | [] => Err(None),
        _ => {
            let n = bytes.iter().position(|b| *b == IAC).unwrap_or(bytes.len());
            Ok((Piece::Text(&bytes[..n]), n))
        }
    }
}

/// Two negotiations with known options, and nothing but text besides. One is enough on Telnet's port, or if the other
/// side negotiates too.
fn identify(p: &Probe<'_>) -> Verdict {
    let (Some(mine), Some(others)) = (negotiations(p.payload), negotiations(p.other)) else {
        return Verdict::No;
    };
    match mine {
        0 => Verdict::Later,
        1 if !p.port(23) && others == 0 => Verdict::Later,
        _ => Verdict::Yes,
    }
}

/// How many options are negotiated in the stream so far; `None` if it is no Telnet.
fn negotiations(mut bytes: &[u8]) -> Option<u32> {
    let mut count = 0;
    bytes = bytes.get(..2048).unwrap_or(bytes);
    while !bytes.is_empty() {
        let used = match piece(bytes) {
            Ok((Piece::Option(_, option), n)) if is_option(option) => {
                count += 1;
                n
            }
            Ok((Piece::Parameters(option, _), n)) if is_option(option) => n,
            Ok((Piece::Command, n)) => n,
            Ok((Piece::Text(text), n)) if text.iter().all(|b| is_text(*b)) => n,
            Err(Some(_)) => break,
            _ => return None,
        };
        bytes = &bytes[used..];
    }
    Some(count)
}

fn is_text(b: u8) -> bool {
    matches!(b, 0 | 7..=13 | 0x1b | 0x20..=0x7e | 0x80..=0xfe)
}

/// Options that are registered with IANA.
fn is_option(option: u8) -> bool {
    option <= 49 || (138..=140).contains(&option)
}

fn option_name(option: u8) -> Option<&'static str> {
    Some(match option {
        0 => "binary",
        1 => "echo",
        3 => "suppress-go-ahead",
        5 => "status",
        6 => "timing-mark",
        24 => "terminal-type",
        25 => "end-of-record",
        31 => "window-size",
        32 => "terminal-speed",
        33 => "remote-flow-control",
        34 => "linemode",
        35 => "x-display-location",
        36 => "environment",
        37 => "authentication",
        38 => "encryption",
        39 => "new-environment",
        40 => "tn3270e",
        42 => "charset",
        44 => "com-port",
        46 => "start-tls",
        _ => return None,
    })
}

/// What the server last asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Prompt {
    #[default]
    None,
    User,
    Password,
}

#[derive(Default)]
struct Telnet {
    /// The end of the server's text so far, in lower case.
    tail: Vec<u8>,
    prompt: Prompt,
    user: Vec<u8>,
    spoke: [bool; 2],
    read: u64,
}

impl Parser for Telnet {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let (piece, used) = match piece(bytes) {
            Ok(found) => found,
            Err(Some(n)) => return Step::Need(n),
            Err(None) => return Step::Malformed(0),
        };
        let left = READ_MAX - self.read;
        self.read += used as u64;
        match piece {
            Piece::Option(verb, option) => {
                let verb = match verb {
                    251 => "will",
                    252 => "wont",
                    253 => "do",
                    _ => "dont",
                };
                let name = match option_name(option) {
                    Some(name) => format!("{verb} {name}"),
                    None => format!("{verb} {option}"),
                };
                out.push(if dir == Dir::Client { CLIENT_OPTIONS } else { SERVER_OPTIONS }, name);
                self.spoke[dir.index()] = true;
                if self.spoke == [true; 2] {
                    out.confirm();
                }
            }
            // IS, then the value.
            Piece::Parameters(24, [0, name @ ..]) => out.set_text(TERMINAL_TYPE, name),
            Piece::Parameters(32, [0, speed @ ..]) => out.set_text(TERMINAL_SPEED, speed),
            Piece::Parameters(31, [a, b, c, d]) if dir == Dir::Client => {
                let [columns, rows] = [[*a, *b], [*c, *d]].map(u16::from_be_bytes);
                out.set(WINDOW, format!("{columns}x{rows}"));
            }
            Piece::Parameters(..) | Piece::Command => {}
            Piece::Text(text) => {
                let text = text.get(..left as usize).unwrap_or(text);
                let over = match dir {
                    Dir::Client => self.typed(text, out),
                    Dir::Server => {
                        text.iter().for_each(|b| self.shown(*b));
                        false
                    }
                };
                if over {
                    return Step::Finished;
                }
            }
        }
        if self.read >= READ_MAX { Step::Finished } else { Step::Consumed(used) }
    }
}

impl Telnet {
    /// A character that the server shows.
    fn shown(&mut self, b: u8) {
        if self.tail.len() >= 16 {
            self.tail.remove(0);
        }
        self.tail.push(b.to_ascii_lowercase());
        let tail = self.tail.trim_ascii_end();
        if tail.ends_with(b"password:") || tail.ends_with(b"passcode:") {
            self.prompt = Prompt::Password;
        } else if tail.ends_with(b"login:") || tail.ends_with(b"username:") || tail.ends_with(b"user name:") {
            self.prompt = Prompt::User;
        }
    }

    /// What the client's user types. True once a password was.
    fn typed(&mut self, text: &[u8], out: &mut Sink<'_>) -> bool {
        for b in text {
            match (self.prompt, b) {
                (Prompt::Password, b'\r' | b'\n' | 0) => {}
                (Prompt::Password, _) => {
                    out.risk(&risk::CLEAR_TEXT_CREDENTIALS, || "telnet.prompt=password".to_owned());
                    return true;
                }
                (Prompt::User, b'\r' | b'\n') if !self.user.is_empty() => {
                    out.set_text(USER, &self.user);
                    self.user.clear();
                    self.prompt = Prompt::None;
                }
                (Prompt::User, 8 | 0x7f) => {
                    self.user.pop();
                }
                (Prompt::User, 0x21..=0x7e) if self.user.len() < 64 => self.user.push(*b),
                _ => {}
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Confidence;
    use crate::testing::Flow;

    #[test]
    fn a_login() {
        let seen = Flow::tcp(23)
            .server(&[255, 253, 24, 255, 253, 32])
            .client(&[255, 251, 24, 255, 251, 31, 255, 250, 31, 0, 80, 0, 24, 255, 240])
            .server(&[255, 250, 24, 1, 255, 240])
            .client(b"\xff\xfa\x18\x00XTERM\xff\xf0")
            .server(b"\r\nhost login: ")
            .client(b"t")
            .server(b"t")
            .client(b"im\r\0")
            .server(b"im\r\nPassword: ")
            .client(b"hunter2\r\0")
            .run_split();
        assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Telnet, Confidence::Handshake));
        assert_eq!(seen.show(SERVER_OPTIONS), "do terminal-type,do terminal-speed");
        assert_eq!(seen.show(TERMINAL_TYPE), "XTERM");
        assert_eq!(seen.show(WINDOW), "80x24");
        assert_eq!(seen.show(USER), "tim");
        assert_eq!(seen.risks(), ["clear-text-credentials"]);
        assert!(!format!("{seen:?}").contains("hunter2"));
    }

    #[test]
    fn one_negotiation_is_enough_on_the_port_or_with_an_answer() {
        let one: &[u8] = &[255, 253, 24];
        assert_eq!(Flow::tcp(23).server(one).run().protocol, ProtocolId::Telnet);
        assert_eq!(Flow::tcp(99).server(one).run().protocol, ProtocolId::Unknown);
        assert_eq!(
            Flow::tcp(99).server(one).client(&[255, 252, 24]).run_split().protocol,
            ProtocolId::Telnet
        );
    }

    #[test]
    fn near_misses() {
        // An MPEG audio frame, a byte order mark, options that there aren't, binary data after a negotiation.
        let no: [&[u8]; 4] = [
            &[255, 251, 0x90, 0x44, 0, 0],
            &[255, 254, b'a', 0, b'b', 0],
            &[255, 253, 200, 255, 253, 201],
            &[255, 253, 1, 255, 253, 3, 1, 2, 3],
        ];
        for payload in no {
            assert_eq!(Flow::tcp(23).server(payload).run().protocol, ProtocolId::Unknown, "{payload:?}");
        }
    }
}
