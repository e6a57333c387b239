//! Pseudonyms for the addresses of clients, before anything is written.
//!
//! An address gets another that only the key can undo, and two that share a prefix share one of the same length afterwards
//! (`ipcrypt-pfx` of draft-denis-ipcrypt, the idea of Crypto-PAn): records of one client or one network can still be told
//! from others. What is replaced:
//!
//! - `src_ip`, always, and fields that by their meaning hold a client's address (what DHCP gives, what STUN sees);
//! - in every column, addresses within the client networks (private, shared, unique local and link-local ones, unless the
//!   operator names others), also in the midst of text: host names, risks' evidence, names of reverse DNS;
//! - the flow's own client in every other form of text or bytes that is known here;
//! - hardware addresses and DHCP's identifiers, which name a machine as an address does: by a keyed hash;
//! - `community_id` and `uid`, which are hashes that addresses could be tried on: the one is computed from the pseudonyms,
//!   the other is hashed anew with the key.
//!
//! `0.0.0.0` and `::`, with which a machine says that it has no address yet, stay. With another key come other pseudonyms:
//! nothing in the records links those of one client under two keys.

pub(crate) mod keys;
mod networks;
mod text;

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock};

use daylight_inspect::{ColumnId, FlowRecord, Uid, column};
use daylight_protocols::{FieldRef, Value};
use ipcrypt_rs::IpcryptPfx;
use ring::hmac;

use keys::Key;
pub use keys::KeyError;
pub use networks::{NetworkError, Networks};
use text::Forms;

/// Fields that hold the address of a client whatever network it is in.
const CLIENTS: &[&str] = &[
    "dhcp.assigned_ip",
    "dhcp.requested_ip",
    "dhcpv6.addresses",
    "netbios-dgm.source_ip",
    "radius.framed_ip",
    "stun.mapped_address",
];

/// Texts in which every address is a client's.
const CLIENT_TEXTS: &[&str] =
    &["dns.client_subnet", "http.proxied", "http.x_forwarded_for", "smtp.x_originating_ip"];

/// Fields that hold a machine's hardware address, or an identifier that is made of it.
const HARDWARE: &[&str] = &[
    "dhcp.client_id",
    "dhcp.mac",
    "dhcpv6.client_duid",
    "dhcpv6.mac",
    "icmpv6.link_addresses",
    "netbios-ns.mac",
    "radius.calling_station",
];

fn fields(names: &[&str]) -> HashSet<FieldRef> {
    let field = |name: &&str| match column(name)?.id {
        ColumnId::Field(field) => Some(field),
        ColumnId::Core(_) => None,
    };
    names.iter().filter_map(field).collect()
}

static CLIENT_FIELDS: LazyLock<HashSet<FieldRef>> = LazyLock::new(|| fields(CLIENTS));
static CLIENT_TEXT_FIELDS: LazyLock<HashSet<FieldRef>> = LazyLock::new(|| fields(CLIENT_TEXTS));
static HARDWARE_FIELDS: LazyLock<HashSet<FieldRef>> = LazyLock::new(|| fields(HARDWARE));

/// So many addresses and their pseudonyms are remembered.
const CACHE_MAX: usize = 1 << 16;
/// The forms of so many clients are remembered.
const FORMS_MAX: usize = 1 << 10;

/// Gives pseudonyms under one key.
pub(crate) struct Pseudonyms {
    /// The key's name.
    pub(crate) id: String,
    addresses: Addresses,
    hash: hmac::Key,
    forms: HashMap<IpAddr, Arc<Forms>>,
    capture: (Arc<str>, Arc<str>),
}

struct Addresses {
    key: IpcryptPfx,
    networks: Networks,
    cache: HashMap<IpAddr, IpAddr>,
}

impl Addresses {
    fn pseudonym(&mut self, ip: IpAddr) -> IpAddr {
        if ip.is_unspecified() {
            return ip;
        }
        if let Some(known) = self.cache.get(&ip) {
            return *known;
        }
        if self.cache.len() >= CACHE_MAX {
            self.cache.clear();
        }
        let pseudonym = self.key.encrypt_ipaddr(ip);
        self.cache.insert(ip, pseudonym);
        pseudonym
    }

