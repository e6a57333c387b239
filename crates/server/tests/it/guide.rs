//! What the guide says of the configuration.

use daylight_server::egress::EgressConfig;
use daylight_server::limits::LimitsConfig;
use serde::Deserialize;

const GUIDE: &str = include_str!("../../../../docs/guide/server.md");

#[derive(Deserialize)]
struct Sections {
    egress: Option<EgressConfig>,
    limits: Option<LimitsConfig>,
}

fn sections() -> Vec<Sections> {
    let blocks = GUIDE.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.map(|block| toml::from_str(block).unwrap_or_else(|error| panic!("{block}\n{error}"))).collect()
}

#[test]
fn what_it_shows_are_the_defaults() {
    let egress = sections().into_iter().find_map(|sections| sections.egress).unwrap();
    assert_eq!(egress, EgressConfig::default());
    let limits = sections().into_iter().find_map(|sections| sections.limits).unwrap();
    assert_eq!(limits, LimitsConfig::default());
}

#[test]
fn it_names_each_key() {
    let keys = |text: &str| -> Vec<String> {
        let error = toml::from_str::<Sections>(text).err().unwrap().to_string();
        let expected = error.split("expected one of ").nth(1).unwrap();
        expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    for (section, text) in [("egress", "[egress]\nno = 1"), ("limits", "[limits]\nno = 1")] {
        let keys = keys(text);
        assert!(keys.len() > 5, "{section}");
        for key in keys {
            assert!(GUIDE.contains(&format!("\n{key} = ")), "{section}.{key}");
        }
    }
}
