//! Server Message Block 2 and 3 (MS-SMB2) over TCP (port 445: a length of four bytes before each message, as NetBIOS
//! session service has it, RFC 1002 §4.3.1; port 139: after a NetBIOS session request). Read are versions, logins (NTLM),
//! shares, file names, signing, errors. Encrypted messages (3.0 and later) say no more than that they are.
//!
//! Limits: Kerberos tickets in the login are not taken apart; renames are not followed; of a message at most 8 KiB are
//! looked at.

use std::collections::VecDeque;

use super::ntlmssp::{self, utf16};
use super::smb::{
    SMB_GUEST, SMB_SIGNING_NOT_REQUIRED, error_name, guid, is_refusal, put_ntlm, server_of, signing,
};
use crate::cursor::Cursor;
use crate::mail::sasl::Failures;
use crate::{
    Dir, Event, Family, FieldRef, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict,
    byte, fields, risk, tcp,
};

fields! { ProtocolId::Smb2;
    DIALECT: Str "dialect" "Version that was chosen: 2.0.2, 2.1, 3.0, 3.0.2, 3.1.1";
    DIALECTS: [Str] "dialects" "Versions the client offers";
    COMMANDS: [Str] "commands" "Commands the client gives";
    CLIENT_GUID: Str "client_guid" "The client's identifier";
    SERVER_GUID: Str "server_guid" "The server's identifier";
    AUTH: Str "auth" "How the client logs in: ntlm or kerberos";
    USER: Str "user" "The user who logs in (NTLM); empty for an anonymous one";
    DOMAIN: Str "domain" "The user's domain (NTLM)";
    WORKSTATION: Str "workstation" "The client's name (NTLM)";
    SERVER_NAME: Str "server_name" "The server's NetBIOS name (NTLM)";
    SERVER_DNS_NAME: Str "server_dns_name" "The server's DNS name (NTLM)";
    SERVER_DOMAIN: Str "server_domain" "The server's NetBIOS domain (NTLM)";
    SERVER_VERSION: Str "server_version" "Version of the server's Windows (NTLM)";
    SIGNING: Str "signing" "Whether the server demands signatures: required, enabled, off";
    SIGNED: Bool "signed" "Messages are signed";
    ENCRYPTED: Bool "encrypted" "Messages are encrypted";
    COMPRESSED: Bool "compressed" "Messages are compressed";
    GUEST: Str "guest" "The server took the client for a guest, or for anonymous";
    SHARES: [Str] "shares" "Shares that were opened";
    FILES: [Str] "files" "Files and directories that were opened";
    PIPES: [Str] "pipes" "Named pipes that were opened: they lead to services such as svcctl, samr, atsvc";
    ERRORS: [Str] "errors" "Errors that the server answered";
    ACTION: Str "action" "For the log: what was done";
    PATH: Str "path" "For the log: the share";
    NAME: Str "name" "For the log: the file";
    SIZE: Uint "size" "For the log: the file's size in bytes";
    SHARE_TYPE: Str "share_type" "For the log: disk, pipe or print";
}

/// Server Message Block 2 and 3.
pub const PROTOCOL: Protocol = Protocol {
    name: "smb2",
    title: "Server Message Block 2 and 3",
    family: Family::Files,
    source: "MS-SMB2",
    ports: &[tcp(445), tcp(139)],
    patterns: &[
        // A message, and an encrypted and a compressed one, each after its length.
        Pattern::tcp().min(8).tests(&[
            byte(0, 0),
            byte(4, 0xfe),
            byte(5, b'S'),
            byte(6, b'M'),
            byte(7, b'B'),
        ]),
        Pattern::tcp().min(8).tests(&[
            byte(0, 0),
            byte(4, 0xfd),
            byte(5, b'S'),
            byte(6, b'M'),
            byte(7, b'B'),
        ]),
        Pattern::tcp().min(8).tests(&[
            byte(0, 0),
            byte(4, 0xfc),
            byte(5, b'S'),
            byte(6, b'M'),
            byte(7, b'B'),
        ]),
        Pattern::tcp().starts(b"\xfeSMB\x40\x00"),
    ],
    identify,
    parser: Some(|| Box::new(Smb2::default())),
    fields: FIELDS,
    risks: &[&SMB_GUEST, &SMB_SIGNING_NOT_REQUIRED, &risk::REPEATED_LOGIN_FAILURES],
    ..Protocol::BASE
};