    /// The pseudonym, if it is a client's address.
    fn of_client(&mut self, ip: IpAddr, own: IpAddr) -> Option<IpAddr> {
        (ip == own || self.networks.contains(ip)).then(|| self.pseudonym(ip)).filter(|to| *to != ip)
    }
}

impl Pseudonyms {
    pub(crate) fn new(key: &Key, networks: Networks) -> Self {
        Self {
            id: key.id.clone(),
            addresses: Addresses { key: IpcryptPfx::new(key.secret), networks, cache: HashMap::new() },
            hash: derived(&key.secret, b"names"),
            forms: HashMap::new(),
            capture: ("".into(), "".into()),
        }
    }

    /// The key that names are hashed with.
    pub(crate) fn hash_key(&self) -> &hmac::Key {
        &self.hash
    }

    /// Replaces what tells who the client is.
    pub(crate) fn apply(&mut self, record: &mut FlowRecord) {
        let own = record.ends.src_ip.to_canonical();
        let forms = self.forms(own);
        let digest = hmac::sign(&self.hash, record.ends.uid.as_str().as_bytes());
        record.ends.uid = Uid::new([word(&digest, 0), word(&digest, 8)]);
        if *record.ends.capture != *self.capture.0 {
            let name = self.text(&record.ends.capture, own, &forms);
            self.capture = (
                Arc::clone(&record.ends.capture),
                name.map_or_else(|| Arc::clone(&record.ends.capture), Arc::from),
            );
        }
        record.ends.capture = Arc::clone(&self.capture.1);
        record.ends.src_ip = self.addresses.pseudonym(own);
        if let Some(to) = self.addresses.of_client(record.ends.dst_ip.to_canonical(), own) {
            record.ends.dst_ip = to;
        }
        if record.community_id.is_some() {
            let e = &record.ends;
            let id =
                daylight_flow::community_id_of(e.ip_protocol, (e.src_ip, e.src_port), (e.dst_ip, e.dst_port));
            record.community_id = Some(id.into());
        }
        for text in [&mut record.resolved_name, &mut record.tunnel].into_iter().flatten() {
            if let Some(to) = self.text(text, own, &forms) {
                *text = to.into();
            }
        }
        for (field, value) in &mut record.found.fields {
            self.value(*field, value, own, &forms);
        }
        for risk in &mut record.found.risks {
            if let Some(to) = self.text(&risk.evidence, own, &forms) {
                risk.evidence = to.into();
            }
        }
    }

    fn value(&mut self, field: FieldRef, value: &mut Value, own: IpAddr, forms: &Forms) {
        match value {
            Value::List(list) => list.iter_mut().for_each(|value| self.value(field, value, own, forms)),
            Value::Str(text) if HARDWARE_FIELDS.contains(&field) => {
                let digest = hmac::sign(&self.hash, text.to_ascii_lowercase().as_bytes());
                let digits: Vec<String> =
                    digest.as_ref().iter().take(5).map(|byte| format!("{byte:02x}")).collect();
                // The second bit of the first octet: an address that nobody made.
                *text = format!("02:{}", digits.join(":")).into();
            }
            Value::Bytes(bytes) if HARDWARE_FIELDS.contains(&field) => {
                *bytes = hmac::sign(&self.hash, bytes).as_ref().iter().take(8).copied().collect();
            }
            Value::Ip(ip) => {
                let to = ip.to_canonical();
                if CLIENT_FIELDS.contains(&field) {
                    *ip = self.addresses.pseudonym(to);
                } else if let Some(to) = self.addresses.of_client(to, own) {
                    *ip = to;
                }
            }
            Value::Str(text) if CLIENT_TEXT_FIELDS.contains(&field) => {
                let replaced = text::replace(text, |ip| Some(self.addresses.pseudonym(ip)));
                let replaced = forms.replace(replaced.as_deref().unwrap_or(text)).or(replaced);
                if let Some(to) = replaced {
                    *text = to.into();
                }
            }
            Value::Str(text) => {
                if let Some(to) = self.text(text, own, forms) {
                    *text = to.into();
                }
            }
            Value::Bytes(bytes) => self.bytes(bytes, own, forms),
            Value::Uint(number) => {
                if let (IpAddr::V4(ip), IpAddr::V4(to)) = (own, self.addresses.pseudonym(own)) {
                    for (form, to) in [
                        (u32::from(ip), u32::from(to)),
                        (u32::from(ip).swap_bytes(), u32::from(to).swap_bytes()),
                    ] {
                        if *number == u64::from(form) && form > u32::from(u16::MAX) {
                            *number = to.into();
                            return;
                        }
                    }
                }
            }
            Value::Name(_) | Value::Bool(_) | Value::Float(_) | Value::Time(_) => {}
        }
    }

