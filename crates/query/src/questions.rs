//! Questions that have a name: what is asked first in most networks, as data.

use std::sync::LazyLock;

use datafusion::common::ScalarValue;
use daylight_expr::nearest;
use serde::Deserialize;

use crate::engine::Parameters;
use crate::error::QueryError;

/// Rows of an answer if nobody says how many.
pub const ROWS: usize = 20;

/// A question with a name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Its name: `top-applications`.
    pub name: String,
    /// One line about it.
    pub help: String,
    /// What it asks.
    pub sql: String,
    /// What it wants to know for that.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
}

/// What a question wants to know.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Its name: `$name` in the SQL.
    pub name: String,
    /// One line about it.
    pub help: String,
    /// What it is if it isn't given.
    pub default: Option<String>,
}

#[derive(Deserialize)]
struct File {
    question: Vec<Question>,
}

/// All questions, in the order of the file. The file is checked by a test: here, one that can't be read has none.
pub fn all() -> &'static [Question] {
    static QUESTIONS: LazyLock<Vec<Question>> =
        LazyLock::new(|| parse().map(|file| file.question).unwrap_or_default());
    &QUESTIONS
}

fn parse() -> Result<File, toml::de::Error> {
    toml::from_str(include_str!("questions.toml"))
}

impl Question {
    /// The question of this name.
    ///
    /// # Errors
    /// If there is none, says which there are.
    pub fn named(name: &str) -> Result<&'static Self, QueryError> {
        all().iter().find(|question| question.name == name).ok_or_else(|| {
            let hint = match nearest(name, all().iter().map(|question| &*question.name)) {
                Some(near) => format!("did you mean {near:?}? "),
                None => String::new(),
            };
            QueryError::Question(format!(
                "there is no question {name:?}; {hint}--list shows them, and SQL has spaces in it"
            ))
        })
    }

    /// The values of its parameters, given as name and text; a value without a name is the first's.
    ///
    /// # Errors
    /// If one is missing, or is none of its.
    pub fn values(&self, given: &[(Option<String>, String)]) -> Result<Parameters, QueryError> {
        let failed = |what: String| Err(QueryError::Question(format!("{}: {what}", self.name)));
        let mut values = Parameters::new();
        for (name, value) in given {
            let parameter = match name {
                Some(name) => self.parameters.iter().find(|parameter| parameter.name == *name),
                None => self.parameters.iter().find(|parameter| !values.contains_key(&parameter.name)),
            };
            let Some(parameter) = parameter else {
                let names: Vec<&str> = self.parameters.iter().map(|p| &*p.name).collect();
                return failed(match (name, names.is_empty()) {
                    (_, true) => "it has no parameters".into(),
                    (Some(name), _) => format!("it has no parameter {name:?}, but {}", names.join(", ")),
                    (None, _) => format!("{value:?} is one too many: it has {}", names.join(", ")),
                });
            };
            values.insert(parameter.name.clone(), ScalarValue::Utf8View(Some(value.clone())));
        }
        for parameter in &self.parameters {
            match (&parameter.default, values.contains_key(&parameter.name)) {
                (_, true) => {}
                (Some(default), false) => {
                    values.insert(parameter.name.clone(), ScalarValue::Utf8View(Some(default.clone())));
                }
                (None, false) => {
                    return failed(format!("it wants {}=…: {}", parameter.name, parameter.help));
                }
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_well_formed() {
        let questions = parse().unwrap().question;
        assert!(questions.len() >= 12);
        let mut names: Vec<&str> = questions.iter().map(|q| &*q.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), questions.len());
        for question in &questions {
            assert!(
                !question.help.is_empty() && !question.help.ends_with('.') && !question.name.contains(' ')
            );
            for parameter in &question.parameters {
                assert!(question.sql.contains(&format!("${}", parameter.name)), "{}", question.name);
            }
            assert_eq!(question.sql.contains('$'), !question.parameters.is_empty(), "{}", question.name);
        }
    }

    #[test]
    fn parameters() {
        let host = Question::named("host").unwrap();
        let value = |text: &str| ScalarValue::Utf8View(Some(text.to_owned()));
        let given = |name: Option<&str>, text: &str| (name.map(str::to_owned), text.to_owned());
        assert_eq!(host.values(&[given(None, "x")]).unwrap()["host"], value("x"));
        assert_eq!(host.values(&[given(Some("host"), "x")]).unwrap()["host"], value("x"));
        for bad in [vec![], vec![given(Some("hots"), "x")], vec![given(None, "x"), given(None, "y")]] {
            assert!(host.values(&bad).is_err());
        }
        assert!(Question::named("sensors").unwrap().values(&[given(None, "x")]).is_err());
        let error = Question::named("top-aplications").unwrap_err().to_string();
        assert!(error.contains("\"top-applications\""), "{error}");
    }
}
