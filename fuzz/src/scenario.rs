//! Scenarios of the lab. Input: a scenario file.

use daylight_lab::adversary::AdversaryConfig;
use daylight_lab::scenario::{Scenario, draw};
use daylight_lab::world::Plan;

const NAME: &str = "fuzz.toml";
/// The width of `--dry-run`, in characters.
const WIDTH: usize = 80;

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let scenario = match Scenario::parse(&text, NAME) {
        Ok(scenario) => scenario,
        Err(error) => {
            assert!(!error.problems.is_empty());
            assert!(error.to_string().starts_with("fuzz.toml:"), "{error}");
            for problem in &error.problems {
                assert!(!problem.what.is_empty());
                assert!(
                    text.get(problem.span.clone()).is_some(),
                    "{problem:?} is not about a part of the text"
                );
            }
            return;
        }
    };
    for line in draw::draw(&scenario).lines().skip(scenario.title.lines().count()) {
        assert!(line.chars().count() <= WIDTH, "{line:?}");
    }
    let plan = Plan::new(&scenario);
    for host in scenario.host.keys() {
        assert!(
            plan.addresses.get(host.get_ref()).is_some_and(|all| !all.is_empty()),
            "a host has an address"
        );
    }
    // Adversaries are built where they stand: whatever is wrong with one is said then.
    for table in scenario.link.iter().flat_map(|link| &link.adversary) {
        let mut table = table.get_ref().clone();
        for own in ["name", "enabled", "title"] {
            table.remove(own);
        }
        if let Ok(config) = toml::Value::Table(table).try_into::<AdversaryConfig>() {
            assert_eq!(config.check().is_ok(), config.build(1).is_ok(), "{config:?}");
        }
    }
}