    fn text(&mut self, text: &str, own: IpAddr, forms: &Forms) -> Option<String> {
        let replaced = text::replace(text, |ip| self.addresses.of_client(ip, own));
        forms.replace(replaced.as_deref().unwrap_or(text)).or(replaced)
    }

    /// The client's address as it is on the wire, forwards and backwards, and what of the bytes is text.
    fn bytes(&mut self, bytes: &mut Box<[u8]>, own: IpAddr, forms: &Forms) {
        let to = self.addresses.pseudonym(own);
        let (from, to) = (octets(own), octets(to));
        let backwards = |octets: &[u8]| octets.iter().rev().copied().collect::<Vec<u8>>();
        for (from, to) in [(from.clone(), to.clone()), (backwards(&from), backwards(&to))] {
            let mut at = 0;
            while let Some(window) = bytes.get_mut(at..at + from.len()) {
                if *window == *from {
                    window.copy_from_slice(&to);
                    at += from.len();
                } else {
                    at += 1;
                }
            }
        }
        if let Ok(text) = std::str::from_utf8(bytes)
            && let Some(to) = self.text(text, own, forms)
        {
            *bytes = to.into_bytes().into();
        }
    }

    fn forms(&mut self, own: IpAddr) -> Arc<Forms> {
        if let Some(forms) = self.forms.get(&own) {
            return Arc::clone(forms);
        }
        if self.forms.len() >= FORMS_MAX {
            self.forms.clear();
        }
        let forms = Arc::new(Forms::new(own, self.addresses.pseudonym(own)));
        self.forms.insert(own, Arc::clone(&forms));
        forms
    }
}

/// A key for another purpose than the addresses'.
fn derived(secret: &[u8; 32], purpose: &[u8]) -> hmac::Key {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), purpose);
    hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref())
}

/// Eight bytes of a digest.
fn word(digest: &hmac::Tag, at: usize) -> u64 {
    digest.as_ref().iter().skip(at).take(8).fold(0, |word, byte| word << 8 | u64::from(*byte))
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::octets(&ip).to_vec(),
        IpAddr::V6(ip) => Ipv6Addr::octets(&ip).to_vec(),
    }
}

/// The name of a record by which it is known again: the same each time it is made of the same packets by the same sensor
/// (with pseudonyms: under the same key).
pub(crate) fn record_id(key: &hmac::Key, sensor: &str, record: &FlowRecord) -> String {
    let mut context = hmac::Context::with_key(key);
    for text in [sensor, &*record.ends.capture, record.ends.uid.as_str()] {
        context.update(&(text.len() as u64).to_be_bytes());
        context.update(text.as_bytes());
    }
    for number in [record.start_ns as u64, record.end_ns as u64, record.src.packets, record.dst.packets] {
        context.update(&number.to_be_bytes());
    }
    let tag = context.sign();
    // 96 bits: among 10¹² records, two of one name are less likely than one in 10⁴.
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::with_capacity(16);
    for group in tag.as_ref().chunks_exact(3).take(4) {
        let word = group.iter().fold(0u32, |w, b| w << 8 | u32::from(*b));
        (0..4).for_each(|i| out.push(char::from(DIGITS[(word >> (18 - 6 * i) & 63) as usize])));
    }
    out
}

/// The key of the names of records that keep their addresses: they hide nothing.
pub(crate) fn open_key() -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, b"daylight record")
}

#[cfg(test)]
mod tests;
