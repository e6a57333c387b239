//! The table of `docs/reference/probe-lab.md` that is made from the cases. A test fails when it differs.

use std::fmt::Write as _;

use super::Case;

/// Between this line and [`END`] stands what [`tables`] makes.
const BEGIN: &str = "<!-- From here on made from data/scenarios/probe/*.toml: edit those. -->\n";
/// Ends what is made.
const END: &str = "<!-- To here. -->\n";

/// The tables of mechanisms and of look-alikes.
fn tables(cases: &[Case]) -> String {
    let mut text =
        String::from("\n### Mechanisms\n\n| case | what happens | truth | place |\n|---|---|---|---|\n");
    for case in cases.iter().filter(|case| !case.is_look_alike()) {
        let truth = match (&case.mechanism, &case.rule) {
            (Some(mechanism), _) => format!("`{mechanism}`"),
            (None, rule) => format!("rule `{}`", rule.as_deref().unwrap_or_default()),
        };
        let place = case.place.map(|stands| stands.as_str()).unwrap_or_default();
        let _ = writeln!(text, "| `{}` | {} | {truth} | {place} |", case.name, case.about);
    }
    text.push_str("\n### Look-alikes\n\n| case | what happens |\n|---|---|\n");
    for case in cases.iter().filter(|case| case.is_look_alike()) {
        let _ = writeln!(text, "| `{}` | {} |", case.name, case.about);
    }
    text.push('\n');
    text
}

/// With `DAYLIGHT_WRITE_REFERENCE` set, the page is brought up to date instead.
#[test]
fn the_page_is_that_of_the_cases() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/probe-lab.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (_, tail) = rest.split_once(END).unwrap();
    let made = format!("{head}{BEGIN}{}{END}{tail}", tables(&super::own().unwrap()));
    if std::env::var_os("DAYLIGHT_WRITE_REFERENCE").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap() == made,
        "docs/reference/probe-lab.md differs from the cases: run this test with DAYLIGHT_WRITE_REFERENCE=1"
    );
}
