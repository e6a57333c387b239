//! What worked on which network, so that the next time begins with it.
//!
//! A file of the user's alone holds it. Networks and cards stand in it as keyed hashes, under a key made on this machine;
//! nothing of it is ever sent. What is known fades: after a few days a network is nearly as good as new.

mod network;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rand::RngExt;
use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::network::Identity;

/// Networks that are kept; beyond it those that were used the longest ago are forgotten.
const NETWORKS_MAX: usize = 64;
/// Cards and transports that are kept for each.
const RECIPES_MAX: usize = 256;
/// What is known is worth half as much after so many seconds: three days.
const HALF_LIFE_S: f64 = 3.0 * 86_400.0;
/// The score of what is not known.
const UNKNOWN: f64 = 0.5;
/// How much one outcome counts beside what was known.
const OUTCOME_WEIGHT: f64 = 0.5;
/// Bytes of a hash that are written, as digits.
const HASH_LEN: usize = 16;
/// No file of ours is longer.
const FILE_LEN_MAX: u64 = 16 << 20;

/// A network, by its keyed hash.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct NetworkId(String);

/// The file can't be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// It can't be opened, read or written.
    #[error("{path}: {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// It is not what this program writes.
    #[error("{path}: {cause}: this is not a memory of networks; delete it, or give another path")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Where and why.
        cause: serde_json::Error,
    },
}

/// The file's content; fields of later versions are kept.
#[derive(Debug, Deserialize, Serialize)]
struct Content {
    /// Of all hashes, as digits.
    key: String,
    #[serde(default)]
    networks: BTreeMap<String, Network>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Network {
    /// Unix time in seconds.
    used_s: u64,
    /// The most that came through in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    control: Option<u64>,
    #[serde(default)]
    recipes: BTreeMap<String, Recipe>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Recipe {
    /// 0 to 1, at the time of the last outcome.
    score: f64,
    /// That time.
    at_s: u64,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

impl Recipe {
    fn score(&self, now_s: u64) -> f64 {
        let age_s = now_s.saturating_sub(self.at_s) as f64;
        UNKNOWN + (self.score.clamp(0.0, 1.0) - UNKNOWN) * (-age_s / HALF_LIFE_S).exp2()
    }
}

/// What worked where.
#[derive(Debug)]
pub struct Memory {
    path: Option<PathBuf>,
    content: Content,
}

impl Memory {
    /// An empty memory that is kept nowhere.
    #[must_use]
    pub fn ephemeral() -> Self {
        let key = digits(&rand::rng().random::<[u8; 32]>());
        Self { path: None, content: Content { key, networks: BTreeMap::new(), unknown: Map::new() } }
    }

    /// The memory in a file, or an empty one if there is none yet; it is made by [`Memory::save`].
    ///
    /// # Errors
    /// If the file can't be read, or is something else.
    pub fn open(path: &Path) -> Result<Self, MemoryError> {
        let failed = |cause| MemoryError::File { path: path.into(), cause };
        let text = match fs::metadata(path) {
            Ok(metadata) if metadata.len() > FILE_LEN_MAX => {
                return Err(failed(io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    "too long for a memory of networks",
                )));
            }
            Ok(_) => fs::read_to_string(path).map_err(failed)?,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path: Some(path.into()), ..Self::ephemeral() });
            }
            Err(cause) => return Err(failed(cause)),
        };
        let damaged = |cause| MemoryError::Damaged { path: path.into(), cause };
        Ok(Self { path: Some(path.into()), content: serde_json::from_str(&text).map_err(damaged)? })
    }

    /// Writes the file anew, whole or not at all, for its owner's eyes only.
    ///
    /// # Errors
    /// If it can't be written; the old one is still there.
    pub fn save(&self) -> Result<(), MemoryError> {
        let Some(path) = &self.path else { return Ok(()) };
        let write = || {
            let mut beside = path.clone().into_os_string();
            beside.push(format!(".{}", std::process::id()));
            let beside = PathBuf::from(beside);
            let text = serde_json::to_string(&self.content)?;
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, path)
        };
        write().map_err(|cause| MemoryError::File { path: path.clone(), cause })
    }

    /// The hash of a network.
    #[must_use]
    pub fn network(&self, identity: &Identity) -> NetworkId {
        NetworkId(self.hash("network", &identity.bytes()))
    }

    /// How well a card's transport did on a network, 0 to 1; 0.5 if that is not known. `card` is whatever tells cards
    /// apart.
    #[must_use]
    pub fn remembered(&self, network: &NetworkId, card: &[u8], transport: &str, now_s: u64) -> f64 {
        let recipes = self.content.networks.get(&network.0).map(|network| &network.recipes);
        let recipe = recipes.and_then(|recipes| recipes.get(&self.recipe(card, transport)));
        recipe.map_or(UNKNOWN, |recipe| recipe.score(now_s))
    }

    /// The most that came through on a network in a second.
    #[must_use]
    pub fn control(&self, network: &NetworkId) -> Option<u64> {
        self.content.networks.get(&network.0)?.control
    }

    /// Remembers that it worked, with the bytes that came in a second.
    pub fn worked(&mut self, network: &NetworkId, card: &[u8], transport: &str, rate: u64, now_s: u64) {
        self.learn(network, card, transport, 1.0, now_s);
        if let Some(network) = self.content.networks.get_mut(&network.0) {
            // It fades too, lest one good night makes every day look throttled.
            let faded = network.control.map_or(0, |control| control - control / 8);
            network.control = Some(faded.max(rate));
        }
    }

    /// Remembers that it failed.
    pub fn failed(&mut self, network: &NetworkId, card: &[u8], transport: &str, now_s: u64) {
        self.learn(network, card, transport, 0.0, now_s);
    }

    /// Forgets one network.
    pub fn forget(&mut self, network: &NetworkId) {
        self.content.networks.remove(&network.0);
    }

    /// Forgets all, the key too.
    pub fn forget_all(&mut self) {
        self.content = Self::ephemeral().content;
    }

    fn learn(&mut self, network: &NetworkId, card: &[u8], transport: &str, outcome: f64, now_s: u64) {
        let recipe = self.recipe(card, transport);
        let networks = &mut self.content.networks;
        let network = networks.entry(network.0.clone()).or_default();
        network.used_s = now_s;
        let before = network.recipes.remove(&recipe);
        let score = before.as_ref().map_or(UNKNOWN, |before| before.score(now_s));
        let score = score + (outcome - score) * OUTCOME_WEIGHT;
        let unknown = before.map(|before| before.unknown).unwrap_or_default();
        network.recipes.insert(recipe, Recipe { score, at_s: now_s, unknown });
        drop_oldest(&mut network.recipes, RECIPES_MAX, |recipe| recipe.at_s);
        drop_oldest(networks, NETWORKS_MAX, |network| network.used_s);
    }

    fn recipe(&self, card: &[u8], transport: &str) -> String {
        self.hash(&format!("recipe {transport}"), card)
    }

    fn hash(&self, what: &str, bytes: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.content.key.as_bytes());
        let tag = hmac::sign(&key, &[what.as_bytes(), b"\0", bytes].concat());
        digits(tag.as_ref().get(..HASH_LEN).unwrap_or_default())
    }
}

