//! Modbus/TCP: which units are asked to do what, and what is written.
//!
//! Each message has a seven-byte header (transaction, protocol 0, length, unit) and a function with a body whose size
//! follows from it (Modbus Application Protocol 1.1b3; Messaging on TCP/IP 1.0b). On port 502 one exact request is
//! enough; elsewhere its answer has to fit too, with the same transaction, unit and function. Register values are not
//! kept.

use crate::cursor::Cursor;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, byte, fields,
    masked, risks, tcp,
};

fields! { ProtocolId::Modbus;
    UNITS: [Uint] "units" "Unit identifiers addressed";
    FUNCTIONS: [Str] "functions" "Functions requested";
    EXCEPTIONS: [Str] "exceptions" "Exceptions that the server answered with";
    WRITES: Bool "writes" "Something was written to the device";
    UNANSWERED: Bool "unanswered" "An answer came whose transaction nobody had asked for";
    VENDOR: Str "vendor" "Vendor name from the device identification";
    PRODUCT: Str "product" "Product code from the device identification";
    REVISION: Str "revision" "Revision from the device identification";
}

risks! {
    MODBUS_WRITE: Low Client "modbus-write" "Coils, registers or files of a controller are written. Modbus authenticates nobody. Harmless from the system that controls the plant.";
    MODBUS_DIAGNOSTIC: Medium Client "modbus-diagnostic" "A diagnostic function that restarts a controller's communication or makes it listen only (function 8, sub-functions 1 and 4). Harmless in maintenance.";
}

/// Modbus/TCP.
pub const PROTOCOL: Protocol = Protocol {
    name: "modbus",
    title: "Modbus/TCP",
    family: Family::Industrial,
    source: "Modbus Application Protocol 1.1b3; Modbus Messaging on TCP/IP 1.0b",
    ports: &[tcp(502)],
    well_known: true,
    patterns: &[
        // Protocol 0, a length below 256, a function below 44 or the exception to one.
        Pattern::tcp().len(8, 1024).tests(&[byte(2, 0), byte(3, 0), byte(4, 0), masked(7, 0x40, 0)]),
    ],
    identify,
    parser: Some(|| Box::new(Modbus::default())),
    fields: FIELDS,
    risks: RISKS,
    ..Protocol::BASE
};

/// A message has at most 260 bytes: header and 253 of function and data.
const LENGTH_MAX: usize = 254;
/// Requests that wait for their answer: more are forgotten.
const PENDING_MAX: usize = 32;

/// A message: transaction, unit, function, data.
struct Message<'a> {
    transaction: u16,
    unit: u8,
    function: u8,
    data: &'a [u8],
}

/// The message at the start of `bytes`, and how many bytes it takes.
fn read(bytes: &[u8]) -> Option<(Message<'_>, usize)> {
    let mut c = Cursor::new(bytes);
    let (transaction, protocol, length) = (c.u16()?, c.u16()?, usize::from(c.u16()?));
    if protocol != 0 || !(2..=LENGTH_MAX).contains(&length) {
        return None;
    }
    let (unit, function) = (c.u8()?, c.u8()?);
    Some((Message { transaction, unit, function, data: c.take(length - 2)? }, 6 + length))
}

fn function_name(function: u8) -> Option<&'static str> {
    Some(match function & 0x7f {
        1 => "read-coils",
        2 => "read-discrete-inputs",
        3 => "read-holding-registers",
        4 => "read-input-registers",
        5 => "write-single-coil",
        6 => "write-single-register",
        7 => "read-exception-status",
        8 => "diagnostics",
        11 => "get-comm-event-counter",
        12 => "get-comm-event-log",
        15 => "write-multiple-coils",
        16 => "write-multiple-registers",
        17 => "report-server-id",
        20 => "read-file-record",
        21 => "write-file-record",
        22 => "mask-write-register",
        23 => "read-write-multiple-registers",
        24 => "read-fifo-queue",
        43 => "encapsulated-interface",
        90 => "umas",
        _ => return None,
    })
}

fn writes(function: u8) -> bool {
    matches!(function, 5 | 6 | 15 | 16 | 21 | 22 | 23)
}

