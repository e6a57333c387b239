//! ONC remote procedure call (RFC 5531; XDR: RFC 4506) over UDP, and over TCP in records (RFC 5531 §11): who calls which
//! procedure of which program. The port mapper (RFC 1833) is read in depth: what it answers tells which port will carry
//! which program, and that is passed on to the engine.
//!
//! NFS and the programs that belong to it are labelled `nfs`, and [`nfs`](super::nfs) reads their arguments: NFS itself
//! (100003), MOUNT (100005), the lock manager (100021), access control lists (100227), and questions to the port mapper
//! about any of them. All else is `sunrpc`.
//!
//! Arguments are read of the first 1 KiB of a message, and only where RPCSEC_GSS does not hide them.

use crate::cursor::Cursor;
use crate::{
    Dir, Fact, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Transport, Verdict, byte,
    fields, masked, tcp, udp,
};

fields! { ProtocolId::Sunrpc;
    PROGRAM: Uint "program" "Number of the program that is called first";
    PROGRAM_NAME: Str "program_name" "Its name, as in /etc/rpc";
    PROGRAM_VERSION: Uint "program_version" "Its version";
    PROCEDURES: [Str] "procedures" "Procedures that are called, as program.procedure";
    AUTH: Str "auth" "How the caller proves who they are: none, sys, short, dh, kerberos, gss";
    MACHINE: Str "machine" "Name of the caller's machine, by their own account (auth sys)";
    UID: Uint "uid" "User number of the first caller who is not root, else 0 (auth sys)";
    GID: Uint "gid" "Group number of the same caller";
    MAPPED: [Str] "mapped" "What the port mapper answered: program/version/transport:port";
    ERRORS: [Str] "errors" "Why calls were refused";
}

/// ONC remote procedure call.
pub const PROTOCOL: Protocol = Protocol {
    name: "sunrpc",
    title: "ONC remote procedure call",
    family: Family::Files,
    source: "RFC 5531",
    ports: &[tcp(111), udp(111)],
    patterns: &[
        // Message type 0 (call), RPC version 2.
        Pattern::udp().min(40).tests(&[
            byte(4, 0),
            byte(5, 0),
            byte(6, 0),
            byte(7, 0),
            byte(8, 0),
            byte(9, 0),
            byte(10, 0),
            byte(11, 2),
        ]),
        // Message type 1 (reply), accepted, no verifier.
        Pattern::udp().min(24).tests(&[
            byte(4, 0),
            byte(5, 0),
            byte(6, 0),
            byte(7, 1),
            byte(8, 0),
            byte(9, 0),
            byte(10, 0),
            byte(11, 0),
        ]),
        // The same in a record.
        Pattern::tcp().min(16).tests(&[
            masked(0, 0x80, 0x80),
            byte(8, 0),
            byte(9, 0),
            byte(10, 0),
            byte(11, 0),
            byte(12, 0),
            byte(13, 0),
            byte(14, 0),
            byte(15, 2),
        ]),
        Pattern::tcp().min(16).tests(&[
            masked(0, 0x80, 0x80),
            byte(8, 0),
            byte(9, 0),
            byte(10, 0),
            byte(11, 1),
            byte(12, 0),
            byte(13, 0),
            byte(14, 0),
            byte(15, 0),
        ]),
    ],
    identify,
    parser: Some(|| Box::new(Rpc::default())),
    fields: FIELDS,
    ..Protocol::BASE
};

/// Credentials and verifiers are at most this long (RFC 5531 §8.2).
const AUTH_MAX: u32 = 400;
/// So much of a message is looked at.
const LOOK_MAX: usize = 1024;
/// A record is not longer than this; the largest reads and writes are 1 MiB.
const RECORD_MAX: u32 = 16 << 20;
/// Calls whose replies are still to come; the oldest are forgotten first.
const WAITING_MAX: usize = 32;
/// So many messages are read of a flow. By then the lists are full, or nothing new comes.
const MESSAGES_MAX: u32 = 1000;

/// The program numbers that the code knows by name.
pub(super) const PORTMAPPER: u32 = 100_000;
pub(super) const NFS: u32 = 100_003;
pub(super) const MOUNT: u32 = 100_005;
const NLM: u32 = 100_021;
const NFS_ACL: u32 = 100_227;

