//! Server Message Block 1, also known as CIFS (MS-CIFS, MS-SMB): obsolete since 2006, insecure, and still there. Framed
//! like [`smb2`](super::smb2). Read are dialects, logins (old style and NTLM), shares, file names, operating systems.
//!
//! Clients that can do version 2 may begin with version 1's negotiation; when the server answers in version 2, the flow is
//! relabelled `smb2` and read on as such.
//!
//! Limits: of a message at most 8 KiB are looked at; file names inside TRANS2 are not read.

use super::ntlmssp;
use super::smb::{
    SMB_GUEST, SMB_SIGNING_NOT_REQUIRED, error_name, guid, is_refusal, put_ntlm, server_of, signing,
};
use crate::cursor::Cursor;
use crate::mail::sasl::Failures;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, byte, fields,
    risk, risks, tcp,
};

fields! { ProtocolId::Smb1;
    DIALECTS: [Str] "dialects" "Versions the client offers";
    DIALECT: Str "dialect" "Version that was chosen";
    COMMANDS: [Str] "commands" "Commands the client gives";
    USER: Str "user" "The user who logs in; empty for an anonymous one";
    DOMAIN: Str "domain" "The user's domain";
    WORKSTATION: Str "workstation" "The client's name (NTLM)";
    CLIENT_OS: Str "client_os" "The client's operating system, by its own account";
    CLIENT_SOFTWARE: Str "client_software" "The client's LAN manager";
    SERVER_OS: Str "server_os" "The server's operating system";
    SERVER_SOFTWARE: Str "server_software" "The server's LAN manager";
    SERVER_NAME: Str "server_name" "The server's NetBIOS name";
    SERVER_DNS_NAME: Str "server_dns_name" "The server's DNS name (NTLM)";
    SERVER_DOMAIN: Str "server_domain" "The server's domain or workgroup";
    SERVER_VERSION: Str "server_version" "Version of the server's Windows (NTLM)";
    SERVER_GUID: Str "server_guid" "The server's identifier";
    SIGNING: Str "signing" "Whether the server demands signatures: required, enabled, off";
    GUEST: Bool "guest" "The server took the client for a guest";
    SHARES: [Str] "shares" "Shares that were opened";
    FILES: [Str] "files" "Files, directories and named pipes that were opened or deleted";
    ERRORS: [Str] "errors" "Errors that the server answered";
}

risks! {
    SMB_OBSOLETE: High Both "smb-obsolete-version" "SMB version 1 is in use: no protection against relays and downgrades, and the door for EternalBlue (CVE-2017-0144). A client that only offers it besides version 2 is not counted.";
}

/// Server Message Block 1.
pub const PROTOCOL: Protocol = Protocol {
    name: "smb1",
    title: "Server Message Block 1",
    family: Family::Files,
    source: "MS-CIFS, MS-SMB",
    ports: &[tcp(445), tcp(139)],
    cleartext: true,
    patterns: &[
        Pattern::tcp().min(8).tests(&[
            byte(0, 0),
            byte(4, 0xff),
            byte(5, b'S'),
            byte(6, b'M'),
            byte(7, b'B'),
        ]),
        Pattern::tcp().starts(b"\xffSMB"),
    ],
    identify,
    parser: Some(|| Box::new(Smb1::default())),
    fields: FIELDS,
    risks: &[
        &SMB_OBSOLETE,
        &SMB_GUEST,
        &SMB_SIGNING_NOT_REQUIRED,
        &risk::CLEAR_TEXT_CREDENTIALS,
        &risk::REPEATED_LOGIN_FAILURES,
    ],
    ..Protocol::BASE
};

const HEADER: usize = 32;
const LOOK_MAX: usize = 8 * 1024;
/// So many messages are read if nobody wants a log of them: by then the lists are full, or nothing new comes.
const MESSAGES_MAX: u32 = 1000;

/// The header of a message (MS-CIFS §2.2.3.1).
struct Header {
    command: u8,
    status: u32,
    reply: bool,
    unicode: bool,
    /// The status is an NTSTATUS, and not one of DOS.
    nt_status: bool,
}

