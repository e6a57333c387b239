//! What `daylight probe` is told.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use daylight_probe::dns::Resolver;
use daylight_probe::plan::Target;
use url::Url;

#[derive(Subcommand)]
pub(crate) enum ProbeCommand {
    /// Measures what this network does to sites and services
    Run(Box<Run>),
    /// Lists the services that can be measured
    Services,
    /// Serves the control that measurements are compared with
    Helper(Helper),
    /// Measures a list from here, and signs it, for probes that can't reach a helper
    Pack(Pack),
    /// Judges measurements: what is blocked, how, and by which rule
    Classify(Classify),
    /// Tells packets that are not the server's, in captures
    Packets(Packets),
    /// Makes incidents and a report of many verdicts
    Report(Report),
    /// Packs a study as evidence that anybody can verify
    Bundle(Bundle),
    /// Verifies such evidence
    Verify(Verify),
}

const RUN_EXAMPLES: &str = "\
Examples:
  daylight probe run https://example.org/ example.com:8443
  daylight probe run --list by.csv --without PORN --helper https://helper.example/
  daylight probe run --service telegram --service signal --output today.jsonl

Exit status:
  0  everything was measured
  1  there was nothing to measure, or it could not be written
  2  the command line is wrong
  130  interrupted (Ctrl-C); what was measured is kept, and the same command goes on with the rest";

#[derive(Args)]
#[command(after_help = RUN_EXAMPLES)]
pub(crate) struct Run {
    /// URLs, hosts, or host:port
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<Target>,

    /// A list: CSV with the columns of the Citizen Lab's test lists, or one target a line; several times
    #[arg(long, value_name = "FILE")]
    pub(crate) list: Vec<PathBuf>,

    /// A service, such as telegram; see `daylight probe services`; several times
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Vec<String>,

    /// Another file of services than the built-in one
    #[arg(long, value_name = "FILE")]
    pub(crate) services: Option<PathBuf>,

    /// A category of lists that is left out (NEWS, HUMR …); several times
    #[arg(long, value_name = "CODE")]
    pub(crate) without: Vec<String>,

    /// Where measurements go, a line each; what the file has of this list is not measured again
    #[arg(long, short, value_name = "FILE", default_value = "measurements.jsonl")]
    pub(crate) output: PathBuf,

    /// Show what would be measured, and send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Don't ask: the warning was read, and the list is right
    #[arg(long, short)]
    pub(crate) yes: bool,

    /// Do what a browser does and no more, slowly
    #[arg(long)]
    pub(crate) quiet: bool,

    /// Find the hop at which something is done
    #[arg(long)]
    pub(crate) locate: bool,

    /// Don't capture the probe's own packets, even where that is allowed
    #[arg(long)]
    pub(crate) no_packets: bool,

    /// Targets at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) at_once: u16,

    /// Draw the order with this number, to have the same again
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// A helper's URL; several times, in the order of asking
    #[arg(long, value_name = "URL", help_heading = "Control")]
    pub(crate) helper: Vec<Url>,

    /// A control pack; several times
    #[arg(long, value_name = "FILE", requires = "pack_key", help_heading = "Control")]
    pub(crate) pack: Vec<PathBuf>,

    /// The public key of a pack's maker (PEM); several times
    #[arg(long, value_name = "FILE", help_heading = "Control")]
    pub(crate) pack_key: Vec<PathBuf>,

    /// The innocuous site that targets are compared with: NAME, or NAME=ADDRESS
    #[arg(long, value_name = "NAME[=ADDRESS]", value_parser = control, help_heading = "Control")]
    pub(crate) control: Option<(String, Option<IpAddr>)>,

