//! Services that are more than one page: messengers, app stores, the ways into circumvention tools.
//!
//! They change without a release, so they are data: `data/probe/services.toml`, which another file can stand in for.

use std::collections::HashSet;

use serde::Deserialize;

use super::target::Target;

/// The services that come with the program.
const BUILT_IN: &str = include_str!("../../../../data/probe/services.toml");

/// A file of services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Services {
    /// The file's own version.
    pub version: String,
    /// In the file's order.
    pub services: Vec<Service>,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// What a person types.
    pub id: String,
    /// What is shown.
    pub name: String,
    /// `messenger`, `app-store`, `circumvention` or a word of the file's own.
    pub category: String,
    /// Where the endpoints are documented.
    pub source: String,
    /// All of them must work.
    #[serde(rename = "group")]
    pub groups: Vec<Group>,
}

/// Endpoints of which some or all are needed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// What they are for.
    pub name: String,
    /// How many of them must work.
    pub need: Need,
    /// The endpoints.
    #[serde(deserialize_with = "targets")]
    pub endpoints: Vec<Target>,
}

/// How many endpoints of a group must work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// Each.
    All,
    /// One.
    Any,
}

impl Group {
    /// Whether the group works, when these endpoints do.
    pub fn works(&self, mut endpoint: impl FnMut(&Target) -> bool) -> bool {
        match self.need {
            Need::All => self.endpoints.iter().all(endpoint),
            Need::Any => self.endpoints.iter().any(&mut endpoint),
        }
    }
}

impl Service {
    /// Each endpoint once, with what its group needs.
    pub fn endpoints(&self) -> impl Iterator<Item = (&Target, Need)> {
        let mut seen = HashSet::new();
        let all =
            self.groups.iter().flat_map(|group| group.endpoints.iter().map(|target| (target, group.need)));
        all.filter(move |(target, _)| seen.insert(*target))
    }
}

fn targets<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Target>, D::Error> {
    Vec::<String>::deserialize(deserializer)?
        .iter()
        .map(|text| text.parse().map_err(serde::de::Error::custom))
        .collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: String,
    #[serde(default, rename = "service")]
    services: Vec<Service>,
}

impl Services {
    /// Those that come with the program.
    ///
    /// # Errors
    /// Never, as a test sees to.
    pub fn built_in() -> Result<Self, ServicesError> {
        Self::parse(BUILT_IN)
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// If it is not TOML of this form, two services share an id, or a group is empty.
    pub fn parse(text: &str) -> Result<Self, ServicesError> {
        let file: File = toml::from_str(text).map_err(|error| ServicesError(error.to_string()))?;
        let mut ids = HashSet::new();
        for service in &file.services {
            if !ids.insert(&service.id) {
                return Err(ServicesError(format!("two services have the id {:?}; rename one", service.id)));
            }
            if service.groups.is_empty() || service.groups.iter().any(|group| group.endpoints.is_empty()) {
                return Err(ServicesError(format!(
                    "service {:?} has no group, or one without endpoints",
                    service.id
                )));
            }
        }
        Ok(Self { version: file.version, services: file.services })
    }

    /// The service with this id.
    #[must_use]
    pub fn named(&self, id: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.id == id)
    }
}

/// What is wrong with a file of services: the text of the TOML reader, which has line and column, or ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the services can't be read: {0}")]
pub struct ServicesError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_ones_are_in_order() {
        let services = Services::built_in().unwrap();
        for category in ["messenger", "app-store", "circumvention"] {
            assert!(services.services.iter().any(|service| service.category == category), "{category}");
        }
        for service in &services.services {
            assert!(!service.source.is_empty() && !service.name.is_empty(), "{}", service.id);
        }
    }

    #[test]
    fn any_and_all() {
        let services = Services::parse(
            "version = \"1\"\n[[service]]\nid = \"s\"\nname = \"S\"\ncategory = \"messenger\"\nsource = \"here\"\n\
             [[service.group]]\nname = \"a\"\nneed = \"any\"\nendpoints = [\"tcp://192.0.2.1:1\", \"tcp://192.0.2.2:1\"]\n\
             [[service.group]]\nname = \"b\"\nneed = \"all\"\nendpoints = [\"tcp://192.0.2.2:1\", \"tls://a.example:443\"]\n",
        )
        .unwrap();
        let service = services.named("s").unwrap();
        let up = |target: &Target| target.host() == "192.0.2.2";
        assert!(service.groups[0].works(up));
        assert!(!service.groups[1].works(up));
        assert_eq!(service.endpoints().count(), 3);
        assert_eq!(services.named("t"), None);
    }

    #[test]
    fn says_where_it_is_wrong() {
        let text = "version = \"1\"\n[[service]]\nid = \"s\"\nname = \"S\"\ncategory = \"c\"\nsource = \"here\"\n\
                    [[service.group]]\nname = \"a\"\nneed = \"most\"\nendpoints = []\n";
        let error = Services::parse(text).unwrap_err().to_string();
        assert!(error.contains("line 9") && error.contains("most"), "{error}");
        let empty = Services::parse(&text.replace("most", "any")).unwrap_err().to_string();
        assert!(empty.contains("without endpoints"), "{empty}");
    }
}