fn header(bytes: &[u8]) -> Option<Header> {
    let mut c = Cursor::new(bytes);
    if c.take(4)? != b"\xffSMB" {
        return None;
    }
    let (command, status, flags, flags2) = (c.u8()?, c.u32_le()?, c.u8()?, c.u16_le()?);
    c.skip(20)?;
    command_name(command)?;
    Some(Header {
        command,
        status,
        reply: flags & 0x80 != 0,
        unicode: flags2 & 0x8000 != 0,
        nt_status: flags2 & 0x4000 != 0,
    })
}

fn command_name(command: u8) -> Option<&'static str> {
    Some(match command {
        0x00 => "create-directory",
        0x01 => "delete-directory",
        0x02 => "open",
        0x03 => "create",
        0x04 => "close",
        0x05 => "flush",
        0x06 => "delete",
        0x07 => "rename",
        0x08 => "query-information",
        0x09 => "set-information",
        0x0a => "read",
        0x0b => "write",
        0x0c | 0x0d => "lock",
        0x0e..=0x23 => "core",
        0x24 => "locking-andx",
        0x25 => "transaction",
        0x26 => "transaction-secondary",
        0x27..=0x2a => "core",
        0x2b => "echo",
        0x2c => "write-and-close",
        0x2d => "open-andx",
        0x2e => "read-andx",
        0x2f => "write-andx",
        0x32 => "transaction2",
        0x33 => "transaction2-secondary",
        0x34 => "find-close2",
        0x70 => "tree-connect",
        0x71 => "tree-disconnect",
        0x72 => "negotiate",
        0x73 => "session-setup-andx",
        0x74 => "logoff-andx",
        0x75 => "tree-connect-andx",
        0x80..=0x84 => "search",
        0xa0 => "nt-transact",
        0xa1 => "nt-transact-secondary",
        0xa2 => "nt-create-andx",
        0xa4 => "nt-cancel",
        0xa5 => "nt-rename",
        0xc0..=0xc3 => "print",
        _ => return None,
    })
}

fn identify(p: &Probe<'_>) -> Verdict {
    let bytes = p.payload;
    let at = match bytes {
        [0xff, ..] => 0,
        [0, a, b, c, ..] if (HEADER as u32 + 3..1 << 18).contains(&u32::from_be_bytes([0, *a, *b, *c])) => 4,
        _ => return Verdict::No,
    };
    if bytes.len() < at + HEADER {
        return Verdict::Need(at + HEADER);
    }
    match header(&bytes[at..]) {
        Some(h) if h.reply == (p.dir == Dir::Server) => Verdict::Yes,
        Some(_) => Verdict::YesReversed,
        None => Verdict::No,
    }
}

#[derive(Default)]
struct Smb1 {
    dialects: Vec<String>,
    /// The server takes passwords as they are.
    plain_passwords: bool,
    failures: Failures,
    spoke: [bool; 2],
    messages: u32,
}

impl Parser for Smb1 {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        // Without a length before it, nobody knows where the message ends.
        if bytes.starts_with(b"\xffSMB") {
            return Step::Done;
        }
        let [kind, a, b, c, ..] = bytes else { return Step::Need(4) };
        let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        if *kind >= 0x81 && *kind <= 0x85 && len < 256 {
            return Step::Skip(4 + len as u64);
        }
        if *kind != 0 || len < 4 {
            return self.lost(dir, 0);
        }
        if bytes.len() < 8 {
            return Step::Need(8);
        }
        // The server answers in version 2: from here on it is that.
        if matches!(&bytes[4..8], b"\xfeSMB" | b"\xfdSMB" | b"\xfcSMB") {
            out.relabel(ProtocolId::Smb2);
            return Step::Switch(0, Some(ProtocolId::Smb2));
        }
        let wanted = 4 + len.min(HEADER);
        if bytes.len() < wanted {
            return Step::Need(wanted);
        }
        let Some(h) = header(&bytes[4..wanted]) else { return self.lost(dir, 4) };
        // File content is of no interest.
        let bulk = matches!(h.command, 0x0a | 0x0b | 0x2e | 0x2f);
        let wanted = if bulk { wanted } else { 4 + len.min(LOOK_MAX) };
        if bytes.len() < wanted {
            return Step::Need(wanted);
        }
        self.message(dir, &bytes[4..wanted], out);
        self.messages += 1;
        if self.messages > MESSAGES_MAX && !out.wants_events() {
            return Step::Finished;
        }
        Step::Skip(4 + len as u64)
    }
}

