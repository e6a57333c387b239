//! LOGIN7 (MS-TDS §2.2.6.4) and the tokens that answer it (§2.2.7).

use super::{
    APPLICATION, CLIENT_NAME, DATABASE, ERROR_CODE, INTEGRATED, LIBRARY, LOGIN, PROGRAM, SERVER_NAME,
    SERVER_VERSION, USER, VERSION,
};
use crate::cursor::Cursor;
use crate::risk::CLEAR_TEXT_CREDENTIALS;
use crate::{FieldRef, Sink};

/// Tokens of an answer that are looked at.
const TOKENS_MAX: usize = 32;

/// Does a LOGIN7 start with its own length, a known version and a sensible packet size?
pub(super) fn plausible(body: &[u8], last: bool) -> bool {
    let mut c = Cursor::new(body);
    let (Some(length), Some(version), Some(size)) = (c.u32_le(), c.u32_le(), c.u32_le()) else {
        return false;
    };
    let length = length as usize;
    let fits = if last { length == body.len() } else { length > body.len() };
    fits && length >= 94 && version_name(version) != "other" && size <= 32768
}

/// The version as the client writes it.
fn version_name(version: u32) -> &'static str {
    match version {
        0x7000_0000 => "7.0",
        0x7100_0000 | 0x7100_0001 => "7.1",
        0x7209_0002 => "7.2",
        0x730a_0003 | 0x730b_0003 => "7.3",
        0x7400_0004 => "7.4",
        _ => "other",
    }
}

/// Reads a LOGIN7 in clear.
pub(super) fn read(body: &[u8], out: &mut Sink<'_>) {
    let _ = fields(body, out);
}

/// `None` if it ends too early.
fn fields(body: &[u8], out: &mut Sink<'_>) -> Option<()> {
    let mut c = Cursor::new(body);
    c.skip(4)?;
    out.set(VERSION, version_name(c.u32_le()?));
    // Packet size, program version, process, connection, first flags.
    c.skip(17)?;
    let integrated = c.u8()? & 0x80 != 0;
    // Further flags, time zone, locale.
    c.skip(10)?;
    let mut text = |out: &mut Sink<'_>, field: Option<FieldRef>| -> Option<usize> {
        let (offset, count) = (usize::from(c.u16_le()?), usize::from(c.u16_le()?));
        if let (Some(field), 1..) = (field, count) {
            let bytes = body.get(offset..offset + 2 * count)?;
            out.set(field, utf16(bytes));
        }
        Some(count)
    };
    text(out, Some(CLIENT_NAME))?;
    text(out, Some(USER))?;
    let password = text(out, None)?;
    text(out, Some(APPLICATION))?;
    text(out, Some(SERVER_NAME))?;
    text(out, None)?;
    text(out, Some(LIBRARY))?;
    text(out, None)?;
    text(out, Some(DATABASE))?;
    out.set(INTEGRATED, integrated);
    if let Some(server) = out.found.text(SERVER_NAME).map(server_host) {
        out.hostname(server.as_bytes());
    }
    if password > 0 && !integrated {
        let user = out.found.text(USER).unwrap_or_default().to_owned();
        out.risk(&CLEAR_TEXT_CREDENTIALS, || format!("tds.messages=login7 tds.user={user}"));
    }
    Some(())
}

/// `tcp:db.example.org\INSTANCE,1433` names a host in its middle.
fn server_host(name: &str) -> String {
    let name = name
        .split_once(':')
        .filter(|(scheme, _)| matches!(*scheme, "tcp" | "np" | "admin"))
        .map_or(name, |(_, n)| n);
    name.split(['\\', ',']).next().unwrap_or_default().to_owned()
}

/// Reads the tokens at the start of an answer: errors, and the acknowledgement of the login.
pub(super) fn tokens(body: &[u8], out: &mut Sink<'_>) {
    let mut c = Cursor::new(body);
    for _ in 0..TOKENS_MAX {
        let Some(token) = c.u8() else { return };
        // Error, information, login acknowledgement, change of environment: those have a length of two bytes.
        if !matches!(token, 0xaa | 0xab | 0xad | 0xe3) {
            return;
        }
        let Some(value) = c.u16_le().and_then(|n| c.take(n.into())) else { return };
        match token {
            0xaa => {
                if let Some(code) = value.first_chunk::<4>() {
                    out.set(ERROR_CODE, u32::from_le_bytes(*code));
                    out.set(LOGIN, "error");
                }
            }
            0xad => {
                out.set(LOGIN, "ok");
                acknowledged(value, out);
            }
            _ => {}
        }
    }
}

