//! The flow record: what is known of a flow once it has ended, and the table of its columns.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use daylight_expr::{Kind, ValueRef};
use daylight_flow::{ConnState, HistoryText};
use daylight_protocols::{Confidence, Event, FieldRef, Findings, ProtocolId, RiskFound, Value};

/// What one side sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets.
    pub packets: u64,
    /// Bytes of the frames on the wire.
    pub bytes: u64,
    /// Bytes from the innermost IP header on.
    pub ip_bytes: u64,
    /// Bytes of transport payload.
    pub payload_bytes: u64,
}

/// How large one side's packets were, and how far apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spans {
    /// Smallest frame, in bytes on the wire.
    pub size_min: u32,
    /// Largest frame, in bytes on the wire.
    pub size_max: u32,
    /// Shortest time between two packets of this side, in nanoseconds; `i64::MAX` before the second packet.
    pub gap_min_ns: i64,
    /// Longest time between two packets of this side, in nanoseconds.
    pub gap_max_ns: i64,
    /// When its latest packet came.
    pub last_ns: i64,
}

/// The ends of a flow: what records and transactions are identified by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The capture's name: a file's name without its folder, `-` for standard input.
    pub capture: Arc<str>,
    /// IP protocol number.
    pub ip_protocol: u8,
    /// The client's address.
    pub src_ip: IpAddr,
    /// The client's port; for ICMP its type, as Community ID has it.
    pub src_port: u16,
    /// The server's address.
    pub dst_ip: IpAddr,
    /// The server's port.
    pub dst_port: u16,
    /// A name for this flow that is unlike all others, as Zeek's: the same on every run over the same capture.
    pub uid: Uid,
}

impl Ends {
    /// `tcp`, `udp`, `icmp` … or `ip-` and the number.
    pub fn transport(&self) -> &'static str {
        transport_name(self.ip_protocol)
    }
}

/// The name of a flow, in Zeek's form: `C` and 18 letters and digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid([u8; 19]);

impl Uid {
    /// From 128 bits.
    pub fn new(words: [u64; 2]) -> Self {
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut text = [b'C'; 19];
        for (mut word, digits) in words.into_iter().zip(text[1..].chunks_mut(9)) {
            // The word as a fraction of 1: a multiplication a digit, where whole numbers would take a division.
            for digit in digits {
                let product = u128::from(word) * 62;
                *digit = DIGITS[(product >> 64) as usize];
                word = product as u64;
            }
        }
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Everything that is known of a flow.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowRecord {
    /// Who with whom.
    pub ends: Ends,
    /// Time of the first packet, nanoseconds since 1970.
    pub start_ns: i64,
    /// Time of the last packet.
    pub end_ns: i64,
    /// VLANs: outer << 12 | inner, 0 if untagged.
    pub vlan: u32,
    /// The tunnels it was in, outermost first: `vxlan:5001/gtp-u`.
    pub tunnel: Option<Box<str>>,
    /// Community ID version 1, if it was wanted.
    pub community_id: Option<Box<str>>,
    /// What it speaks.
    pub protocol: ProtocolId,
    /// How that was found out.
    pub confidence: Confidence,
    /// Which application or service, and its category.
    pub application: Option<&'static str>,
    /// The application's category.
    pub category: Option<&'static str>,
    /// The name that the client had resolved to the server's address before, if the flow itself names none.
    pub resolved_name: Option<Box<str>>,
    /// The protocol's fields, and the risks.
    pub found: Findings,
    /// What the client sent.
    pub src: Counters,
    /// What the server sent.
    pub dst: Counters,
    /// How it ended, in Zeek's terms.
    pub state: ConnState,
    /// Why the record was written.
    pub reason: EndReason,
    /// TCP's events in order, as Zeek writes them.
    pub history: HistoryText,
    /// TCP: bytes that the capture lacks.
    pub missed_bytes: u64,
    /// TCP: segments that were sent again.
    pub retransmitted: u64,
    /// TCP: segments that came too early.
    pub out_of_order: u64,
    /// Entropy of the first payload in bits a byte, 0 to 8, if it was wanted.
    pub first_payload_entropy: Option<f64>,
    /// Entropy of a payload of at least 256 bytes that nobody knew, of a flow that was given up.
    pub(crate) unidentified_entropy: Option<f32>,
    /// Sizes and gaps of the client's packets, if wanted.
    pub src_spans: Option<Spans>,
    /// Sizes and gaps of the server's packets, if wanted.
    pub dst_spans: Option<Spans>,
}

/// Why a flow's record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// It closed (both FIN, or RST), or its ports were taken by a new connection.
    Closed,
    /// It was idle for too long.
    Idle,
    /// It goes on, but the active time-out passed: counters start anew.
    Active,
    /// The capture ended.
    CaptureEnd,
    /// The flow table was over its budget.
    Budget,
}

impl EndReason {
    /// As in the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Idle => "idle",
            Self::Active => "active",
            Self::CaptureEnd => "capture-end",
            Self::Budget => "budget",
        }
    }
}