impl Smb1 {
    /// This is no message. Where none came before, the capture began in the middle of one.
    fn lost(&self, dir: Dir, at: usize) -> Step {
        if self.spoke[dir.index()] { Step::Malformed(at) } else { Step::Done }
    }

    fn message(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) {
        let Some(h) = header(bytes) else { return };
        self.spoke[dir.index()] = true;
        if self.spoke == [true; 2] {
            out.confirm();
        }
        if h.command != 0x72 {
            out.risk(&SMB_OBSOLETE, || {
                format!("smb1.commands={}", command_name(h.command).unwrap_or_default())
            });
        }
        if h.reply && h.status != 0 {
            if h.nt_status {
                if let Some(error) = error_name(h.status) {
                    out.push(ERRORS, error);
                }
            } else {
                // Class and code of MS-CIFS §2.2.2.4.
                out.push(ERRORS, format!("dos:{}/{}", h.status & 0xff, h.status >> 16));
            }
        }
        if h.command == 0x73 && h.reply && h.nt_status && is_refusal(h.status) {
            self.failures.refused("smb1", out);
        }
        // Commands whose name ends in AndX can be chained: the next one and its offset come first.
        let (mut command, mut at) = (h.command, HEADER);
        for _ in 0..4 {
            let Some((words, data, data_at)) = block(bytes, at) else { return };
            if !h.reply
                && let Some(name) = command_name(command)
            {
                out.push(COMMANDS, name);
            }
            let mut text = Text { bytes: data, at: data_at, unicode: h.unicode };
            if h.reply {
                self.response(command, words, &mut text, out);
            } else {
                self.request(command, words, &mut text, out);
            }
            let chained = matches!(command, 0x24 | 0x2d | 0x2e | 0x2f | 0x73 | 0x74 | 0x75 | 0xa2);
            match words {
                [next, _, low, high, ..] if chained && *next != 0xff => {
                    let offset = usize::from(u16::from_le_bytes([*low, *high]));
                    if offset <= at {
                        return;
                    }
                    (command, at) = (*next, offset);
                }
                _ => return,
            }
        }
    }

    fn request(&mut self, command: u8, words: &[u8], text: &mut Text<'_>, out: &mut Sink<'_>) -> Option<()> {
        let mut c = Cursor::new(words);
        match command {
            0x72 => {
                // Each dialect: a 2, and its name.
                for dialect in text.bytes.split(|b| *b == 0).filter_map(|d| d.strip_prefix(&[2])).take(32) {
                    let name = crate::mail::lines::shown(dialect);
                    out.push(DIALECTS, name.clone());
                    self.dialects.push(name);
                }
                if !self.dialects.iter().any(|d| d.starts_with("SMB 2")) {
                    out.risk(&SMB_OBSOLETE, || "smb1.dialects".to_owned());
                }
            }
            0x73 => {
                c.skip(14)?;
                let first = usize::from(c.u16_le()?);
                match words.len() {
                    // Extended security: a blob.
                    24 => {
                        login(text.skip(first)?, out);
                        text.set(CLIENT_OS, out);
                        text.set(CLIENT_SOFTWARE, out);
                    }
                    // Two passwords, and who and from where.
                    26 => {
                        let second = usize::from(c.u16_le()?);
                        text.skip(first)?;
                        text.skip(second)?;
                        let user = text.string()?;
                        let domain = text.string()?;
                        if self.plain_passwords && first + second > 1 {
                            out.risk(&risk::CLEAR_TEXT_CREDENTIALS, || {
                                "smb1.command=session-setup-andx".to_owned()
                            });
                        }
                        out.set(USER, user);
                        if !domain.is_empty() {
                            out.set(DOMAIN, domain);
                        }
                        text.set(CLIENT_OS, out);
                        text.set(CLIENT_SOFTWARE, out);
                    }
                    _ => {}
                }
            }
            0x75 => {
                c.skip(6)?;
                text.skip(c.u16_le()?.into())?;
                let path = text.string()?;
                if let Some(server) = server_of(&path) {
                    out.hostname(server.as_bytes());
                }
                out.push(SHARES, path);
            }
            // NT_CREATE_ANDX, OPEN_ANDX; DELETE has a format byte before the name.
            0xa2 | 0x2d => file(text.string()?, out),
            0x06 => {
                text.skip(1)?;
                file(text.string()?, out);
            }
            _ => {}
        }
        Some(())
    }

