//! Sets a server up: keys, a site, a configuration, a unit for systemd, and the first cards.
//!
//! ```text
//! server.toml               the configuration
//! server.key                the server's secret key
//! server.pub                its public key, that cards name
//! cards                     the secrets of the cards that are let in
//! site/                     what visitors see
//! state/                    what the server remembers
//! daylight-server.service   for systemd
//! issuer/                   the keys that sign cards: not the server's, to be taken elsewhere
//! hand-out/                 the first cards
//! ```

mod files;
mod settings;
mod site;

use std::io;
use std::path::{Path, PathBuf};

use daylight_card::keyring::{Keyring, lines};
use daylight_card::{Address, Card, Day, Offer, PublicKey, Secret, Server, Transport, random};

use files::Folder;

/// The unit, with the places of packages.
const UNIT: &str = include_str!("../../../../packaging/daylight-server.service");
const UNIT_PROGRAM: &str = "/usr/bin/daylight";
const UNIT_FOLDER: &str = "/var/lib/daylight-server";
/// For so many days issuers' keys are good.
const ISSUER_DAYS: u32 = 120;
const CARDS_MAX: u32 = 1000;

/// What a new server is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// The site's name in DNS; without one there is `plain` alone.
    pub name: Option<String>,
    /// Where cards say that the server is, the best first. Empty: at its name.
    pub addresses: Vec<Address>,
    /// Who ends TLS, and with which certificate. Not looked at without a name.
    pub tls: Tls,
    /// The port of `plain`, if it is to be offered.
    pub plain: Option<u16>,
    /// How many cards, 0 to 1000.
    pub cards: u32,
    /// For how many days cards are good, at most as long as the issuer's key (120 days).
    pub days: u32,
    /// Today.
    pub today: Day,
    /// The program for the unit.
    pub program: PathBuf,
}

/// Who ends TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// The server, with a certificate that it gets by ACME, and this address of mail for the certificate authority.
    Acme(Option<String>),
    /// The server, with a certificate and its key in these files.
    Files(PathBuf, PathBuf),
    /// A web server in front, which hands requests on to `127.0.0.1` and this port.
    InFront(u16),
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// The configuration.
    pub config: PathBuf,
    /// The unit for systemd.
    pub unit: PathBuf,
    /// The files of the cards.
    pub cards: Vec<PathBuf>,
    /// The folder of the keys that sign cards.
    pub issuer: PathBuf,
    /// The root's key, that people are told.
    pub root: PublicKey,
    /// What the site calls itself, if there is one.
    pub site: Option<String>,
}

/// Why a server was not set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// What it is to be can't be.
    #[error("{0}")]
    Options(String),
    /// A file or folder can't be made. What was made before is left.
    #[error("can't make {}: {cause}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// The keys or the cards.
    #[error(transparent)]
    Card(#[from] daylight_card::Error),
}

impl InitError {
    fn file(path: &Path) -> impl Fn(io::Error) -> Self {
        move |cause| Self::File { path: path.to_owned(), cause }
    }
}

impl Options {
    /// What is wrong with them.
    fn fault(&self, folder: &Path) -> Option<String> {
        let is_plain_path = |path: &Path| {
            let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
            path.is_absolute() && path.as_os_str().as_encoded_bytes().iter().copied().all(is_good)
        };
        if self.name.is_none() && self.plain.is_none() {
            return Some("without a name in DNS there is no site: give a name, or a port for plain".into());
        }
        if self.name.is_none() && self.addresses.is_empty() {
            return Some("cards must say where the server is: give a name or an address".into());
        }
        if let Some(name) = &self.name
            && !matches!(name.parse(), Ok(Address::Name(parsed)) if parsed == *name && name.contains('.'))
        {
            return Some(format!("{name:?} is no name in DNS, in small letters, as www.example.org"));
        }
        if self.plain == Some(0) || matches!(self.tls, Tls::InFront(0)) {
            return Some("a port is a number from 1 to 65535".into());
        }
        if self.plain == Some(443) && self.name.is_some() && !matches!(self.tls, Tls::InFront(_)) {
            return Some("port 443 is the site's: give plain another one".into());
        }
        if self.cards > CARDS_MAX {
            return Some(format!("{} cards are too many: {CARDS_MAX} at most", self.cards));
        }
        for path in [folder, &self.program] {
            if !is_plain_path(path) {
                return Some(format!(
                    "{} is no path for a unit of systemd: it must be absolute, of letters, digits and /._-+",
                    path.display()
                ));
            }
        }
        None
    }

