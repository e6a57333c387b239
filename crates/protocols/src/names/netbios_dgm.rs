//! NetBIOS datagram service (RFC 1002 §4.4), and the Windows browser protocol's announcements in it ([MS-BRWS]).
//!
//! UDP port 138. A header with the sender's address, then the sender's and the receiver's NetBIOS name in first-level
//! encoding, then an SMB transaction to a mailslot. Fragments after the first repeat the names. Only datagrams that
//! carry names are claimed (direct unique, direct group, broadcast); errors and queries don't occur in practice.

use super::netbios_ns::{NetbiosName, service};
use crate::cursor::Cursor;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Verdict, byte, fields, masked, udp,
};

fields! { ProtocolId::NetbiosDgm;
    TYPE: Str "type" "direct-unique, direct-group or broadcast";
    SOURCE_NAME: Str "source_name" "NetBIOS name of the sender, lower case";
    SOURCE_SERVICE: Str "source_service" "What the suffix of the sender's name stands for";
    SOURCE_IP: Ip "source_ip" "Address that the sender says it has";
    DESTINATION_NAME: Str "destination_name" "NetBIOS name of the receiver, lower case";
    DESTINATION_SERVICE: Str "destination_service" "What the suffix of the receiver's name stands for";
    MAILSLOT: Str "mailslot" "Mailslot that is written to";
    ANNOUNCEMENT: Str "announcement" "Kind of browser message: host-announcement, election …";
    OS_VERSION: Str "os_version" "Windows version of the sender, as it announces it";
    COMMENT: Str "comment" "Description of the sender, as it announces it";
}

/// NetBIOS datagram service.
pub const PROTOCOL: Protocol = Protocol {
    name: "netbios-dgm",
    title: "NetBIOS datagram service",
    family: Family::Names,
    source: "RFC 1002 §4.4, [MS-BRWS]",
    ports: &[udp(138)],
    well_known: true,
    patterns: &[
        // Types 0x10 to 0x12, no reserved flags, then the first of 32 letters.
        Pattern::udp().min(82).tests(&[
            masked(0, 0xfc, 0x10),
            masked(1, 0xf0, 0),
            byte(14, 32),
            masked(15, 0xe0, 0x40),
            masked(16, 0xe0, 0x40),
            masked(17, 0xe0, 0x40),
        ]),
    ],
    identify,
    parser: Some(|| Box::new(Datagrams)),
    fields: FIELDS,
    ..Protocol::BASE
};

/// What comes before the user's data.
struct Head {
    kind: &'static str,
    address: [u8; 4],
    source: NetbiosName,
    destination: NetbiosName,
}

fn head(c: &mut Cursor<'_>) -> Option<Head> {
    let kind = match c.u8()? {
        0x10 => "direct-unique",
        0x11 => "direct-group",
        0x12 => "broadcast",
        _ => return None,
    };
    let _flags = c.u8().filter(|flags| flags & 0xf0 == 0)?;
    let _id = c.u16()?;
    let address = c.array()?;
    let _port_length_offset = c.array::<6>()?;
    Some(Head { kind, address, source: name(c)?, destination: name(c)? })
}

/// A name in first-level encoding; the scope's labels after it are left out.
fn name(c: &mut Cursor<'_>) -> Option<NetbiosName> {
    let name = NetbiosName::decode(c.vec8()?)?;
    while c.vec8().filter(|label| label.len() < 64)? != b"" {}
    Some(name)
}

/// Two names of 32 letters each are evidence enough, whatever the port.
fn identify(p: &Probe<'_>) -> Verdict {
    if head(&mut Cursor::new(p.payload)).is_some() { Verdict::Yes } else { Verdict::No }
}

struct Datagrams;

impl Parser for Datagrams {
    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let mut c = Cursor::new(bytes);
        if let Some(head) = head(&mut c) {
            out.set(TYPE, head.kind);
            out.hostname(head.source.text.as_bytes());
            out.set(SOURCE_SERVICE, service(head.source.suffix));
            out.set(DESTINATION_SERVICE, service(head.destination.suffix));
            out.set(SOURCE_NAME, head.source.text);
            out.set(DESTINATION_NAME, head.destination.text);
            out.set(SOURCE_IP, std::net::Ipv4Addr::from(head.address));
            mailslot(c.rest(), out);
            if dir == Dir::Server {
                out.confirm();
            }
        }
        Step::Consumed(bytes.len())
    }
}