    // An attribute, since rustdoc would have a link of the URL.
    #[arg(
        long,
        value_name = "RESOLVER",
        value_parser = resolver,
        help_heading = "Names",
        help = "Whom to ask for names beside the system's resolver: 9.9.9.9, tcp://9.9.9.9, tls://9.9.9.9#dns.quad9.net \
                or https://dns.quad9.net/dns-query#9.9.9.9; several times [default: public ones]"
    )]
    pub(crate) resolver: Vec<Resolver>,

    /// An address in the target's country where no resolver listens: what answers from there is an injector
    #[arg(long, value_name = "ADDRESS", help_heading = "Names")]
    pub(crate) no_resolver: Option<IpAddr>,

    /// A file of certificate authorities in place of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) authority: Option<PathBuf>,

    /// This network's number (autonomous system)
    #[arg(long, value_name = "N", help_heading = "This network")]
    pub(crate) asn: Option<u32>,

    /// Its country, two letters
    #[arg(long, value_name = "CC", help_heading = "This network")]
    pub(crate) country: Option<String>,

    /// Its name
    #[arg(long, value_name = "NAME", help_heading = "This network")]
    pub(crate) network: Option<String>,
}

#[derive(Args)]
pub(crate) struct Helper {
    /// Where it listens
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,

    /// Its certificate and those that vouch for it (PEM); without it, HTTP behind a web server
    #[arg(long, value_name = "FILE", requires = "certificate_key")]
    pub(crate) certificate: Option<PathBuf>,

    /// The certificate's secret key (PEM)
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(crate) certificate_key: Option<PathBuf>,

    /// Behind a web server that says in X-Forwarded-For who asks
    #[arg(long)]
    pub(crate) behind_proxy: bool,

    /// Go to private addresses too: for a lab alone
    #[arg(long)]
    pub(crate) private: bool,

    /// Whom to ask for names; as for `probe run` [default: the system's resolver]
    #[arg(long, value_name = "RESOLVER", value_parser = resolver)]
    pub(crate) resolver: Vec<Resolver>,

    /// A file of certificate authorities in place of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) authority: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Pack {
    /// A list of targets; several times
    #[arg(required = true, value_name = "LIST")]
    pub(crate) lists: Vec<PathBuf>,

    /// The secret key (PEM), as `openssl genpkey -algorithm ed25519` makes it
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,

    /// Where the pack goes
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Whom to ask for names; as for `probe run` [default: the system's resolver]
    #[arg(long, value_name = "RESOLVER", value_parser = resolver)]
    pub(crate) resolver: Vec<Resolver>,

    /// Go to private addresses too: for a lab alone
    #[arg(long)]
    pub(crate) private: bool,

    /// A file of certificate authorities in place of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) authority: Option<PathBuf>,
}

const CLASSIFY_EXAMPLES: &str = "\
Examples:
  daylight probe classify measurements.jsonl > verdicts.jsonl
  daylight probe classify measurements.jsonl --explain
  daylight probe classify ooni/ --fingerprints fingerprints_http.csv > verdicts.jsonl

Exit status:
  0  everything was judged
  1  something could not be read or written at all
  2  the command line is wrong
  3  some of it could not be read; the rest was judged";

#[derive(Args)]
#[command(after_help = CLASSIFY_EXAMPLES)]
pub(crate) struct Classify {
    /// Measurements in OONI's format: files (- for standard input), or folders of them, plain or under gzip or zstd
    #[arg(required = true, value_name = "FILE|DIR")]
    pub(crate) inputs: Vec<PathBuf>,

    /// Say in words what was seen, and why the verdict is what it is
    #[arg(long)]
    pub(crate) explain: bool,

    /// Other rules than the built-in ones
    #[arg(long, value_name = "FILE")]
    pub(crate) rules: Option<PathBuf>,

    /// Fingerprints of block pages, beside the built-in ones, in the community's layout (CSV); several times
    #[arg(long, value_name = "FILE")]
    pub(crate) fingerprints: Vec<PathBuf>,

    /// Keep the addresses of routers
    #[arg(long)]
    pub(crate) keep_addresses: bool,

    /// Threads; the verdicts are the same for any number [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
}

const PACKETS_EXAMPLES: &str = "\
Examples:
  daylight probe packets measurements.pcapng
  daylight probe packets --hex visit.pcap
  tcpdump -r visit.pcap -w - host 203.0.113.80 | daylight probe packets - --json

Exit status:
  0  every capture was read, whatever was found
  1  one could not be read at all
  2  the command line is wrong
  3  one is damaged or cut short; what came before was looked at";

#[derive(Args)]
#[command(after_help = PACKETS_EXAMPLES)]
pub(crate) struct Packets {
    /// Captures (pcap, pcapng, also under gzip or zstd); - is the standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Show the packets' bytes, and what their fields say
    #[arg(long)]
    pub(crate) hex: bool,

