//! The handshake, whatever carries it: TLS records, DTLS datagrams or QUIC's CRYPTO frames bring their messages here.

use sha1::Digest;

use super::certificate::{Certificate, algorithm, name_text};
use super::fingerprint::{Carrier, hex, ja3, ja3s, ja4};
use super::hello::{ClientHello, ServerHello, u16s, vec8s};
use super::{fields, labels, names, risks};
use crate::common::{ALPN, JA3, JA3S, JA4, TLS_VERSION};
use crate::cursor::Cursor;
use crate::remote::anydesk;
use crate::{Dir, Event, FieldRef, Sink, Value};

/// Handshake message types (RFC 8446 §4 and its forerunners).
pub(crate) mod kind {
    pub(crate) const HELLO_REQUEST: u8 = 0;
    pub(crate) const CLIENT_HELLO: u8 = 1;
    pub(crate) const SERVER_HELLO: u8 = 2;
    pub(crate) const HELLO_VERIFY_REQUEST: u8 = 3;
    pub(crate) const NEW_SESSION_TICKET: u8 = 4;
    pub(crate) const CERTIFICATE: u8 = 11;
    pub(crate) const SERVER_KEY_EXCHANGE: u8 = 12;
    pub(crate) const SERVER_HELLO_DONE: u8 = 14;
    pub(crate) const CLIENT_KEY_EXCHANGE: u8 = 16;
    pub(crate) const FINISHED: u8 = 20;
    pub(crate) const CERTIFICATE_STATUS: u8 = 22;
}

/// Certificates of one chain that are looked at.
const CHAIN_MAX: usize = 16;

/// What only transactions need.
#[derive(Default)]
struct Log {
    ts_ns: i64,
    fields: Vec<(FieldRef, Value)>,
    written: bool,
}

/// One handshake.
pub(crate) struct Handshake {
    carrier: Carrier,
    /// The dispatcher took the client for the server.
    flipped: bool,
    started: bool,
    client_hello: bool,
    server_hello: bool,
    /// The version that was chosen; before, the best on offer.
    version: u16,
    cipher: u16,
    sni: Box<[u8]>,
    /// The session that the client wants to resume (TLS 1.2).
    session_id: Box<[u8]>,
    certificates: [bool; 2],
    server_done: bool,
    /// A direction has changed to encryption.
    changed: [bool; 2],
    resumed: bool,
    established: bool,
    log: Option<Box<Log>>,
}

impl Handshake {
    pub(crate) fn new(carrier: Carrier) -> Self {
        Self {
            carrier,
            flipped: false,
            started: false,
            client_hello: false,
            server_hello: false,
            version: 0,
            cipher: 0,
            sni: Box::default(),
            session_id: Box::default(),
            certificates: [false; 2],
            server_done: false,
            changed: [false; 2],
            resumed: false,
            established: false,
            log: None,
        }
    }

    /// True once a whole ClientHello was read.
    pub(crate) fn has_client_hello(&self) -> bool {
        self.client_hello
    }

    /// True once a ServerHello was read.
    pub(crate) fn has_server_hello(&self) -> bool {
        self.server_hello
    }

    /// True once TLS 1.3 was agreed on: nothing of the handshake is readable from here on.
    pub(crate) fn is_13(&self) -> bool {
        self.server_hello && names::is_13(self.version)
    }

    /// The first sign of life; names the flow by its port until something better is known.
    pub(crate) fn start(&mut self, out: &mut Sink<'_>) {
        if self.started {
            return;
        }
        self.started = true;
        if out.wants_events() {
            self.log = Some(Box::new(Log { ts_ns: out.now_ns(), ..Log::default() }));
        }
        if self.carrier == Carrier::Tls {
            labels::name_by_port(out.port(Dir::Server), out);
        }
    }

    /// A value that the transaction will show, for the one around it.
    pub(crate) fn noted(&self, field: FieldRef) -> Option<Value> {
        self.log.as_ref()?.fields.iter().find(|(f, _)| *f == field).map(|(_, value)| value.clone())
    }

