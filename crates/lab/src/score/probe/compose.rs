//! A scenario of a case: the world, what the case changes in it, the censor at its place, and what the run has drawn.

use std::path::Path;

use toml::{Table, Value};

use super::case::Case;
use super::{ProbeScoreError, Stands};
use crate::hop::random::Random;
use crate::scenario::adversary::Placed;

/// The world.
const WORLD: &str = include_str!("../../../../../data/scenarios/probe/world.toml");
/// The link that loses packets: the home's own, before all that a censor may stand in.
const LOSSY: &str = "access";
/// What the delay of each link between networks is drawn from, in milliseconds.
const DELAYS_MS: [(&str, f64, f64); 2] = [("uplink", 2.0, 10.0), ("backbone", 10.0, 40.0)];
/// Where the probe runs, and how long it may take.
const PROBE_HOST: &str = "home";
const PROBE_PATIENCE: &str = "300 s";
/// What the probe is told of the world.
const PROBE_KNOWS: [&str; 12] = [
    "--control",
    "innocuous.example=44.20.0.11",
    "--helper",
    "http://44.20.0.9:8080/",
    "--resolver",
    "44.20.0.8",
    "--resolver",
    "tcp://44.20.0.8",
    "--asn",
    "64500",
    "--country",
    "ZZ",
];

/// What a run has drawn.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Drawn {
    pub(super) seed: u64,
    pub(super) loss_percent: f64,
    /// Where the censor stands.
    pub(super) at: String,
    delays_ms: [f64; 2],
}

impl Drawn {
    /// The same case, run and seed draw the same.
    pub(super) fn new(case: &Case, run: u32, seed: u64, loss_percent_max: f64) -> Self {
        let name =
            case.name.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        let mut dice = Random::new(name ^ u64::from(run).rotate_left(32));
        let at = case.at.get(dice.below(case.at.len())).cloned().unwrap_or_default();
        // A tenth of a per cent is as exact as it gets.
        let loss_percent = (dice.unit() * loss_percent_max * 10.0).round() / 10.0;
        let delays_ms = DELAYS_MS.map(|(_, least, most)| (least + dice.unit() * (most - least)).round());
        Self { seed: dice.bits() >> 1, loss_percent, at, delays_ms }
    }
}

/// At which hop, counted from the home, a censor in a link is seen: the packets that reach it are those that its far end
/// would have answered.
pub(super) fn hop(at: &str) -> Option<u8> {
    match at {
        "access" => Some(1),
        "uplink" => Some(2),
        "backbone" => Some(3),
        _ => None,
    }
}

/// Where a run's measurement and what the probe said go.
pub(super) struct Files<'a> {
    pub(super) measurement: &'a Path,
    pub(super) log: &'a Path,
}

/// The scenario's text.
///
/// # Errors
/// If the case can't stand in the world.
pub(super) fn compose(case: &Case, drawn: &Drawn, files: &Files<'_>) -> Result<String, ProbeScoreError> {
    let wrong = |message: String| ProbeScoreError::Case { name: case.name.clone(), message };
    let mut world: Table = toml::from_str(WORLD).map_err(|error| wrong(error.to_string()))?;
    lay_over(&mut world, &case.world);
    world.insert("title".into(), format!("The probe: {}", case.name).into());
    world.insert("seed".into(), Value::Integer((drawn.seed >> 1).cast_signed()));
    for ((name, ..), delay_ms) in DELAYS_MS.into_iter().zip(drawn.delays_ms) {
        default(&mut world, name, "delay_ms", delay_ms);
    }
    default(&mut world, LOSSY, "loss_percent", drawn.loss_percent);
    for (n, censor) in case.censor.iter().enumerate() {
        let mut censor = censor.clone();
        censor.insert("name".into(), format!("censor-{n}").into());
        let placed = Placed::read(&censor).map_err(wrong)?;
        let table = if placed.config.routes() {
            world.get_mut("network").and_then(|all| all.get_mut(&drawn.at)).and_then(Value::as_table_mut)
        } else {
            link(&mut world, &drawn.at)
        };
        let table =
            table.ok_or_else(|| wrong(format!("the world has no place {:?} for its censor", drawn.at)))?;
        append(table, "adversary", Value::Table(censor));
    }
    append(&mut world, "client", Value::Table(client(case, drawn, files)));
    toml::to_string(&world).map_err(|error| wrong(error.to_string()))
}