    /// A line of JSON for each connection of concern
    #[arg(long, conflicts_with = "hex")]
    pub(crate) json: bool,

    /// Other signatures of equipment than the built-in ones
    #[arg(long, value_name = "FILE")]
    pub(crate) signatures: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Report {
    /// A folder of verdicts, and of series and captures beside them
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,

    /// Where the report goes
    #[arg(long, short, value_name = "DIR", default_value = "report")]
    pub(crate) output: PathBuf,

    /// Its title [default: what the largest incident is]
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: Option<String>,

    /// The end of the data, such as 2020-08-31T00:00:00Z: silence at the end shows only if that is given
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<jiff::Timestamp>,

    /// Write every cell as a table too, which can be large
    #[arg(long)]
    pub(crate) cells: bool,
}

#[derive(Args)]
pub(crate) struct Bundle {
    /// The folder
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,

    /// The evidence, as evidence.tar.zst
    #[arg(value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// The secret key to sign with, as `daylight audit create` makes it
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,

    /// An address of the probe that is taken out beside those that the files name; several times
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) own: Vec<IpAddr>,

    /// Take no address out
    #[arg(long, conflicts_with = "own")]
    pub(crate) keep_addresses: bool,
}

#[derive(Args)]
pub(crate) struct Verify {
    /// The evidence
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The public key of who has to have signed it; several times
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Vec<String>,
}

fn control(text: &str) -> Result<(String, Option<IpAddr>)> {
    let Some((name, address)) = text.split_once('=') else { return Ok((text.to_owned(), None)) };
    let address = address.parse().with_context(|| format!("{address:?} is no address"))?;
    Ok((name.to_owned(), Some(address)))
}

fn resolver(text: &str) -> Result<Resolver> {
    let at = |text: &str, port: u16| -> Result<SocketAddr> {
        let with_port = text.parse::<SocketAddr>();
        let alone = || text.trim_matches(['[', ']']).parse::<IpAddr>().map(|ip| (ip, port).into());
        with_port
            .or_else(|_| alone())
            .with_context(|| format!("{text:?} is no address: write 9.9.9.9 or 9.9.9.9:53"))
    };
    if text.starts_with("https://") {
        let Some((url, addresses)) = text.rsplit_once('#') else {
            bail!("write the server's addresses behind a #: {text}#9.9.9.9");
        };
        let addresses: Result<Vec<IpAddr>, _> = addresses.split(',').map(str::parse).collect();
        let addresses = addresses.with_context(|| format!("{text:?} has no addresses behind its #"))?;
        return Ok(Resolver::Doh(url.parse().with_context(|| format!("{url:?} is no URL"))?, addresses));
    }
    if let Some(rest) = text.strip_prefix("tls://") {
        let Some((address, name)) = rest.split_once('#') else {
            bail!("write the name in its certificate behind a #: {text}#dns.example");
        };
        return Ok(Resolver::Dot(at(address, 853)?, name.to_owned()));
    }
    Ok(match text.strip_prefix("tcp://") {
        Some(address) => Resolver::Tcp(at(address, 53)?),
        None => Resolver::Udp(at(text.trim_start_matches("udp://"), 53)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_written_as_their_transports() {
        let is =
            |text: &str| resolver(text).map(|resolver| format!("{resolver:?}")).map_err(|e| e.to_string());
        assert_eq!(is("9.9.9.9").unwrap(), "Udp(9.9.9.9:53)");
        assert_eq!(is("[2620:fe::fe]:5353").unwrap(), "Udp([2620:fe::fe]:5353)");
        assert_eq!(is("tcp://2620:fe::fe").unwrap(), "Tcp([2620:fe::fe]:53)");
        assert_eq!(is("tls://9.9.9.9#dns.example").unwrap(), "Dot(9.9.9.9:853, \"dns.example\")");
        assert!(is("https://dns.example/dns-query#9.9.9.9,149.112.112.112").unwrap().starts_with("Doh("));
        for wrong in ["dns.example", "tls://9.9.9.9", "https://dns.example/", "https://dns.example/#x", ""] {
            assert!(is(wrong).is_err(), "{wrong}");
        }
    }
}
