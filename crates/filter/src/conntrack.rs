//! Takes the filter's marks off connections, by netlink (`linux/netfilter/nfnetlink_conntrack.h`).
//!
//! Every connection is listed; each that has some of the bits is told to the kernel by its original tuple, with a mask, so
//! that bits of others' stay as they are whatever happens in between.

use std::io::{self, ErrorKind, Read as _};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

const AF_NETLINK: i32 = 16;
const NETLINK_NETFILTER: i32 = 12;
/// `NFNL_SUBSYS_CTNETLINK << 8`, and what is asked: `IPCTNL_MSG_CT_NEW` changes what there is already.
const CT_NEW: u16 = 0x100;
const CT_GET: u16 = 0x101;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_MARK: u16 = 8;
const CTA_ZONE: u16 = 18;
const CTA_MARK_MASK: u16 = 21;
/// Attribute types carry two flags above.
const TYPE: u16 = 0x3fff;
/// A netlink header and an nfnetlink header.
const HEADERS: usize = 16 + 4;
/// The kernel answers at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sets these bits of all connections' marks to 0, and gives how many had some.
///
/// # Errors
/// If connections can't be listed: no permission, or a kernel that doesn't offer it.
pub fn clear_marks(mask: u32) -> io::Result<usize> {
    let socket = Socket::new(Domain::from(AF_NETLINK), Type::RAW, Some(Protocol::from(NETLINK_NETFILTER)))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(&message(CT_GET, NLM_F_DUMP, 0, &[]))?;
    let mut marked = Vec::new();
    answers(&socket, |family, attributes| {
        let value = |wanted| self::attributes(attributes).find(|(kind, ..)| *kind == wanted);
        let mark =
            value(CTA_MARK).and_then(|(_, value, _)| value.try_into().ok()).map_or(0, u32::from_be_bytes);
        if let (true, Some((.., tuple))) = (mark & mask != 0, value(CTA_TUPLE_ORIG)) {
            let zone = value(CTA_ZONE).map_or(&[][..], |(.., zone)| zone);
            let cleared =
                [attribute(CTA_MARK, &[0; 4]), attribute(CTA_MARK_MASK, &mask.to_be_bytes())].concat();
            marked.push(message(CT_NEW, NLM_F_ACK, family, &[tuple, zone, &cleared].concat()));
        }
    })?;
    for change in &marked {
        socket.send(change)?;
        // One that has ended meanwhile has no mark either.
        match answers(&socket, |_, _| {}) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(marked.len())
}

fn message(kind: u16, flags: u16, family: u8, attributes: &[u8]) -> Vec<u8> {
    let mut bytes = ((HEADERS + attributes.len()) as u32).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family, 0, 0, 0]);
    bytes.extend(attributes);
    bytes
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Type, value, and the whole of each attribute.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8], &[u8])> {
    std::iter::from_fn(move || {
        let [a, b, c, d] = *bytes.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let (value, padded) = (bytes.get(4..length)?, length.next_multiple_of(4).min(bytes.len()));
        let whole = bytes.get(..padded)?;
        bytes = bytes.get(padded..)?;
        Some((u16::from_ne_bytes([c, d]) & TYPE, value, whole))
    })
}

/// Reads what the kernel answers, to its end; `each` gets the address family and the attributes of each connection.
fn answers(mut socket: &Socket, mut each: impl FnMut(u8, &[u8])) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        let length = socket.read(&mut buffer)?;
        let mut rest = buffer.get(..length).unwrap_or(&[]);
        while let Some([a, b, c, d, e, f]) = rest.first_chunk() {
            let length = u32::from_ne_bytes([*a, *b, *c, *d]) as usize;
            let Some(message) = rest.get(..length).filter(|message| message.len() >= HEADERS) else { break };
            match u16::from_ne_bytes([*e, *f]) {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => {
                    let code = message.get(16..20).and_then(|code| code.try_into().ok());
                    return match code.map_or(0, i32::from_ne_bytes) {
                        0 => Ok(()),
                        code => Err(io::Error::from_raw_os_error(-code)),
                    };
                }
                _ => each(message[16], message.get(HEADERS..).unwrap_or(&[])),
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_go_both_ways() {
        let bytes = [attribute(CTA_MARK, &[1, 2, 3, 4]), attribute(CTA_ZONE | 0x8000, &[5, 6])].concat();
        let read: Vec<_> =
            attributes(&bytes).map(|(kind, value, whole)| (kind, value.to_vec(), whole.len())).collect();
        assert_eq!(read, [(CTA_MARK, vec![1, 2, 3, 4], 8), (CTA_ZONE, vec![5, 6], 8)]);
        // What is cut, or says that it is shorter than its own header, ends it.
        assert_eq!(attributes(&bytes[..6]).count(), 0);
        assert_eq!(attributes(&[2, 0, 1, 0, 9, 9, 9, 9]).count(), 0);
    }
}