/// Names from the usual /etc/rpc.
fn program_name(program: u32) -> Option<&'static str> {
    Some(match program {
        PORTMAPPER => "portmapper",
        100_001 => "rstatd",
        100_002 => "rusersd",
        NFS => "nfs",
        100_004 => "ypserv",
        MOUNT => "mountd",
        100_007 => "ypbind",
        100_008 => "walld",
        100_009 => "yppasswdd",
        100_011 => "rquotad",
        100_012 => "sprayd",
        NLM => "nlockmgr",
        100_024 => "status",
        100_026 => "bootparam",
        100_068 => "cmsd",
        100_069 => "ypxfrd",
        100_083 => "ttdbserverd",
        100_133 => "nsm_addrand",
        100_232 => "sadmind",
        100_300 => "nisd",
        NFS_ACL => "nfs_acl",
        150_001 => "pcnfsd",
        _ => return None,
    })
}

/// True if the program is a part of NFS.
fn is_nfs(program: u32) -> bool {
    matches!(program, NFS | MOUNT | NLM | NFS_ACL)
}

/// A variable-length opaque or string of XDR, padded to four bytes.
pub(super) fn opaque<'a>(c: &mut Cursor<'a>, max: u32) -> Option<&'a [u8]> {
    let n = c.u32().filter(|n| *n <= max)? as usize;
    let bytes = c.take(n)?;
    c.skip((4 - n % 4) % 4)?;
    Some(bytes)
}

/// A call, up to its arguments.
struct Call<'a> {
    xid: u32,
    program: u32,
    version: u32,
    procedure: u32,
    flavor: u32,
    credential: &'a [u8],
    /// As far as they are there.
    arguments: &'a [u8],
}

fn flavor_name(flavor: u32) -> Option<&'static str> {
    Some(match flavor {
        0 => "none",
        1 => "sys",
        2 => "short",
        3 => "dh",
        4 => "kerberos",
        5 => "rsa",
        6 => "gss",
        _ => return None,
    })
}

fn call(bytes: &[u8]) -> Option<Call<'_>> {
    let mut c = Cursor::new(bytes);
    let xid = c.u32()?;
    if c.u32()? != 0 || c.u32()? != 2 {
        return None;
    }
    let (program, version, procedure) = (c.u32()?, c.u32()?, c.u32()?);
    // Numbers are assigned from 100000 up, and to private use from 0x20000000 to 0x5fffffff; versions and procedures
    // are small.
    if !(100_000..0x6000_0000).contains(&program) || version > 1000 || procedure > 1000 {
        return None;
    }
    let flavor = c.u32()?;
    flavor_name(flavor)?;
    let credential = opaque(&mut c, AUTH_MAX)?;
    flavor_name(c.u32()?)?;
    opaque(&mut c, AUTH_MAX)?;
    Some(Call { xid, program, version, procedure, flavor, credential, arguments: c.rest() })
}

/// A reply: its number, and its results, or why there are none.
fn reply(bytes: &[u8]) -> Option<(u32, Result<&[u8], &'static str>)> {
    let mut c = Cursor::new(bytes);
    let xid = c.u32()?;
    if c.u32()? != 1 {
        return None;
    }
    let answer = match c.u32()? {
        0 => {
            flavor_name(c.u32()?)?;
            opaque(&mut c, AUTH_MAX)?;
            match c.u32()? {
                0 => Ok(c.rest()),
                1 => Err("prog-unavail"),
                2 => Err("prog-mismatch"),
                3 => Err("proc-unavail"),
                4 => Err("garbage-args"),
                5 => Err("system-err"),
                _ => return None,
            }
        }
        1 => match c.u32()? {
            0 => Err("rpc-mismatch"),
            1 => Err("auth-error"),
            _ => return None,
        },
        _ => return None,
    };
    Some((xid, answer))
}

fn identify(p: &Probe<'_>) -> Verdict {
    let mut message = p.payload;
    if p.transport == Transport::Tcp {
        let Some(mark) = Cursor::new(message).u32() else { return Verdict::Need(4) };
        let len = mark & 0x7fff_ffff;
        if !(24..=RECORD_MAX).contains(&len) {
            return Verdict::No;
        }
        message = &message[4..];
        message = message.get(..len as usize).unwrap_or(message);
        // The header with its two opaques is at most 840 bytes long.
        let wanted = (len as usize).min(LOOK_MAX);
        if call(message).is_none() && reply(message).is_none() && message.len() < wanted {
            return Verdict::Need(4 + wanted);
        }
    }
    if call(message).is_some() {
        return if p.dir == Dir::Client { Verdict::Yes } else { Verdict::YesReversed };
    }
    // A reply alone has nothing but its number that is not 0 or 1, so it takes a well-known port besides.
    match reply(message) {
        Some((_, Ok(_))) if p.dir == Dir::Server && [111, 2049].contains(&p.server_port) => Verdict::Yes,
        Some((_, Ok(_))) if p.dir == Dir::Client && [111, 2049].contains(&p.client_port) => {
            Verdict::YesReversed
        }
        _ => Verdict::No,
    }
}

