//! Simple Network Management Protocol, versions 1, 2c and 3: who is asked for what, and with which protection.
//!
//! A message is one BER sequence that starts with its version (RFC 1157, RFC 1901, RFC 3412). It is identified by
//! reading it whole: version, community or security parameters, a known PDU, and lengths that fit to the byte.
//! Communities other than the two defaults are never kept.

use crate::ber::{self, Ber, Header, INTEGER, OCTET_STRING, OID, SEQUENCE};
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, byte, fields,
    masked, risks, udp,
};

fields! { ProtocolId::Snmp;
    VERSION: Str "version" "1, 2c or 3";
    COMMUNITY: Str "community" "public, private, or other: any other community is a password and is not kept";
    PDUS: [Str] "pdus" "PDU types seen: get, get-next, response, set, trap, get-bulk, inform, trap2, report";
    OIDS: [Str] "oids" "Object identifiers of the variables";
    ERROR: Str "error" "The first error status that is not noError";
    SYS_DESCR: Str "sys_descr" "The agent's sysDescr.0: hardware and software";
    SYS_NAME: Str "sys_name" "The agent's sysName.0";
    ENTERPRISE: Str "enterprise" "Enterprise of a version 1 trap";
    AGENT: Ip "agent" "Agent address of a version 1 trap";
    ENGINE_ID: Bytes "engine_id" "The authoritative engine's identifier (version 3)";
    USER: Str "user" "User name (version 3)";
    LEVEL: Str "level" "Security level of version 3: noAuthNoPriv, authNoPriv or authPriv";
}

risks! {
    DEFAULT_COMMUNITY: Medium Server "snmp-default-community" "An SNMP agent is addressed by the community public or private. Raised for requests too, as many devices answer; harmless if this one does not.";
    OBSOLETE_SNMP: Low Both "snmp-obsolete-version" "SNMP version 1 or 2c: the community, which is the password, and all values cross the network in clear. Harmless on a management network of its own.";
}

/// Simple Network Management Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "snmp",
    title: "Simple Network Management Protocol",
    family: Family::Network,
    source: "RFC 1157, RFC 3416, RFC 3412, RFC 3414",
    ports: &[udp(161), udp(162)],
    well_known: true,
    patterns: &[
        // SEQUENCE, its length in 1, 2 or 3 bytes, INTEGER of one byte: 0, 1 or 3.
        Pattern::udp().min(16).tests(&[
            byte(0, 0x30),
            masked(1, 0x80, 0),
            byte(2, 2),
            byte(3, 1),
            masked(4, 0xfc, 0),
        ]),
        Pattern::udp().min(16).tests(&[
            byte(0, 0x30),
            byte(1, 0x81),
            byte(3, 2),
            byte(4, 1),
            masked(5, 0xfc, 0),
        ]),
        Pattern::udp().min(16).tests(&[
            byte(0, 0x30),
            byte(1, 0x82),
            byte(4, 2),
            byte(5, 1),
            masked(6, 0xfc, 0),
        ]),
    ],
    identify,
    parser: Some(|| Box::new(Snmp::default())),
    fields: FIELDS,
    risks: RISKS,
    ..Protocol::BASE
};

/// After this many messages of a flow nothing new is expected.
const MESSAGES_MAX: u32 = 64;
/// Variables of a message beyond this are not read.
const VARIABLES_MAX: usize = 128;

const SYS_DESCR_OID: &[u8] = &[0x2b, 6, 1, 2, 1, 1, 1, 0];
const SYS_NAME_OID: &[u8] = &[0x2b, 6, 1, 2, 1, 1, 5, 0];

/// What stands before the PDU.
enum Security<'a> {
    Community(&'a [u8]),
    User { flags: u8, engine: &'a [u8], user: &'a [u8] },
}

struct Message<'a> {
    version: u64,
    security: Security<'a>,
    /// Tag and value; `None` where it is encrypted.
    pdu: Option<(u8, &'a [u8])>,
}