/// An SMB_COM_TRANSACTION that writes to a mailslot ([MS-MAIL] §2.2.1).
fn mailslot(bytes: &[u8], out: &mut Sink<'_>) -> Option<()> {
    let mut c = Cursor::new(bytes);
    if c.take(5)? != b"\xffSMB\x25" {
        return None;
    }
    c.skip(27)?;
    let words = c.u8()?;
    let words = c.take(usize::from(words) * 2)?;
    c.skip(2)?;
    let slot = c.until(0)?;
    if !slot.starts_with(b"\\MAILSLOT\\") {
        return None;
    }
    out.set_text(MAILSLOT, slot);
    // DataOffset, from the start of the SMB header.
    let offset = words.get(24..26).map(|w| u16::from_le_bytes([w[0], w[1]]))?;
    if slot.eq_ignore_ascii_case(b"\\MAILSLOT\\BROWSE") {
        browse(bytes.get(usize::from(offset)..)?, out);
    }
    Some(())
}

/// A browser message ([MS-BRWS] §2.2).
fn browse(bytes: &[u8], out: &mut Sink<'_>) -> Option<()> {
    let mut c = Cursor::new(bytes);
    let kind = match c.u8()? {
        0x01 => "host-announcement",
        0x02 => "announcement-request",
        0x08 => "election",
        0x09 => "get-backup-list-request",
        0x0a => "get-backup-list-response",
        0x0b => "become-backup",
        0x0c => "domain-announcement",
        0x0d => "master-announcement",
        0x0e => "reset-state",
        0x0f => "local-master-announcement",
        _ => return None,
    };
    out.set(ANNOUNCEMENT, kind);
    if matches!(kind, "host-announcement" | "local-master-announcement") {
        // Update count, periodicity, name.
        c.skip(1 + 4 + 16)?;
        let (major, minor) = (c.u8()?, c.u8()?);
        out.set(OS_VERSION, format!("{major}.{minor}"));
        // Server type, browser version, signature.
        c.skip(4 + 2 + 2)?;
        let comment = c.rest().split(|b| *b == 0).next().unwrap_or_default();
        if !comment.is_empty() {
            out.set_text(COMMENT, comment.get(..43).unwrap_or(comment));
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common;
    use crate::names::netbios_ns::encode;
    use crate::testing::{Flow, hex};

    fn announcement() -> Vec<u8> {
        let mut m = hex("11 02 8001 c0000207 008a 00bb 0000");
        m.extend(encode("PC-17", 0));
        m.extend(encode("WORKGROUP", 0x1d));
        let mut data = hex("01 03 c0d40100");
        data.extend(b"PC-17\0\0\0\0\0\0\0\0\0\0\0");
        data.extend(hex("06 01 03100000 0f01 55aa"));
        data.extend(b"the red one\0");
        let slot = b"\\MAILSLOT\\BROWSE\0";
        let offset = 32 + 1 + 34 + 2 + slot.len();
        m.extend(b"\xffSMB\x25");
        m.extend([0; 27]);
        m.push(17);
        let mut words = [0; 34];
        words[24..26].copy_from_slice(&(offset as u16).to_le_bytes());
        m.extend(words);
        m.extend(((slot.len() + data.len()) as u16).to_le_bytes());
        m.extend(slot);
        m.extend(data);
        m
    }

    #[test]
    fn a_host_announces_itself() {
        let seen = Flow::udp(138).client_port(138).client(&announcement()).run();
        assert_eq!(seen.protocol, ProtocolId::NetbiosDgm);
        for (field, value) in [
            (common::HOSTNAME, "pc-17"),
            (TYPE, "direct-group"),
            (SOURCE_NAME, "pc-17"),
            (SOURCE_SERVICE, "workstation"),
            (SOURCE_IP, "192.0.2.7"),
            (DESTINATION_NAME, "workgroup"),
            (DESTINATION_SERVICE, "master-browser"),
            (MAILSLOT, "\\MAILSLOT\\BROWSE"),
            (ANNOUNCEMENT, "host-announcement"),
            (OS_VERSION, "6.1"),
            (COMMENT, "the red one"),
        ] {
            assert_eq!(seen.show(field), value, "{}", field.field().name);
        }
    }

    #[test]
    fn cut_anywhere_nothing_breaks() {
        let whole = announcement();
        for n in 1..whole.len() {
            let seen = Flow::udp(138).client(&whole[..n]).run();
            assert_eq!(seen.protocol == ProtocolId::NetbiosDgm, n >= 82, "{n} bytes");
        }
    }

    #[test]
    fn names_must_decode() {
        for at in [0, 1, 30, 60] {
            let mut odd = announcement();
            odd[at] = 0xff;
            assert_eq!(Flow::udp(138).client(&odd).run().protocol, ProtocolId::Unknown, "byte {at}");
        }
    }
}