    fn response(&mut self, command: u8, words: &[u8], text: &mut Text<'_>, out: &mut Sink<'_>) -> Option<()> {
        let mut c = Cursor::new(words);
        match command {
            0x72 => {
                let index = c.u16_le()?;
                // 0xffff: none of them.
                let dialect = self.dialects.get(usize::from(index));
                if let Some(dialect) = dialect {
                    out.set(DIALECT, dialect.clone());
                }
                if index != 0xffff {
                    let evidence = dialect.map_or_else(
                        || "smb1.commands=negotiate".to_owned(),
                        |d| format!("smb1.dialect={d}"),
                    );
                    out.risk(&SMB_OBSOLETE, || evidence);
                }
                if words.len() != 34 {
                    return None;
                }
                let mode = c.u8()?;
                self.plain_passwords = mode & 2 == 0;
                signing(SIGNING, "smb1.signing", mode & 4 != 0, mode & 8 != 0, out);
                c.skip(16)?;
                if c.u32_le()? >> 31 == 1 {
                    out.set(SERVER_GUID, guid(text.skip(16)?.try_into().ok()?));
                } else {
                    c.skip(10)?;
                    text.skip(c.u8()?.into())?;
                    // Not aligned here (MS-CIFS §2.2.4.52.2).
                    text.at += text.at % 2;
                    text.set(SERVER_DOMAIN, out);
                    text.set(SERVER_NAME, out);
                }
            }
            0x73 => {
                c.skip(4)?;
                if c.u16_le()? & 1 != 0 {
                    out.set(GUEST, true);
                    out.risk(&SMB_GUEST, || "smb1.guest=true".to_owned());
                }
                if words.len() == 8 {
                    login(text.skip(c.u16_le()?.into())?, out);
                }
                text.set(SERVER_OS, out);
                text.set(SERVER_SOFTWARE, out);
                if words.len() == 6 {
                    text.set(SERVER_DOMAIN, out);
                }
            }
            _ => {}
        }
        Some(())
    }
}

fn file(name: String, out: &mut Sink<'_>) {
    if !name.is_empty() {
        out.push(FILES, name);
    }
}

fn login(blob: &[u8], out: &mut Sink<'_>) {
    if let Some(message) = ntlmssp::find(blob) {
        put_ntlm(
            message,
            [USER, DOMAIN, WORKSTATION, SERVER_NAME, SERVER_DOMAIN, SERVER_DNS_NAME, SERVER_VERSION],
            out,
        );
    }
}

/// Parameter words and data bytes of a command, as far as they are there, and where the data begins.
fn block(bytes: &[u8], at: usize) -> Option<(&[u8], &[u8], usize)> {
    let mut c = Cursor::new(bytes.get(at..)?);
    let count = usize::from(c.u8()?) * 2;
    let words = c.take(count)?;
    let n = usize::from(c.u16_le()?);
    let start = at + 1 + count + 2;
    let data = bytes.get(start..)?;
    Some((words, data.get(..n).unwrap_or(data), start))
}

/// The data of a command, read piece by piece.
struct Text<'a> {
    bytes: &'a [u8],
    /// Where `bytes` begins in the message: texts of two bytes a letter begin at an even place.
    at: usize,
    unicode: bool,
}

