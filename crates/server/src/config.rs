//! The server's one configuration file.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use http::HeaderName;
use http::uri::Authority;
use serde::{Deserialize, Deserializer, de};

use crate::acme::AcmeConfig;
use crate::census::CensusConfig;
use crate::egress::EgressConfig;
use crate::limits::LimitsConfig;
use crate::site::Source;

/// What a server is told. Paths are taken from the configuration file's folder.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// The file with the server's secret X25519 key: 64 hexadecimal digits, or 32 bytes.
    pub key: PathBuf,
    /// The file with the [secrets](crate::secrets) of the cards that are let in.
    pub cards: PathBuf,
    /// The folder for what the server has to remember over a restart.
    pub state: PathBuf,
    /// How many seconds sessions have to end by themselves when the server is told to end. Default 30, at most 3600.
    #[serde(default = "drain_s")]
    pub drain_s: u32,
    /// What visitors see.
    pub site: Option<SiteConfig>,
    /// HTTPS, with the site and the tunnel.
    pub web: Option<WebConfig>,
    /// HTTP/3, with the site and the certificate of `[web]`.
    pub h3: Option<H3Config>,
    /// HTTP for a web server in front, which ends TLS and hands requests on.
    pub behind: Option<BehindConfig>,
    /// Uniform bytes.
    pub plain: Option<PlainConfig>,
    /// Whether users are counted, and how. Default: they aren't.
    pub census: Option<CensusConfig>,
    /// Where sessions may go.
    #[serde(default)]
    pub egress: EgressConfig,
    /// How much a session, and an address, may take.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// Where Prometheus asks how the server is, by HTTP at `/metrics`: an address with its port, that is not public. Without
    /// it nowhere.
    pub metrics: Option<SocketAddr>,
}

fn drain_s() -> u32 {
    30
}

/// `[site]`: what visitors see, by a folder or an origin.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteConfig {
    /// The folder with its files.
    pub folder: Option<PathBuf>,
    /// Another web server whose site it is, as `127.0.0.1:8080`; it is spoken to by HTTP/1.1.
    #[serde(default, deserialize_with = "parsed_option")]
    pub origin: Option<Authority>,
    /// What the server calls itself, in `Server` and on pages of errors. Default `nginx`.
    #[serde(default = "server_name")]
    pub server: String,
}

fn server_name() -> String {
    "nginx".to_owned()
}

impl SiteConfig {
    /// Where the site comes from; `None` is one of [`Config::read`]'s faults.
    pub(crate) fn source(&self) -> Option<Source> {
        match (&self.folder, &self.origin) {
            (Some(folder), None) => Some(Source::Folder(folder.clone())),
            (None, Some(origin)) => Some(Source::Origin(origin.clone())),
            _ => None,
        }
    }
}

/// `[web]`: HTTPS.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebConfig {
    /// Addresses with ports. Default: port 443 of all.
    #[serde(default = "https")]
    pub listen: Vec<SocketAddr>,
    /// Addresses at which HTTP visitors are sent on to HTTPS. Default: none.
    #[serde(default)]
    pub redirect: Vec<SocketAddr>,
    /// The certificate and those that vouch for it (PEM), the site's own first.
    pub certificate: Option<PathBuf>,
    /// The certificate's secret key (PEM).
    pub certificate_key: Option<PathBuf>,
    /// Gets the certificate by ACME, instead of from files.
    pub acme: Option<AcmeConfig>,
}

fn https() -> Vec<SocketAddr> {
    vec![SocketAddr::from(([0, 0, 0, 0], 443)), SocketAddr::from(([0_u16; 8], 443))]
}

/// `[h3]`: HTTP/3.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct H3Config {
    /// Addresses with ports, of UDP. Default: port 443 of all.
    #[serde(default = "https")]
    pub listen: Vec<SocketAddr>,
}

/// `[behind]`: for a web server in front.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BehindConfig {
    /// Where: an address of this machine with its port, or `unix:/PATH`.
    #[serde(deserialize_with = "parsed")]
    pub listen: Place,
    /// The header by which the server in front says a visitor's address, as `x-real-ip`; it must set it itself whatever a
    /// visitor says. Default: none, and addresses are not known.
    #[serde(default, deserialize_with = "parsed_option")]
    pub visitor: Option<HeaderName>,
}

