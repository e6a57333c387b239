//! An adversary's table in a scenario: its name, whether it is on at first, and what its kind asks for.

use serde::Deserialize;
use toml::Spanned;

use super::model::Scenario;
use crate::adversary::AdversaryConfig;

/// An adversary as a scenario places it.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) name: String,
    /// Whether it is on at the start.
    pub(crate) enabled: bool,
    pub(crate) config: AdversaryConfig,
}

impl Placed {
    /// Reads a table; with what is wrong with it, in words.
    pub(crate) fn read(table: &toml::Table) -> Result<Self, String> {
        let text = |key: &str| match table.get(key).and_then(toml::Value::as_str) {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(format!("an adversary needs a {key}: {key} = \"…\"")),
        };
        let name = text("name")?;
        text("kind")?;
        let enabled = match table.get("enabled") {
            None => true,
            Some(toml::Value::Boolean(enabled)) => *enabled,
            Some(_) => return Err("enabled must be true or false".into()),
        };
        let mut rest = table.clone();
        rest.remove("name");
        rest.remove("enabled");
        let config =
            AdversaryConfig::deserialize(toml::Value::Table(rest)).map_err(|e| e.message().to_owned())?;
        config.check().map_err(|e| e.to_string())?;
        Ok(Self { name, enabled, config })
    }
}

/// Name, kind and whether they are on at first, of the adversaries in these tables.
pub(crate) fn named(tables: &[Spanned<toml::Table>]) -> impl Iterator<Item = (&str, &str, bool)> {
    tables.iter().map(|table| {
        let get = |key| table.get_ref().get(key);
        let text = |key| get(key).and_then(toml::Value::as_str).unwrap_or_default();
        (text("name"), text("kind"), get("enabled").and_then(toml::Value::as_bool).unwrap_or(true))
    })
}

/// All that a scenario has, on links and in networks.
pub(crate) fn all(scenario: &Scenario) -> impl Iterator<Item = (&str, &str, bool)> {
    let on_links = scenario.link.iter().flat_map(|link| named(&link.adversary));
    on_links.chain(scenario.network.values().flat_map(|network| named(&network.adversary)))
}

/// An adversary in a few words: `⚑ name (kind, off at first)`.
pub(super) fn flag((name, kind, on): (&str, &str, bool)) -> String {
    format!("⚑ {name} ({kind}{})", if on { "" } else { ", off at first" })
}
