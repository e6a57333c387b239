//! Packets by hand, for tests.

pub(crate) const CLIENT: [u8; 4] = [10, 0, 0, 1];
pub(crate) const SERVER: [u8; 4] = [192, 0, 2, 9];

pub(crate) fn tcp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(source.to_be_bytes());
    bytes.extend(destination.to_be_bytes());
    bytes.extend(0x0102_0304_u32.to_be_bytes());
    bytes.extend(0x0506_0708_u32.to_be_bytes());
    bytes.extend([0x50, 0x18, 0x20, 0x00, 0, 0, 0, 0]);
    bytes.extend(payload);
    bytes
}

pub(crate) fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(source.to_be_bytes());
    bytes.extend(destination.to_be_bytes());
    bytes.extend((payload.len() as u16 + 8).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

pub(crate) fn ipv4_between(source: [u8; 4], destination: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x45, 0];
    bytes.extend((payload.len() as u16 + 20).to_be_bytes());
    bytes.extend([0x12, 0x34, 0, 0, 64, protocol, 0, 0]);
    bytes.extend(source);
    bytes.extend(destination);
    let checksum = super::checksum(&bytes);
    bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
    bytes.extend(payload);
    bytes
}

pub(crate) fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_between(CLIENT, SERVER, protocol, payload)
}

pub(crate) fn ipv6_between(source: &str, destination: &str, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend([next, 63]);
    for address in [source, destination] {
        bytes.extend(address.parse::<std::net::Ipv6Addr>().unwrap().octets());
    }
    bytes.extend(payload);
    bytes
}

pub(crate) fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    ipv6_between("2001:db8::1", "2001:db8::2", next, payload)
}

pub(crate) fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    bytes.extend(ethertype.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// `head` and then `rest`.
pub(crate) fn join(head: &[u8], rest: &[u8]) -> Vec<u8> {
    [head, rest].concat()
}

/// What every test carries innermost: TCP from port 40000 of 10.0.0.1 to 443 of 192.0.2.9, with "hello".
pub(crate) fn inner() -> Vec<u8> {
    ipv4(6, &tcp(40000, 443, b"hello"))
}
