//! What a scenario says: read, checked, drawn.
//!
//! [`Scenario::parse`] reads a TOML file into the types of [`model`] and checks everything that can be checked without
//! building it. Each problem carries its line and column ([`ScenarioError`]). [`draw`] shows the topology and the timeline
//! as text.

pub(crate) mod adversary;
pub(crate) mod check;
pub mod draw;
mod error;
pub mod model;
mod values;

pub use error::{Problem, ScenarioError};
pub use model::Scenario;
pub use values::{Prefix, Time};

use error::Source;

impl Scenario {
    /// Reads and checks a scenario. `file` is its name in messages.
    ///
    /// # Errors
    /// With every problem that was found: the first only if the text is no TOML or has a wrong key or type, as what
    /// follows from such a mistake would be guesses.
    pub fn parse(text: &str, file: &str) -> Result<Self, ScenarioError> {
        let source = Source { text, file };
        let scenario: Self = toml::from_str(text).map_err(|error| source.syntax(&error))?;
        let problems = check::check(&scenario, &source);
        if problems.is_empty() { Ok(scenario) } else { Err(source.error(problems)) }
    }
}
