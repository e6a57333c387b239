//! The options of `daylight serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::watch::args::Link;

const EXAMPLES: &str = "\
Examples:
  daylight serve --store flows/
  daylight serve --store flows/ --networks GeoLite2-ASN.mmdb
  sudo daylight serve --store flows/ --live eth0
  daylight serve passwd passwords anna
  daylight serve --store flows/ --listen 192.0.2.1:443 --passwords passwords --acme flows.example.org
  daylight serve --store flows/ --passwords passwords --behind-proxy

Who may look:
  On a loopback address, everybody on this machine, unless --passwords is given. Any other address is refused without passwords,
  and without TLS (--certificate, --acme), a proxy that has it (--behind-proxy), or --clear-text.

Rights:
  With --live, everything that listening doesn't take is given up once the interfaces are open; see `daylight watch --help`. The
  file of passwords must be readable to the user whom it goes on as.

Exit status:
  0    it was asked to end (Ctrl-C, SIGTERM)
  1    it could not start, or failed
  2    the command line is wrong";

#[derive(Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Serve {
    #[command(subcommand)]
    pub(crate) command: Option<ServeCommand>,

    /// The store's folder
    #[arg(long, value_name = "DIR", required = true)]
    pub(crate) store: Option<PathBuf>,

    /// Also shows what passes these interfaces now, and adds the records to the store, as `daylight watch` does; several times
    #[arg(long = "live", value_name = "IFACE")]
    pub(crate) interfaces: Vec<String>,

    /// Where to listen for browsers
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8480")]
    pub(crate) listen: SocketAddr,

    /// What stands in the title of pages: which network this is
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: Option<String>,

    /// Files in MaxMind's format (.mmdb) that say which networks and countries addresses belong to; several times
    #[arg(long, value_name = "FILE")]
    pub(crate) networks: Vec<PathBuf>,

    /// MiB that questions to the store may take together; what sorts and groups more goes to temporary files
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = clap::value_parser!(u64).range(16..), help_heading = "Questions")]
    pub(crate) memory: u64,

    /// Questions at a time; more wait
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Questions")]
    pub(crate) questions: u16,

    /// Seconds that a question may take
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600), help_heading = "Questions")]
    pub(crate) question_time: u32,

    /// Who may look: the file of passwords that `daylight serve passwd` makes
    #[arg(long, value_name = "FILE", help_heading = "Access")]
    pub(crate) passwords: Option<PathBuf>,

    /// Minutes without a request after which one must log in again
    #[arg(long, value_name = "MIN", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=100_000), requires = "passwords", help_heading = "Access")]
    pub(crate) session_idle: u32,

    /// Hours after which one must log in again in any case
    #[arg(long, value_name = "H", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=10_000), requires = "passwords", help_heading = "Access")]
    pub(crate) session_max: u32,

    /// Answer only to this name; several times [default: on loopback without passwords localhost and its addresses, else any]
    #[arg(long, value_name = "HOST", help_heading = "Access")]
    pub(crate) name: Vec<String>,

    /// The certificate and those that vouch for it (PEM)
    #[arg(long, value_name = "FILE", requires = "certificate_key", help_heading = "Access")]
    pub(crate) certificate: Option<PathBuf>,

    /// Its key (PEM)
    #[arg(long, value_name = "FILE", requires = "certificate", help_heading = "Access")]
    pub(crate) certificate_key: Option<PathBuf>,

    /// Get a certificate for this name by ACME, for which port 443 must lead here; several times
    #[arg(long, value_name = "NAME", conflicts_with = "certificate", help_heading = "Access")]
    pub(crate) acme: Vec<String>,

    /// Your address of mail, for whoever issues certificates by ACME
    #[arg(long, value_name = "ADDRESS", requires = "acme", help_heading = "Access")]
    pub(crate) mail: Option<String>,

    /// The directory of who issues certificates by ACME [default: Let's Encrypt's]
    #[arg(long, value_name = "URL", requires = "acme", help_heading = "Access")]
    pub(crate) acme_directory: Option<String>,

    /// Where certificates by ACME are kept
    #[arg(
        long,
        value_name = "DIR",
        default_value = "daylight-acme",
        requires = "acme",
        help_heading = "Access"
    )]
    pub(crate) acme_folder: PathBuf,

    /// A reverse proxy with TLS stands in front, and nobody else can reach the address
    #[arg(long, conflicts_with_all = ["certificate", "acme", "clear_text"], help_heading = "Access")]
    pub(crate) behind_proxy: bool,

    /// Also passwords may travel in clear text
    #[arg(long, conflicts_with_all = ["certificate", "acme"], help_heading = "Access")]
    pub(crate) clear_text: bool,

    #[command(flatten)]
    pub(crate) link: Link,
}

#[derive(Subcommand)]
pub(crate) enum ServeCommand {
    /// Sets a user's password: asks for it on a terminal, else reads it from standard input
    Passwd(Passwd),
}

#[derive(Args)]
pub(crate) struct Passwd {
    /// The file of passwords, made if it isn't there; nobody else may read it
    pub(crate) file: PathBuf,
    /// The user
    pub(crate) user: String,
}
