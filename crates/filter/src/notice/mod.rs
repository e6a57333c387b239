//! The two notices: to whom something is refused, it is said that, why, and on whose authority.

pub mod dns;
pub mod http;
pub mod stream;

use std::net::SocketAddr;

use daylight_policy::Basis;

/// An IP packet to be sent, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The packet.
    pub packet: Vec<u8>,
    /// The receiver, as in its header.
    pub to: SocketAddr,
}

/// What a notice says of the rule that refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// The rule's name.
    pub rule: &'a str,
    /// Why there is the rule.
    pub reason: &'a str,
    /// Who decided on it.
    pub authority: &'a str,
    /// Until when it is in force: a date.
    pub until: &'a str,
    /// Where to object.
    pub appeal: Option<&'a str>,
    /// The filter's public page.
    pub page: Option<&'a str>,
    /// Whose will that is.
    pub basis: Basis,
}

/// The first `max` bytes of `text`, without half a character.
fn shortened(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