    /// The end that really sent it.
    fn sender(&self, dir: Dir) -> Dir {
        if self.flipped { dir.other() } else { dir }
    }

    fn note(&mut self, field: FieldRef, value: impl Into<Value>) {
        if let Some(log) = &mut self.log
            && !log.fields.iter().any(|(f, _)| *f == field)
        {
            log.fields.push((field, value.into()));
        }
    }

    /// A message. `whole` is false if `body` is only its beginning. False if it is broken.
    pub(crate) fn message(
        &mut self,
        dir: Dir,
        kind: u8,
        body: &[u8],
        whole: bool,
        out: &mut Sink<'_>,
    ) -> bool {
        self.start(out);
        match kind {
            kind::CLIENT_HELLO => self.on_client_hello(dir, body, whole, out),
            _ if !whole => true,
            kind::SERVER_HELLO => self.on_server_hello(dir, body, out),
            kind::CERTIFICATE => self.on_certificates(dir, body, out),
            kind::SERVER_KEY_EXCHANGE => {
                // Named curve (3), then its number (RFC 8422 §5.4).
                if let [3, high, low, ..] = body {
                    let group = names::group(u16::from_be_bytes([*high, *low]));
                    self.note(fields::GROUP, group.clone());
                    out.set(fields::GROUP, group);
                }
                true
            }
            kind::SERVER_HELLO_DONE => {
                self.server_done = true;
                true
            }
            _ => true,
        }
    }

    fn on_client_hello(&mut self, dir: Dir, body: &[u8], whole: bool, out: &mut Sink<'_>) -> bool {
        if self.client_hello {
            // After a HelloRetryRequest or HelloVerifyRequest: the first one is what counts.
            return true;
        }
        let Some(hello) = ClientHello::parse(body, self.carrier == Carrier::Dtls) else { return !whole };
        self.flipped = dir == Dir::Server;
        self.client_hello = true;
        self.version = hello.newest_version();
        out.set(TLS_VERSION, names::version(self.version));
        if let Some(name) = hello.sni {
            self.sni = name.into();
            self.note(fields::SNI, Value::text(name));
            out.better_hostname(name);
            out.set_text(fields::SNI, name);
        }
        if vec8s(hello.alpn).any(anydesk::named_by_alpn) {
            out.application(anydesk::PROTOCOL.name);
        }
        if let Some(first) = vec8s(hello.alpn).next() {
            out.set_text(ALPN, first);
            self.note(fields::ALPN_OFFERED, Value::text(first));
        }
        labels::name(
            self.carrier == Carrier::Quic,
            out.port(if self.flipped { Dir::Client } else { Dir::Server }),
            hello.alpn,
            hello.sni.unwrap_or_default(),
            out,
        );
        risks::client_hello(&hello, out);
        if !self.server_hello {
            self.session_id = hello.session_id.into();
        }
        // A fingerprint of a part would be a wrong one.
        if whole && hello.whole {
            if out.wants(JA3) {
                out.set(JA3, ja3(&hello));
            }
            if out.wants(JA4) {
                out.set(JA4, ja4(&hello, self.carrier));
            }
        }
        offered(&hello, out);
        self.both_sides(out);
        !whole || hello.whole
    }

    fn on_server_hello(&mut self, dir: Dir, body: &[u8], out: &mut Sink<'_>) -> bool {
        let Some(hello) = ServerHello::parse(body) else { return false };
        if self.server_hello {
            return true;
        }
        if !self.client_hello {
            self.flipped = dir == Dir::Client;
        }
        // A HelloRetryRequest is a ServerHello in form, and is fingerprinted as the first of them.
        if out.wants(JA3S) {
            out.set(JA3S, ja3s(&hello));
        }
        if hello.retry {
            out.set(fields::HELLO_RETRY, true);
            out.replace(TLS_VERSION, names::version(hello.version));
            if self.client_hello {
                out.confirm();
            }
            return true;
        }
        self.server_hello = true;
        self.version = hello.version;
        self.cipher = hello.cipher;
        out.replace(TLS_VERSION, names::version(hello.version));
        if let Some(alpn) = hello.alpn {
            out.replace(ALPN, Value::text(alpn));
            self.note(fields::ALPN_CHOSEN, Value::text(alpn));
        }
        out.set(fields::CIPHER, names::cipher(hello.cipher));
        if let Some(group) = hello.group {
            out.set(fields::GROUP, names::group(group));
            self.note(fields::GROUP, names::group(group));
        }
        if names::is_13(hello.version) {
            self.resumed = hello.psk;
        } else {
            self.resumed = !hello.session_id.is_empty() && *hello.session_id == *self.session_id;
        }
        risks::version(hello.version, out);
        risks::cipher(hello.cipher, out);
        self.both_sides(out);
        true
    }

