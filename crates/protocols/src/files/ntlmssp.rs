//! NTLM messages (MS-NLMP) inside other protocols' security blobs: who logs in from where, and what the server calls
//! itself. Responses to challenges are passed over.

use crate::cursor::Cursor;

/// One message.
#[derive(Debug, PartialEq)]
pub(crate) enum Ntlm {
    /// The client begins.
    Negotiate,
    /// The server answers, and tells its names.
    Challenge {
        /// NetBIOS name of the server.
        computer: Option<String>,
        /// NetBIOS name of its domain.
        domain: Option<String>,
        /// DNS name of the server.
        dns_computer: Option<String>,
        /// Version of its Windows, as major.minor.build.
        version: Option<String>,
    },
    /// The client logs in. An empty user is an anonymous one.
    Authenticate {
        /// The user.
        user: String,
        /// The user's domain.
        domain: String,
        /// NetBIOS name of the client.
        workstation: String,
    },
}

/// So many bytes of a name are kept.
const NAME_MAX: usize = 512;

/// The NTLM message in a blob, whether bare or wrapped in SPNEGO.
pub(crate) fn find(blob: &[u8]) -> Option<Ntlm> {
    const MAGIC: &[u8] = b"NTLMSSP\0";
    // SPNEGO puts less than 100 bytes before it.
    let at = blob.windows(MAGIC.len()).take(512).position(|w| w == MAGIC)?;
    let message = &blob[at..];
    let u32_at = |at: usize| Cursor::new(message.get(at..)?).u32_le();
    let unicode = |flags: u32| flags & 1 != 0;
    match u32_at(8)? {
        1 => Some(Ntlm::Negotiate),
        2 => {
            let mut names = [None, None, None, None];
            let mut c = Cursor::new(field(message, 40).unwrap_or_default());
            // Pairs of what and how long, up to a 0.
            while let (Some(kind @ 1..), Some(n)) = (c.u16_le(), c.u16_le()) {
                let Some(value) = c.take(n.into()) else { break };
                if let Some(name) = names.get_mut(usize::from(kind) - 1) {
                    *name = Some(utf16(value));
                }
            }
            let [computer, domain, dns_computer, _] = names;
            let version =
                message.get(48..52).filter(|v| v[0] != 0 && u32_at(20).is_some_and(|f| f >> 25 & 1 == 1));
            let version = version.map(|v| format!("{}.{}.{}", v[0], v[1], u16::from_le_bytes([v[2], v[3]])));
            Some(Ntlm::Challenge { computer, domain, dns_computer, version })
        }
        3 => {
            let flags = u32_at(60).unwrap_or(1);
            let name = |at| {
                let bytes = field(message, at).unwrap_or_default();
                if unicode(flags) { utf16(bytes) } else { String::from_utf8_lossy(bytes).into_owned() }
            };
            Some(Ntlm::Authenticate { domain: name(28), user: name(36), workstation: name(44) })
        }
        _ => None,
    }
}

/// A field: length, space, offset from the message's start.
fn field(message: &[u8], at: usize) -> Option<&[u8]> {
    let mut c = Cursor::new(message.get(at..)?);
    let (n, _space, offset) = (c.u16_le()?, c.u16_le()?, c.u32_le()? as usize);
    message.get(offset..offset.checked_add(n.into())?).map(|f| f.get(..NAME_MAX).unwrap_or(f))
}

/// Text in UTF-16, little-endian.
pub(crate) fn utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> =
        bytes.chunks_exact(2).take(NAME_MAX).map(|u| u16::from_le_bytes([u[0], u[1]])).collect();
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::files) fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn push_field(message: &mut [u8], at: usize, offset: usize, n: usize) {
        message[at..at + 2].copy_from_slice(&(n as u16).to_le_bytes());
        message[at + 4..at + 8].copy_from_slice(&(offset as u32).to_le_bytes());
    }

    pub(in crate::files) fn authenticate(domain: &str, user: &str, workstation: &str) -> Vec<u8> {
        let mut m = b"NTLMSSP\0\x03\0\0\0".to_vec();
        m.resize(64, 0);
        m[60] = 1;
        for (at, text) in [(28, domain), (36, user), (44, workstation)] {
            let text = wide(text);
            let offset = m.len();
            push_field(&mut m, at, offset, text.len());
            m.extend(text);
        }
        m
    }

    pub(in crate::files) fn challenge(computer: &str, dns: &str) -> Vec<u8> {
        let mut m = b"NTLMSSP\0\x02\0\0\0".to_vec();
        m.resize(56, 0);
        m[23] = 2;
        m[48..52].copy_from_slice(&[10, 0, 0x63, 0x45]);
        let mut info = Vec::new();
        for (kind, text) in [(1u16, computer), (3, dns)] {
            info.extend(kind.to_le_bytes());
            info.extend((wide(text).len() as u16).to_le_bytes());
            info.extend(wide(text));
        }
        info.extend([0; 4]);
        push_field(&mut m, 40, 56, info.len());
        m.extend(info);
        m
    }

    #[test]
    fn names() {
        let spnego = [&[0xa1, 0x81, 0x99, 0x30][..], &authenticate("CORP", "tim", "PC7")].concat();
        let expected = Ntlm::Authenticate {
            user: "tim".to_owned(),
            domain: "CORP".to_owned(),
            workstation: "PC7".to_owned(),
        };
        assert_eq!(find(&spnego), Some(expected));
        match find(&challenge("SRV", "srv.corp.example")) {
            Some(Ntlm::Challenge { computer, dns_computer, version, .. }) => {
                assert_eq!(computer.as_deref(), Some("SRV"));
                assert_eq!(dns_computer.as_deref(), Some("srv.corp.example"));
                assert_eq!(version.as_deref(), Some("10.0.17763"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn broken() {
        assert_eq!(find(b"NTLMSSP\0"), None);
        assert_eq!(find(b"NTLMSSP\0\x09\0\0\0"), None);
        let mut far = authenticate("a", "b", "c");
        far[40..44].copy_from_slice(&[0xff; 4]);
        assert!(matches!(find(&far), Some(Ntlm::Authenticate { user, .. }) if user.is_empty()));
    }
}
