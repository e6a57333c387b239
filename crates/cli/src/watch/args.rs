//! The options of `daylight watch`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::args::StoreKept;
use crate::engine::Engine;

const EXAMPLES: &str = "\
Examples:
  daylight watch eth0
  daylight watch eth0 eth1 --filter 'not port 22' --store flows/
  daylight watch mirror0 --capture xdp --write interesting.pcapng --write-budget 2000
  daylight watch eth0 --show records | jq .hostname

Rights:
  It takes CAP_NET_RAW to listen (--capture xdp also CAP_NET_ADMIN and CAP_BPF). Once interfaces are open, everything else is
  given up: started by sudo it goes on as the user who called it, started by root as the user daylight, if there is one.

Exit status:
  0    it was told to stop, by q or by --duration
  1    it could not start, or a sink has failed
  2    the command line is wrong
  130  interrupted (Ctrl-C)";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Watch {
    /// Interfaces to listen to; they may vanish and come back
    #[arg(required = true, value_name = "IFACE")]
    pub(crate) interfaces: Vec<String>,

    /// What to show
    #[arg(long, value_enum, default_value_t = Show::Auto)]
    pub(crate) show: Show,

    /// Stop after so many seconds
    #[arg(long, value_name = "S")]
    pub(crate) duration: Option<u64>,

    /// Add the records to the store in this folder; see `daylight query`
    #[arg(long, value_name = "DIR", help_heading = "Store")]
    pub(crate) store: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) link: Link,
}

/// How links (the argument `interfaces`) are listened to, and where what passes goes.
#[derive(Args)]
pub(crate) struct Link {
    /// How to listen
    #[arg(long, value_enum, default_value_t = Capture::Auto, help_heading = "Capture", requires = "interfaces")]
    pub(crate) capture: Capture,

    /// Only packets that this expression wants, in the language of pcap-filter(7), as tcpdump has it
    #[arg(long, value_name = "EXPR", help_heading = "Capture", requires = "interfaces")]
    pub(crate) filter: Option<String>,

    /// MiB of ring for each interface and thread
    #[arg(long, value_name = "MIB", default_value_t = 64, help_heading = "Capture",
          value_parser = clap::value_parser!(u32).range(2..=16384), requires = "interfaces")]
    pub(crate) buffer: u32,

    /// Cut frames to so many bytes
    #[arg(long, value_name = "BYTES", help_heading = "Capture", value_parser = clap::value_parser!(u32).range(64..), requires = "interfaces")]
    pub(crate) snap_len: Option<u32>,

    /// Only frames for this machine, and broadcasts: don't make the interfaces promiscuous
    #[arg(long, help_heading = "Capture", requires = "interfaces")]
    pub(crate) no_promiscuous: bool,

    /// Whom to go on as once the interfaces are open; root stays root, without its capabilities
    #[arg(long, value_name = "NAME", help_heading = "Capture", requires = "interfaces")]
    pub(crate) user: Option<String>,

    #[command(flatten)]
    pub(crate) kept: StoreKept,

    /// Remove records from the store after so many days
    #[arg(long, value_name = "DAYS", default_value_t = 30, help_heading = "Store",
          value_parser = clap::value_parser!(u32).range(1..=36_500), requires = "interfaces")]
    pub(crate) keep_days: u32,

    /// Remove the oldest records when the store takes more than so many GB
    #[arg(long, value_name = "GB", requires_all = ["store", "interfaces"], help_heading = "Store")]
    pub(crate) keep_size: Option<u64>,

    /// Send the records where this file says: brokers, databases, collectors, alarms; see data/export/example.toml
    #[arg(long, value_name = "FILE", help_heading = "Elsewhere", requires = "interfaces")]
    pub(crate) to: Option<PathBuf>,

    /// Give metrics to Prometheus at this address
    #[arg(long, value_name = "ADDRESS", help_heading = "Elsewhere", requires = "interfaces")]
    pub(crate) metrics: Option<SocketAddr>,

    /// Write the first packets of flows of interest into capture files of this name, with a number each
    #[arg(long, value_name = "FILE", help_heading = "Packets", requires = "interfaces")]
    pub(crate) write: Option<PathBuf>,

    /// MB that those files may take together; the oldest go
    #[arg(long, value_name = "MB", default_value_t = 1000, requires = "write", help_heading = "Packets",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) write_budget: u64,

    /// Which flows are of interest, in the syntax of `inspect --where` [default: those with a risk, and unknown ones]
    #[arg(long, value_name = "EXPR", requires = "write", help_heading = "Packets")]
    pub(crate) write_where: Option<String>,

    /// Read only these fields (and what tells protocol, application, host and risks), separated by commas; a protocol's name
    /// stands for all its fields. Less to read is less to do, and to hold
    #[arg(long, value_name = "FIELDS", value_delimiter = ',', requires = "interfaces")]
    pub(crate) fields: Vec<String>,

    #[command(flatten)]
    pub(crate) engine: Engine,

    /// Write flows that last longer than this many seconds in parts; 0 is never
    #[arg(long, value_name = "S", default_value_t = 60, help_heading = "Flows", requires = "interfaces")]
    pub(crate) active_timeout: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Show {
    /// Live on a terminal; without one, a line a second
    Auto,
    /// A line a second
    Lines,
    /// A line a second, as a JSON object
    Jsonl,
    /// The records of flows as they end, one JSON object a line
    Records,
    /// Nothing
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Capture {
    /// AF_XDP on interfaces without an address whose driver has it, else AF_PACKET
    Auto,
    /// AF_PACKET: a copy of what passes
    Packet,
    /// AF_XDP: what arrives does not reach the kernel; for mirror ports
    Xdp,
}
