//! The command line: every option is defined here once; help, man pages and completions come from it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::engine::Engine;
use crate::probe::args::ProbeCommand;
use crate::serve::args::Serve;
use crate::tunnel::args::{CardCommand, Client, Server};
use crate::watch::args::Watch;

/// Sees what is in network traffic.
#[derive(Parser)]
#[command(name = "daylight", version, about, max_term_width = 100, arg_required_else_help = true)]
#[command(disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Names what is in captures: protocols, applications, hosts, risks
    Inspect(Box<Inspect>),
    /// Asks a store of flow records, in SQL or by a question's name
    Query(Box<Query>),
    /// Looks after a store of flow records
    #[command(subcommand)]
    Store(StoreCommand),
    /// Watches links: what passes now, live, and kept as records
    Watch(Box<Watch>),
    /// Shows in a browser what the network does and did
    Serve(Box<Serve>),
    /// Lists the protocols, or explains what the dispatcher makes of a payload
    Protocols(Protocols),
    /// Lists the fields of a flow record
    Fields(Fields),
    /// Lists the risks
    Risks(Risks),
    /// Lists the applications of the catalog
    Applications(Applications),
    /// Looks at the policies of a filter
    #[command(subcommand)]
    Filter(FilterCommand),
    /// Checks the public log of a filter, with its key alone
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Plays a scenario on a small internet in network namespaces
    Lab(Lab),
    /// Carries connections past a filter, unnoticed
    #[command(subcommand)]
    Tunnel(TunnelCommand),
    /// Finds out what a network blocks, how, and where
    #[command(subcommand)]
    Probe(ProbeCommand),
    /// Prints a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Writes the man pages into a folder
    Man {
        /// The folder; it must exist
        folder: PathBuf,
    },
}

const INSPECT_EXAMPLES: &str = "\
Examples:
  daylight inspect capture.pcap
  tcpdump -w - -i eth0 | daylight inspect -
  daylight inspect 'captures/*.pcapng.gz' --format jsonl --where 'tls_version < \"TLSv1.2\"'
  daylight inspect capture.pcap --format csv --fields start,src_ip,hostname,application
  daylight inspect capture.pcap --format zeek --output logs/
  daylight inspect 'captures/*.pcap' --store flows/

Exit status:
  0  everything was read
  1  something could not be read or written at all
  2  the command line is wrong
  3  a capture is cut short or damaged; it was read as far as it goes
  130  interrupted (Ctrl-C); what was read until then was written";

#[derive(Args)]
#[command(after_help = INSPECT_EXAMPLES)]
pub(crate) struct Inspect {
    /// Captures: pcap or pcapng, plain or in gzip or zstd; globs in quotes; - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<String>,

    /// What to print
    #[arg(long, short, value_enum, default_value_t = Format::Summary)]
    pub(crate) format: Format,

    /// Where to: a file (jsonl, csv, parquet, summary), a folder (zeek), or - for standard output
    #[arg(long, short, value_name = "FILE|DIR", default_value = "-")]
    pub(crate) output: PathBuf,

    /// Add the records to the store in this folder, instead of printing them; see `daylight query`
    #[arg(long, value_name = "DIR", conflicts_with_all = ["format", "output", "fields"], help_heading = "Store")]
    pub(crate) store: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) kept: StoreKept,

    /// Only these fields, separated by commas; a protocol's name stands for all its fields. See `daylight fields`
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    pub(crate) fields: Vec<String>,

    /// Only flows for which this holds, in the syntax of Wireshark's display filters: 'tls && dst_port != 443'
    #[arg(long = "where", value_name = "EXPR")]
    pub(crate) condition: Option<String>,

    /// Stop after so many flows
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,

    /// Order by this field; with - before it, the largest first. Holds all records in memory
    #[arg(long, value_name = "[-]FIELD", allow_hyphen_values = true)]
    pub(crate) sort: Option<String>,

    /// Rows of each table of the summary
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) top: usize,

    #[command(flatten)]
    pub(crate) engine: Engine,

    /// Write flows that last longer than this many seconds in parts; 0 is never
    #[arg(long, value_name = "S", default_value_t = 0, help_heading = "Flows")]
    pub(crate) active_timeout: u32,

    /// Colours
    #[arg(long, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub(crate) colour: Colour,

    /// No progress bar
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// How records are kept in a store.
#[derive(Args)]
pub(crate) struct StoreKept {
    /// The name of this sensor in the store's records
    #[arg(long, value_name = "NAME", default_value = "main", help_heading = "Store")]
    pub(crate) sensor: String,