/// `[plain]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlainConfig {
    /// Addresses with ports.
    pub listen: Vec<SocketAddr>,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address: of TCP, but of UDP for `h3`.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(_) => Err("a socket's path begins with /"),
            None => {
                text.parse().map(Self::Tcp).map_err(|_| "write an address as 127.0.0.1:8080, or unix:/PATH")
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(from: D) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(|error| de::Error::custom(format_args!("{text:?}: {error}")))
}

fn parsed_option<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    parsed(from).map(Some)
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It can't be read.
    #[error("can't read {}: {cause}; `daylight tunnel server init` makes one", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        cause: std::io::Error,
    },
    /// It is no TOML, or says what it may not.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line and column, the line itself, and what is wrong.
        message: String,
    },
    /// It says what can't be.
    #[error("{}:{}", path.display(), .faults.iter().map(|fault| format!("\n  {fault}")).collect::<String>())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// All that is wrong.
        faults: Vec<String>,
    },
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// If it can't be read, or with all that is wrong with it.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let path_of = || path.to_owned();
        let text = std::fs::read_to_string(path)
            .map_err(|cause| ConfigError::Unreadable { path: path_of(), cause })?;
        let mut config: Self = toml::from_str(&text).map_err(|error| ConfigError::Malformed {
            path: path_of(),
            message: error.to_string().trim_end().to_owned(),
        })?;
        let faults = config.faults();
        if !faults.is_empty() {
            return Err(ConfigError::Wrong { path: path_of(), faults });
        }
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        config.paths().into_iter().for_each(|path| *path = folder.join(&*path));
        Ok(config)
    }

    fn paths(&mut self) -> Vec<&mut PathBuf> {
        let mut paths = vec![&mut self.key, &mut self.cards, &mut self.state];
        paths.extend(self.site.iter_mut().filter_map(|site| site.folder.as_mut()));
        if let Some(web) = &mut self.web {
            paths.extend(web.certificate.iter_mut().chain(&mut web.certificate_key));
            paths.extend(web.acme.iter_mut().filter_map(|acme| acme.roots.as_mut()));
        }
        paths.extend(self.census.iter_mut().filter_map(|census| census.regions.as_mut()));
        paths
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut fault = |is_one: bool, what: &str| {
            if is_one {
                faults.push(what.to_owned());
            }
        };
        fault(
            self.web.is_none() && self.behind.is_none() && self.plain.is_none(),
            "there is no way in: add [web], [behind] or [plain]",
        );
        fault(self.drain_s > 3600, "drain_s is more than 3600 (an hour)");
        let has_visitors = self.web.is_some() || self.behind.is_some();
        fault(has_visitors && self.site.is_none(), "[web] and [behind] need a [site] that visitors see");
        if let Some(site) = &self.site {
            let is_one = site.source().is_none();
            fault(is_one, "site: give either `folder` or `origin`");
            let is_word = !site.server.is_empty() && site.server.bytes().all(|byte| byte.is_ascii_graphic());
            fault(!is_word, "site.server must be a word of ASCII, as nginx");
        }
        if let Some(web) = &self.web {
            fault(web.listen.is_empty(), "web.listen is empty: leave it out for port 443 of all addresses");
            let files = [web.certificate.is_some(), web.certificate_key.is_some()];
            fault(
                files != [web.acme.is_none(); 2],
                "web needs either `certificate` and `certificate_key`, or [web.acme]",
            );
        }
        if let Some(h3) = &self.h3 {
            fault(self.web.is_none(), "[h3] needs [web], whose site and certificate it has");
            fault(h3.listen.is_empty(), "h3.listen is empty: leave it out for port 443 of all addresses");
        }
        if let Some(plain) = &self.plain {
            fault(plain.listen.is_empty(), "plain.listen is empty: name an address with its port");
        }
        if let Some(BehindConfig { listen: Place::Tcp(address), .. }) = &self.behind {
            let is_seen = is_public(address.ip());
            fault(
                is_seen,
                "behind.listen is open to the world without TLS: listen on 127.0.0.1, a private address, or unix:/PATH",
            );
        }
        if self.metrics.is_some_and(|address| is_public(address.ip())) {
            faults.push("metrics is open to the world: listen on 127.0.0.1, or a private address".to_owned());
        }
        let acme = self.web.iter().filter_map(|web| web.acme.as_ref());
        faults.extend(acme.flat_map(AcmeConfig::faults));
        faults.extend(self.census.iter().flat_map(CensusConfig::faults));
        faults.extend(self.egress.faults());
        faults.extend(self.limits.faults());
        faults
    }
}

