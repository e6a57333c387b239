//! What a client sends in HTTP/2, as lines that can be compared.

use std::collections::BTreeMap;

use daylight_protocols::testing::hpack::HeaderBlocks;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

struct Frame<'a> {
    kind: u8,
    flags: u8,
    stream: u32,
    body: &'a [u8],
}

fn frames(mut clear: &[u8]) -> Vec<Frame<'_>> {
    let mut out = Vec::new();
    while clear.len() >= 9 {
        let length = u32::from_be_bytes([0, clear[0], clear[1], clear[2]]) as usize;
        let Some(body) = clear.get(9..9 + length) else { break };
        let stream = u32::from_be_bytes([clear[5], clear[6], clear[7], clear[8]]) & 0x7fff_ffff;
        out.push(Frame { kind: clear[3], flags: clear[4], stream, body });
        clear = &clear[9 + length..];
    }
    out
}

/// How the connection begins, up to its first request.
pub(crate) fn opening(clear: &[u8]) -> Vec<String> {
    let rest = clear.strip_prefix(PREFACE).expect("the preface of HTTP/2");
    let mut out = Vec::new();
    for frame in frames(rest) {
        let number = |at: usize| u32::from_be_bytes(frame.body[at..at + 4].try_into().unwrap());
        match frame.kind {
            1 => {
                let (priority, block) = header_block(&frame);
                out.push(format!(
                    "first HEADERS: stream {}, flags {:02x}, {priority}",
                    frame.stream, frame.flags
                ));
                // Not byte for byte: a string that Huffman's code does not shorten is sent coded by the one and as it is by the
                // other, at the same length.
                out.push(format!("first HEADERS: block of {} bytes", block.len()));
                break;
            }
            // The answer to the server's, which comes when it comes.
            4 if frame.flags & 1 == 1 => {}
            4 => {
                let all: Vec<_> = frame
                    .body
                    .chunks(6)
                    .map(|s| -> String {
                        let value = u32::from_be_bytes(s[2..].try_into().unwrap());
                        format!("{}={value}", u16::from_be_bytes([s[0], s[1]]))
                    })
                    .collect();
                out.push(format!("SETTINGS {}", all.join(" ")));
            }
            8 => out.push(format!("WINDOW_UPDATE stream {} by {}", frame.stream, number(0))),
            kind => out.push(format!("frame of type {kind}, {} bytes", frame.body.len())),
        }
    }
    out
}

/// The headers of each request in their order, by its path.
pub(crate) fn requests(clear: &[u8]) -> BTreeMap<String, Vec<String>> {
    let mut out = BTreeMap::new();
    let mut blocks = HeaderBlocks::default();
    for frame in frames(clear.strip_prefix(PREFACE).unwrap_or_default()) {
        if frame.kind != 1 {
            continue;
        }
        let (priority, block) = header_block(&frame);
        let fields = blocks.decode(block).expect("a header block");
        let path = fields.iter().find(|(name, _)| name == ":path").map(|(_, path)| path.clone());
        let mut lines = vec![format!("[{priority}]")];
        lines.extend(fields.iter().map(|(name, value)| format!("{name}: {value}")));
        out.insert(path.unwrap_or_default(), lines);
    }
    out
}

/// The lengths of DATA frames, in order.
pub(crate) fn data_lengths(clear: &[u8]) -> Vec<usize> {
    let frames = frames(clear.strip_prefix(PREFACE).unwrap_or_default());
    frames.iter().filter(|frame| frame.kind == 0).map(|frame| frame.body.len()).collect()
}

/// The type and length of the last frame.
pub(crate) fn last(clear: &[u8]) -> Option<(u8, usize)> {
    let frames = frames(clear.strip_prefix(PREFACE).unwrap_or_default());
    frames.last().map(|frame| (frame.kind, frame.body.len()))
}

/// The priority, in words, and the block of a HEADERS frame that is whole and not padded.
fn header_block<'a>(frame: &Frame<'a>) -> (String, &'a [u8]) {
    assert!(frame.flags & 0x0c == 0x04, "a HEADERS frame with padding or continuation");
    if frame.flags & 0x20 == 0 {
        return ("no priority".to_owned(), frame.body);
    }
    let dependency = u32::from_be_bytes(frame.body[..4].try_into().unwrap());
    let exclusive = dependency >> 31;
    let weight = u16::from(frame.body[4]) + 1;
    let priority = format!("weight {weight} exclusive {exclusive} on {}", dependency & 0x7fff_ffff);
    (priority, &frame.body[5..])
}
