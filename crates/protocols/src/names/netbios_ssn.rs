//! NetBIOS session service (RFC 1002 §4.3): SMB's carrier on TCP port 139.
//!
//! A session begins with a request that names who is called and who calls, in first-level encoding, and the answer.
//! After a positive one come messages behind a four-byte header: type 0 and a length of 17 bits (SMB over port 445 has
//! kept the header and dropped the rest). What they carry is SMB: the flow is then labelled so and handed to its parser.
//! Only flows whose request was seen are claimed here; in mid-session, SMB's own files recognise the messages.

use super::netbios_ns::{NetbiosName, service};
use crate::cursor::Cursor;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Verdict, byte, fields, masked, tcp,
};

fields! { ProtocolId::NetbiosSsn;
    CALLED_NAME: Str "called_name" "NetBIOS name that is called, lower case; * and *smbserver stand for whoever answers";
    CALLED_SERVICE: Str "called_service" "What the suffix of the called name stands for";
    CALLING_NAME: Str "calling_name" "NetBIOS name of the caller, lower case";
    RESPONSE: Str "response" "positive, negative or retarget";
    ERROR: Uint "error" "Reason of a negative response: 0x80 to 0x83 or 0x8f";
}

/// NetBIOS session service.
pub const PROTOCOL: Protocol = Protocol {
    name: "netbios-ssn",
    title: "NetBIOS session service",
    family: Family::Names,
    source: "RFC 1002 §4.3",
    ports: &[tcp(139)],
    well_known: true,
    patterns: &[
        // Session request, no flags but the length's highest bit, less than 256 bytes, a name of 32 letters.
        Pattern::tcp().min(5).tests(&[
            byte(0, SESSION_REQUEST),
            masked(1, 0xff, 0),
            byte(2, 0),
            masked(3, 0x40, 0x40),
            byte(4, 32),
        ]),
    ],
    identify,
    parser: Some(|| Box::new(Session::default())),
    fields: FIELDS,
    ..Protocol::BASE
};

const SESSION_REQUEST: u8 = 0x81;
const HEADER_BYTES: usize = 4;

/// Header, and two names that fill the rest exactly.
fn identify(p: &Probe<'_>) -> Verdict {
    let Some(length) = p.payload.get(3) else { return Verdict::Need(HEADER_BYTES) };
    let end = HEADER_BYTES + usize::from(*length);
    // Judge by what is there before asking for more.
    let letters = p.payload.iter().skip(5).take(32);
    if !letters.clone().all(|b| matches!(b, b'A'..=b'P')) {
        return Verdict::No;
    }
    match p.payload.get(HEADER_BYTES..end) {
        None => Verdict::Need(end),
        Some(names) if request(names).is_none() => Verdict::No,
        Some(_) if p.dir == Dir::Server => Verdict::YesReversed,
        Some(_) => Verdict::Yes,
    }
}

/// The called and the calling name, which fill `bytes`.
fn request(bytes: &[u8]) -> Option<[NetbiosName; 2]> {
    let mut c = Cursor::new(bytes);
    let mut name = || {
        let name = NetbiosName::decode(c.vec8()?)?;
        while c.vec8().filter(|label| label.len() < 64)? != b"" {}
        Some(name)
    };
    let names = [name()?, name()?];
    c.is_empty().then_some(names)
}

#[derive(Default)]
struct Session {
    requested: bool,
}