    /// Keep clients' addresses as they are; without it they are replaced by pseudonyms
    #[arg(long, requires = "store", help_heading = "Store")]
    pub(crate) keep_addresses: bool,

    /// The file with the pseudonyms' keys, made if it isn't there [default: DIR.key, beside the store]
    #[arg(
        long,
        value_name = "FILE",
        requires = "store",
        conflicts_with = "keep_addresses",
        help_heading = "Store"
    )]
    pub(crate) key_file: Option<PathBuf>,

    /// Days after which another key is used
    #[arg(long, value_name = "DAYS", default_value_t = 30, help_heading = "Store",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rotate_key: u32,

    /// More networks in which clients are, beside the private ones, separated by commas
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',', help_heading = "Store")]
    pub(crate) clients: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables for people
    Summary,
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values with a header
    Csv,
    /// Zeek's logs (conn, ssl, x509, dns, http, files, quic, ssh) in a folder
    Zeek,
    /// An Apache Parquet file
    Parquet,
}

const QUERY_EXAMPLES: &str = "\
Examples:
  daylight query --store flows/ top-applications --since 24h
  daylight query --store flows/ host example.org
  daylight query --store flows/ \"SELECT hostname, count(*) FROM flows WHERE tls.version = 'TLSv1.0' GROUP BY hostname\"
  daylight query --store flows/ \"SELECT * FROM risks\" --format csv --output risks.csv
  daylight query --list

Exit status:
  0  it was answered
  1  it could not be answered
  2  the command line is wrong
  130  interrupted (Ctrl-C)";

#[derive(Args)]
#[command(after_help = QUERY_EXAMPLES)]
pub(crate) struct Query {
    /// SQL, - for SQL from standard input, or the name of a question (see --list)
    #[arg(value_name = "SQL|NAME", required_unless_present = "list")]
    pub(crate) question: Option<String>,

    /// What a question wants to know, in its order or as NAME=VALUE
    #[arg(value_name = "[NAME=]VALUE")]
    pub(crate) parameters: Vec<String>,

    /// The store's folder
    #[arg(long, value_name = "DIR", required_unless_present = "list")]
    pub(crate) store: Option<PathBuf>,

    /// List the questions that have a name, the tables and the functions
    #[arg(long)]
    pub(crate) list: bool,

    /// Only flows that ended since: 24h, 7d, 2026-11-24, 2026-11-24T10:30 (UTC)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,

    /// Only flows that ended before
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,

    /// How to print the answer
    #[arg(long, short, value_enum, default_value_t = QueryFormat::Table)]
    pub(crate) format: QueryFormat,

    /// Where to: a file, or - for standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,

    /// At most so many rows [default: of questions by name 20, of SQL all]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,

    /// Say how it would be answered, and don't
    #[arg(long)]
    pub(crate) explain: bool,

    /// MiB that it may take; what sorts and groups more goes to temporary files
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = clap::value_parser!(u64).range(16..))]
    pub(crate) memory: u64,

    /// Cores to use [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueryFormat {
    /// A table for people
    Table,
    /// Comma-separated values with a header
    Csv,
    /// One JSON object a line
    Jsonl,
    /// An Apache Parquet file
    Parquet,
}

#[derive(Subcommand)]
pub(crate) enum StoreCommand {
    /// Says what is in a store: from when to when, how many files, how large
    Status(StoreStatus),
    /// Merges small files of hours that are over into few large ones
    Compact(StoreCompact),
    /// Removes hours that are too old or too much
    Prune(StorePrune),
}

