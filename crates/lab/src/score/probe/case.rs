//! Cases: what is done to the probe, and what it is to say of it. They are data, `data/scenarios/probe/*.toml`.

use serde::{Deserialize, Serialize};

use super::ProbeScoreError;

/// The cases that come with the program: mechanisms, and what looks like them.
const OWN: [(&str, &str); 2] = [
    ("mechanisms.toml", include_str!("../../../../../data/scenarios/probe/mechanisms.toml")),
    ("look-alikes.toml", include_str!("../../../../../data/scenarios/probe/look-alikes.toml")),
];

/// Where a censor stands, if its case doesn't say: what a run draws between.
const LINKS: [&str; 2] = ["uplink", "backbone"];

/// One case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its name, which `--only` takes.
    pub name: String,
    /// What happens in it.
    pub about: String,
    /// What is measured.
    #[serde(default = "target")]
    pub target: String,
    /// The mechanism that is to be named.
    pub mechanism: Option<String>,
    /// The rule that is to decide, where there is no mechanism to be named.
    pub rule: Option<String>,
    /// How the censor stands to the path, if the place is judged; the hop follows from its link.
    pub place: Option<Stands>,
    /// The links, or routers, that a run draws the censor's place from.
    #[serde(default = "links")]
    pub at: Vec<String>,
    /// The censors: adversaries as in a scenario, without their names.
    #[serde(default)]
    pub censor: Vec<toml::Table>,
    /// What is laid over the world.
    #[serde(default)]
    pub world: toml::Table,
}

/// How a censor stands to the path. The words are those of verdicts.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stands {
    /// Packets go through it.
    InPath,
    /// It gets copies.
    OnPath,
}

impl Stands {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InPath => "in-path",
            Self::OnPath => "on-path",
        }
    }
}

fn target() -> String {
    "https://news.example/".to_owned()
}

fn links() -> Vec<String> {
    LINKS.map(str::to_owned).to_vec()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Case>,
}

impl Case {
    /// Whether it only looks like blocking.
    pub fn is_look_alike(&self) -> bool {
        self.mechanism.is_none() && self.rule.is_none()
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.mechanism.is_some() && self.rule.is_some() {
            return Err("it has both a mechanism and a rule: only one of them can be the truth");
        }
        if self.place.is_some() && (self.mechanism.is_none() || self.censor.is_empty()) {
            return Err("a place is only judged of a censor's mechanism");
        }
        if self.at.is_empty() {
            return Err("`at` is empty: leave it out for the usual links");
        }
        Ok(())
    }
}

/// The cases that come with the program, in their order.
///
/// # Errors
/// If one is no case; tests rule that out.
pub fn own() -> Result<Vec<Case>, ProbeScoreError> {
    let mut all = Vec::new();
    for (file, text) in OWN {
        all.extend(read(text, file)?);
    }
    Ok(all)
}

/// Reads the cases of a file.
///
/// # Errors
/// With the file and what is wrong in it.
pub fn read(text: &str, file: &str) -> Result<Vec<Case>, ProbeScoreError> {
    let wrong = |message: String| ProbeScoreError::Cases { file: file.to_owned(), message };
    let cases = toml::from_str::<File>(text).map_err(|error| wrong(error.to_string()))?.case;
    for case in &cases {
        case.check().map_err(|why| wrong(format!("case {:?}: {why}", case.name)))?;
    }
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_are_enough_and_each_has_a_name_of_its_own() {
        let cases = own().unwrap();
        let look_alikes = cases.iter().filter(|case| case.is_look_alike()).count();
        // The floors of the matrix: at least 25 mechanisms and 15 look-alikes.
        assert!(cases.len() - look_alikes >= 25 && look_alikes >= 15);
        let names: std::collections::BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names.len(), cases.len());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, what) in [
            ("[[case]]\nname = 'a'\nabout = ''\nmechanism = 'm'\nrule = 'r'", "case \"a\": it has both"),
            ("[[case]]\nname = 'a'\nabout = ''\nplace = 'on-path'", "a place is only judged"),
            ("[[case]]\nname = 'a'\nabout = ''\nmechansim = 'm'", "mechansim"),
        ] {
            let error = read(text, "x.toml").unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("x.toml"), "{error}");
        }
    }
}