    /// Whether there is HTTP/3: a server in front keeps its own.
    fn has_h3(&self) -> bool {
        self.name.is_some() && !matches!(self.tls, Tls::InFront(_))
    }

    /// What cards say is offered.
    fn offers(&self) -> Vec<Offer> {
        let first = self.addresses.iter().find_map(|address| match address {
            Address::Name(name) => Some(name),
            Address::Ip(_) => None,
        });
        // Where it isn't the first of the card's names, it is to be said.
        let is_said = !self.addresses.is_empty() && first != self.name.as_ref();
        let on_site =
            |transport| Offer { name: self.name.clone().filter(|_| is_said), ..Offer::new(transport) };
        let web = self.name.is_some().then(|| on_site(Transport::Web));
        let h3 = self.has_h3().then(|| on_site(Transport::H3));
        let plain = self.plain.map(|port| Offer { port: Some(port), ..Offer::new(Transport::Plain) });
        web.into_iter().chain(h3).chain(plain).collect()
    }
}

/// Sets a server up in a folder, which must be empty or not there, and absolute.
///
/// # Errors
/// If it is not empty, the options don't go together, or a file can't be written. Nothing is ever overwritten.
pub fn init(path: &Path, options: &Options) -> Result<Made, InitError> {
    if let Some(fault) = options.fault(path) {
        return Err(InitError::Options(fault));
    }
    let file = InitError::file;
    let folder = Folder::make(path).map_err(file(path))?;
    let write = |name: &str, content: &str| {
        let path = folder.path(name);
        folder.write(Path::new(name), content.as_bytes(), None).map_err(file(&path)).map(|()| path)
    };
    let make_folder = |name: &str| {
        let path = folder.path(name);
        folder.make_folder(Path::new(name)).map_err(file(&path))
    };
    let site = match &options.name {
        Some(_) => {
            let made = site::make(&make_folder("site")?, options.today, &mut rand::rng());
            Some(made.map_err(file(&folder.path("site")))?)
        }
        None => None,
    };
    make_folder("state")?;
    make_folder("issuer")?;
    let issuer = folder.path("issuer");
    let keyring = Keyring::new(&issuer);
    keyring.create(options.today, ISSUER_DAYS, false)?;
    let key = random::<32>()?;
    write("server.key", &format!("{}\n", hex(&key)))?;
    write("server.pub", &format!("{}\n", hex(&daylight_session::public_key(&key))))?;
    let (cards, secrets) = cards(options, &key, &keyring)?;
    write("cards", &secrets)?;
    let hand_out = make_folder("hand-out")?;
    let mut files = Vec::new();
    for (number, card) in (1..).zip(&cards) {
        let name = format!("{number}.card");
        let path = hand_out.path(&name);
        let line = lines(std::slice::from_ref(card))?;
        hand_out.write(Path::new(&name), line.as_bytes(), None).map_err(file(&path))?;
        files.push(path);
    }
    let program = options.program.to_string_lossy();
    let unit = UNIT.replace(UNIT_PROGRAM, &program).replace(UNIT_FOLDER, &path.to_string_lossy());
    let unit = write("daylight-server.service", &unit)?;
    let config = write("server.toml", &settings::text(options))?;
    Ok(Made { config, unit, cards: files, issuer, root: keyring.root()?, site })
}

/// The cards, and the file of their secrets.
fn cards(options: &Options, key: &[u8; 32], keyring: &Keyring) -> Result<(Vec<Card>, String), InitError> {
    let validity = keyring.validity(options.today, options.days)?;
    let issuer = keyring.issuer()?;
    let addresses = match (&options.name, options.addresses.is_empty()) {
        (Some(name), true) => vec![Address::Name(name.clone())],
        _ => options.addresses.clone(),
    };
    let mut secrets = "# One card a line: its secret, and whom or what it is for, as you like. A line that is deleted, and\n\
                       # the server reloaded, takes the card back.\n"
        .to_owned();
    let mut cards = Vec::new();
    for number in 1..=options.cards {
        let secret = random::<16>()?;
        secrets.push_str(&format!("{} hand-out/{number}.card\n", hex(&secret)));
        let no_secret = || InitError::Options("a card's secret has 16 to 32 bytes".into());
        let server = Server {
            addresses: addresses.clone(),
            port: 443,
            offers: options.offers(),
            key: daylight_session::public_key(key),
            secret: Secret::new(secret.to_vec()).ok_or_else(no_secret)?,
        };
        cards.push(Card::sign(&server, validity, &issuer)?);
    }
    Ok((cards, secrets))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