fn read(bytes: &[u8]) -> Option<Message<'_>> {
    let mut m = Ber::new(bytes).within(SEQUENCE)?;
    let version = m.uint()?;
    let message = match version {
        0 | 1 => {
            let security = Security::Community(m.expect(OCTET_STRING)?);
            Message { version, security, pdu: Some(m.element()?) }
        }
        3 => {
            let mut global = m.within(SEQUENCE)?;
            global.uint()?;
            global.uint().filter(|size| *size >= 484)?;
            let [flags] = *global.expect(OCTET_STRING)? else { return None };
            let model = global.uint()?;
            let parameters = m.expect(OCTET_STRING)?;
            let (mut engine, mut user) = (&[][..], &[][..]);
            // The User-based Security Model (RFC 3414 §2.4); others are left alone.
            if model == 3 {
                let mut usm = Ber::new(parameters).within(SEQUENCE)?;
                engine = usm.expect(OCTET_STRING)?;
                usm.uint()?;
                usm.uint()?;
                user = usm.expect(OCTET_STRING)?;
            }
            let pdu = if m.peek()? == OCTET_STRING {
                m.element()?;
                None
            } else {
                let mut scoped = m.within(SEQUENCE)?;
                let context_engine = scoped.expect(OCTET_STRING)?;
                scoped.expect(OCTET_STRING)?;
                if engine.is_empty() {
                    engine = context_engine;
                }
                Some(scoped.element()?)
            };
            Message { version, security: Security::User { flags, engine, user }, pdu }
        }
        _ => return None,
    };
    let known = message.pdu.is_none_or(|(tag, _)| pdu_name(tag).is_some());
    (known && m.is_empty()).then_some(message)
}

fn pdu_name(tag: u8) -> Option<&'static str> {
    Some(match tag {
        0xa0 => "get",
        0xa1 => "get-next",
        0xa2 => "response",
        0xa3 => "set",
        0xa4 => "trap",
        0xa5 => "get-bulk",
        0xa6 => "inform",
        0xa7 => "trap2",
        0xa8 => "report",
        _ => return None,
    })
}

fn identify(p: &Probe<'_>) -> Verdict {
    let Header::Whole { head, len, .. } = ber::header(p.payload) else { return Verdict::No };
    if head.saturating_add(len) != p.payload.len() {
        return Verdict::No;
    }
    let Some(message) = read(p.payload) else { return Verdict::No };
    match message.pdu {
        None => Verdict::Yes,
        Some((0xa4, trap)) => {
            if v1_trap(trap).is_some() {
                Verdict::Yes
            } else {
                Verdict::No
            }
        }
        Some((tag, pdu)) if variables(pdu).is_some() => {
            // Answers and reports come from the end that was asked.
            if matches!(tag, 0xa2 | 0xa8) && p.dir == Dir::Client {
                Verdict::YesReversed
            } else {
                Verdict::Yes
            }
        }
        Some(_) => Verdict::No,
    }
}

/// Of a PDU: its error status, and its variable bindings.
fn variables(pdu: &[u8]) -> Option<(u64, Ber<'_>)> {
    let mut pdu = Ber::new(pdu);
    pdu.expect(INTEGER)?;
    let status = pdu.uint()?;
    pdu.expect(INTEGER)?;
    let list = pdu.within(SEQUENCE)?;
    pdu.is_empty().then_some((status, list))
}

/// Of a version 1 trap: its enterprise, the agent's address, and its variable bindings.
fn v1_trap(pdu: &[u8]) -> Option<(&[u8], [u8; 4], Ber<'_>)> {
    let mut pdu = Ber::new(pdu);
    let enterprise = pdu.expect(OID)?;
    // [APPLICATION 0] IpAddress, [APPLICATION 3] TimeTicks (RFC 1155).
    let agent = pdu.expect(0x40)?.try_into().ok()?;
    pdu.uint().filter(|generic| *generic <= 6)?;
    pdu.expect(INTEGER)?;
    pdu.expect(0x43)?;
    Some((enterprise, agent, pdu.within(SEQUENCE)?))
}

#[derive(Default)]
struct Snmp {
    messages: u32,
    seen: [bool; 2],
}