/// Is this a request whose size and numbers fit its function?
fn is_request(m: &Message<'_>) -> bool {
    let number = |i: usize| m.data.get(i..i + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
    let counted = |at: usize, expected: u16| {
        m.data.get(at).is_some_and(|n| usize::from(*n) == m.data.len() - at - 1 && u16::from(*n) == expected)
    };
    match m.function {
        1 | 2 => m.data.len() == 4 && (1..=2000).contains(&number(2)),
        3 | 4 => m.data.len() == 4 && (1..=125).contains(&number(2)),
        5 => m.data.len() == 4 && matches!(number(2), 0 | 0xff00),
        6 => m.data.len() == 4,
        7 | 11 | 12 | 17 => m.data.is_empty(),
        8 => m.data.len() >= 4 && m.data.len().is_multiple_of(2) && number(0) <= 20,
        15 => counted(4, number(2).div_ceil(8)),
        16 => counted(4, number(2).saturating_mul(2)),
        20 | 21 => m.data.first().is_some_and(|n| usize::from(*n) == m.data.len() - 1),
        22 => m.data.len() == 6,
        23 => counted(8, number(6).saturating_mul(2)),
        24 => m.data.len() == 2,
        43 => matches!(m.data, [14, 1..=4, _]),
        _ => false,
    }
}

/// Is this an answer whose size fits its function, or an exception?
fn is_answer(m: &Message<'_>) -> bool {
    let counted = || m.data.first().is_some_and(|n| usize::from(*n) == m.data.len() - 1 && *n > 0);
    if m.function & 0x80 != 0 {
        return m.data.len() == 1 && (1..=11).contains(&m.data[0]) && function_name(m.function).is_some();
    }
    match m.function {
        1 | 2 => counted(),
        3 | 4 | 23 => counted() && m.data.len() % 2 == 1,
        5 | 6 | 15 | 16 | 11 => m.data.len() == 4,
        7 => m.data.len() == 1,
        8 => m.data.len() >= 4,
        12 | 17 | 20 | 21 => counted(),
        22 => m.data.len() == 6,
        24 => m.data.len() >= 4,
        43 => m.data.len() >= 7 && m.data[0] == 14,
        _ => false,
    }
}

fn identify(p: &Probe<'_>) -> Verdict {
    let Some((first, used)) = read(p.payload) else { return incomplete(p.payload) };
    let (request, answer) = (is_request(&first), is_answer(&first));
    if !request && !answer {
        return Verdict::No;
    }
    // What follows must be messages too, but for the end of the last one.
    let mut rest = &p.payload[used..];
    while !rest.is_empty() {
        match read(rest) {
            Some((m, used)) if is_request(&m) || is_answer(&m) => rest = &rest[used..],
            None if incomplete(rest) != Verdict::No => break,
            _ => return Verdict::No,
        }
    }
    // A request that is no answer as well tells the direction.
    let from = |sender: Dir| if sender == p.dir { Verdict::Yes } else { Verdict::YesReversed };
    if let Some((other, _)) = read(p.other) {
        let same = other.transaction == first.transaction
            && other.unit == first.unit
            && other.function & 0x7f == first.function & 0x7f;
        return match same {
            true if request && is_answer(&other) && p.dir == Dir::Client => Verdict::Yes,
            true if answer && is_request(&other) => from(Dir::Server),
            true if request && is_answer(&other) => from(Dir::Client),
            _ => Verdict::No,
        };
    }
    if p.port(502) && p.other.is_empty() {
        return if p.server_port == 502 { Verdict::Yes } else { Verdict::YesReversed };
    }
    Verdict::Later
}

/// Can this become a message, if more comes?
fn incomplete(bytes: &[u8]) -> Verdict {
    let Some(&[_, _, a, b, high, low]) = bytes.first_chunk::<6>() else {
        let zeros = bytes.get(2..).unwrap_or_default().iter().take(3).all(|b| *b == 0);
        return if zeros { Verdict::Need(6) } else { Verdict::No };
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let fits = [a, b] == [0, 0] && (2..=LENGTH_MAX).contains(&length) && bytes.len() < 6 + length;
    if fits { Verdict::Need(6 + length) } else { Verdict::No }
}

#[derive(Default)]
struct Modbus {
    /// Requests without an answer yet: transaction and function.
    pending: Vec<(u16, u8)>,
    started: [bool; 2],
    asked: bool,
}

impl Parser for Modbus {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let Some(&[_, _, a, b, high, low]) = bytes.first_chunk::<6>() else { return Step::Need(6) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if [a, b] != [0, 0] || !(2..=LENGTH_MAX).contains(&length) {
            return if self.started[dir.index()] { Step::Malformed(2) } else { Step::Done };
        }
        let Some((m, used)) = read(bytes) else { return Step::Need(6 + length) };
        self.started[dir.index()] = true;
        match dir {
            Dir::Client => self.request(&m, out),
            Dir::Server => self.answer(&m, out),
        }
        Step::Consumed(used)
    }

    fn gap(&mut self, _: Dir, _: u64, _: &mut Sink<'_>) -> Step {
        // Where the next message begins is lost with the gap.
        Step::Done
    }
}

impl Modbus {
    fn request(&mut self, m: &Message<'_>, out: &mut Sink<'_>) {
        self.asked = true;
        if self.pending.len() >= PENDING_MAX {
            self.pending.remove(0);
        }
        self.pending.push((m.transaction, m.function));
        out.push(UNITS, m.unit);
        let name = function_name(m.function).map_or_else(|| Value::from(m.function.to_string()), Value::from);
        if writes(m.function) {
            out.set(WRITES, true);
            out.risk(&MODBUS_WRITE, || format!("modbus.functions={name} modbus.units={}", m.unit));
        }
        if m.function == 8 && matches!(m.data, [0, 1 | 4, ..]) {
            let sub = m.data[1];
            out.risk(&MODBUS_DIAGNOSTIC, || format!("modbus.functions=diagnostics/{sub}"));
        }
        out.push(FUNCTIONS, name);
    }

    fn answer(&mut self, m: &Message<'_>, out: &mut Sink<'_>) {
        match self.pending.iter().position(|(t, f)| *t == m.transaction && *f == m.function & 0x7f) {
            Some(i) => {
                self.pending.remove(i);
                out.confirm();
            }
            None if self.asked => out.set(UNANSWERED, true),
            None => {}
        }
        if m.function & 0x80 != 0 {
            out.push(EXCEPTIONS, exception_name(m.data.first().copied().unwrap_or_default()));
        } else if m.function == 43 {
            let _ = identification(m.data, out);
        }
    }
}

/// Read Device Identification (function 43, type 14).
fn identification(data: &[u8], out: &mut Sink<'_>) -> Option<()> {
    let mut c = Cursor::new(data);
    // Type, what was asked, conformity, more to come, next object.
    c.skip(5)?;
    for _ in 0..c.u8()? {
        let (object, value) = (c.u8()?, c.vec8()?);
        match object {
            0 => out.set_text(VENDOR, value),
            1 => out.set_text(PRODUCT, value),
            2 => out.set_text(REVISION, value),
            _ => {}
        }
    }
    Some(())
}

fn exception_name(code: u8) -> &'static str {
    match code {
        1 => "illegal-function",
        2 => "illegal-data-address",
        3 => "illegal-data-value",
        4 => "server-device-failure",
        5 => "acknowledge",
        6 => "server-device-busy",
        8 => "memory-parity-error",
        10 => "gateway-path-unavailable",
        11 => "gateway-target-failed-to-respond",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Flow, hex};

    #[test]
    fn requests_and_answers_however_they_are_cut() {
        let ask = hex(
            "00d1 0000 0006 01 03 0001 0001  00d2 0000 0006 02 04 9999 0002  00d3 0000 0005 01 2b 0e 01 00",
        );
        let tell = hex(
            "00d1 0000 0005 01 03 02 0000  00d2 0000 0003 02 84 02  00d3 0000 000e 01 2b 0e 01 01 00 00 01 00 04 41636d65",
        );
        let seen = Flow::tcp(502).client(&ask).server(&tell).run_split();
        assert_eq!(seen.protocol, ProtocolId::Modbus);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(UNITS), "1,2");
        assert_eq!(
            seen.show(FUNCTIONS),
            "read-holding-registers,read-input-registers,encapsulated-interface"
        );
        assert_eq!(seen.show(EXCEPTIONS), "illegal-data-address");
        assert_eq!(seen.show(VENDOR), "Acme");
        assert_eq!(seen.show(UNANSWERED), "");
        assert!(seen.risks().is_empty());
    }

    #[test]
    fn writes_and_restarts_are_risks() {
        let write = hex("0001 0000 0009 01 10 0001 0001 02 00ff");
        let seen = Flow::tcp(502).client(&write).run();
        assert_eq!((seen.risks(), seen.show(WRITES)), (vec!["modbus-write"], "true".into()));
        let restart = hex("0001 0000 0006 01 08 0001 0000");
        assert_eq!(Flow::tcp(502).client(&restart).run().risks(), ["modbus-diagnostic"]);
    }

    #[test]
    fn on_another_port_the_answer_must_fit() {
        let (ask, tell) = (hex("00d1 0000 0006 01 03 0001 0001"), hex("00d1 0000 0005 01 03 02 0000"));
        let label = |flow: Flow<'_>| flow.run().protocol;
        assert_eq!(label(Flow::tcp(5020).client(&ask)), ProtocolId::Unknown);
        assert_eq!(label(Flow::tcp(5020).client(&ask).server(&tell)), ProtocolId::Modbus);
        let other = hex("00d2 0000 0005 01 03 02 0000");
        assert_eq!(label(Flow::tcp(5020).client(&ask).server(&other)), ProtocolId::Unknown);
    }

    #[test]
    fn near_misses_are_not_claimed() {
        for bytes in [
            "00d1 0001 0006 01 03 0001 0001",         // protocol 1
            "00d1 0000 0007 01 03 0001 0001",         // longer than it is
            "00d1 0000 0006 01 03 0001 0000",         // no registers
            "00d1 0000 0006 01 03 0001 0001 00d2 01", // something else after it
            "00d1 0000 0006 01 63 0001 0001",         // no such function
        ] {
            assert_eq!(Flow::tcp(502).client(&hex(bytes)).run().protocol, ProtocolId::Unknown, "{bytes}");
        }
    }
}
