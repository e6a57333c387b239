//! The options of `daylight tunnel`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use daylight_card::drive::Program;
use daylight_card::{Address, Id, Offer, Transport};

const SERVER_EXAMPLES: &str = "\
Signals: HUP reads the configuration and the cards again, TERM and INT end the server when its
sessions have ended or drain_s seconds have passed; a second one ends it at once.";

#[derive(Args)]
#[command(after_help = SERVER_EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Server {
    #[command(subcommand)]
    pub(crate) command: Option<ServerCommand>,
    /// The configuration
    #[arg(value_name = "CONFIG", required = true)]
    pub(crate) config: Option<PathBuf>,
    /// Says what is wrong with the configuration, and runs nothing
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Subcommand)]
pub(crate) enum ServerCommand {
    /// Makes all that a server needs: keys, a site, a configuration, a unit for systemd, and the first cards
    Init(ServerInit),
}

const INIT_EXAMPLES: &str = "\
Examples:
  daylight tunnel server init /etc/daylight-server --name www.example.org --mail me@example.org
  daylight tunnel server init server --name www.example.org --behind 8080 --plain 8388 --cards 20";

#[derive(Args)]
#[command(after_help = INIT_EXAMPLES)]
pub(crate) struct ServerInit {
    /// The folder, empty or not yet there
    pub(crate) folder: PathBuf,
    /// The site's name in DNS; without one there is `plain` alone
    #[arg(long, value_name = "NAME", required_unless_present = "plain")]
    pub(crate) name: Option<String>,
    /// What cards give as the server's address, a name or an IP address; several times, the best first [default: the name]
    #[arg(long = "address", value_name = "ADDRESS")]
    pub(crate) addresses: Vec<Address>,
    /// The certificate and those that vouch for it (PEM) [default: one that the server gets by ACME]
    #[arg(long, value_name = "FILE", requires = "certificate_key", conflicts_with = "behind")]
    pub(crate) certificate: Option<PathBuf>,
    /// The certificate's secret key (PEM)
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(crate) certificate_key: Option<PathBuf>,
    /// Your address of mail, for whoever issues certificates by ACME
    #[arg(long, value_name = "MAIL", conflicts_with_all = ["certificate", "behind"])]
    pub(crate) mail: Option<String>,
    /// nginx or Caddy is in front, and hands requests on to this port of 127.0.0.1
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) behind: Option<u16>,
    /// Offers `plain` at this port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) plain: Option<u16>,
    /// How many cards are made
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(..=1000))]
    pub(crate) cards: u32,
    /// For how many days they are good, at most 120
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    pub(crate) days: u32,
}

const CLIENT_EXAMPLES: &str = "\
Examples:
  daylight tunnel client card.card
  daylight tunnel client --split domestic.txt friends.card
  sudo daylight tunnel client --tun card.card
  daylight tunnel client status --json";

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_help = CLIENT_EXAMPLES)]
pub(crate) struct Client {
    #[command(subcommand)]
    pub(crate) command: Option<ClientCommand>,
    #[command(flatten)]
    pub(crate) run: ClientRun,
}

#[derive(Subcommand)]
pub(crate) enum ClientCommand {
    /// Says how the client that is running is
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Gives the machine its own routes back, after a client with --tun was killed
    Restore,
    /// Forgets what worked on this network, or on all
    Forget {
        /// On all networks
        #[arg(long)]
        all: bool,
        /// The folder of what is remembered [default: $XDG_STATE_HOME/daylight or ~/.local/state/daylight]
        #[arg(long, value_name = "FOLDER")]
        state: Option<PathBuf>,
    },
}

#[derive(Args)]
pub(crate) struct ClientRun {
    /// Cards: lines, files, or - for the standard input
    #[arg(required = true, value_name = "CARD")]
    pub(crate) cards: Vec<String>,
    /// Where programs find the proxies
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:1080")]
    pub(crate) listen: SocketAddr,
    /// Lets other machines use the proxies, without a password
    #[arg(long)]
    pub(crate) share: bool,
    /// Carries the whole machine (needs root): nothing goes past the tunnel, also when it is down
    #[arg(long)]
    pub(crate) tun: bool,
    /// Whom to ask for names instead of a resolver of the local network, with --tun
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "9.9.9.9:53", requires = "tun")]
    pub(crate) resolver: SocketAddr,
    /// A list of domains and addresses that go past the tunnel; several times
    #[arg(long, value_name = "FILE")]
    pub(crate) split: Vec<PathBuf>,
    /// A list of those that go through it, while all others go past it; several times
    #[arg(long, value_name = "FILE")]
    pub(crate) only: Vec<PathBuf>,
    /// A list of those that are refused; several times
    #[arg(long, value_name = "FILE")]
    pub(crate) refuse: Vec<PathBuf>,
    /// Sends what is for the local network through the tunnel too, where it gets nowhere
    #[arg(long)]
    pub(crate) no_local: bool,
    /// Uses this transport alone (web, h3, plain); several times [default: all that the cards offer]
    #[arg(long = "transport", value_name = "TRANSPORT", value_parser = transport)]
    pub(crate) transports: Vec<Transport>,
    /// A file of certificate authorities for the servers' sites [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub(crate) authority: Option<PathBuf>,
    /// The folder of what is remembered [default: $XDG_STATE_HOME/daylight or ~/.local/state/daylight]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state: Option<PathBuf>,
    /// Does not let servers count this installation among their users
    #[arg(long)]
    pub(crate) no_census: bool,
    /// Says nothing but errors
    #[arg(long, short, conflicts_with = "json")]
    pub(crate) quiet: bool,
    /// Writes the status as a line of JSON when it changes, at most once a second
    #[arg(long)]
    pub(crate) json: bool,
}