impl Parser for Session {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else { return Step::Need(HEADER_BYTES) };
        let length = usize::from(head[1] & 1) << 16 | usize::from(head[2]) << 8 | usize::from(head[3]);
        let end = HEADER_BYTES + length;
        if head[1] > 1 {
            return Step::Malformed(1);
        }
        if head[0] == 0 && length > 0 {
            return carried(bytes, out);
        }
        if end > 1024 {
            return Step::Malformed(2);
        }
        let Some(body) = bytes.get(HEADER_BYTES..end) else { return Step::Need(end) };
        match head[0] {
            SESSION_REQUEST if dir == Dir::Client => {
                let Some([called, calling]) = request(body) else { return Step::Malformed(HEADER_BYTES) };
                self.requested = true;
                // `*SMBSERVER` is no name.
                if !called.text.starts_with('*') {
                    out.hostname(called.text.as_bytes());
                }
                out.set(CALLED_SERVICE, service(called.suffix));
                out.set(CALLED_NAME, called.text);
                out.set(CALLING_NAME, calling.text);
            }
            0x82..=0x84 if dir == Dir::Server => {
                out.set(RESPONSE, ["positive", "negative", "retarget"][usize::from(head[0] - 0x82)]);
                if let (0x83, Some(error)) = (head[0], body.first()) {
                    out.set(ERROR, *error);
                }
                if self.requested {
                    out.confirm();
                }
            }
            // Keep-alive, and empty messages.
            0x85 | 0 => {}
            _ => return Step::Malformed(0),
        }
        Step::Consumed(end)
    }
}

/// A session message: hands over to the protocol in it.
fn carried(bytes: &[u8], out: &mut Sink<'_>) -> Step {
    let Some(magic) = bytes.get(HEADER_BYTES..HEADER_BYTES + 4) else { return Step::Need(HEADER_BYTES + 4) };
    let protocol = match magic {
        b"\xffSMB" => ProtocolId::Smb1,
        // Version 2 and 3, and the encrypted and compressed forms of 3.
        b"\xfeSMB" | b"\xfdSMB" | b"\xfcSMB" => ProtocolId::Smb2,
        _ => return Step::Done,
    };
    out.relabel(protocol);
    Step::Switch(0, Some(protocol))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::netbios_ns::encode;
    use crate::testing::{Flow, hex};
    use crate::{Confidence, common};

    fn call(called: &str) -> Vec<u8> {
        [hex("81000044"), encode(called, 0x20), encode("PC-17", 0)].concat()
    }

    #[test]
    fn a_session_request_and_its_refusal() {
        let (q, r) = (call("FILESRV"), hex("83000001 82"));
        let seen = Flow::tcp(139).client(&q).server(&r).run_split();
        assert_eq!((seen.protocol, seen.confidence), (ProtocolId::NetbiosSsn, Confidence::Handshake));
        assert_eq!(seen.show(common::HOSTNAME), "filesrv");
        assert_eq!(seen.show(CALLED_SERVICE), "file-server");
        assert_eq!(seen.show(CALLING_NAME), "pc-17");
        assert_eq!(seen.show(RESPONSE), "negative");
        assert_eq!(seen.show(ERROR), "130");
    }

    #[test]
    fn what_the_session_carries_names_the_flow() {
        let (q, r) = (call("*SMBSERVER"), hex("82000000"));
        for (magic, protocol) in [("ff534d42", ProtocolId::Smb1), ("fe534d42", ProtocolId::Smb2)] {
            let smb = [hex("00000040"), hex(magic), vec![0; 60]].concat();
            let seen = Flow::tcp(139).client(&q).server(&r).client(&smb).run();
            assert_eq!(seen.protocol, protocol);
            assert_eq!(seen.show(CALLED_NAME), "*smbserver");
            assert_eq!(seen.show(common::HOSTNAME), "");
        }
    }

    #[test]
    fn near_misses() {
        let good = call("FILESRV");
        let changes: [fn(&mut Vec<u8>); 4] =
            [|m| m[1] = 1, |m| m[3] = 0x45, |m| m[10] = b'Q', |m| m[40] = b'z'];
        for change in changes {
            let mut odd = good.clone();
            change(&mut odd);
            odd.push(1);
            assert_eq!(Flow::tcp(139).client(&odd).run().protocol, ProtocolId::Unknown, "{odd:02x?}");
        }
    }
}
