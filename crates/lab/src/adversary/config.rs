//! Adversaries as a scenario file describes them.

use serde::{Deserialize, Serialize};

use super::dns_injection::{DnsAnswer, DnsInjectionConfig};
use super::http_block_page::HttpBlockPageConfig;
use super::http_proxy::HttpProxyConfig;
use super::ip_blackhole::IpBlackholeConfig;
use super::protocol_filter::ProtocolFilterConfig;
use super::quic_drop::QuicDropConfig;
use super::sni_drop::SniDropConfig;
use super::tcp_reset::TcpResetConfig;
use super::throttle::ThrottleConfig;
use super::tls_alert::TlsAlertConfig;
use super::tls_interception::TlsInterceptionConfig;
use super::trigger::Match;
use super::{Adversary, Place};

/// One adversary: its kind and what that kind wants to know.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use daylight_lab::adversary::{AdversaryConfig, Built};
///
/// let config: AdversaryConfig = toml::from_str(
///     r#"
///     kind = "tcp-reset"
///     place = "on-path"
///     match.sni = ["blocked.example"]
///     residual = { scope = "3-tuple", seconds = 90 }
///     "#,
/// )?;
/// let Built::Packets(_adversary) = config.build(1)? else { panic!("a packet handler") };
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum AdversaryConfig {
    /// Forges DNS answers.
    DnsInjection(DnsInjectionConfig),
    /// Answers in the site's place.
    HttpBlockPage(HttpBlockPageConfig),
    /// A transparent HTTP proxy.
    HttpProxy(HttpProxyConfig),
    /// Blocks addresses.
    IpBlackhole(IpBlackholeConfig),
    /// Lets only some protocols through.
    ProtocolFilter(ProtocolFilterConfig),
    /// Drops QUIC.
    QuicDrop(QuicDropConfig),
    /// Lets connections starve after their server name.
    SniDrop(SniDropConfig),
    /// Resets connections.
    TcpReset(TcpResetConfig),
    /// Slows connections down.
    Throttle(ThrottleConfig),
    /// Refuses with an alert.
    TlsAlert(TlsAlertConfig),
    /// Shows forged certificates.
    TlsInterception(TlsInterceptionConfig),
}

/// What to do with an adversary.
pub enum Built {
    /// Give it to a [`Hop`](crate::hop::Hop).
    Packets(Adversary),
    /// Start it where packets are routed.
    HttpProxy(HttpProxyConfig),
    /// Start it where packets are routed.
    TlsInterception(TlsInterceptionConfig),
}

/// A description that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("adversary `{kind}`: {problem}")]
pub struct ConfigError {
    /// Which kind.
    pub kind: &'static str,
    /// What is wrong, and how to mend it.
    pub problem: String,
}

