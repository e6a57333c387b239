//! Colours. They repeat what words and signs say already, so that nothing is lost without them; the background is the
//! terminal's own, and no colour is used that is hard to read on black or on white.

use ratatui::style::{Color, Modifier, Style};

/// How things look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Theme {
    colours: bool,
}

impl Theme {
    pub(crate) fn new(colours: bool) -> Self {
        Self { colours }
    }

    /// As the environment says: any `NO_COLOR` that isn't empty turns colours off.
    pub(crate) fn from_environment() -> Self {
        Self::new(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
    }

    fn coloured(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    pub(crate) fn plain(self) -> Style {
        Style::new()
    }

    /// A heading, or what is most important.
    pub(crate) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What is there to be looked up only.
    pub(crate) fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// The row or the view that is chosen.
    pub(crate) fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Bars of a graph.
    pub(crate) fn bar(self) -> Style {
        self.coloured(Color::Cyan)
    }

    /// Something is lost, or broken.
    pub(crate) fn bad(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// Something deserves a look.
    pub(crate) fn warn(self) -> Style {
        self.coloured(Color::Magenta)
    }

    /// All is well.
    pub(crate) fn good(self) -> Style {
        self.coloured(Color::Green)
    }

    pub(crate) fn severity(self, severity: Option<&str>) -> Style {
        match severity {
            Some("severe" | "high") => self.bad(),
            Some("medium") => self.warn(),
            _ => self.plain(),
        }
    }
}

/// A sign for a severity, two columns wide, for who sees no colour.
pub(crate) fn sign(severity: Option<&str>) -> &'static str {
    match severity {
        Some("severe") => "!!",
        Some("high") => "! ",
        Some("medium") => "* ",
        Some("low") => "· ",
        _ => "  ",
    }
}