impl Parser for Snmp {
    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let Some(message) = read(bytes) else { return Step::Malformed(0) };
        self.messages += 1;
        self.seen[dir.index()] = true;
        if self.seen == [true, true] {
            out.confirm();
        }
        out.set(VERSION, ["1", "2c", "2", "3"][(message.version & 3) as usize]);
        match message.security {
            Security::Community(community) => {
                let shown = match community {
                    b"public" => "public",
                    b"private" => "private",
                    _ => "other",
                };
                out.set(COMMUNITY, shown);
                if shown != "other" {
                    out.risk(&DEFAULT_COMMUNITY, || format!("snmp.community={shown}"));
                }
                let version = if message.version == 0 { "1" } else { "2c" };
                out.risk(&OBSOLETE_SNMP, || format!("snmp.version={version}"));
            }
            Security::User { flags, engine, user } => {
                if !engine.is_empty() {
                    out.set(ENGINE_ID, engine);
                }
                // Without a user name it is the discovery that comes first, which is never protected.
                if !user.is_empty() {
                    out.set_text(USER, user);
                    out.set(
                        LEVEL,
                        ["noAuthNoPriv", "authNoPriv", "reserved", "authPriv"][usize::from(flags & 3)],
                    );
                }
            }
        }
        if let Some((tag, pdu)) = message.pdu {
            out.push(PDUS, pdu_name(tag).unwrap_or_default());
            let list = if tag == 0xa4 {
                v1_trap(pdu).map(|(enterprise, agent, list)| {
                    if let Some(oid) = ber::oid(enterprise) {
                        out.set(ENTERPRISE, oid);
                    }
                    out.set(AGENT, std::net::Ipv4Addr::from(agent));
                    list
                })
            } else {
                variables(pdu).map(|(status, list)| {
                    // The bulk request has a count where the others have the status.
                    if status != 0 && tag != 0xa5 {
                        out.set(ERROR, error_name(status));
                    }
                    list
                })
            };
            let Some(list) = list else { return Step::Malformed(0) };
            bindings(list, tag == 0xa2, out);
        }
        if self.messages >= MESSAGES_MAX { Step::Finished } else { Step::Consumed(bytes.len()) }
    }
}

fn bindings(mut list: Ber<'_>, answer: bool, out: &mut Sink<'_>) {
    for _ in 0..VARIABLES_MAX {
        let Some(mut binding) = list.within(SEQUENCE) else { break };
        let Some(name) = binding.expect(OID) else { break };
        if out.wants(OIDS)
            && let Some(oid) = ber::oid(name)
        {
            out.push(OIDS, Value::from(oid));
        }
        if answer && let Some((OCTET_STRING, text)) = binding.element() {
            match name {
                SYS_DESCR_OID => out.set_text(SYS_DESCR, text),
                SYS_NAME_OID => out.set_text(SYS_NAME, text),
                _ => {}
            }
        }
    }
}