/// Whether strangers may reach it.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => !(v4.is_loopback() || v4.is_private() || v4.is_link_local()),
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.toml");
        std::fs::write(&path, text).unwrap();
        Config::read(&path).map_err(|error| error.to_string().replace(path.to_str().unwrap(), "server.toml"))
    }

    const WHOLE: &str = r#"
        key = "server.key"
        cards = "/etc/cards"
        state = "state"
        [site]
        folder = "site"
        [web]
        certificate = "tls/chain.pem"
        certificate_key = "tls/key.pem"
        [behind]
        listen = "unix:/run/daylight.sock"
        visitor = "X-Real-IP"
        [plain]
        listen = ["[::]:8388"]
    "#;

    #[test]
    fn whole() {
        let config = read(WHOLE).unwrap();
        assert!(config.key.is_absolute() && config.key.ends_with("server.key"));
        assert_eq!(config.cards, Path::new("/etc/cards"));
        let web = config.web.unwrap();
        assert_eq!(web.listen.len(), 2);
        assert!(web.certificate.unwrap().is_absolute());
        assert_eq!(config.behind.unwrap().visitor.unwrap(), "x-real-ip");
        assert_eq!(config.drain_s, 30);
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let text = r#"
            key = "k"
            cards = "c"
            state = "s"
            drain_s = 4000
            [site]
            folder = "a"
            origin = "127.0.0.1:80"
            [behind]
            listen = "0.0.0.0:8080"
        "#;
        let said = read(text).unwrap_err();
        for part in ["server.toml:\n  ", "drain_s", "`folder` or `origin`", "behind.listen is open"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn a_certificate_comes_from_files_or_by_acme() {
        let files = "certificate = \"tls/chain.pem\"\n        certificate_key = \"tls/key.pem\"\n";
        assert!(WHOLE.contains(files));
        let acme = "acme = { names = [\"www.example.org\"], roots = \"roots.pem\" }\n";
        let config = read(&WHOLE.replace(files, acme)).unwrap();
        let acme_config = config.web.unwrap().acme.unwrap();
        assert!(acme_config.directory.starts_with("https://acme-v02."));
        assert!(acme_config.roots.unwrap().is_absolute());
        let said = read(&WHOLE.replace(files, &format!("{files}{acme}"))).unwrap_err();
        assert!(said.contains("or [web.acme]"), "{said}");
        let wrong =
            "acme = { names = [\"192.0.2.1\"], directory = \"http://x\", contact = \"mailto:a@b\" }\n";
        let said = read(&WHOLE.replace(files, wrong)).unwrap_err();
        for part in ["names: \"192.0.2.1\"", "begin with https://", "you@example.org"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn a_census_needs_no_more_than_its_heading() {
        assert_eq!(read(&format!("{WHOLE}[census]")).unwrap().census.unwrap().granularity, 10);
        let said = read(&format!("{WHOLE}[census]\ngranularity = 1")).unwrap_err();
        assert!(said.contains("census.granularity is 1; it must be from 5 to 1000"), "{said}");
    }

    #[test]
    fn what_is_malformed_is_told_with_its_place() {
        let said = read("key = 1").unwrap_err();
        assert!(said.contains("line 1, column 7"), "{said}");
        let said = read(&WHOLE.replace("[plain]", "[plane]")).unwrap_err();
        assert!(said.contains("unknown field `plane`") && said.contains("line 13"), "{said}");
        let said = read(&WHOLE.replace("unix:/run", "unix:run")).unwrap_err();
        assert!(said.contains("begins with /"), "{said}");
    }
}