fn drop_oldest<V>(map: &mut BTreeMap<String, V>, max: usize, age: impl Fn(&V) -> u64) {
    while map.len() > max {
        let oldest = map.iter().min_by_key(|(_, value)| age(value)).map(|(key, _)| key.clone());
        if let Some(oldest) = oldest {
            map.remove(&oldest);
        }
    }
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const DAY: u64 = 86_400;

    fn cafe() -> Identity {
        Identity { gateway_mac: Some("02:00:00:00:00:01".into()), ..Identity::default() }
    }

    #[test]
    fn outcomes_are_remembered_and_fade() {
        let mut memory = Memory::ephemeral();
        let network = memory.network(&cafe());
        memory.worked(&network, b"card", "web", 1000, 0);
        memory.failed(&network, b"card", "plain", 0);
        let score =
            |memory: &Memory, transport, day: u64| memory.remembered(&network, b"card", transport, day * DAY);
        assert_eq!((score(&memory, "web", 0), score(&memory, "plain", 0)), (0.75, 0.25));
        assert_eq!(
            (score(&memory, "web", 3), score(&memory, "plain", 3)),
            (0.625, 0.375),
            "half after three days"
        );
        assert_eq!(score(&memory, "h3", 0), UNKNOWN);
        assert_eq!(memory.remembered(&network, b"other", "web", 0), UNKNOWN);
        let elsewhere = memory.network(&Identity::default());
        assert_eq!(memory.remembered(&elsewhere, b"card", "web", 0), UNKNOWN);
        memory.failed(&network, b"card", "web", 0);
        assert_eq!(score(&memory, "web", 0), 0.375, "the last outcome counts the most");
        assert_eq!(memory.control(&network), Some(1000));
        memory.worked(&network, b"card", "web", 10, 0);
        assert_eq!(memory.control(&network), Some(875));
    }

    #[test]
    fn a_file_of_its_owner_that_keeps_what_it_does_not_know() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("networks.json");
        let mut memory = Memory::open(&path).expect("none yet");
        let network = memory.network(&cafe());
        memory.worked(&network, b"card", "web", 1000, 5);
        memory.save().expect("saved");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).expect("a file");
        assert!(!text.contains("02:00") && !text.contains("web") && !text.contains("card"), "{text}");
        fs::write(
            &path,
            text.replace("\"score\"", "\"seed\":[1,2],\"score\"").replacen('{', "{\"later\":7,", 1),
        )
        .expect("written");
        let mut memory = Memory::open(&path).expect("a memory");
        assert_eq!(memory.network(&cafe()), network);
        assert_eq!(memory.remembered(&network, b"card", "web", 5), 0.75);
        memory.worked(&network, b"card", "web", 1000, 6);
        memory.save().expect("saved");
        let text = fs::read_to_string(&path).expect("a file");
        assert!(text.contains("\"seed\":[1,2]") && text.contains("\"later\":7"), "{text}");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
        memory.forget_all();
        memory.save().expect("saved");
        let memory = Memory::open(&path).expect("a memory");
        assert_ne!(memory.network(&cafe()), network, "the key is forgotten too");
    }

    #[test]
    fn what_is_no_memory_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("other.json");
        fs::write(&path, "{\"x\":1}").expect("written");
        let error = Memory::open(&path).expect_err("not ours").to_string();
        assert!(error.contains("other.json") && error.contains("line 1"), "{error}");
    }

    #[test]
    fn memory_is_bounded() {
        let mut memory = Memory::ephemeral();
        for at in 0..100_u64 {
            let name = format!("net {at}");
            let network = memory.network(&Identity { domain: Some(name), ..Identity::default() });
            memory.worked(&network, b"card", "web", 1, at);
        }
        assert_eq!(memory.content.networks.len(), NETWORKS_MAX);
        assert!(memory.content.networks.values().all(|network| network.used_s >= 36));
        let network = memory.network(&cafe());
        for card in 0..400_u64 {
            memory.failed(&network, &card.to_be_bytes(), "web", 1000 + card);
        }
        assert_eq!(memory.content.networks[&network.0].recipes.len(), RECIPES_MAX);
        memory.forget(&network);
        assert_eq!(memory.remembered(&network, &399_u64.to_be_bytes(), "web", 1399), UNKNOWN);
    }
}