const HEADER: usize = 64;
/// So much of a message is looked at.
const LOOK_MAX: usize = 8 * 1024;
/// So many messages are read if nobody wants a log of them: by then the lists are full, or nothing new comes.
const MESSAGES_MAX: u32 = 1000;
/// Requests whose responses are still to come, and shares that are open.
const WAITING_MAX: usize = 64;
const SHARES_MAX: usize = 16;

/// The header of a message (MS-SMB2 §2.2.1).
struct Header {
    status: u32,
    command: u16,
    response: bool,
    signed: bool,
    next: u32,
    message_id: u64,
    tree_id: u32,
}

fn header(bytes: &[u8]) -> Option<Header> {
    let mut c = Cursor::new(bytes);
    if c.take(4)? != b"\xfeSMB" || c.u16_le()? != 64 {
        return None;
    }
    c.skip(2)?;
    let (status, command) = (c.u32_le()?, c.u16_le()?);
    c.skip(2)?;
    let (flags, next, message_id) = (c.u32_le()?, c.u32_le()?, c.u64_le()?);
    c.skip(4)?;
    let tree_id = c.u32_le()?;
    c.skip(24)?;
    let (response, signed) = (flags & 1 != 0, flags & 8 != 0);
    // Asynchronous messages have no tree.
    let tree_id = if flags & 2 != 0 { u32::MAX } else { tree_id };
    (command <= 18).then_some(Header { status, command, response, signed, next, message_id, tree_id })
}

fn identify(p: &Probe<'_>) -> Verdict {
    let bytes = p.payload;
    let (at, len) = match bytes {
        [0xfe, ..] => (0, None),
        [0, a, b, c, ..] => (4, Some(u32::from_be_bytes([0, *a, *b, *c]) as usize)),
        _ => return Verdict::No,
    };
    // An encrypted or compressed message has a header of its own (§2.2.41, §2.2.42).
    if matches!(bytes.get(at), Some(0xfd | 0xfc)) {
        let least = if bytes[at] == 0xfd { 52 + HEADER } else { 16 };
        return if len.is_some_and(|n| n >= least && n < 1 << 24) { Verdict::Yes } else { Verdict::No };
    }
    if len.is_some_and(|n| n < HEADER + 4) {
        return Verdict::No;
    }
    if bytes.len() < at + HEADER {
        return Verdict::Need(at + HEADER);
    }
    match header(&bytes[at..]) {
        Some(h) if h.response == (p.dir == Dir::Server) => Verdict::Yes,
        Some(_) => Verdict::YesReversed,
        None => Verdict::No,
    }
}

/// Commands by number; the log and the field use them in this spelling.
const COMMAND_NAMES: [&str; 19] = [
    "negotiate",
    "session-setup",
    "logoff",
    "tree-connect",
    "tree-disconnect",
    "create",
    "close",
    "flush",
    "read",
    "write",
    "lock",
    "ioctl",
    "cancel",
    "echo",
    "query-directory",
    "change-notify",
    "query-info",
    "set-info",
    "oplock-break",
];

fn dialect_name(dialect: u16) -> Option<&'static str> {
    Some(match dialect {
        0x0202 => "2.0.2",
        0x0210 => "2.1",
        0x0300 => "3.0",
        0x0302 => "3.0.2",
        0x0311 => "3.1.1",
        // "Some version 2": the answer to version 1's negotiation; another one follows.
        0x02ff => "2.x",
        _ => return None,
    })
}

/// What is remembered of a request until its response comes.
#[derive(Debug)]
enum Waiting {
    Tree(String),
    File { name: String, tree: u32, ts_ns: i64 },
}

#[derive(Default)]
struct Smb2 {
    waiting: VecDeque<(u64, Waiting)>,
    /// Tree identifier, the share's path, and whether it is for pipes.
    shares: VecDeque<(u32, String, bool)>,
    failures: Failures,
    spoke: [bool; 2],
    messages: u32,
    encrypted: [bool; 2],
}