/// What is remembered of a call until its reply comes.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    xid: u32,
    program: u32,
    version: u32,
    procedure: u32,
    /// For the port mapper: the program, version and transport that were asked for.
    asked: Option<(u32, u32, Transport)>,
    caller: Dir,
}

#[derive(Default)]
struct Rpc {
    waiting: std::collections::VecDeque<Waiting>,
    messages: u32,
    /// By direction: the next fragment goes on with a message.
    continued: [bool; 2],
    /// By direction: a message was read.
    spoke: [bool; 2],
}

impl Parser for Rpc {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let Some(mark) = Cursor::new(bytes).u32() else { return Step::Need(4) };
        let len = mark & 0x7fff_ffff;
        // Where no message came before, the capture began in the middle of one.
        let lost = if self.spoke[dir.index()] { Step::Malformed(0) } else { Step::Done };
        if len == 0 || len > RECORD_MAX {
            return lost;
        }
        let wanted = 4 + (len as usize).min(LOOK_MAX);
        if bytes.len() < wanted {
            return Step::Need(wanted);
        }
        let last = mark >> 31 == 1;
        if !std::mem::replace(&mut self.continued[dir.index()], !last)
            && !self.message(dir, &bytes[4..wanted], out)
        {
            return lost;
        }
        self.spoke[dir.index()] = true;
        if self.messages > MESSAGES_MAX {
            return Step::Finished;
        }
        Step::Skip(4 + u64::from(len))
    }

    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        if !self.message(dir, bytes.get(..LOOK_MAX).unwrap_or(bytes), out) {
            return Step::Malformed(0);
        }
        if self.messages > MESSAGES_MAX { Step::Finished } else { Step::Consumed(bytes.len()) }
    }
}

impl Rpc {
    /// False if it is neither a call nor a reply.
    fn message(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> bool {
        self.messages += 1;
        if let Some(call) = call(bytes) {
            self.call(dir, &call, out);
            return true;
        }
        let Some((xid, answer)) = reply(bytes) else { return false };
        let Some(at) = self.waiting.iter().position(|w| w.xid == xid && w.caller != dir) else { return true };
        let Some(call) = self.waiting.remove(at) else { return true };
        out.confirm();
        match answer {
            Ok(results) => results_of(&call, results, out),
            Err(why) => out.push(ERRORS, why),
        }
        true
    }

    fn call(&mut self, dir: Dir, call: &Call<'_>, out: &mut Sink<'_>) {
        let Call { xid, program, version, procedure, .. } = *call;
        out.set(PROGRAM, program);
        out.set(PROGRAM_VERSION, version);
        out.set(AUTH, flavor_name(call.flavor).unwrap_or("other"));
        if let Some(name) = program_name(program) {
            out.set(PROGRAM_NAME, name);
        }
        if call.flavor == 1 {
            credential(call.credential, out);
        }
        let readable = call.flavor != 6;
        let mut asked = None;
        match program {
            PORTMAPPER => {
                asked = if readable { question(call) } else { None };
                let name = program_name(program).unwrap_or_default();
                let procedure = match (version, procedure) {
                    (_, 0) => "null",
                    (_, 1) => "set",
                    (_, 2) => "unset",
                    (2, 3) => "getport",
                    (_, 3) => "getaddr",
                    (_, 4) => "dump",
                    (_, 5) => "callit",
                    _ => "other",
                };
                out.push(PROCEDURES, format!("{name}.{procedure}"));
                if asked.is_some_and(|(program, ..)| is_nfs(program)) {
                    out.relabel(ProtocolId::Nfs);
                }
            }
            _ if is_nfs(program) => {
                out.relabel(ProtocolId::Nfs);
                let arguments = if readable { call.arguments } else { &[] };
                super::nfs::call(program, version, procedure, arguments, out);
            }
            _ => match program_name(program) {
                Some(name) => out.push(PROCEDURES, format!("{name}.{procedure}")),
                None => out.push(PROCEDURES, format!("{program}.{procedure}")),
            },
        }
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Waiting { xid, program, version, procedure, asked, caller: dir });
    }
}