    fn both_sides(&self, out: &mut Sink<'_>) {
        if self.client_hello && self.server_hello {
            out.confirm();
        }
    }

    fn on_certificates(&mut self, dir: Dir, body: &[u8], out: &mut Sink<'_>) -> bool {
        let side = self.sender(dir);
        let mut body = Cursor::new(body);
        let Some(list) = body.vec24() else { return false };
        if self.certificates[side.index()] || !body.is_empty() {
            return body.is_empty();
        }
        self.certificates[side.index()] = true;
        let mut list = Cursor::new(list);
        let mut chain = 0u64;
        while let Some(der) = list.vec24() {
            chain += 1;
            let leaf = chain == 1;
            if chain as usize > CHAIN_MAX || !(leaf || out.wants_events()) {
                continue;
            }
            let Some(certificate) = Certificate::parse(der) else { continue };
            if leaf && certificate.has_common_name(anydesk::named_by_certificate) {
                out.application(anydesk::PROTOCOL.name);
            }
            if leaf && side == Dir::Server {
                risks::certificate(&certificate, &self.sni, out);
                server_certificate(&certificate, der, out);
            } else if leaf {
                out.set(fields::CLIENT_SUBJECT, name_text(certificate.subject));
                out.set(fields::CLIENT_ISSUER, name_text(certificate.issuer));
            }
            self.log_certificate(&certificate, der, side, leaf, out);
        }
        if side == Dir::Server {
            out.set(fields::CERT_CHAIN_LENGTH, chain);
        }
        list.is_empty()
    }

    fn log_certificate(
        &mut self,
        c: &Certificate<'_>,
        der: &[u8],
        side: Dir,
        leaf: bool,
        out: &mut Sink<'_>,
    ) {
        if self.log.is_none() {
            return;
        }
        let fingerprint = hex(&sha2::Sha256::digest(der));
        let (chain, subject, issuer) = match side {
            Dir::Server => (fields::CERT_CHAIN_FPS, fields::CERT_SUBJECT, fields::CERT_ISSUER),
            Dir::Client => (fields::CLIENT_CHAIN_FPS, fields::CLIENT_SUBJECT, fields::CLIENT_ISSUER),
        };
        if leaf {
            self.note(subject, name_text(c.subject));
            self.note(issuer, name_text(c.issuer));
            if side == Dir::Server && !self.sni.is_empty() {
                let matches = c.is_for(&self.sni);
                self.note(fields::SNI_MATCHES_CERT, matches);
            }
        }
        if let Some(log) = &mut self.log {
            let print = Value::from(fingerprint.clone());
            match log.fields.iter_mut().find(|(f, _)| *f == chain) {
                Some((_, Value::List(list))) => list.push(print),
                _ => log.fields.push((chain, Value::List(Box::new(vec![print])))),
            }
        }
        let mut values = vec![
            (fields::CERT_SHA256, Value::from(fingerprint)),
            (fields::CERT_VERSION, Value::from(c.version)),
            (fields::CERT_SERIAL, Value::from(hex(c.serial).to_uppercase())),
            (fields::CERT_SUBJECT, Value::from(name_text(c.subject))),
            (fields::CERT_ISSUER, Value::from(name_text(c.issuer))),
            (fields::CERT_NOT_BEFORE, nanoseconds(c.not_before)),
            (fields::CERT_NOT_AFTER, nanoseconds(c.not_after)),
            (fields::CERT_KEY_ALGORITHM, algorithm(c.key_algorithm)),
            (fields::CERT_SIGNATURE_ALGORITHM, algorithm(c.signature_algorithm)),
            (fields::CERT_KEY_TYPE, Value::from(c.key_type())),
            (fields::CERT_KEY_BITS, Value::from(c.key_bits)),
            (fields::CERT_HOST, Value::from(leaf)),
            (fields::CERT_CLIENT, Value::from(side == Dir::Client)),
        ];
        let mut optional = |field, value: Option<Value>| values.extend(value.map(|v| (field, v)));
        optional(fields::CERT_EXPONENT, c.exponent.map(Value::from));
        optional(fields::CERT_CURVE, c.curve_name());
        optional(fields::CERT_CA, c.is_ca.map(Value::from));
        optional(fields::CERT_PATH_LEN, c.path_len.map(Value::from));
        let names: Vec<_> = c.dns_names().take(crate::LIST_MAX).map(Value::text).collect();
        optional(fields::CERT_NAMES, (!names.is_empty()).then(|| Value::List(Box::new(names))));
        let addresses: Vec<_> = c.addresses().take(crate::LIST_MAX).map(Value::from).collect();
        optional(fields::CERT_ADDRESSES, (!addresses.is_empty()).then(|| Value::List(Box::new(addresses))));
        out.event(Event { kind: "x509", ts_ns: out.now_ns(), fields: values });
    }