/// The probe itself, what it says in a file.
fn client(case: &Case, drawn: &Drawn, files: &Files<'_>) -> Table {
    let seed = drawn.seed.to_string();
    let (log, measurement) = (files.log.to_string_lossy(), files.measurement.to_string_lossy());
    let mut command =
        vec!["sh", "-c", "exec \"$@\" 2> \"$0\"", &*log, "{daylight}", "probe", "run", &case.target];
    command.extend(["--yes", "--seed", &seed, "--output", &*measurement]);
    command.extend(PROBE_KNOWS);
    if case.place.is_some() {
        command.push("--locate");
    }
    let command: Vec<Value> = command.into_iter().map(Value::from).collect();
    Table::from_iter([
        ("name".to_owned(), "probe".into()),
        ("host".to_owned(), PROBE_HOST.into()),
        // After the events of the beginning.
        ("from".to_owned(), "0.5 s".into()),
        ("timeout".to_owned(), PROBE_PATIENCE.into()),
        ("program".to_owned(), Value::Array(command)),
    ])
}

/// Lays tables over tables. Lists of tables are added to, but for links, which are known by their names; other values are
/// replaced.
fn lay_over(world: &mut Table, over: &Table) {
    for (key, value) in over {
        match (world.get_mut(key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => lay_over(under, over),
            (Some(Value::Array(_)), Value::Array(over)) if key == "link" => {
                for entry in over.iter().filter_map(Value::as_table) {
                    let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
                    match link(world, name) {
                        Some(under) => lay_over(under, entry),
                        None => append(world, "link", Value::Table(entry.clone())),
                    }
                }
            }
            (Some(Value::Array(under)), Value::Array(over)) if over.iter().all(Value::is_table) => {
                under.extend(over.iter().cloned());
            }
            _ => _ = world.insert(key.clone(), value.clone()),
        }
    }
}

fn link<'w>(world: &'w mut Table, name: &str) -> Option<&'w mut Table> {
    let links = world.get_mut("link")?.as_array_mut()?;
    links
        .iter_mut()
        .filter_map(Value::as_table_mut)
        .find(|link| link.get("name").and_then(Value::as_str) == Some(name))
}

/// Sets a property of a link, unless the case has.
fn default(world: &mut Table, name: &str, key: &str, value: f64) {
    if let Some(link) = link(world, name)
        && !link.contains_key(key)
    {
        link.insert(key.to_owned(), value.into());
    }
}

fn append(table: &mut Table, key: &str, value: Value) {
    if let Value::Array(list) = table.entry(key).or_insert_with(|| Value::Array(Vec::new())) {
        list.push(value);
    }
}

/// The truth of a place, as far as it is judged.
pub(super) fn place(case: &Case, drawn: &Drawn) -> Option<(u8, Stands)> {
    case.place.and_then(|stands| Some((hop(&drawn.at)?, stands)))
}

#[cfg(test)]
mod tests {
    use super::super::case;
    use super::*;
    use crate::Scenario;

    #[test]
    fn every_case_is_a_scenario() {
        let files = Files { measurement: Path::new("/m.jsonl"), log: Path::new("/m.txt") };
        for case in case::own().unwrap() {
            for run in 0..6 {
                let drawn = Drawn::new(&case, run, 1, 2.0);
                let text = compose(&case, &drawn, &files).unwrap();
                let scenario = Scenario::parse(&text, &case.name).unwrap_or_else(|e| panic!("{e}\n{text}"));
                assert_eq!(place(&case, &drawn).is_some(), case.place.is_some(), "{}", case.name);
                let censors = scenario.link.iter().map(|link| link.adversary.len()).sum::<usize>()
                    + scenario.network.values().map(|network| network.adversary.len()).sum::<usize>();
                assert_eq!(censors, case.censor.len(), "{}", case.name);
            }
        }
    }

    #[test]
    fn runs_differ_and_can_be_repeated() {
        let cases = case::own().unwrap();
        let case = cases.iter().find(|case| case.name == "tls-drop").unwrap();
        let drawn: Vec<Drawn> = (0..20).map(|run| Drawn::new(case, run, 1, 2.0)).collect();
        assert_eq!(drawn, (0..20).map(|run| Drawn::new(case, run, 1, 2.0)).collect::<Vec<_>>());
        let at = |at: &str| drawn.iter().filter(|drawn| drawn.at == at).count();
        assert!(at("uplink") > 3 && at("backbone") > 3 && at("uplink") + at("backbone") == 20);
        assert!(drawn.iter().all(|drawn| (0.0..=2.0).contains(&drawn.loss_percent)));
        assert!(drawn.iter().any(|drawn| drawn.loss_percent > 1.0));
    }

    #[test]
    fn a_case_may_change_a_link_and_add_one() {
        let mut world: Table = toml::from_str("[[link]]\nname = 'a'\nx = 1\n[[event]]\nat = 1").unwrap();
        let over = "[[link]]\nname = 'a'\ny = 2\n[[link]]\nname = 'b'\n[[event]]\nat = 2";
        lay_over(&mut world, &toml::from_str(over).unwrap());
        let expected =
            "[[link]]\nname = 'a'\nx = 1\ny = 2\n[[link]]\nname = 'b'\n[[event]]\nat = 1\n[[event]]\nat = 2";
        assert_eq!(world, toml::from_str(expected).unwrap());
    }
}