#[derive(Args)]
pub(crate) struct StoreStatus {
    /// The store's folder
    #[arg(value_name = "DIR")]
    pub(crate) store: PathBuf,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct StoreCompact {
    /// The store's folder
    #[arg(value_name = "DIR")]
    pub(crate) store: PathBuf,
    /// Also hours that are not over, and remove what was merged at once; only while nobody asks the store
    #[arg(long)]
    pub(crate) now: bool,
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("limits").required(true).multiple(true).args(["keep_days", "keep_size"]))]
pub(crate) struct StorePrune {
    /// The store's folder
    #[arg(value_name = "DIR")]
    pub(crate) store: PathBuf,
    /// Remove hours that ended more than so many days ago, and keys that no record is under any more
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(crate) keep_days: Option<u32>,
    /// Remove the oldest hours until the files take no more than so many GB
    #[arg(long, value_name = "GB")]
    pub(crate) keep_size: Option<u64>,
    /// The file with the pseudonyms' keys [default: DIR.key, beside the store]
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

#[derive(Args)]
pub(crate) struct Protocols {
    /// Only this one, with its fields and risks
    pub(crate) name: Option<String>,

    /// Show which protocols a payload could be, and why: a file with the payload's bytes, or hexadecimal digits
    #[arg(long, value_name = "FILE_OR_HEX", conflicts_with = "name")]
    pub(crate) explain: Option<String>,

    /// With --explain: the payload came over UDP
    #[arg(long, requires = "explain")]
    pub(crate) udp: bool,

    /// With --explain: the server sent the payload
    #[arg(long, requires = "explain")]
    pub(crate) from_server: bool,

    /// With --explain: the server's port
    #[arg(long, requires = "explain", default_value_t = 0)]
    pub(crate) port: u16,
}

#[derive(Args)]
pub(crate) struct Fields {
    /// Only those of this protocol
    pub(crate) protocol: Option<String>,
}

#[derive(Args)]
pub(crate) struct Risks {
    /// Only this one
    pub(crate) name: Option<String>,
}

#[derive(Args)]
pub(crate) struct Applications {
    /// Only this one, or those of this category
    pub(crate) name: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum FilterCommand {
    /// Loads a policy, says what is probably not meant, and what it would do to captures
    Check(FilterCheck),
    /// Says why a policy does what it does to a flow
    Explain(FilterExplain),
    /// Prints the rules that `run` puts into the kernel, and changes nothing
    Plan(FilterKernel),
    /// Filters what this machine forwards, by a policy, until it is stopped
    Run(FilterRun),
    /// Lets a running filter load its policy and lists anew; a bad policy leaves the old one in force
    Reload(FilterControl),
    /// Says how a running filter is
    Status(FilterStatus),
    /// Serves the public page: what is blocked here, by which rule, why, on whose authority, with proofs
    Serve(FilterServe),
    /// Takes what a killed filter left in the kernel out of it
    Clean {
        /// The filter's name
        #[arg(long, default_value = "main", value_parser = filter_name)]
        name: String,
    },
}

/// Letters, digits and hyphens: it becomes a part of the names of the kernel's chains.
fn filter_name(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if (1..=16).contains(&text.len()) && text.chars().all(good) {
        Ok(text.to_owned())
    } else {
        Err("a filter's name has 1 to 16 letters, digits and hyphens".into())
    }
}

#[derive(Args)]
pub(crate) struct FilterKernel {
    /// Tells this filter from others on the machine
    #[arg(long, default_value = "main", value_parser = filter_name)]
    pub(crate) name: String,
    /// How many queues, each with a thread and an engine of its own
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) queues: u16,
    /// The number of the first queue
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) first_queue: u16,
    /// The lowest of the four bits of packet marks that are the filter's
    #[arg(long, value_name = "BIT", default_value_t = 24, value_parser = clap::value_parser!(u8).range(0..=28))]
    pub(crate) mark_bit: u8,
    /// Filters also what this machine itself sends and receives
    #[arg(long)]
    pub(crate) own_traffic: bool,
    /// Looks at every packet, also of connections that were decided on
    #[arg(long)]
    pub(crate) no_offload: bool,
    /// What becomes of packets when the filter is gone
    #[arg(long, value_name = "WAY", default_value = "open")]
    pub(crate) if_gone: Way,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// They go on
    Open,
    /// They are dropped
    Closed,
}