/// A transaction with its flow.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRecord {
    /// The flow.
    pub ends: Ends,
    /// The transaction.
    pub event: Event,
}

/// The name of an IP protocol.
pub fn transport_name(ip_protocol: u8) -> &'static str {
    match ip_protocol {
        1 => "icmp",
        2 => "igmp",
        6 => "tcp",
        17 => "udp",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        58 => "icmpv6",
        88 => "eigrp",
        89 => "ospf",
        103 => "pim",
        112 => "vrrp",
        113 => "pgm",
        132 => "sctp",
        136 => "udp-lite",
        _ => "ip",
    }
}

/// A column of the record.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its full name: `src_ip`, `tls.version`.
    pub name: &'static str,
    /// What to read.
    pub id: ColumnId,
    /// The kind of its values.
    pub kind: Kind,
    /// True if it can hold several.
    pub list: bool,
    /// One line about it.
    pub help: &'static str,
}

/// What a column reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ColumnId {
    /// A part of the record that every flow has.
    Core(Core),
    /// A field of a protocol.
    Field(FieldRef),
}

macro_rules! core_columns {
    ($($id:ident $name:literal $kind:ident $list:literal $help:literal;)*) => {
        /// The columns that belong to no protocol, in the record's order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(missing_docs)] // each column has a line of help
        pub enum Core { $($id,)* }

        const CORE: &[Column] = &[
            $(Column { name: $name, id: ColumnId::Core(Core::$id), kind: Kind::$kind, list: $list, help: $help },)*
        ];
    };
}

core_columns! {
    Capture "capture" Str false "Name of the capture file, without its folder";
    Uid "uid" Str false "Name of the flow, unlike all others; the same on every run";
    Start "start" Time false "Time of the first packet";
    End "end" Time false "Time of the last packet";
    Duration "duration_s" Float false "Seconds from the first packet to the last";
    Transport "transport" Str false "tcp, udp, icmp, icmpv6, sctp … or ip for other IP protocols";
    IpProtocol "ip_protocol" Uint false "IP protocol number (IANA)";
    SrcIp "src_ip" Ip false "Address of the client";
    SrcPort "src_port" Uint false "Port of the client; ICMP: the type";
    DstIp "dst_ip" Ip false "Address of the server";
    DstPort "dst_port" Uint false "Port of the server; ICMP: the type that answers, or the code";
    Vlan "vlan" Uint true "VLAN identifiers, outermost first";
    Tunnel "tunnel" Str false "Tunnels the flow was in, outermost first, such as gtp-u or gre/vxlan:5001";
    CommunityId "community_id" Str false "Community ID version 1";
    Protocol "protocol" Str false "What the flow speaks";
    Application "application" Str false "Which application or service it belongs to";
    Category "category" Str false "The application's category";
    Confidence "confidence" Str false "How the label was come by: handshake, payload, correlation, address, port or none";
    ResolvedName "resolved_name" Str false "Name that the client had resolved to the server's address, where the flow names none";
    Risks "risks" Str true "Names of the risks found";
    RiskSeverity "risk_severity" Str false "The highest severity among the risks: low, medium, high or severe";
    SrcPackets "src_packets" Uint false "Packets from the client";
    SrcBytes "src_bytes" Uint false "Bytes from the client on the wire, frames whole";
    SrcIpBytes "src_ip_bytes" Uint false "Bytes from the client, from the innermost IP header on";
    SrcPayloadBytes "src_payload_bytes" Uint false "Bytes of transport payload from the client";
    DstPackets "dst_packets" Uint false "Packets from the server";
    DstBytes "dst_bytes" Uint false "Bytes from the server on the wire, frames whole";
    DstIpBytes "dst_ip_bytes" Uint false "Bytes from the server, from the innermost IP header on";
    DstPayloadBytes "dst_payload_bytes" Uint false "Bytes of transport payload from the server";
    State "state" Str false "How it ended, as Zeek's conn_state";
    Reason "end_reason" Str false "Why the record was written: closed, idle, active, capture-end or budget";
    History "history" Str false "TCP's events in order, as Zeek's history";
    MissedBytes "missed_bytes" Uint false "TCP: bytes that the capture lacks";
    Retransmitted "retransmitted" Uint false "TCP: segments sent again";
    OutOfOrder "out_of_order" Uint false "TCP: segments that came too early";
    Entropy "first_payload_entropy" Float false "Entropy of the first payload, 0 to 8 bits a byte";
    SrcSizeMin "src_size_min" Uint false "Smallest frame from the client, bytes";
    SrcSizeMax "src_size_max" Uint false "Largest frame from the client, bytes";
    SrcGapMin "src_gap_min_s" Float false "Shortest time between packets from the client, seconds";
    SrcGapMax "src_gap_max_s" Float false "Longest time between packets from the client, seconds";
    DstSizeMin "dst_size_min" Uint false "Smallest frame from the server, bytes";
    DstSizeMax "dst_size_max" Uint false "Largest frame from the server, bytes";
    DstGapMin "dst_gap_min_s" Float false "Shortest time between packets from the server, seconds";
    DstGapMax "dst_gap_max_s" Float false "Longest time between packets from the server, seconds";
}