impl Parser for Smb2 {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        // Without a length before it, nobody knows where the message ends.
        if bytes.starts_with(b"\xfeSMB") {
            return Step::Done;
        }
        let [kind, a, b, c, ..] = bytes else { return Step::Need(4) };
        let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        // NetBIOS: a session's request, responses, keep-alive.
        if *kind >= 0x81 && *kind <= 0x85 && len < 256 {
            return Step::Skip(4 + len as u64);
        }
        if *kind != 0 || len < 4 {
            return self.lost(dir, 0);
        }
        let wanted = 4 + len.min(HEADER);
        if bytes.len() < wanted {
            return Step::Need(wanted);
        }
        let end = 4 + len as u64;
        match &bytes[4..8] {
            b"\xfdSMB" => {
                out.set(ENCRYPTED, true);
                self.encrypted[dir.index()] = true;
                self.spoke[dir.index()] = true;
                if self.spoke == [true; 2] {
                    out.confirm();
                }
                return if self.encrypted == [true; 2] { Step::Finished } else { Step::Skip(end) };
            }
            b"\xfcSMB" => {
                out.set(COMPRESSED, true);
                return Step::Skip(end);
            }
            _ => {}
        }
        let Some(h) = header(&bytes[4..wanted]) else { return self.lost(dir, 4) };
        // The content of files is of no interest, unless more messages follow in the same packet.
        let bulk = matches!((h.command, h.response), (8, true) | (9, false) | (14, true) | (16, true));
        if !(bulk && h.next == 0) {
            let wanted = 4 + len.min(LOOK_MAX);
            if bytes.len() < wanted {
                return Step::Need(wanted);
            }
            self.messages(dir, &bytes[4..wanted], out);
        } else {
            self.message(dir, &h, &bytes[4..wanted], out);
        }
        self.messages += 1;
        if self.messages > MESSAGES_MAX && !out.wants_events() {
            return Step::Finished;
        }
        Step::Skip(end)
    }
}

impl Smb2 {
    /// This is no message. Where none came before, the capture began in the middle of one.
    fn lost(&self, dir: Dir, at: usize) -> Step {
        if self.spoke[dir.index()] { Step::Malformed(at) } else { Step::Done }
    }

    /// The messages of one packet, each but the last with an offset to the next.
    fn messages(&mut self, dir: Dir, mut bytes: &[u8], out: &mut Sink<'_>) {
        for _ in 0..16 {
            let Some(h) = header(bytes) else { return };
            let next = h.next as usize;
            let end = if next >= HEADER { next.min(bytes.len()) } else { bytes.len() };
            self.message(dir, &h, &bytes[..end], out);
            if next < HEADER || next >= bytes.len() {
                return;
            }
            bytes = &bytes[next..];
        }
    }

    fn message(&mut self, dir: Dir, h: &Header, bytes: &[u8], out: &mut Sink<'_>) {
        self.spoke[dir.index()] = true;
        if self.spoke == [true; 2] {
            out.confirm();
        }
        if h.signed {
            out.set(SIGNED, true);
        }
        let body = bytes.get(HEADER..).unwrap_or_default();
        if h.response {
            if let Some(error) = error_name(h.status) {
                out.push(ERRORS, error);
            }
            self.response(h, bytes, body, out);
        } else {
            if let Some(name) = COMMAND_NAMES.get(usize::from(h.command)) {
                out.push(COMMANDS, *name);
            }
            self.request(h, bytes, body, out);
        }
    }

    fn request(&mut self, h: &Header, bytes: &[u8], body: &[u8], out: &mut Sink<'_>) -> Option<()> {
        let mut c = Cursor::new(body);
        match h.command {
            0 => {
                c.skip(2)?;
                let count = c.u16_le()?;
                c.skip(8)?;
                out.set(CLIENT_GUID, guid(c.array()?));
                c.skip(8)?;
                for _ in 0..count.min(16) {
                    if let Some(name) = dialect_name(c.u16_le()?) {
                        out.push(DIALECTS, name);
                    }
                }
            }
            1 => login(slice(bytes, body, 12)?, out),
            3 => {
                let path = utf16(slice(bytes, body, 4)?);
                out.push(SHARES, path.clone());
                if let Some(server) = server_of(&path) {
                    out.hostname(server.as_bytes());
                }
                self.wait(h.message_id, Waiting::Tree(path));
            }
            5 => {
                let name = utf16(slice(bytes, body, 44)?);
                let pipe = self.shares.iter().any(|(id, _, pipe)| *id == h.tree_id && *pipe);
                // The share itself has no name.
                if !name.is_empty() {
                    out.push(if pipe { PIPES } else { FILES }, name.clone());
                }
                self.wait(h.message_id, Waiting::File { name, tree: h.tree_id, ts_ns: out.now_ns() });
            }
            _ => {}
        }
        Some(())
    }

