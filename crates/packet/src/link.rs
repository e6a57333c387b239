//! The link types that the decoder reads, by their names in the tcpdump registry.

use crate::frame::LinkType;

/// One constant and one name per link type; the registry's names without `LINKTYPE_`, in lower case.
macro_rules! link_types {
    ($($constant:ident = $number:literal, $name:literal, $doc:literal;)*) => {
        impl LinkType {
            $(#[doc = $doc] pub const $constant: Self = Self($number);)*

            /// The registry's name, in lower case, of a link type that the decoder reads; `None` for others.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($name),)*
                    _ => None,
                }
            }
        }
    };
}

link_types! {
    NULL = 0, "null", "BSD loopback: the address family in the byte order of the capturing machine.";
    ETHERNET = 1, "ethernet", "Ethernet II or IEEE 802.3.";
    PPP = 9, "ppp", "PPP, with or without the HDLC-like framing's address and control.";
    RAW_12 = 12, "raw", "An IPv4 or IPv6 packet, as OpenBSD and most writers of DLT_RAW number it.";
    RAW_14 = 14, "raw", "An IPv4 or IPv6 packet, as BSD/OS numbers it.";
    PPP_HDLC = 50, "ppp-hdlc", "PPP in HDLC-like framing (RFC 1662), or Cisco's framing.";
    PPP_ETHER = 51, "ppp-ether", "A PPPoE session header and what follows (RFC 2516).";
    RAW = 101, "raw", "An IPv4 or IPv6 packet.";
    CISCO_HDLC = 104, "c-hdlc", "Cisco's PPP with HDLC framing.";
    IEEE802_11 = 105, "ieee802-11", "IEEE 802.11.";
    LOOP = 108, "loop", "OpenBSD loopback: the address family in network byte order.";
    LINUX_SLL = 113, "linux-sll", "Linux \"cooked\" capture, version 1.";
    PRISM = 119, "ieee802-11-prism", "Prism monitor-mode header, then 802.11.";
    RADIOTAP = 127, "ieee802-11-radiotap", "Radiotap header, then 802.11.";
    AVS = 163, "ieee802-11-avs", "AVS monitor-mode header, then 802.11.";
    PPP_PPPD = 166, "ppp-pppd", "PPP with a direction byte in place of the address.";
    PPI = 192, "ppi", "Per-packet information header, then the link type it names.";
    IPV4 = 228, "ipv4", "An IPv4 packet.";
    IPV6 = 229, "ipv6", "An IPv6 packet.";
    NFLOG = 239, "nflog", "Linux netfilter log message.";
    LINUX_SLL2 = 276, "linux-sll2", "Linux \"cooked\" capture, version 2.";
}

impl std::fmt::Display for LinkType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "link-type {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(LinkType::ETHERNET.to_string(), "ethernet");
        assert_eq!(LinkType(147).to_string(), "link-type 147");
    }
}