/// All columns: the core first, then the fields common to protocols (`hostname`, `ja4` …), then each protocol's.
pub fn columns() -> &'static [Column] {
    static COLUMNS: OnceLock<Vec<Column>> = OnceLock::new();
    COLUMNS.get_or_init(|| {
        let mut columns = CORE.to_vec();
        for protocol in std::iter::once(ProtocolId::Unknown).chain(ProtocolId::all()) {
            for (index, field) in protocol.get().fields.iter().enumerate() {
                let name = if protocol == ProtocolId::Unknown {
                    field.name
                } else {
                    // Once per column and process.
                    String::leak(format!("{}.{}", protocol.name(), field.name))
                };
                columns.push(Column {
                    name,
                    id: ColumnId::Field(FieldRef { protocol, index: index as u8 }),
                    kind: kind(field.kind),
                    list: field.list,
                    help: field.help,
                });
            }
        }
        columns
    })
}

/// The column of this name.
pub fn column(name: &str) -> Option<&'static Column> {
    columns().iter().find(|c| c.name == name)
}

fn kind(kind: daylight_protocols::Kind) -> Kind {
    use daylight_protocols::Kind as K;
    match kind {
        K::Bool => Kind::Bool,
        K::Uint => Kind::Uint,
        K::Float => Kind::Float,
        K::Str => Kind::Str,
        K::Bytes => Kind::Bytes,
        K::Ip => Kind::Ip,
        K::Time => Kind::Time,
    }
}

/// A protocol's value as expressions and writers see it.
pub fn value_ref(value: &Value) -> Option<ValueRef<'_>> {
    Some(match value {
        Value::Bool(b) => ValueRef::Bool(*b),
        Value::Uint(n) => ValueRef::Uint(*n),
        Value::Float(n) => ValueRef::Float(*n),
        Value::Str(s) => ValueRef::Str(s),
        Value::Name(s) => ValueRef::Str(s),
        Value::Bytes(b) => ValueRef::Bytes(b),
        Value::Ip(ip) => ValueRef::Ip(*ip),
        Value::Time(ns) => ValueRef::Time(*ns),
        Value::List(_) => return None,
    })
}

impl FlowRecord {
    /// A flow of which nothing is known but its ends: for tests of what takes records.
    #[doc(hidden)]
    pub fn blank(number: u64) -> Self {
        Self {
            ends: Ends {
                capture: "test.pcap".into(),
                ip_protocol: 6,
                src_ip: IpAddr::from([10, 0, 0, 1]),
                src_port: 40000,
                dst_ip: IpAddr::from([203, 0, 113, 5]),
                dst_port: 443,
                uid: Uid::new([number << 48, 0]),
            },
            start_ns: 0,
            end_ns: 0,
            vlan: 0,
            tunnel: None,
            community_id: None,
            protocol: ProtocolId::Unknown,
            confidence: Confidence::None,
            application: None,
            category: None,
            resolved_name: None,
            found: Findings::default(),
            src: Counters::default(),
            dst: Counters::default(),
            state: ConnState::OTH,
            reason: EndReason::CaptureEnd,
            history: HistoryText::default(),
            missed_bytes: 0,
            retransmitted: 0,
            out_of_order: 0,
            first_payload_entropy: None,
            unidentified_entropy: None,
            src_spans: None,
            dst_spans: None,
        }
    }

