//! Risks: things about a flow that deserve a look. A risk is declared once, next to what finds it; this file holds the
//! type and those that more than one protocol raises.

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know.
    Low,
    /// Should be looked at.
    Medium,
    /// Should be mended.
    High,
    /// Is very likely an attack or a compromise.
    Severe,
}

impl Severity {
    /// As in the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Severe => "severe",
        }
    }
}

/// Who would have to mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names say it all
pub enum Side {
    Client,
    Server,
    Both,
}

impl Side {
    /// As in the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Both => "both",
        }
    }
}

/// The declaration of a risk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Risk {
    /// Lower case, hyphenated.
    pub name: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Who would have to mend it.
    pub side: Side,
    /// What it means, by which measure it is found, and when it is harmless.
    pub help: &'static str,
}

/// Declares risks as statics, and a table of them.
#[macro_export]
macro_rules! risks {
    ($($id:ident: $severity:ident $side:ident $name:literal $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $id: $crate::Risk = $crate::Risk {
                name: $name, severity: $crate::Severity::$severity, side: $crate::Side::$side, help: $help,
            };
        )*
        /// All risks declared here.
        pub const RISKS: &[&$crate::Risk] = &[$(&$id),*];
    };
}

risks! {
    MALFORMED_PACKET: Medium Both "malformed-packet" "A packet breaks its protocol's rules at the named offset. Damaged captures do this too; what the snap length cut, or the capture lost, does not count.";
    CLEAR_TEXT_CREDENTIALS: High Client "clear-text-credentials" "A user name or password crossed the network unencrypted. The evidence names the mechanism and never holds the secret.";
    REPEATED_LOGIN_FAILURES: Medium Client "repeated-login-failures" "Five or more logins were refused within one connection: somebody may be guessing passwords. A misconfigured client does it too.";
}
