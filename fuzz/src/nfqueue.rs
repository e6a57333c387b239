//! Messages of the kernel's packet queues. Input: a datagram with any number of them, in the machine's byte order.

use daylight_capture::nfqueue::{Message, MessageError, parse_message};

/// The shortest message: its header.
const HEADER_LEN: usize = 16;

pub(crate) fn run(data: &[u8]) {
    let mut rest = data;
    while !rest.is_empty() {
        match parse_message(rest) {
            Ok((message, used)) => {
                assert!((HEADER_LEN..=rest.len()).contains(&used), "{used} of {} bytes", rest.len());
                let (own, behind) = rest.split_at(used);
                assert_eq!(
                    parse_message(own),
                    Ok((message, used)),
                    "what follows a message is none of its business"
                );
                if let Message::Packet(packet) = message {
                    let within = own.as_ptr_range();
                    let payload = packet.payload.as_ptr_range();
                    assert!(
                        packet.payload.is_empty()
                            || within.start <= payload.start && payload.end <= within.end
                    );
                    assert!(packet.payload.len() <= packet.wire_len as usize);
                    assert_eq!(packet.is_cut(), packet.payload.len() < packet.wire_len as usize);
                }
                rest = behind;
            }
            Err(error) => {
                // What is wrong lies within the message, which lies within the datagram.
                match error {
                    MessageError::Header { len } => assert!(len < HEADER_LEN + 4 && len <= rest.len()),
                    MessageError::Length { says, len } => {
                        assert_eq!(len, rest.len());
                        assert!(says as usize > len || (says as usize) < HEADER_LEN + 4);
                    }
                    MessageError::Attribute { offset, says, .. } => {
                        assert!(offset < rest.len());
                        assert!(says < 4 || offset + usize::from(says) > HEADER_LEN + 4);
                    }
                    MessageError::Value { offset, .. } => assert!(offset < rest.len()),
                    _ => {}
                }
                return;
            }
        }
    }
}