fn transport(text: &str) -> Result<Transport, String> {
    match text {
        "web" => Ok(Transport::Web),
        "h3" => Ok(Transport::H3),
        "plain" => Ok(Transport::Plain),
        _ => Err("there are web, h3 and plain".into()),
    }
}

#[derive(Subcommand)]
pub(crate) enum CardCommand {
    /// Makes the keys that sign cards: a root, and an issuer's that works for some months
    Keys(Keys),
    /// Makes the card of a server and prints its line
    New(New),
    /// Says what cards, lists and shares say
    Show(Show),
    /// Draws a code, a flier or a moving code
    Print(Print),
    /// Checks cards, lists, or a thumb drive
    Verify(Show),
    /// Revokes cards, or issuers' keys
    Revoke(Revoke),
    /// Makes lists: one for each channel, or one that several fliers open together
    List(List),
    /// Opens a sealed list with its shares
    Open(Open),
    /// Lays out a thumb drive: programs, the list, a guide, signatures
    Drive(Drive),
}

#[derive(Args)]
pub(crate) struct Keys {
    /// The folder for the keys
    pub(crate) keys: PathBuf,
    /// For how many days the issuer's key works
    #[arg(long, value_name = "DAYS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=3653))]
    pub(crate) days: u32,
    /// Makes a new issuer's key where there is one; needs the root's key in the folder
    #[arg(long)]
    pub(crate) renew: bool,
}

const NEW_EXAMPLES: &str = "\
Example:
  daylight tunnel card new --keys keys --address vpn.example.org --address 192.0.2.7 \\
    --transport web --transport h3 --transport plain:port=8388 --server-key server.pub -o card.card";

#[derive(Args)]
#[command(after_help = NEW_EXAMPLES)]
pub(crate) struct New {
    /// The issuer's folder, which `card keys` makes
    #[arg(long, value_name = "FOLDER")]
    pub(crate) keys: PathBuf,
    /// A name or an IP address of the server; several times, the best first
    #[arg(long = "address", value_name = "ADDRESS", required = true)]
    pub(crate) addresses: Vec<Address>,
    /// The port of all transports that have none of their own
    #[arg(long, default_value_t = 443, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,
    /// web, h3 or plain, with what is out of the ordinary: web:name=HOST,port=NUMBER,path=/PATH; several times
    #[arg(long = "transport", value_name = "TRANSPORT", required = true)]
    pub(crate) transports: Vec<Offer>,
    /// The server's X25519 public key: 64 hexadecimal digits, or a file with them or with its 32 bytes
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) server_key: String,
    /// What lets clients in: 32 to 64 hexadecimal digits, or a file with them [default: a new one]
    #[arg(long, value_name = "SECRET|FILE")]
    pub(crate) secret: Option<String>,
    /// For how many days it is good, at most as long as the issuer's key
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    pub(crate) days: u32,
    /// Writes the line to a file too
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Show {
    /// Lines, or files with cards, lists or shares; for `verify` also a drive's folder; - for standard input
    #[arg(required = true, value_name = "CARD")]
    pub(crate) cards: Vec<String>,
    /// The public key of a root to be believed (PEM); several times
    #[arg(long = "root", value_name = "FILE")]
    pub(crate) roots: Vec<PathBuf>,
    /// An issuer's folder whose root, certificates and revocations are to be believed
    #[arg(long, value_name = "FOLDER")]
    pub(crate) keys: Option<PathBuf>,
    /// A file with certificates or revocations that came by another way; several times
    #[arg(long = "with", value_name = "FILE")]
    pub(crate) with: Vec<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drawing {
    /// A code in the terminal; of a list, a moving one
    Terminal,
    /// The line of text
    Line,
    /// A code as PNG
    Png,
    /// A code as SVG
    Svg,
    /// A page of A4 with strips to tear off, as PDF; a page for each card or share
    Flier,
    /// The same as SVG, of one card or share
    FlierSvg,
    /// A moving code as GIF: of a list, or of whatever is too long for one code
    Gif,
}

#[derive(Args)]
pub(crate) struct Print {
    /// A line, or a file with cards, shares or a list; - for standard input
    #[arg(value_name = "CARD")]
    pub(crate) card: String,
    /// What to draw
    #[arg(long, short, value_enum, default_value_t = Drawing::Terminal)]
    pub(crate) format: Drawing,
    /// Where to
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,
    /// The flier's language: en, be or ru
    #[arg(long, value_name = "LANGUAGE", default_value = "en")]
    pub(crate) language: String,
    /// A file with the words of another language, like those in data/fliers
    #[arg(long, value_name = "FILE", conflicts_with = "language")]
    pub(crate) words: Option<PathBuf>,
    /// The font of a language that the program's own lacks characters of (TrueType or OpenType)
    #[arg(long, value_name = "FILE")]
    pub(crate) font: Option<PathBuf>,
    /// The same, bold [default: the same as --font]
    #[arg(long, value_name = "FILE", requires = "font")]
    pub(crate) bold_font: Option<PathBuf>,
    /// How many pixels a module of the code is wide (PNG, GIF)
    #[arg(long, value_name = "PIXELS", default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) scale: u8,
    /// How many pictures a second a moving code has
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=25))]
    pub(crate) rate: u8,
    /// How many shares there are, for the fliers of shares
    #[arg(long, value_name = "NUMBER")]
    pub(crate) shares: Option<usize>,
    /// The sealed list of the shares, which says until when they are good
    #[arg(long, value_name = "FILE")]
    pub(crate) sealed: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Revoke {
    /// The issuer's folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) keys: PathBuf,
    /// Cards: lines, files, or ids
    #[arg(value_name = "CARD", required_unless_present = "issuers")]
    pub(crate) cards: Vec<String>,
    /// Signs with the root's key, for which all cards are its own
    #[arg(long)]
    pub(crate) root: bool,
    /// Revokes an issuer's key, by its id, and with it all that it signed; several times
    #[arg(long = "issuer", value_name = "ID", requires = "root")]
    pub(crate) issuers: Vec<Id>,
}