    fn wait(&mut self, id: u64, what: Waiting) {
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back((id, what));
    }

    fn response(&mut self, h: &Header, bytes: &[u8], body: &[u8], out: &mut Sink<'_>) -> Option<()> {
        let mut c = Cursor::new(body);
        match h.command {
            0 if h.status == 0 => {
                c.skip(2)?;
                let (mode, dialect) = (c.u16_le()?, c.u16_le()?);
                c.skip(2)?;
                out.set(SERVER_GUID, guid(c.array()?));
                if let Some(name) = dialect_name(dialect) {
                    out.replace(DIALECT, name);
                }
                signing(SIGNING, "smb2.signing", mode & 1 != 0, mode & 2 != 0, out);
            }
            1 => {
                if is_refusal(h.status) {
                    self.failures.refused("smb2", out);
                }
                c.skip(2)?;
                let flags = c.u16_le()?;
                if h.status == 0 && flags & 3 != 0 {
                    let who = if flags & 1 != 0 { "guest" } else { "anonymous" };
                    out.set(GUEST, who);
                    out.risk(&SMB_GUEST, || format!("smb2.guest={who}"));
                }
                login(slice(bytes, body, 4)?, out);
            }
            3 | 5 => {
                let at = self.waiting.iter().position(|(id, _)| *id == h.message_id)?;
                // Pending: the answer proper comes later.
                if h.status == 0x103 {
                    return None;
                }
                let (_, waiting) = self.waiting.remove(at)?;
                if h.status == 0 {
                    self.opened(h, waiting, c, out);
                }
            }
            _ => {}
        }
        Some(())
    }

    fn opened(&mut self, h: &Header, waiting: Waiting, mut c: Cursor<'_>, out: &mut Sink<'_>) -> Option<()> {
        match waiting {
            Waiting::Tree(path) => {
                c.skip(2)?;
                let kind = match c.u8()? {
                    1 => "disk",
                    2 => "pipe",
                    _ => "print",
                };
                if self.shares.len() >= SHARES_MAX {
                    self.shares.pop_front();
                }
                if out.wants_events() {
                    let fields = vec![(PATH, Value::from(path.clone())), (SHARE_TYPE, kind.into())];
                    out.event(Event { kind: "smb_mapping", ts_ns: out.now_ns(), fields });
                }
                self.shares.push_back((h.tree_id, path, kind == "pipe"));
            }
            Waiting::File { name, tree, ts_ns } if out.wants_events() => {
                c.skip(48)?;
                let size = c.u64_le()?;
                let share = self.shares.iter().find(|(id, ..)| *id == tree);
                let pipe = share.is_some_and(|(_, _, pipe)| *pipe);
                let action = if pipe { "SMB::PIPE_OPEN" } else { "SMB::FILE_OPEN" };
                let mut fields: Vec<(FieldRef, Value)> = vec![(ACTION, action.into())];
                if let Some((_, path, _)) = share {
                    fields.push((PATH, path.clone().into()));
                }
                fields.push((NAME, name.into()));
                fields.push((SIZE, size.into()));
                out.event(Event { kind: "smb_files", ts_ns, fields });
            }
            Waiting::File { .. } => {}
        }
        Some(())
    }
}

/// The part of a message whose offset (from the message's start) and length stand at `at` of the body.
fn slice<'a>(bytes: &'a [u8], body: &[u8], at: usize) -> Option<&'a [u8]> {
    let mut c = Cursor::new(body.get(at..)?);
    let (offset, len) = (usize::from(c.u16_le()?), usize::from(c.u16_le()?));
    bytes.get(offset..offset + len)
}