    /// A clear-text alert.
    pub(crate) fn alert(&mut self, level: u8, code: u8, out: &mut Sink<'_>) {
        self.start(out);
        let Some(name) = names::alert(code) else { return };
        out.push(fields::ALERT, name);
        self.note(fields::LAST_ALERT, name);
        // close_notify and user_canceled end things properly, whatever their level.
        if level == 2 && !matches!(code, 0 | 90) {
            out.risk(&risks::TLS_FATAL_ALERT, || format!("tls.alert={name}"));
        }
    }

    /// One end changes to the keys that were agreed on.
    pub(crate) fn change_cipher_spec(&mut self, dir: Dir, out: &mut Sink<'_>) {
        self.start(out);
        let side = self.sender(dir);
        self.changed[side.index()] = true;
        // Straight from ServerHello to encryption: there was nothing to agree on.
        if side == Dir::Server
            && self.server_hello
            && !self.is_13()
            && !self.server_done
            && !self.certificates[1]
        {
            self.resumed = true;
        }
    }

    /// Something encrypted.
    pub(crate) fn protected(&mut self, dir: Dir, out: &mut Sink<'_>) {
        self.start(out);
        let side = self.sender(dir);
        if self.is_13() {
            // The client answers with encryption only what it could decrypt.
            self.established |= side == Dir::Client;
        } else {
            self.established |= self.server_hello && self.changed == [true, true];
        }
    }

    /// True if nothing more is to be learned from the flow.
    pub(crate) fn is_complete(&self, out: &Sink<'_>) -> bool {
        if wants_outcome(out) {
            return self.established;
        }
        self.client_hello && self.server_hello && (self.is_13() || self.changed == [true, true])
    }

    /// The end: tells what only the end can tell.
    pub(crate) fn finish(&mut self, out: &mut Sink<'_>) {
        if self.client_hello && !self.server_hello {
            risks::version(self.version, out);
        }
        if self.server_hello {
            out.set(fields::RESUMED, self.resumed);
            out.set(fields::ESTABLISHED, self.established);
        }
        let (seen, version, cipher) = (self.client_hello || self.server_hello, self.version, self.cipher);
        let (resumed, established, chosen) = (self.resumed, self.established, self.server_hello);
        let Some(log) = &mut self.log else { return };
        if log.written || !seen {
            return;
        }
        log.written = true;
        if chosen {
            log.fields.push((TLS_VERSION, names::version(version)));
            log.fields.push((fields::CIPHER, names::cipher(cipher)));
            log.fields.push((fields::RESUMED, Value::from(resumed)));
        }
        log.fields.push((fields::ESTABLISHED, Value::from(established)));
        let fields = std::mem::take(&mut log.fields);
        out.event(Event { kind: "ssl", ts_ns: log.ts_ns, fields });
    }
}