    /// Every value of a column: none if it was not seen.
    pub fn values(&self, id: ColumnId) -> impl Iterator<Item = ValueRef<'_>> {
        let (mut one, mut two): (Option<ValueRef<'_>>, Option<ValueRef<'_>>) = (None, None);
        let (mut values, mut risks): (&[Value], &[RiskFound]) = (&[], &[]);
        match id {
            ColumnId::Field(field) => {
                values = self.found.value(field).map(|v| v.iter().as_slice()).unwrap_or_default();
            }
            ColumnId::Core(Core::Risks) => risks = &self.found.risks,
            ColumnId::Core(Core::Vlan) => {
                let tag = |id: u32| (id != 0).then(|| ValueRef::Uint(id.into()));
                (one, two) = (tag(self.vlan >> 12), tag(self.vlan & 0xfff));
            }
            ColumnId::Core(core) => one = self.core(core),
        }
        let names = risks.iter().map(|r| ValueRef::Str(r.risk.name));
        one.into_iter().chain(two).chain(values.iter().filter_map(value_ref)).chain(names)
    }

    /// A column that holds at most one value which the record has ready.
    fn core(&self, core: Core) -> Option<ValueRef<'_>> {
        use ValueRef::{Float, Ip, Str, Time, Uint};
        let tcp = self.ends.ip_protocol == 6;
        let seconds = |ns: i64| Float(ns as f64 / 1e9);
        let gap = |ns: i64| (ns != i64::MAX).then(|| seconds(ns));
        Some(match core {
            Core::Capture => Str(&self.ends.capture),
            Core::Uid => Str(self.ends.uid.as_str()),
            Core::History if tcp => Str(self.history.as_str()),
            Core::Start => Time(self.start_ns),
            Core::End => Time(self.end_ns),
            Core::Duration => seconds(self.end_ns.saturating_sub(self.start_ns)),
            Core::Transport => Str(self.ends.transport()),
            Core::IpProtocol => Uint(self.ends.ip_protocol.into()),
            Core::SrcIp => Ip(self.ends.src_ip),
            Core::SrcPort => Uint(self.ends.src_port.into()),
            Core::DstIp => Ip(self.ends.dst_ip),
            Core::DstPort => Uint(self.ends.dst_port.into()),
            Core::Tunnel => Str(self.tunnel.as_deref()?),
            Core::CommunityId => Str(self.community_id.as_deref()?),
            Core::Protocol => Str(self.protocol.name()),
            Core::Application => Str(self.application?),
            Core::Category => Str(self.category?),
            Core::Confidence => Str(self.confidence.name()),
            Core::ResolvedName => Str(self.resolved_name.as_deref()?),
            Core::RiskSeverity => Str(self.found.risks.iter().map(|r| r.risk.severity).max()?.name()),
            Core::SrcPackets => Uint(self.src.packets),
            Core::SrcBytes => Uint(self.src.bytes),
            Core::SrcIpBytes => Uint(self.src.ip_bytes),
            Core::SrcPayloadBytes => Uint(self.src.payload_bytes),
            Core::DstPackets => Uint(self.dst.packets),
            Core::DstBytes => Uint(self.dst.bytes),
            Core::DstIpBytes => Uint(self.dst.ip_bytes),
            Core::DstPayloadBytes => Uint(self.dst.payload_bytes),
            Core::State => Str(self.state.name()),
            Core::Reason => Str(self.reason.name()),
            Core::MissedBytes if tcp => Uint(self.missed_bytes),
            Core::Retransmitted if tcp => Uint(self.retransmitted),
            Core::OutOfOrder if tcp => Uint(self.out_of_order),
            Core::Entropy => Float(self.first_payload_entropy?),
            Core::SrcSizeMin => Uint(self.src_spans?.size_min.into()),
            Core::SrcSizeMax => Uint(self.src_spans?.size_max.into()),
            Core::SrcGapMin => gap(self.src_spans?.gap_min_ns)?,
            Core::SrcGapMax => gap(self.src_spans.filter(|s| s.gap_min_ns != i64::MAX)?.gap_max_ns)?,
            Core::DstSizeMin => Uint(self.dst_spans?.size_min.into()),
            Core::DstSizeMax => Uint(self.dst_spans?.size_max.into()),
            Core::DstGapMin => gap(self.dst_spans?.gap_min_ns)?,
            Core::DstGapMax => gap(self.dst_spans.filter(|s| s.gap_min_ns != i64::MAX)?.gap_max_ns)?,
            _ => return None,
        })
    }

    /// The text of a common or protocol field.
    pub fn text(&self, field: FieldRef) -> Option<&str> {
        self.found.text(field)
    }

    /// The risks with their evidence.
    pub fn risks(&self) -> &[RiskFound] {
        &self.found.risks
    }
}