/// AUTH_SYS (RFC 5531 appendix A): a stamp, the machine's name, user and group, further groups.
fn credential(bytes: &[u8], out: &mut Sink<'_>) {
    let mut c = Cursor::new(bytes);
    let Some(machine) = c.skip(4).and_then(|()| opaque(&mut c, 255)) else { return };
    if !machine.is_empty() {
        out.set_text(MACHINE, machine);
    }
    let (Some(uid), Some(gid)) = (c.u32(), c.u32()) else { return };
    let first = out.found.value(UID).and_then(crate::Value::as_uint);
    if first.is_none() || (first == Some(0) && uid != 0) {
        out.replace(UID, uid);
        out.replace(GID, gid);
    }
}

/// What the port mapper is asked for: GETPORT of version 2, GETADDR of versions 3 and 4.
fn question(call: &Call<'_>) -> Option<(u32, u32, Transport)> {
    let mut c = Cursor::new(call.arguments);
    if call.procedure != 3 {
        return None;
    }
    let (program, version) = (c.u32()?, c.u32()?);
    let transport = if call.version == 2 { transport(c.u32()?)? } else { netid(opaque(&mut c, 64)?)? };
    Some((program, version, transport))
}

fn transport(number: u32) -> Option<Transport> {
    match number {
        6 => Some(Transport::Tcp),
        17 => Some(Transport::Udp),
        _ => None,
    }
}

/// RFC 5665
fn netid(name: &[u8]) -> Option<Transport> {
    match name {
        b"tcp" | b"tcp6" => Some(Transport::Tcp),
        b"udp" | b"udp6" => Some(Transport::Udp),
        _ => None,
    }
}

fn results_of(call: &Waiting, results: &[u8], out: &mut Sink<'_>) {
    if is_nfs(call.program) {
        super::nfs::results(call.program, call.version, call.procedure, results, out);
    }
    if call.program != PORTMAPPER {
        return;
    }
    let mut c = Cursor::new(results);
    let server = call.caller.other();
    match (call.asked, call.version, call.procedure) {
        (Some((program, version, transport)), 2, 3) => {
            if let Some(port) = c.u32().and_then(|port| u16::try_from(port).ok()) {
                mapped(program, version, transport, port, server, out);
            }
        }
        (Some((program, version, transport)), 3 | 4, 3) => {
            // A universal address: the host's address, and two more numbers for the port, all between dots.
            let Some(address) = opaque(&mut c, 128) else { return };
            let mut parts = address.rsplit(|b| *b == b'.').map(crate::mail::lines::number);
            if let (Some(Some(low @ 0..=255)), Some(Some(high @ 0..=255))) = (parts.next(), parts.next()) {
                mapped(program, version, transport, (high << 8 | low) as u16, server, out);
            }
        }
        // DUMP of version 2: program, version, transport, port, each with a 1 before it; a 0 ends the list.
        (None, 2, 4) => {
            for _ in 0..crate::LIST_MAX {
                let (Some(1), Some(program), Some(version), Some(number), Some(port)) =
                    (c.u32(), c.u32(), c.u32(), c.u32(), c.u32())
                else {
                    return;
                };
                if let (Some(transport), Ok(port)) = (transport(number), u16::try_from(port)) {
                    mapped(program, version, transport, port, server, out);
                }
            }
        }
        _ => {}
    }
}