const LIST_EXAMPLES: &str = "\
Examples:
  daylight tunnel card list --keys keys --output lists cards/*.card
  daylight tunnel card list --keys keys --output lists --channel library --channel choir cards/*.card
  daylight tunnel card list --keys keys --output lists --seal 3/8 cards/*.card";

#[derive(Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct List {
    /// The issuer's folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) keys: PathBuf,
    /// Files with cards, or lines
    #[arg(required = true, value_name = "CARD")]
    pub(crate) cards: Vec<String>,
    /// The folder that the lists are written to
    #[arg(long, short, value_name = "FOLDER")]
    pub(crate) output: PathBuf,
    /// A channel, whose list has servers that no other's has; several times [default: one list of all]
    #[arg(long = "channel", value_name = "NAME", value_parser = channel_name)]
    pub(crate) channels: Vec<String>,
    /// To how many channels each server is given
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "channels")]
    pub(crate) copies: usize,
    /// Seals each list so that K of N shares open it
    #[arg(long, value_name = "K/N", value_parser = threshold)]
    pub(crate) seal: Option<(u8, u8)>,
    /// For how many days it is good, at most as long as the issuer's key
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    pub(crate) days: u32,
}

/// A channel's name becomes a file's.
fn channel_name(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    if (1..=64).contains(&text.len()) && text.chars().all(good) {
        Ok(text.to_owned())
    } else {
        Err("a channel's name has 1 to 64 letters, digits, hyphens and underscores".into())
    }
}

fn threshold(text: &str) -> Result<(u8, u8), String> {
    let parts = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
    parts.filter(|(k, n)| *k > 0 && k <= n).ok_or_else(|| "write K/N, as 3/8: any three of eight".into())
}

#[derive(Args)]
pub(crate) struct Open {
    /// The file with the sealed list
    pub(crate) sealed: PathBuf,
    /// Shares: lines, or files with them
    #[arg(required = true, value_name = "SHARE")]
    pub(crate) shares: Vec<String>,
    /// The file that the list is written to
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

#[derive(Args)]
pub(crate) struct Drive {
    /// The folder, empty or not yet there
    pub(crate) folder: PathBuf,
    /// The issuer's folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) keys: PathBuf,
    /// The list
    #[arg(long, value_name = "FILE")]
    pub(crate) list: PathBuf,
    /// A program, as linux-x86_64=FILE; several times
    #[arg(long = "program", value_name = "PLATFORM=FILE")]
    pub(crate) programs: Vec<Program>,
    /// A file with the words of one more language; several times
    #[arg(long, value_name = "FILE")]
    pub(crate) words: Vec<PathBuf>,
}