const RUN_STATUS: &str = "\
SIGHUP, or `daylight filter reload`, loads the policy anew. SIGTERM or Ctrl-C ends the filter.

Exit status:
  0  it was asked to end
  1  it could not begin, or failed
  2  the command line is wrong";

#[derive(Args)]
#[command(after_help = RUN_STATUS)]
pub(crate) struct FilterRun {
    /// The policy, a TOML file
    pub(crate) policy: PathBuf,
    /// The folder of the public log, which `daylight audit create` makes
    #[arg(long, value_name = "FOLDER")]
    pub(crate) log: PathBuf,
    /// The file with the key that signs it
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// The address of the public page, for those whom a notice is sent
    #[arg(long, value_name = "URL")]
    pub(crate) page: Option<String>,
    /// Writes each decision as a line of JSON to this file, or with - to the standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) decisions: Option<PathBuf>,
    /// The key of the clients' pseudonyms in it, made if it isn't there [default: another at each start]
    #[arg(long, value_name = "FILE", requires = "decisions", conflicts_with = "addresses")]
    pub(crate) pseudonyms: Option<PathBuf>,
    /// Writes the addresses of clients into it, instead of pseudonyms
    #[arg(long, requires = "decisions")]
    pub(crate) addresses: bool,
    /// Where it can be asked [default: /run/daylight/NAME.sock]
    #[arg(long, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,
    /// Only listens to this interface, a mirror port, and ends by resets what the policy forbids and is TCP
    #[arg(long, value_name = "INTERFACE", conflicts_with_all = ["if_full", "if_gone", "no_offload", "own_traffic", "queues", "first_queue"])]
    pub(crate) mirror: Option<String>,
    /// Serves metrics for Prometheus here, at /metrics
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<SocketAddr>,
    /// What becomes of packets when a queue is full
    #[arg(long, value_name = "WAY", default_value = "open")]
    pub(crate) if_full: Way,
    /// What becomes of packets when the engine fails
    #[arg(long, value_name = "WAY", default_value = "open")]
    pub(crate) if_fault: Way,
    /// What becomes of packets while more memory is in use than --memory-max
    #[arg(long, value_name = "WAY", default_value = "open")]
    pub(crate) if_memory: Way,
    /// How much memory it may take
    #[arg(long, value_name = "MIB")]
    pub(crate) memory_max: Option<u64>,
    #[command(flatten)]
    pub(crate) kernel: FilterKernel,
}

#[derive(Args)]
pub(crate) struct FilterServe {
    /// The folder of the public log, or of a copy of it
    #[arg(long, value_name = "FOLDER")]
    pub(crate) log: PathBuf,
    /// The log's verifier key, or a file that holds it
    #[arg(long)]
    pub(crate) key: String,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8451")]
    pub(crate) listen: SocketAddr,
    /// The policy's file, to tell also of hosts that nobody has tried to reach
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Who runs the filter, as people know them
    #[arg(long, value_name = "NAME")]
    pub(crate) operator: Option<String>,
    /// Where they can be reached: a URL, or any other words
    #[arg(long, value_name = "WHERE")]
    pub(crate) contact: Option<String>,
}

#[derive(Args)]
pub(crate) struct FilterControl {
    /// The filter's name
    #[arg(long, default_value = "main", value_parser = filter_name)]
    pub(crate) name: String,
    /// Where it can be asked [default: /run/daylight/NAME.sock]
    #[arg(long, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct FilterStatus {
    #[command(flatten)]
    pub(crate) filter: FilterControl,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// As metrics that Prometheus reads
    #[arg(long, conflicts_with = "json")]
    pub(crate) metrics: bool,
}

const CHECK_STATUS: &str = "\
Exit status:
  0  it loads, and there is nothing to warn of
  1  it does not load
  2  the command line is wrong
  3  it loads, with warnings";

