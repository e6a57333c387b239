//! The tables of `docs/reference/verdicts.md` that are made from the code and the rules. A test fails when they differ.

use std::fmt::Write as _;

use crate::field::FIELDS;
use crate::rules::Rules;

/// Between this line and [`END`] stands what [`tables`] makes.
pub const BEGIN: &str = "<!-- From here on made from data/probe/rules.toml and the code: edit those. -->\n";
/// Ends what is made.
pub const END: &str = "<!-- To here. -->\n";

/// The tables of rules and of fields.
pub fn tables(rules: &Rules) -> String {
    let mut text = String::from("\n## Rules\n\n| rule | state | mechanism | why |\n|---|---|---|---|\n");
    for rule in rules.rules() {
        let mechanism = rule.mechanism.as_ref().map(|term| format!("`{term}`")).unwrap_or_default();
        let _ = writeln!(text, "| `{}` | {} | {mechanism} | {} |", rule.id, rule.class, cell(&rule.note));
    }
    text.push_str("\n## Fields\n\n| field | kind | what |\n|---|---|---|\n");
    for (_, name, kind, help) in FIELDS {
        let _ = writeln!(text, "| `{name}` | {kind} | {} |", cell(help));
    }
    text.push('\n');
    text
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With `DAYLIGHT_WRITE_REFERENCE` set, the page is brought up to date instead.
    #[test]
    fn the_page_is_that_of_the_rules() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/verdicts.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (head, rest) = page.split_once(BEGIN).unwrap();
        let (_, tail) = rest.split_once(END).unwrap();
        let made = format!("{head}{BEGIN}{}{END}{tail}", tables(&Rules::own().unwrap()));
        if std::env::var_os("DAYLIGHT_WRITE_REFERENCE").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        assert!(
            std::fs::read_to_string(path).unwrap() == made,
            "docs/reference/verdicts.md differs from the rules: run this test with DAYLIGHT_WRITE_REFERENCE=1"
        );
    }
}