/// RFC 3416 §3.
fn error_name(status: u64) -> &'static str {
    const NAMES: [&str; 19] = [
        "noError",
        "tooBig",
        "noSuchName",
        "badValue",
        "readOnly",
        "genErr",
        "noAccess",
        "wrongType",
        "wrongLength",
        "wrongEncoding",
        "wrongValue",
        "noCreation",
        "inconsistentValue",
        "resourceUnavailable",
        "commitFailed",
        "undoFailed",
        "authorizationError",
        "notWritable",
        "inconsistentName",
    ];
    usize::try_from(status).ok().and_then(|n| NAMES.get(n).copied()).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ber::build::{int, octets, tlv};
    use crate::testing::Flow;

    fn binding(oid: &[u8], value: &[u8]) -> Vec<u8> {
        tlv(0x30, &[&tlv(6, &[oid]), value])
    }

    fn pdu(tag: u8, status: u8, bindings: &[u8]) -> Vec<u8> {
        tlv(tag, &[&tlv(2, &[&[0x12, 0x34]]), &int(status), &int(0), &tlv(0x30, &[bindings])])
    }

    fn v2c(community: &[u8], pdu: &[u8]) -> Vec<u8> {
        tlv(0x30, &[&int(1), &octets(community), pdu])
    }

    fn v3(flags: u8, user: &[u8], rest: &[u8]) -> Vec<u8> {
        let global = tlv(0x30, &[&int(9), &tlv(2, &[&[0, 0xff, 0xe3]]), &octets(&[flags]), &int(3)]);
        let usm = tlv(
            0x30,
            &[&octets(&[0x80, 0, 0, 9, 3]), &int(1), &int(2), &octets(user), &octets(b""), &octets(b"")],
        );
        tlv(0x30, &[&int(3), &global, &octets(&usm), rest])
    }

    #[test]
    fn a_question_and_its_answer() {
        let ask = v2c(b"public", &pdu(0xa0, 0, &binding(SYS_DESCR_OID, &[5, 0])));
        let tell = v2c(b"public", &pdu(0xa2, 0, &binding(SYS_DESCR_OID, &octets(b"Router OS 7"))));
        let seen = Flow::udp(161).client(&ask).server(&tell).run();
        assert_eq!(seen.protocol, ProtocolId::Snmp);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(VERSION), "2c");
        assert_eq!(seen.show(PDUS), "get,response");
        assert_eq!(seen.show(OIDS), "1.3.6.1.2.1.1.1.0");
        assert_eq!(seen.show(SYS_DESCR), "Router OS 7");
        assert_eq!(seen.risks(), ["snmp-default-community", "snmp-obsolete-version"]);
    }

    #[test]
    fn another_community_is_not_kept() {
        let ask = v2c(b"s3cret", &pdu(0xa5, 10, &binding(SYS_NAME_OID, &[5, 0])));
        let seen = Flow::udp(40001).client(&ask).run();
        assert_eq!(seen.show(COMMUNITY), "other");
        assert_eq!(seen.show(ERROR), "", "a bulk request's second number is no error");
        assert_eq!(seen.risks(), ["snmp-obsolete-version"]);
        assert!(!format!("{:?}", seen.found).contains("s3cret"));
    }

    #[test]
    fn version_3_open_and_encrypted() {
        let scoped = tlv(0x30, &[&octets(&[1, 2, 3]), &octets(b""), &pdu(0xa0, 0, &[])]);
        let seen = Flow::udp(161).client(&v3(1, b"ops", &scoped)).run();
        assert_eq!((seen.show(USER), seen.show(LEVEL)), ("ops".into(), "authNoPriv".into()));
        assert_eq!(seen.show(ENGINE_ID), "8000000903");
        let seen = Flow::udp(161).client(&v3(7, b"ops", &octets(&[9; 40]))).run();
        assert_eq!((seen.show(LEVEL), seen.show(PDUS)), ("authPriv".into(), String::new()));
        assert!(seen.risks().is_empty());
    }

    #[test]
    fn a_version_1_trap() {
        let trap = tlv(
            0xa4,
            &[
                &tlv(6, &[&[0x2b, 6, 1, 4, 1, 9]]),
                &tlv(0x40, &[&[192, 0, 2, 9]]),
                &int(3),
                &int(0),
                &tlv(0x43, &[&[1]]),
                &tlv(0x30, &[]),
            ],
        );
        let seen = Flow::udp(162).client(&tlv(0x30, &[&int(0), &octets(b"public"), &trap])).run();
        assert_eq!((seen.show(ENTERPRISE), seen.show(AGENT)), ("1.3.6.1.4.1.9".into(), "192.0.2.9".into()));
        assert_eq!(seen.show(PDUS), "trap");
    }

    #[test]
    fn near_misses_are_not_claimed() {
        let good = v2c(b"public", &pdu(0xa0, 0, &[]));
        let unknown = |bytes: &[u8]| Flow::udp(161).client(bytes).run().protocol == ProtocolId::Unknown;
        assert!(unknown(&good[..good.len() - 1]), "cut");
        assert!(unknown(&[&good[..], &[0]].concat()), "too long");
        assert!(unknown(&v2c(b"public", &pdu(0xaa, 0, &[]))), "no such PDU");
        assert!(unknown(&tlv(0x30, &[&int(2), &octets(b"public"), &pdu(0xa0, 0, &[])])), "no such version");
    }
}
