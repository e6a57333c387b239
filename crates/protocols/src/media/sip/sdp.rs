//! The part of the Session Description Protocol (RFC 8866) that says where media will flow.

use std::net::IpAddr;

use crate::cursor::line;

/// One stream that is described.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Media<'a> {
    /// `audio`, `video`, `image` …
    pub(super) kind: &'a str,
    /// Where it is to be sent; `None` if no usable address is given.
    pub(super) address: Option<IpAddr>,
    /// 0 if the stream is declined.
    pub(super) port: u16,
    /// Where its RTCP goes, if not to the next port (RFC 3605).
    pub(super) rtcp_port: Option<u16>,
    /// RTP and RTCP share a port (RFC 5761).
    pub(super) mux: bool,
    /// `RTP/AVP`, `udptl` …
    pub(super) transport: &'a str,
    /// Encoding names (`a=rtpmap`).
    pub(super) codecs: Vec<&'a str>,
    /// Suite of a media key in clear (`a=crypto`, RFC 4568).
    pub(super) key_suite: Option<&'a str>,
}

/// More streams than this are not read.
const MEDIA_MAX: usize = 16;
/// More codecs than this are not kept for a stream.
const CODECS_MAX: usize = 16;

/// Reads the streams of a description. Lines that cannot be read are left out.
pub(super) fn parse(mut bytes: &[u8]) -> Vec<Media<'_>> {
    let mut media: Vec<Media<'_>> = Vec::new();
    let mut session = None;
    while !bytes.is_empty() {
        let (text, used) = line(bytes).unwrap_or((bytes, bytes.len()));
        bytes = &bytes[used..];
        let Ok(text) = std::str::from_utf8(text) else { continue };
        let Some((key, value)) = text.split_once('=') else { continue };
        let full = media.len() >= MEDIA_MAX;
        match (key, media.last_mut()) {
            ("m", _) if full => break,
            ("m", _) => {
                let mut words = value.split(' ');
                let (Some(kind), Some(port), Some(transport)) = (words.next(), words.next(), words.next())
                else {
                    continue;
                };
                // `49170/2` means two ports from this one on.
                let Ok(port) = port.split('/').next().unwrap_or_default().parse() else { continue };
                media.push(Media {
                    kind,
                    address: session,
                    port,
                    rtcp_port: None,
                    mux: false,
                    transport,
                    codecs: Vec::new(),
                    key_suite: None,
                });
            }
            ("c", None) => session = connection(value),
            ("c", Some(last)) => last.address = connection(value),
            ("a", Some(last)) => attribute(last, value),
            _ => {}
        }
    }
    media
}

/// `IN IP4 192.0.2.1`, perhaps with `/ttl`. Unspecified addresses (a call on hold) are left out.
fn connection(value: &str) -> Option<IpAddr> {
    let mut words = value.split(' ');
    let ("IN", "IP4" | "IP6") = (words.next()?, words.next()?) else { return None };
    let address: IpAddr = words.next()?.split('/').next()?.parse().ok()?;
    (!address.is_unspecified()).then_some(address)
}

fn attribute<'a>(media: &mut Media<'a>, value: &'a str) {
    let (name, rest) = value.split_once(':').unwrap_or((value, ""));
    match name {
        "rtcp-mux" => media.mux = true,
        "rtcp" => media.rtcp_port = rest.split(' ').next().and_then(|p| p.parse().ok()),
        "rtpmap" if media.codecs.len() < CODECS_MAX => {
            let codec = rest.split_once(' ').map(|(_, c)| c.split('/').next().unwrap_or(c));
            media.codecs.extend(codec.filter(|c| !c.is_empty()));
        }
        "crypto" => media.key_suite = rest.split(' ').nth(1),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_with_two_streams() {
        // After RFC 8866 §5, with a second address and keys.
        let text = b"v=0\r\no=jdoe 3724394400 3724394405 IN IP4 198.51.100.1\r\ns=Call\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n\
            m=audio 49170 RTP/AVP 0 97\r\na=rtpmap:97 iLBC/8000\r\na=rtcp:53020\r\n\
            m=video 51372/2 RTP/SAVP 99\r\nc=IN IP6 2001:db8::2\r\na=rtpmap:99 h263-1998/90000\r\na=rtcp-mux\r\n\
            a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0\r\n";
        let media = parse(text);
        assert_eq!(media.len(), 2);
        assert_eq!((media[0].kind, media[0].port, media[0].rtcp_port), ("audio", 49170, Some(53020)));
        assert_eq!(media[0].codecs, ["iLBC"]);
        assert_eq!(media[1].address, "2001:db8::2".parse().ok());
        assert_eq!((media[1].port, media[1].mux), (51372, true));
        assert_eq!(media[1].key_suite, Some("AES_CM_128_HMAC_SHA1_80"));
    }

    #[test]
    fn broken_lines_and_holds_are_left_out() {
        let media =
            parse(b"c=IN IP4 0.0.0.0\nm=audio\nm=audio x RTP/AVP\nm=audio 9 RTP/AVP 0\nnonsense\n\xff=\xff");
        assert_eq!(media.len(), 1);
        assert_eq!(media[0].address, None);
    }
}
