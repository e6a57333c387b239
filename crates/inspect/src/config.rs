//! What the engine is told to do.

use std::sync::Arc;

use daylight_packet::OverlapPolicy;
use daylight_protocols::web::tls::fields::CERT_CN;
use daylight_protocols::{FieldRef, Wanted, common};

use crate::catalog::Catalog;
use crate::indicators::Indicators;
use crate::record::{ColumnId, Core};

/// When flows end for want of packets, in seconds of capture time. Below 1 counts as 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP with a handshake, or with payload of both sides. Default 300, as Zeek's.
    pub tcp_established_s: u32,
    /// TCP before that. Default 60.
    pub tcp_opening_s: u32,
    /// TCP after both sides closed, or one reset: for stragglers. Default 10.
    pub tcp_closed_s: u32,
    /// UDP; a protocol may declare a shorter one. Default 60, as Zeek's.
    pub udp_s: u32,
    /// Everything else. Default 60.
    pub other_s: u32,
    /// A flow that lasts longer is written in parts. 0, the default, is never.
    pub active_s: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp_established_s: 300,
            tcp_opening_s: 60,
            tcp_closed_s: 10,
            udp_s: 60,
            other_s: 60,
            active_s: 0,
        }
    }
}

/// Settings of a run. `Config::default()` wants every field.
#[derive(Clone)]
pub struct Config {
    /// Time-outs.
    pub timeouts: Timeouts,
    /// Flows in the table at once. Over it, flows without a packet among the last half as many packets are ended early
    /// (`end_reason` is `budget`). Default 2 million, which takes 384 MB without what their work holds.
    pub flows_max: usize,
    /// Bytes of out-of-order segments held at once, over all flows. Over it, a gap is declared at once. Default 64 MiB.
    pub reassembly_bytes_max: usize,
    /// Bytes of IP fragments held at once. Default 16 MiB.
    pub fragment_bytes_max: usize,
    /// Which of overlapping fragments counts. Default: the first.
    pub fragment_overlap: OverlapPolicy,
    /// Verify IPv4 header checksums. Off by default: offloading makes wrong ones common.
    pub verify_checksums: bool,
    /// Which fields are wanted.
    pub wanted: Wanted,
    /// Which of the dear core columns are wanted.
    pub core: WantedCore,
    /// Applications and categories.
    pub catalog: Arc<Catalog>,
    /// Lists of bad names, addresses and fingerprints.
    pub indicators: Option<Arc<Indicators>>,
    /// Seed of the flow table's hash; random if `None`. Records do not depend on it.
    pub seed: Option<u64>,
    /// How many threads; at least 1.
    pub threads: usize,
}

/// Core columns that cost something to work out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedCore {
    /// `community_id`
    pub community_id: bool,
    /// `first_payload_entropy`
    pub entropy: bool,
    /// The sizes and gaps.
    pub spans: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            flows_max: 2_000_000,
            reassembly_bytes_max: 64 << 20,
            fragment_bytes_max: 16 << 20,
            fragment_overlap: OverlapPolicy::default(),
            verify_checksums: false,
            wanted: Wanted::all(),
            core: WantedCore { community_id: true, entropy: true, spans: true },
            catalog: Arc::new(Catalog::builtin()),
            indicators: None,
            seed: None,
            threads: 1,
        }
    }
}

impl Config {
    /// Wants these columns and no others, but for what the engine itself needs (host names, certificates' names, and
    /// what indicators are compared with).
    pub fn want_columns(&mut self, columns: impl IntoIterator<Item = ColumnId>) {
        let questions = self.wanted.questions();
        self.wanted = Wanted::none();
        self.wanted.set_questions(questions);
        self.core = WantedCore { community_id: false, entropy: false, spans: false };
        let mut add = |field: FieldRef| self.wanted.add(field);
        add(common::HOSTNAME);
        add(common::ALPN);
        add(CERT_CN);
        if self.indicators.is_some() {
            [common::JA3, common::JA4].into_iter().for_each(&mut add);
            crate::enrich::CERTIFICATE_HASHES.iter().copied().for_each(&mut add);
        }
        for column in columns {
            match column {
                ColumnId::Field(field) => add(field),
                ColumnId::Core(Core::CommunityId) => self.core.community_id = true,
                ColumnId::Core(Core::Entropy) => self.core.entropy = true,
                ColumnId::Core(core) if core >= Core::SrcSizeMin => self.core.spans = true,
                ColumnId::Core(_) => {}
            }
        }
    }
}
