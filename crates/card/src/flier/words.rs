//! What fliers and guides say, from a file for each language.

use serde::Deserialize;

use crate::Day;
use crate::error::{Error, Result};

/// The languages that come with the program, by their codes (BCP 47).
const BUILT_IN: [(&str, &str); 3] = [
    ("en", include_str!("../../../../data/fliers/en.toml")),
    ("be", include_str!("../../../../data/fliers/be.toml")),
    ("ru", include_str!("../../../../data/fliers/ru.toml")),
];

/// What is said, in one language. `{date}`, `{needed}` and `{shares}` stand for what their names say.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// The language's code (BCP 47).
    pub language: String,
    /// The title, of one line.
    pub title: String,
    /// The sentences below it.
    pub lead: String,
    /// What to do, step by step.
    pub steps: Vec<String>,
    /// Below the large code.
    pub scan: String,
    /// Until when it is good, with `{date}`.
    pub until: String,
    /// Above the line of text.
    pub typed: String,
    /// What to be careful about.
    pub care: String,
    /// On each strip, below its code.
    pub strip: String,
    /// The twelve months as they stand in a date.
    pub months: Vec<String>,
    /// How a date is written, with `{day}`, `{month}` and `{year}`.
    pub date: String,
    /// What is different on a flier that carries a share.
    pub share: ShareWords,
    /// The guide on a thumb drive.
    pub guide: Guide,
}

/// What a flier with a share says instead.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareWords {
    /// The sentences below the title, with `{needed}` and `{shares}`.
    pub lead: String,
    /// What to do, step by step.
    pub steps: Vec<String>,
    /// On each strip.
    pub strip: String,
}

/// The guide on a thumb drive.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guide {
    /// The name of the language in itself.
    pub name: String,
    /// The title.
    pub title: String,
    /// What to do, step by step. `{programs}` stands for the list of programs.
    pub steps: Vec<String>,
    /// Above the commands that check the drive.
    pub check: String,
    /// Above the fingerprint of the root's key.
    pub fingerprint: String,
}

impl Words {
    /// The codes of the languages that come with the program.
    pub fn languages() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(language, _)| *language)
    }

    /// The words of a language that comes with the program.
    ///
    /// # Errors
    /// If it doesn't.
    pub fn built_in(language: &str) -> Result<Self> {
        let known = BUILT_IN.iter().find(|(code, _)| *code == language);
        let (code, text) = known.ok_or_else(|| {
            let all: Vec<&str> = Self::languages().collect();
            Error::Drawing(format!(
                "there are no words in {language:?}; there are {}, or give a file",
                all.join(", ")
            ))
        })?;
        Self::parse(text, &format!("data/fliers/{code}.toml"))
    }

    /// Reads a language's file; `name` is the file's, for errors.
    ///
    /// # Errors
    /// If something is missing, or there is more than there should be.
    pub fn parse(text: &str, name: &str) -> Result<Self> {
        let words: Self = toml::from_str(text).map_err(|why| Error::Drawing(format!("{name}: {why}")))?;
        if words.months.len() != 12 {
            return Err(Error::Drawing(format!("{name}: months are {}, not 12", words.months.len())));
        }
        Ok(words)
    }

    /// A day in this language.
    #[must_use]
    pub fn day(&self, day: Day) -> String {
        let (year, month, day) = day.civil();
        let month = usize::try_from(month - 1).ok().and_then(|at| self.months.get(at));
        let replaced = self.date.replace("{day}", &day.to_string()).replace("{year}", &year.to_string());
        replaced.replace("{month}", month.map_or("", String::as_str))
    }
}
