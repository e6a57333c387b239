//! What speaks against a packet.

use serde::Serialize;

use crate::benign::Benign;

macro_rules! tells {
    ($($variant:ident $name:literal [$($benign:ident),*] $help:literal,)*) => {
        /// What speaks against a packet. Its harmless causes are part of its declaration.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Tell {
            $(#[doc = $help] $variant,)*
        }

        impl Tell {
            /// All of them, by name.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name, as in a measurement.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }

            /// What harmless causes it has in general; none if it settles the question alone.
            #[must_use]
            pub fn benign(self) -> &'static [Benign] {
                match self { $(Self::$variant => &[$(Benign::$benign),*],)* }
            }
        }
    };
}

tells! {
    AckUnsent "ack-unsent" [Loss] "It acknowledges bytes that the client had not sent.",
    AnswersDisagree "answers-disagree" [] "One query got answers that have nothing in common, and this one is the odd one out.",
    BogonAnswer "bogon-answer" [Naming] "A public resolver's answer is an address that no public host has.",
    ContentsDiffer "contents-differ" [] "Another packet of the server's has other bytes for the same place in the stream, which no TCP sends.",
    Copied "copied" [Coincidence] "A header field is that of the client's packet it answers.",
    DfChanged "df-changed" [OwnBox] "Its don't-fragment bit is not that of the server's other packets.",
    IpIdJump "ip-id-jump" [Kernel, OwnBox] "Its IP identification is far from those of the server's other packets.",
    NoTimestamps "no-timestamps" [OwnBox] "It has no timestamp option, though both ends agreed on having one in every segment (RFC 7323 §3.2).",
    ResetWindow "reset-window" [Kernel, OwnBox] "A reset with a window that the server has not advertised otherwise.",
    ResetsAlike "resets-alike" [Duplication] "Resets that are the same to the byte, while nothing else came twice.",
    ResetsInSteps "resets-in-steps" [] "Several resets at sequence numbers that the client had not acknowledged: sent to fit whatever comes. A host resets at one.",
    ResetsVary "resets-vary" [OwnBox, PathChange] "Resets of one connection arrive with different TTLs.",
    SeqBeyond "seq-beyond" [Loss] "A reset beyond all that the server has sent.",
    SeqZero "seq-zero" [OwnBox] "A reset at sequence number 0 in a connection that is not there (RFC 9293 §3.5.3 has it for closed ports only).",
    ServerWentOn "server-went-on" [] "The server goes on in the connection that this packet, in its name, has ended.",
    Signature "signature" [Coincidence] "It has the features of known equipment, at least two that are independent of each other.",
    TooFast "too-fast" [SlowStart] "A reset answers bytes that could not have reached the server yet, by the connection's round trip.",
    TtlGap "ttl-gap" [OwnBox, PathChange] "Its TTL is not that of the server's other packets.",
}

impl Tell {
    /// The header field that shows it, by the name that [`dissect`](crate::dissect()) gives it for IPv4.
    #[must_use]
    pub fn field(self) -> Option<&'static str> {
        match self {
            Self::TtlGap | Self::ResetsVary => Some("Time to Live"),
            Self::IpIdJump => Some("Identification"),
            Self::DfChanged => Some("Flags"),
            Self::ResetWindow => Some("Window"),
            Self::ResetsInSteps | Self::SeqBeyond | Self::SeqZero => Some("Sequence Number"),
            Self::AckUnsent => Some("Acknowledgment Number"),
            _ => None,
        }
    }

    /// True for what is so common that it makes no packet suspect: kept beside other tells, and not counted.
    #[must_use]
    pub fn is_weak(self) -> bool {
        matches!(self, Self::IpIdJump | Self::ResetWindow)
    }

    /// True for what says enough to doubt ordinary data and ordinary ends of connections. Large sites answer a SYN with one
    /// machine and send the page from another, many hops away: there, fields of headers say nothing by themselves.
    #[must_use]
    pub fn doubts_data(self) -> bool {
        matches!(
            self,
            Self::AnswersDisagree
                | Self::BogonAnswer
                | Self::ContentsDiffer
                | Self::ServerWentOn
                | Self::Signature
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_in_order() {
        assert!(Tell::ALL.is_sorted_by(|a, b| a.as_str() < b.as_str()));
        for tell in Tell::ALL {
            assert!(tell.benign().is_sorted() && tell.help().ends_with('.'), "{tell:?}");
        }
    }
}
