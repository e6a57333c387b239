//! What both generations of Server Message Block ([`smb1`](super::smb1), [`smb2`](super::smb2)) have in common: statuses,
//! logins by NTLM, signing, names and identifiers.

use super::ntlmssp::Ntlm;
use crate::{FieldRef, Sink, risks};

risks! {
    SMB_GUEST: Medium Server "smb-guest-session" "The server let a client in as a guest or anonymously. For named pipes of old domains this is usual; for files it is open to everybody.";
    SMB_SIGNING_NOT_REQUIRED: Low Server "smb-signing-not-required" "The server does not demand signed messages, so that logins can be relayed to it (NTLM relay). Default on Windows other than domain controllers before 11 24H2.";
}

/// Errors by name (MS-ERREF §2.3.1). `None`: it is none, or one that is part of everyday work.
pub(super) fn error_name(status: u32) -> Option<String> {
    let name = match status {
        // Success and warnings; more processing required; end of file; no more files; no such file when listing.
        0..0xc000_0000 | 0xc000_0016 | 0xc000_0011 | 0xc000_000f => return None,
        0xc000_0005 => "access-violation",
        0xc000_000d => "invalid-parameter",
        0xc000_0022 => "access-denied",
        0xc000_0034 => "object-name-not-found",
        0xc000_0035 => "object-name-collision",
        0xc000_003a => "object-path-not-found",
        0xc000_0043 => "sharing-violation",
        0xc000_006d => "logon-failure",
        0xc000_006e => "account-restriction",
        0xc000_0071 => "password-expired",
        0xc000_0072 => "account-disabled",
        0xc000_00ac => "pipe-not-available",
        0xc000_00bb => "not-supported",
        0xc000_00c9 => "network-name-deleted",
        0xc000_00cc => "bad-network-name",
        0xc000_0101 => "directory-not-empty",
        0xc000_015b => "logon-type-not-granted",
        0xc000_0203 => "user-session-deleted",
        0xc000_0225 => "not-found",
        0xc000_0234 => "account-locked-out",
        0xc000_0257 => "path-not-covered",
        other => return Some(format!("0x{other:08x}")),
    };
    Some(name.to_owned())
}

/// True if a login was refused for the name or the password.
pub(super) fn is_refusal(status: u32) -> bool {
    matches!(status, 0xc000_006a | 0xc000_006d | 0xc000_0064 | 0xc000_0072 | 0xc000_0234)
}

/// The server's name in `\\server\share`.
pub(super) fn server_of(path: &str) -> Option<&str> {
    let name = path.strip_prefix("\\\\")?.split('\\').next()?;
    (!name.is_empty() && name.parse::<std::net::IpAddr>().is_err()).then_some(name)
}

/// Puts what an NTLM message says into fields: user, domain, workstation; the server's name, domain, DNS name, version.
pub(super) fn put_ntlm(message: Ntlm, fields: [FieldRef; 7], out: &mut Sink<'_>) {
    let [
        user_field,
        domain_field,
        workstation_field,
        name_field,
        server_domain_field,
        dns_field,
        version_field,
    ] = fields;
    match message {
        Ntlm::Negotiate => {}
        Ntlm::Challenge { computer, domain, dns_computer, version } => {
            let known = [
                (name_field, computer),
                (server_domain_field, domain),
                (dns_field, dns_computer),
                (version_field, version),
            ];
            for (field, value) in known {
                if let Some(value) = value {
                    out.set(field, value);
                }
            }
        }
        Ntlm::Authenticate { user, domain, workstation } => {
            out.set(user_field, user);
            if !domain.is_empty() {
                out.set(domain_field, domain);
            }
            if !workstation.is_empty() {
                out.set(workstation_field, workstation);
            }
        }
    }
}

/// Whether the server demands signatures.
pub(super) fn signing(field: FieldRef, name: &str, enabled: bool, required: bool, out: &mut Sink<'_>) {
    let value = match (required, enabled) {
        (true, _) => "required",
        (false, true) => "enabled",
        (false, false) => "off",
    };
    out.set(field, value);
    if !required {
        out.risk(&SMB_SIGNING_NOT_REQUIRED, || format!("{name}={value}"));
    }
}

/// A GUID in the usual spelling: the first three groups are little-endian.
pub(super) fn guid(bytes: [u8; 16]) -> String {
    let [a, b, c, d, e, f, g, h, rest @ ..] = bytes;
    let (first, second, third) =
        (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, f]), u16::from_le_bytes([g, h]));
    let hex = |part: &[u8]| part.iter().map(|b| format!("{b:02x}")).collect::<String>();
    format!("{first:08x}-{second:04x}-{third:04x}-{}-{}", hex(&rest[..2]), hex(&rest[2..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guids_are_spelt_as_usual() {
        let bytes = std::array::from_fn(|i| i as u8);
        assert_eq!(guid(bytes), "03020100-0504-0706-0809-0a0b0c0d0e0f");
    }
}