#[derive(Args)]
#[command(after_help = CHECK_STATUS)]
pub(crate) struct FilterCheck {
    /// The policy, a TOML file
    pub(crate) policy: PathBuf,
    /// Captures to try it on: how many flows and bytes each rule decides about
    #[arg(long, value_name = "CAPTURE", num_args = 1..)]
    pub(crate) against: Vec<PathBuf>,
}

#[derive(Args)]
pub(crate) struct FilterExplain {
    /// The policy, a TOML file
    pub(crate) policy: PathBuf,
    /// The capture with the flow
    pub(crate) capture: PathBuf,
    /// The flow: its uid, its host name, or its client's address and port
    pub(crate) flow: String,
}

#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Makes the key of a public log, and the log, and prints the key that verifies it
    Create {
        /// The log's folder
        log: PathBuf,
        /// The file for the key that signs it, which nobody else may read
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The log's name: where it will be published, without https://
        #[arg(long, value_name = "NAME")]
        origin: String,
    },
    /// Verifies a whole log, or a proof
    Verify {
        /// The log's folder, or a file with a proof
        log: PathBuf,
        /// The filter's verifier key, or a file that holds it
        #[arg(long)]
        key: String,
    },
    /// Proves that an entry is in a log, or that a log goes on from what it was
    Prove {
        /// The log's folder
        log: PathBuf,
        /// The filter's verifier key, or a file that holds it
        #[arg(long)]
        key: String,
        /// Which entry, from 0
        #[arg(long, value_name = "NUMBER")]
        entry: Option<u64>,
        /// How many entries it had
        #[arg(long, value_name = "SIZE", conflicts_with = "entry")]
        since: Option<u64>,
    },
    /// Prints entries, one a line
    Tail {
        /// The log's folder
        log: PathBuf,
        /// The filter's verifier key, or a file that holds it
        #[arg(long)]
        key: String,
        /// The first entry, from 0
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        from: u64,
        /// Waits for more
        #[arg(long)]
        follow: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum TunnelCommand {
    /// Makes, prints and checks cards: how to reach a server, on paper, in a chat, on a thumb drive
    #[command(subcommand)]
    Card(CardCommand),
    /// Carries your programs' connections, or the whole machine's, to the servers of your cards
    Client(Client),
    /// Runs a server: a web site for everybody, a tunnel for those who have a card of it
    Server(Server),
    /// Carries the connections of Tor or of Shadowsocks, which start it (see docs/guide/plugins.md)
    Plugin,
}

#[derive(Args)]
pub(crate) struct Lab {
    #[command(subcommand)]
    pub(crate) command: LabCommand,
}

#[derive(Subcommand)]
pub(crate) enum LabCommand {
    /// Builds scenarios, plays their timelines, and compares what clients saw with what is expected
    Run(LabRun),
    /// Lists the runs there are: under way, kept, or left by a crash
    List,
    /// Ends kept runs and removes what crashes left; runs under way stay unless they are named
    Clean {
        /// Only these; see `daylight lab list`
        #[arg(value_name = "RUN")]
        runs: Vec<String>,
    },
    /// Opens a shell on a host of a run that stands
    Shell {
        /// The run; see `daylight lab list`
        run: String,
        /// The host, or the network for its router
        host: String,
    },
    /// Scores the tunnel against detectors, and the probe against censors
    #[command(subcommand)]
    Score(LabScoreCommand),
    /// The first step into a run's namespaces
    #[command(hide = true)]
    Outer {
        /// As whom
        privilege: String,
    },
    /// The first process of a run
    #[command(hide = true)]
    World,
    /// The first step into a score's namespaces
    #[command(hide = true)]
    ScoreOuter {
        /// As whom
        privilege: String,
    },
    /// The first process of a score
    #[command(hide = true)]
    ScoreWorld,
}

#[derive(Subcommand)]
pub(crate) enum LabScoreCommand {
    /// Ways to carry traffic: ours, and others that detectors are known to find
    Tunnel(LabScore),
    /// The probe: does it name what censors do, and spare what only looks like it?
    Probe(LabScoreProbe),
}

const SCORE_EXAMPLES: &str = "\
Examples:
  daylight lab score tunnel
  daylight lab score tunnel --only plain --connections 1000 --visitor curl
  daylight lab score tunnel --json > score.json

Exit status:
  0  what is meant to pass passes, and what is known to be found is found
  1  no score could be taken
  2  the command line is wrong
  4  something is found that is meant to pass, or passes that is known to be found
  130  interrupted (Ctrl-C)";

#[derive(Args)]
#[command(after_help = SCORE_EXAMPLES)]
pub(crate) struct LabScore {
    /// Visits to the control, and through each subject
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) connections: u32,

    /// Who visits: a browser, or curl, which is quicker; without it, Chromium if it is installed
    #[arg(long, value_enum, value_name = "PROGRAM")]
    pub(crate) visitor: Option<LabVisitor>,

    /// Score only this; can be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,

    /// Write the captures and the programs' logs here
    #[arg(long, value_name = "DIR")]
    pub(crate) captures: Option<PathBuf>,

    /// Don't probe the servers
    #[arg(long)]
    pub(crate) no_probes: bool,

    /// Print JSON in place of a table
    #[arg(long)]
    pub(crate) json: bool,
}