impl<'a> Text<'a> {
    fn skip(&mut self, n: usize) -> Option<&'a [u8]> {
        let (skipped, rest) = self.bytes.split_at_checked(n)?;
        self.bytes = rest;
        self.at += n;
        Some(skipped)
    }

    /// A text up to a zero, or to the end of the data.
    fn string(&mut self) -> Option<String> {
        if !self.unicode {
            let n = self.bytes.iter().position(|b| *b == 0).unwrap_or(self.bytes.len());
            let text = self.skip(n)?;
            self.skip(1);
            return Some(crate::mail::lines::shown(text));
        }
        if self.at % 2 == 1 {
            self.skip(1)?;
        }
        let units = self.bytes.chunks_exact(2).position(|u| u == [0, 0]);
        let n = units.map_or(self.bytes.len(), |units| units * 2);
        let text = self.skip(n)?;
        self.skip(2);
        Some(ntlmssp::utf16(text))
    }

    fn set(&mut self, field: crate::FieldRef, out: &mut Sink<'_>) {
        if let Some(text) = self.string()
            && !text.is_empty()
        {
            out.set(field, Value::from(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ntlmssp::tests::{authenticate, challenge, wide};
    use super::*;
    use crate::testing::Flow;
    use crate::{Confidence, common};

    fn message(command: u8, reply: bool, words: &[u8], data: &[u8]) -> Vec<u8> {
        let mut m = b"\0\0\0\0\xffSMB".to_vec();
        m.extend([command, 0, 0, 0, 0, if reply { 0x98 } else { 0x18 }, 0x01, 0xc8]);
        m.extend([0; 20]);
        m.push((words.len() / 2) as u8);
        m.extend(words);
        m.extend((data.len() as u16).to_le_bytes());
        m.extend(data);
        let n = (m.len() - 4) as u32;
        m[..4].copy_from_slice(&n.to_be_bytes());
        m
    }

    fn z(text: &str) -> Vec<u8> {
        let mut t = wide(text);
        t.extend([0, 0]);
        t
    }

    fn negotiation() -> (Vec<u8>, Vec<u8>) {
        let mut words = vec![1, 0, 3];
        words.resize(34, 0);
        words[22] = 0x80;
        (
            message(0x72, false, &[], b"\x02LANMAN1.0\0\x02NT LM 0.12\0"),
            message(0x72, true, &words, &[[7; 16].to_vec(), b"blob".to_vec()].concat()),
        )
    }

    #[test]
    fn a_session() {
        let (question, answer) = negotiation();
        let setup = |blob: &[u8]| {
            let mut words = vec![0xff, 0];
            words.resize(24, 0);
            words[14..16].copy_from_slice(&(blob.len() as u16).to_le_bytes());
            // The data begins at an odd place: 32 + 1 + 24 + 2 = 59.
            let mut data = blob.to_vec();
            data.resize(blob.len() + (59 + blob.len()) % 2, 0);
            message(0x73, false, &words, &[data, z("Windows 7"), z("LM")].concat())
        };
        let reply = |blob: &[u8]| {
            let n = (blob.len() as u16).to_le_bytes();
            let words = [0xff, 0, 0, 0, 0, 0, n[0], n[1]];
            let mut data = blob.to_vec();
            data.resize(blob.len() + (43 + blob.len()) % 2, 0);
            message(0x73, true, &words, &[data, z("Unix"), z("Samba 3.6")].concat())
        };
        let first = (setup(b"NTLMSSP\0\x01\0\0\0"), reply(&challenge("SRV", "srv.example")));
        let second = (setup(&authenticate("CORP", "tim", "PC7")), reply(b""));
        let tree = message(
            0x75,
            false,
            &[0xff, 0, 0, 0, 0, 0, 1, 0],
            &[vec![0], z("\\\\srv\\c$"), b"?????\0".to_vec()].concat(),
        );
        let mut words = vec![0xff, 0];
        words.resize(48, 0);
        let create = message(0xa2, false, &words, &[vec![0], z("\\svcctl")].concat());
        let seen = Flow::tcp(445)
            .client(&question)
            .server(&answer)
            .client(&first.0)
            .server(&first.1)
            .client(&second.0)
            .server(&second.1)
            .client(&tree)
            .client(&create)
            .run_split();
        assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Smb1, Confidence::Handshake));
        assert_eq!(seen.show(DIALECT), "NT LM 0.12");
        assert_eq!(seen.show(USER), "tim");
        assert_eq!(seen.show(SERVER_NAME), "SRV");
        assert_eq!(seen.show(CLIENT_OS), "Windows 7");
        assert_eq!(seen.show(SERVER_SOFTWARE), "Samba 3.6");
        assert_eq!(seen.show(SHARES), "\\\\srv\\c$");
        assert_eq!(seen.show(FILES), "\\svcctl");
        assert_eq!(seen.show(common::HOSTNAME), "srv");
        assert_eq!(seen.risks(), ["smb-obsolete-version", "smb-signing-not-required"]);
    }

    #[test]
    fn old_logins_chained_with_a_share() {
        // 13 words; no extended security; the server takes plain passwords.
        let mut server = vec![0, 0, 1];
        server.resize(34, 0);
        let answer = message(0x72, true, &server, &[z("GROUP"), z("OLD")].concat());
        let mut words = vec![0x75, 0];
        words.resize(26, 0);
        words[14] = 4;
        let data = [b"pwd\0".to_vec(), vec![0], z("tim"), z("CORP"), z("DOS"), z("LM")].concat();
        let offset = (HEADER + 1 + 26 + 2 + data.len()) as u16;
        words[2..4].copy_from_slice(&offset.to_le_bytes());
        let mut login = message(0x73, false, &words, &data);
        login.extend([4, 0xff, 0, 0, 0, 0, 0, 1, 0]);
        let share = [vec![0], z("\\\\old\\data"), b"A:\0".to_vec()].concat();
        login.extend((share.len() as u16).to_le_bytes());
        // The path begins at an even place.
        let pad = (offset as usize + 1 + 8 + 2 + 1) % 2;
        assert_eq!(pad, 0);
        login.extend(share);
        let n = (login.len() - 4) as u32;
        login[..4].copy_from_slice(&n.to_be_bytes());
        let seen = Flow::tcp(139)
            .client(&message(0x72, false, &[], b"\x02NT LM 0.12\0"))
            .server(&answer)
            .client(&login)
            .server(&message(0x73, true, &[0xff, 0, 0, 0, 1, 0], &[]))
            .run_split();
        assert_eq!(seen.show(SERVER_DOMAIN), "GROUP");
        assert_eq!(seen.show(SERVER_NAME), "OLD");
        assert_eq!(seen.show(USER), "tim");
        assert_eq!(seen.show(DOMAIN), "CORP");
        assert_eq!(seen.show(SHARES), "\\\\old\\data");
        assert_eq!(seen.show(COMMANDS), "negotiate,session-setup-andx,tree-connect-andx");
        let risks = [
            "smb-obsolete-version",
            "smb-signing-not-required",
            "clear-text-credentials",
            "smb-guest-session",
        ];
        assert_eq!(seen.risks(), risks);
    }

    #[test]
    fn version_2_takes_over() {
        let question = message(0x72, false, &[], b"\x02NT LM 0.12\0\x02SMB 2.002\0\x02SMB 2.???\0");
        let mut answer = b"\0\0\0\x80\xfeSMB\x40\0".to_vec();
        answer.resize(4 + 128, 0);
        answer[4 + 16] = 1;
        answer[4 + 64 + 2] = 2;
        answer[4 + 64 + 4..4 + 64 + 6].copy_from_slice(&[0xff, 0x02]);
        let seen = Flow::tcp(445).client(&question).server(&answer).run_split();
        assert_eq!(seen.protocol, ProtocolId::Smb2);
        assert_eq!(seen.show(super::super::smb2::DIALECT), "2.x");
        assert!(seen.risks().is_empty(), "{:?}", seen.risks());
    }

    #[test]
    fn near_misses() {
        let right = message(0x72, false, &[], b"\x02NT LM 0.12\0");
        for (at, value) in [(0, 1), (3, 10), (5, b'X'), (8, 0xee)] {
            let mut wrong = right.clone();
            wrong[at] = value;
            assert_eq!(Flow::tcp(445).client(&wrong).run().protocol, ProtocolId::Unknown, "{at}");
        }
        assert_eq!(Flow::tcp(99).client(&right[4..]).run_split().protocol, ProtocolId::Smb1);
    }
}