impl AdversaryConfig {
    /// As in the file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DnsInjection(_) => "dns-injection",
            Self::HttpBlockPage(_) => "http-block-page",
            Self::HttpProxy(_) => "http-proxy",
            Self::IpBlackhole(_) => "ip-blackhole",
            Self::ProtocolFilter(_) => "protocol-filter",
            Self::QuicDrop(_) => "quic-drop",
            Self::SniDrop(_) => "sni-drop",
            Self::TcpReset(_) => "tcp-reset",
            Self::Throttle(_) => "throttle",
            Self::TlsAlert(_) => "tls-alert",
            Self::TlsInterception(_) => "tls-interception",
        }
    }

    /// Whether it ends connections itself, and so needs a place where packets are routed.
    pub fn routes(&self) -> bool {
        matches!(self, Self::HttpProxy(_) | Self::TlsInterception(_))
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        match self {
            Self::DnsInjection(c) => c.place,
            Self::HttpBlockPage(c) => c.place,
            Self::TcpReset(c) => c.place,
            Self::TlsAlert(c) => c.place,
            _ => Place::InPath,
        }
    }

    /// Makes it. The same seed gives the same choices.
    ///
    /// # Errors
    /// If it would never do anything, or its numbers are out of range.
    pub fn build(&self, seed: u64) -> Result<Built, ConfigError> {
        self.check()?;
        Ok(Built::Packets(match self {
            Self::DnsInjection(c) => c.build(seed),
            Self::HttpBlockPage(c) => c.build(seed),
            Self::IpBlackhole(c) => c.build(seed),
            Self::ProtocolFilter(c) => c.build(),
            Self::QuicDrop(c) => c.build(),
            Self::SniDrop(c) => c.build(seed),
            Self::TcpReset(c) => c.build(seed),
            Self::Throttle(c) => c.build(),
            Self::TlsAlert(c) => c.build(seed),
            Self::HttpProxy(c) => return Ok(Built::HttpProxy(c.clone())),
            Self::TlsInterception(c) => return Ok(Built::TlsInterception(c.clone())),
        }))
    }

    /// Checks what types can't.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn check(&self) -> Result<(), ConfigError> {
        let problem = match self {
            Self::DnsInjection(c) if c.names.is_empty() => Some("it has no `names` to answer for"),
            Self::DnsInjection(c) if c.answer == DnsAnswer::Silence && c.place == Place::OnPath => {
                Some("`answer = 'silence'` needs `place = 'in-path'`: a copy can't be held back")
            }
            Self::DnsInjection(c) if c.injectors.is_empty() => {
                Some("`injectors` is empty: leave it out for one")
            }
            Self::HttpBlockPage(c) if !c.matching.sni.is_empty() => {
                Some("a page can't be put into TLS: leave `match.sni` out, or use `tls-interception`")
            }
            Self::HttpBlockPage(c) => nothing_to_match(&c.matching),
            Self::IpBlackhole(c) if c.prefixes.is_empty() => Some("it has no `prefixes` to block"),
            Self::ProtocolFilter(c) if c.ports.is_empty() => Some("it has no `ports` to look at"),
            Self::QuicDrop(c) if c.sni.is_empty() && c.versions.is_empty() => {
                Some("give it `sni` or `versions` to drop")
            }
            Self::QuicDrop(c) if c.datagrams == 0 => {
                Some("`datagrams = 0` looks at nothing: write 1 or more")
            }
            Self::SniDrop(c) => nothing_to_match(&c.matching),
            Self::TcpReset(c) => nothing_to_match(&c.matching),
            Self::Throttle(c) if c.rate_kbit_per_s.is_nan() || c.rate_kbit_per_s < 1.0 => {
                Some("`rate_kbit_per_s` is below 1: to block, use `sni-drop`")
            }
            Self::Throttle(c) => nothing_to_match(&c.matching),
            Self::TlsAlert(c) => nothing_to_match(&c.matching),
            Self::TlsInterception(c) if c.sni.is_empty() => Some("it has no `sni` to intercept"),
            Self::TlsInterception(c) if c.ports.is_empty() => Some("it has no `ports` to intercept"),
            Self::HttpProxy(c) if c.ports.is_empty() => Some("it has no `ports` to listen for"),
            _ => None,
        };
        match problem {
            Some(problem) => Err(ConfigError { kind: self.kind(), problem: problem.to_owned() }),
            None => Ok(()),
        }
    }
}

fn nothing_to_match(matching: &Match) -> Option<&'static str> {
    matching.is_empty().then_some("`match` is empty: give it `sni`, `hosts`, `keywords` or `prefixes`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AdversaryConfig, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn every_kind_can_be_written() {
        let texts = [
            "kind = 'dns-injection'\nnames = ['a.example']\nanswer = 'nxdomain'",
            "kind = 'http-block-page'\nmatch.hosts = ['a.example']\npage = 'beltelecom'",
            "kind = 'http-proxy'",
            "kind = 'ip-blackhole'\nprefixes = ['192.0.2.0/24']",
            "kind = 'protocol-filter'",
            "kind = 'quic-drop'\nsni = ['a.example']\nresidual = { scope = '3-tuple', seconds = 180 }",
            "kind = 'sni-drop'\nmatch.sni = ['a.example']\npackets_passed = [5, 8]",
            "kind = 'tcp-reset'\nmatch.sni = ['a.example']\nsignature = 'gfw-type2'",
            "kind = 'throttle'\nmatch.sni = ['a.example']\nhow = 'shaping'",
            "kind = 'tls-alert'\nmatch.sni = ['a.example']\nalert = 112",
            "kind = 'tls-interception'\nsni = ['a.example']",
        ];
        for text in texts {
            let config = read(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert!(text.contains(config.kind()));
            assert!(config.build(0).is_ok(), "{text}");
            // What is written reads back.
            let written = toml::to_string(&config).unwrap();
            assert_eq!(read(&written).unwrap(), config, "{written}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| read(text).unwrap_err().to_string();
        assert!(error("kind = 'tcp-resets'").contains("tcp-reset"));
        assert!(error("kind = 'throttle'\nmatch.sni = []\nspeed = 3").contains("speed"));
        assert!(error("kind = 'ip-blackhole'\nprefixes = ['x']").contains("write it as 192.0.2.0/24"));
        let Err(error) = read("kind = 'tcp-reset'\nmatch.ports = [443]").unwrap().build(0) else {
            panic!("it has nothing to look for")
        };
        assert_eq!(
            error.to_string(),
            "adversary `tcp-reset`: `match` is empty: give it `sni`, `hosts`, `keywords` or `prefixes`"
        );
    }
}
