//! On what basis a rule stops something.

use serde::{Deserialize, Serialize};

/// Whose will a rule carries out. DNS answers tell these apart (RFC 8914 §4.16 to §4.18).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// The operator's: they decided so themselves.
    #[default]
    Operator,
    /// That of somebody outside, who requires it of the operator: a court, a law.
    External,
    /// The clients', or that of who answers for them: they asked for it.
    Client,
}

impl Basis {
    pub(crate) const NAMES: [(&'static str, Self); 3] =
        [("operator", Self::Operator), ("external", Self::External), ("client", Self::Client)];

    /// For people: as in "it is …".
    pub fn words(self) -> &'static str {
        match self {
            Self::Operator => "the operator's own decision",
            Self::External => "required by somebody outside",
            Self::Client => "asked for by the clients, or by who answers for them",
        }
    }

    /// True if it is what is meant where nothing is said.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