const SCORE_PROBE_EXAMPLES: &str = "\
Examples:
  daylight lab score probe
  daylight lab score probe --only tls-alert --only captive-portal --runs 3
  daylight lab score probe --jobs 8 --json > score.json

Exit status:
  0  every floor is met
  1  one is not, or no score could be taken
  2  the command line is wrong
  130  interrupted (Ctrl-C); what was done until then is printed";

#[derive(Args)]
#[command(after_help = SCORE_PROBE_EXAMPLES)]
pub(crate) struct LabScoreProbe {
    /// Runs of each case
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) runs: u32,

    /// Score only this case; can be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,

    /// Up to this loss is drawn for each run, in per cent and in each direction
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0, value_parser = percent)]
    pub(crate) loss: f64,

    /// Worlds at the same time; they mostly wait
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,

    /// Draw with this number
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Files of cases in place of the built-in ones; several times
    #[arg(long, value_name = "FILE")]
    pub(crate) cases: Vec<PathBuf>,

    /// Where measurements, scenarios and the probe's words go
    #[arg(long, short, value_name = "DIR", default_value = "probe-score")]
    pub(crate) output: PathBuf,

    /// Print JSON in place of a table
    #[arg(long)]
    pub(crate) json: bool,
}

fn percent(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if (0.0..=100.0).contains(&value) { Ok(value) } else { Err("it must lie between 0 and 100".into()) }
}

/// Who visits.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum LabVisitor {
    /// Chromium without a window
    Chromium,
    /// curl
    Curl,
}

const LAB_EXAMPLES: &str = "\
Examples:
  daylight lab run data/scenarios/hello.toml
  daylight lab run data/scenarios/*.toml --report reports/
  daylight lab run scenario.toml --dry-run
  daylight lab run scenario.toml --shell client

Exit status:
  0  every expectation held
  1  a scenario could not be built or played
  2  the command line is wrong
  4  an expectation did not hold
  130  interrupted (Ctrl-C); what was seen until then is in the report";

#[derive(Args)]
#[command(after_help = LAB_EXAMPLES)]
pub(crate) struct LabRun {
    /// Scenarios; several run side by side
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Write report.html, report.json, captures and logs here; with several scenarios, in a folder for each
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,

    /// Leave the run standing when the timeline is over; `daylight lab clean` ends it
    #[arg(long)]
    pub(crate) keep: bool,

    /// Open a shell on this host while the timeline is played; leaving it ends the run
    #[arg(long, value_name = "HOST")]
    pub(crate) shell: Option<String>,

    /// Draw the topology and the timeline as text, and build nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Capture every link as pcapng into the report
    #[arg(long, requires = "report")]
    pub(crate) capture: bool,

    /// As root too, run inside a user namespace, as it would without root
    #[arg(long)]
    pub(crate) user_namespace: bool,

    /// Colours
    #[arg(long, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub(crate) colour: Colour,

    /// Only the expectations
    #[arg(long, short)]
    pub(crate) quiet: bool,
}