/// The port mapper said where a program is. Only its own host is believed.
fn mapped(program: u32, version: u32, transport: Transport, port: u16, server: Dir, out: &mut Sink<'_>) {
    if port == 0 {
        return;
    }
    let name = program_name(program).map_or_else(|| program.to_string(), str::to_owned);
    let over = if transport == Transport::Tcp { "tcp" } else { "udp" };
    out.push(MAPPED, format!("{name}/{version}/{over}:{port}"));
    let protocol = if is_nfs(program) { ProtocolId::Nfs } else { ProtocolId::Sunrpc };
    out.fact(Fact::Expect { transport, address: out.address(server), port, protocol });
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::Confidence;
    use crate::testing::Flow;

    pub(in crate::files) fn words(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
    }

    pub(in crate::files) fn string(text: &str) -> Vec<u8> {
        let mut s = words(&[text.len() as u32]);
        s.extend(text.as_bytes());
        s.resize(s.len().next_multiple_of(4), 0);
        s
    }

    /// A call with AUTH_SYS by user 1000 on "box".
    pub(in crate::files) fn a_call(
        xid: u32,
        program: u32,
        version: u32,
        procedure: u32,
        arguments: &[u8],
    ) -> Vec<u8> {
        let credential = [words(&[7]), string("box"), words(&[1000, 100, 0])].concat();
        let mut c = words(&[xid, 0, 2, program, version, procedure, 1, credential.len() as u32]);
        c.extend(credential);
        c.extend(words(&[0, 0]));
        c.extend(arguments);
        c
    }

    pub(in crate::files) fn a_reply(xid: u32, results: &[u8]) -> Vec<u8> {
        [words(&[xid, 1, 0, 0, 0, 0]), results.to_vec()].concat()
    }

    pub(in crate::files) fn record(message: &[u8]) -> Vec<u8> {
        [words(&[0x8000_0000 | message.len() as u32]), message.to_vec()].concat()
    }

    #[test]
    fn a_port_is_asked_for() {
        let question = a_call(5, PORTMAPPER, 2, 3, &words(&[100_024, 1, 17, 0]));
        let seen = Flow::udp(111).client(&question).server(&a_reply(5, &words(&[32_768]))).run();
        assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Sunrpc, Confidence::Handshake));
        assert_eq!(seen.show(PROCEDURES), "portmapper.getport");
        assert_eq!(seen.show(MACHINE), "box");
        assert_eq!(seen.show(UID), "1000");
        assert_eq!(seen.show(MAPPED), "status/1/udp:32768");
        let expected = Fact::Expect {
            transport: Transport::Udp,
            address: [198, 51, 100, 1].into(),
            port: 32_768,
            protocol: ProtocolId::Sunrpc,
        };
        assert_eq!(seen.facts, [expected]);
    }

    #[test]
    fn questions_about_nfs_are_nfs() {
        let arguments = [words(&[MOUNT, 3]), string("tcp"), string(""), string("")].concat();
        let question = a_call(5, PORTMAPPER, 3, 3, &arguments);
        let answer = a_reply(5, &string("10.0.0.1.8.1"));
        let seen = Flow::tcp(111).client(&record(&question)).server(&record(&answer)).run_split();
        assert_eq!(seen.protocol, ProtocolId::Nfs);
        assert_eq!(seen.show(MAPPED), "mountd/3/tcp:2049");
    }

    #[test]
    fn a_dump_tells_all() {
        let list = words(&[1, NFS, 3, 6, 2049, 1, PORTMAPPER, 2, 17, 111, 0]);
        let seen = Flow::udp(111).client(&a_call(9, PORTMAPPER, 2, 4, &[])).server(&a_reply(9, &list)).run();
        assert_eq!(seen.show(MAPPED), "nfs/3/tcp:2049,portmapper/2/udp:111");
        assert_eq!(seen.facts.len(), 2);
    }

    #[test]
    fn large_records_and_fragments() {
        let call = a_call(1, 100_300, 1, 6, &[0; 5000]);
        let (one, two) = call.split_at(3000);
        let fragments = [words(&[one.len() as u32]), one.to_vec(), record(two)].concat();
        let seen = Flow::tcp(99)
            .client(&record(&call))
            .client(&fragments)
            .client(&record(&a_call(3, 100_300, 1, 7, &[])))
            .server(&record(&a_reply(3, &[])))
            .run_split();
        assert_eq!(seen.show(PROCEDURES), "nisd.6,nisd.7");
        assert_eq!(seen.confidence, Confidence::Handshake);
        assert!(seen.risks().is_empty());
    }

    #[test]
    fn a_reply_alone_needs_the_port() {
        let answer = a_reply(5, &words(&[1]));
        assert_eq!(Flow::udp(111).server(&answer).run().protocol, ProtocolId::Sunrpc);
        assert_eq!(Flow::udp(99).server(&answer).run().protocol, ProtocolId::Unknown);
    }

    #[test]
    fn near_misses() {
        let right = a_call(5, PORTMAPPER, 2, 3, &[]);
        // Call, version 2, small program, huge version, unknown flavour, credential too long.
        for (at, value) in [(7, 2), (11, 3), (13, 0), (16, 9), (27, 9), (30, 2)] {
            let mut wrong = right.clone();
            wrong[at] = value;
            assert_eq!(Flow::udp(111).client(&wrong).run().protocol, ProtocolId::Unknown, "{at}");
        }
    }
}