/// True if somebody wants to know whether the handshake was completed, which takes reading on after the hellos.
pub(crate) fn wants_outcome(out: &Sink<'_>) -> bool {
    out.wants_events() || out.wants(fields::ESTABLISHED)
}

/// The lists that a client offers, as far as they are wanted.
fn offered(hello: &ClientHello<'_>, out: &mut Sink<'_>) {
    let mut list = |field: FieldRef, codes: &[u8], name: fn(u16) -> Value| {
        if out.wants(field) {
            u16s(codes).take(256).for_each(|code| out.push(field, name(code)));
        }
    };
    list(fields::VERSIONS_OFFERED, hello.versions, names::version);
    list(fields::CIPHERS_OFFERED, hello.ciphers, names::cipher);
    list(fields::GROUPS_OFFERED, hello.groups, names::group);
    list(fields::SIGNATURES_OFFERED, hello.signatures, names::signature);
    if out.wants(fields::ALPN_OFFERED) {
        vec8s(hello.alpn).take(64).for_each(|p| out.push(fields::ALPN_OFFERED, Value::text(p)));
    }
    match hello.ech {
        Some(0) => out.set(fields::ECH, "outer"),
        Some(1) => out.set(fields::ECH, "inner"),
        _ => {}
    }
    if hello.esni {
        out.set(fields::ESNI, true);
    }
    if hello.offers_resumption {
        out.set(fields::OFFERS_RESUMPTION, true);
    }
    if hello.early_data {
        out.set(fields::EARLY_DATA, true);
    }
}

fn nanoseconds(seconds: i64) -> Value {
    Value::Time(seconds.saturating_mul(1_000_000_000))
}

/// The fields of the server's own certificate, as far as they are wanted.
fn server_certificate(c: &Certificate<'_>, der: &[u8], out: &mut Sink<'_>) {
    let mut lazily = |field: FieldRef, make: &dyn Fn() -> Option<Value>| {
        if out.wants(field)
            && let Some(value) = make()
        {
            out.set(field, value);
        }
    };
    lazily(fields::CERT_SUBJECT, &|| Some(name_text(c.subject).into()));
    lazily(fields::CERT_ISSUER, &|| Some(name_text(c.issuer).into()));
    lazily(fields::CERT_CN, &|| c.common_name().map(Value::from));
    lazily(fields::CERT_NOT_BEFORE, &|| Some(nanoseconds(c.not_before)));
    lazily(fields::CERT_NOT_AFTER, &|| Some(nanoseconds(c.not_after)));
    lazily(fields::CERT_SERIAL, &|| Some(hex(c.serial).to_uppercase().into()));
    lazily(fields::CERT_KEY_TYPE, &|| Some(c.key_type().into()));
    lazily(fields::CERT_KEY_BITS, &|| (c.key_bits > 0).then(|| c.key_bits.into()));
    lazily(fields::CERT_CURVE, &|| c.curve_name());
    lazily(fields::CERT_SIGNATURE_ALGORITHM, &|| Some(algorithm(c.signature_algorithm)));
    lazily(fields::CERT_SELF_SIGNED, &|| Some(c.is_self_issued().into()));
    lazily(fields::CERT_SHA1, &|| Some(hex(&sha1::Sha1::digest(der)).into()));
    lazily(fields::CERT_SHA256, &|| Some(hex(&sha2::Sha256::digest(der)).into()));
    if out.wants(fields::CERT_NAMES) {
        c.dns_names().take(crate::LIST_MAX).for_each(|n| out.push(fields::CERT_NAMES, Value::text(n)));
    }
    if out.wants(fields::CERT_ADDRESSES) {
        c.addresses().take(crate::LIST_MAX).for_each(|a| out.push(fields::CERT_ADDRESSES, a));
    }
}