fn acknowledged(value: &[u8], out: &mut Sink<'_>) -> Option<()> {
    let mut c = Cursor::new(value);
    // Interface and TDS version.
    c.skip(5)?;
    let count = usize::from(c.u8()?);
    let name = c.take(2 * count)?;
    out.set(PROGRAM, utf16(name).trim_end_matches('\0').to_owned());
    let [major, minor, high, low] = c.array()?;
    out.set(SERVER_VERSION, format!("{major}.{minor}.{}", u16::from_be_bytes([high, low])));
    Some(())
}

fn utf16(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).take(128).map(|u| u16::from_le_bytes([u[0], u[1]]));
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ask, packet, tell};
    use super::*;
    use crate::ProtocolId;
    use crate::testing::Flow;

    fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn login(flags2: u8) -> Vec<u8> {
        let mut body = vec![0; 4];
        body.extend(0x7400_0004u32.to_le_bytes());
        body.extend(4096u32.to_le_bytes());
        body.extend([0; 12]);
        body.extend([0xe0, flags2, 0, 0, 0, 0, 0, 0, 9, 4, 0, 0]);
        let texts = ["WS01", "sa", "hunter2", "Report", "tcp:DB.example.org,1433", "", "ODBC", "", "shop"];
        let mut data = Vec::new();
        for text in texts {
            body.extend((94 + data.len() as u16).to_le_bytes());
            body.extend((text.len() as u16).to_le_bytes());
            data.extend(wide(text));
        }
        body.resize(94, 0);
        body.extend(data);
        let length = (body.len() as u32).to_le_bytes();
        body[..4].copy_from_slice(&length);
        packet(0x10, &body)
    }

    fn acknowledgement() -> Vec<u8> {
        let name = wide("Microsoft SQL Server");
        let mut value = vec![1, 0x74, 0, 0, 4, 20];
        value.extend(name);
        value.extend([16, 0, 0x10, 0x77]);
        let mut body = vec![0xad];
        body.extend((value.len() as u16).to_le_bytes());
        body.extend(value);
        packet(0x04, &body)
    }

    #[test]
    fn a_login_in_clear_however_it_is_cut() {
        let (ask, tell, login, ok) = (ask(), tell(), login(0), acknowledgement());
        let seen = Flow::tcp(1433).client(&ask).server(&tell).client(&login).server(&ok).run_split();
        assert_eq!(seen.show(VERSION), "7.4");
        assert_eq!((seen.show(USER), seen.show(CLIENT_NAME)), ("sa".into(), "WS01".into()));
        assert_eq!((seen.show(APPLICATION), seen.show(DATABASE)), ("Report".into(), "shop".into()));
        assert_eq!(seen.show(crate::common::HOSTNAME), "db.example.org");
        assert_eq!((seen.show(PROGRAM), seen.show(LOGIN)), ("Microsoft SQL Server".into(), "ok".into()));
        assert_eq!(seen.risks(), ["clear-text-credentials"]);
    }

    #[test]
    fn a_login_with_a_windows_account_sends_no_password() {
        let seen = Flow::tcp(1433).client(&login(0x80)).run();
        assert_eq!((seen.protocol, seen.show(INTEGRATED)), (ProtocolId::Tds, "true".into()));
        assert!(seen.risks().is_empty());
    }

    #[test]
    fn a_refusal() {
        let mut body = vec![0xaa, 6, 0];
        body.extend(18456u32.to_le_bytes());
        body.extend([1, 14]);
        let seen = Flow::tcp(1433).client(&login(0)).server(&packet(0x04, &body)).run();
        assert_eq!((seen.show(LOGIN), seen.show(ERROR_CODE)), ("error".into(), "18456".into()));
    }

    #[test]
    fn a_login_must_know_its_own_length() {
        let mut short = login(0);
        short[8] -= 1;
        assert_eq!(Flow::tcp(1433).client(&short).run().protocol, ProtocolId::Unknown);
    }
}