/// A security blob of either side.
fn login(blob: &[u8], out: &mut Sink<'_>) {
    // The object identifiers of Kerberos, Microsoft's and the right one, and of an AP-REQ within.
    const KERBEROS: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02, 0x01, 0x00];
    match ntlmssp::find(blob) {
        Some(message) => {
            out.set(AUTH, "ntlm");
            put_ntlm(
                message,
                [USER, DOMAIN, WORKSTATION, SERVER_NAME, SERVER_DOMAIN, SERVER_DNS_NAME, SERVER_VERSION],
                out,
            );
        }
        None if blob.windows(KERBEROS.len()).take(256).any(|w| w == KERBEROS) => out.set(AUTH, "kerberos"),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::ntlmssp::tests::{authenticate, challenge, wide};
    use super::*;
    use crate::testing::Flow;
    use crate::{Confidence, common};

    fn message(command: u16, flags: u32, status: u32, id: u64, tree: u32, body: &[u8]) -> Vec<u8> {
        let mut m = b"\xfeSMB\x40\0\0\0".to_vec();
        m.extend(status.to_le_bytes());
        m.extend(command.to_le_bytes());
        m.extend([1, 0]);
        m.extend(flags.to_le_bytes());
        m.extend([0; 4]);
        m.extend(id.to_le_bytes());
        m.extend([0; 4]);
        m.extend(tree.to_le_bytes());
        m.extend([0; 24]);
        m.extend(body);
        m
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        [&(message.len() as u32).to_be_bytes(), message].concat()
    }

    /// A body of `fixed` bytes with an offset and a length at `at`, and then the data.
    fn body(fixed: usize, at: usize, data: &[u8]) -> Vec<u8> {
        let mut b = vec![0; fixed];
        b[at..at + 2].copy_from_slice(&((HEADER + fixed) as u16).to_le_bytes());
        b[at + 2..at + 4].copy_from_slice(&(data.len() as u16).to_le_bytes());
        b.extend(data);
        b
    }

    fn negotiation(mode: u8) -> (Vec<u8>, Vec<u8>) {
        let mut request = vec![36, 0, 2, 0];
        request.resize(36, 0);
        request.extend([0x02, 0x02, 0x11, 0x03]);
        let mut response = vec![65, 0, mode, 0, 0x11, 0x03];
        response.resize(64, 0);
        (framed(&message(0, 0, 0, 0, 0, &request)), framed(&message(0, 1, 0, 0, 0, &response)))
    }

    #[test]
    fn a_session() {
        let (question, answer) = negotiation(3);
        let mut create_response = vec![0; 88];
        create_response[48] = 77;
        let steps: Vec<(Vec<u8>, Vec<u8>)> = vec![
            (question, answer),
            (
                framed(&message(1, 0, 0, 1, 0, &body(24, 12, b"NTLMSSP\0\x01\0\0\0"))),
                framed(&message(1, 1, 0xc000_0016, 1, 0, &body(8, 4, &challenge("SRV", "srv.example")))),
            ),
            (
                framed(&message(1, 0, 0, 2, 0, &body(24, 12, &authenticate("CORP", "tim", "PC7")))),
                framed(&message(1, 9, 0, 2, 0, &body(8, 4, b""))),
            ),
            (
                framed(&message(3, 0, 0, 3, 0, &body(8, 4, &wide("\\\\srv\\docs")))),
                framed(&message(3, 1, 0, 3, 5, &[16, 0, 1, 0])),
            ),
            (
                framed(&message(5, 0, 0, 4, 5, &body(56, 44, &wide("a\\b.txt")))),
                framed(&message(5, 1, 0, 4, 5, &create_response)),
            ),
            (
                framed(&message(3, 0, 0, 6, 0, &body(8, 4, &wide("\\\\srv\\IPC$")))),
                framed(&message(3, 1, 0, 6, 6, &[16, 0, 2, 0])),
            ),
            (
                framed(&message(5, 0, 0, 7, 6, &body(56, 44, &wide("svcctl")))),
                framed(&message(5, 1, 0xc000_0022, 7, 6, &[])),
            ),
        ];
        let mut flow = Flow::tcp(445);
        for (request, response) in &steps {
            flow = flow.client(request).server(response);
        }
        let seen = flow.run_split();
        assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Smb2, Confidence::Handshake));
        assert_eq!(seen.show(DIALECTS), "2.0.2,3.1.1");
        assert_eq!(seen.show(DIALECT), "3.1.1");
        assert_eq!(seen.show(SERVER_DNS_NAME), "srv.example");
        assert_eq!(seen.show(USER), "tim");
        assert_eq!(seen.show(WORKSTATION), "PC7");
        assert_eq!(seen.show(SHARES), "\\\\srv\\docs,\\\\srv\\IPC$");
        assert_eq!(seen.show(FILES), "a\\b.txt");
        assert_eq!(seen.show(PIPES), "svcctl");
        assert_eq!(seen.show(ERRORS), "access-denied");
        assert_eq!(seen.show(common::HOSTNAME), "srv");
        assert_eq!(seen.show(SIGNED), "true");
        assert!(seen.risks().is_empty(), "{:?}", seen.risks());
        let kinds: Vec<_> = seen.events.iter().map(|e| e.kind).collect();
        assert_eq!(kinds, ["smb_mapping", "smb_files", "smb_mapping"]);
        assert!(seen.events[1].fields.contains(&(SIZE, Value::Uint(77))));
    }

    #[test]
    fn guests_signing_and_guessing() {
        let (question, answer) = negotiation(1);
        let guest = framed(&message(1, 1, 0, 1, 0, &[9, 0, 1, 0, 0, 0, 0, 0]));
        let login = framed(&message(1, 0, 0, 1, 0, &[0; 24]));
        let seen = Flow::tcp(445).client(&question).server(&answer).client(&login).server(&guest).run_split();
        assert_eq!(seen.risks(), ["smb-signing-not-required", "smb-guest-session"]);
        let refusal = framed(&message(1, 1, 0xc000_006d, 1, 0, &[9, 0, 0, 0, 0, 0, 0, 0]));
        let mut flow = Flow::tcp(445);
        for _ in 0..5 {
            flow = flow.client(&login).server(&refusal);
        }
        assert_eq!(flow.run_split().risks(), ["repeated-login-failures"]);
    }

    #[test]
    fn encrypted_and_large_messages() {
        let mut sealed = b"\xfdSMB".to_vec();
        sealed.resize(200, 9);
        let sealed = framed(&sealed);
        let seen = Flow::tcp(445).client(&sealed).server(&sealed).run_split();
        assert_eq!(seen.protocol, ProtocolId::Smb2);
        assert_eq!(seen.show(ENCRYPTED), "true");
        let write = framed(&message(9, 0, 0, 1, 0, &[0; 40_000]));
        let close = framed(&message(6, 0, 0, 2, 0, &[0; 24]));
        assert_eq!(Flow::tcp(445).client(&write).client(&close).run_split().show(COMMANDS), "write,close");
    }

    #[test]
    fn compounds() {
        let mut first = message(5, 0, 0, 1, 0, &body(56, 44, &wide("x")));
        first.resize(first.len().next_multiple_of(8), 0);
        let n = first.len() as u32;
        first[20..24].copy_from_slice(&n.to_le_bytes());
        let both = framed(&[first, message(6, 4, 0, 2, 0, &[0; 24])].concat());
        assert_eq!(Flow::tcp(445).client(&both).run_split().show(COMMANDS), "create,close");
    }

    #[test]
    fn near_misses() {
        let right = message(0, 0, 0, 0, 0, &[0; 36]);
        for (at, value) in [(1, b'X'), (4, 63), (12, 19), (13, 1)] {
            let mut wrong = right.clone();
            wrong[at] = value;
            assert_eq!(Flow::tcp(445).client(&framed(&wrong)).run().protocol, ProtocolId::Unknown, "{at}");
        }
        assert_eq!(Flow::tcp(445).client(&framed(&right[..60])).run().protocol, ProtocolId::Unknown);
        assert_eq!(Flow::tcp(99).client(&right).run_split().protocol, ProtocolId::Smb2);
    }
}
