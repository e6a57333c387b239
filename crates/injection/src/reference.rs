//! The tables of `docs/reference/packets.md` that are made from the code and the signatures. A test fails when they differ.

use std::fmt::Write as _;

use crate::signature::Signatures;
use crate::tell::Tell;

/// The tables of tells and of signatures.
pub(crate) fn tables(signatures: &Signatures) -> String {
    let mut text = String::from("\n## Tells\n\n| tell | what | harmless causes |\n|---|---|---|\n");
    for tell in Tell::ALL {
        let causes: Vec<&str> = tell.benign().iter().map(|cause| cause.as_text()).collect();
        let causes = if causes.is_empty() { "none".to_owned() } else { causes.join("; ") };
        let _ = writeln!(text, "| `{}` | {} | {causes} |", tell.as_str(), tell.help());
    }
    let _ = write!(
        text,
        "\n## Signatures, version {}\n\n| signature | names | class | features | source |\n|---|---|---|---|---|\n",
        signatures.version()
    );
    for row in signatures.rows() {
        let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str =
        "<!-- From here on made from data/probe/injectors.toml and the code: edit those. -->\n";
    const END: &str = "<!-- To here. -->\n";

    /// With `DAYLIGHT_WRITE_REFERENCE` set, the page is brought up to date instead.
    #[test]
    fn the_page_is_that_of_the_signatures() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/packets.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (head, rest) = page.split_once(BEGIN).unwrap();
        let (_, tail) = rest.split_once(END).unwrap();
        let made = format!("{head}{BEGIN}{}{END}{tail}", tables(&Signatures::own().unwrap()));
        if std::env::var_os("DAYLIGHT_WRITE_REFERENCE").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        assert!(
            std::fs::read_to_string(path).unwrap() == made,
            "docs/reference/packets.md differs from the code: run this test with DAYLIGHT_WRITE_REFERENCE=1"
        );
    }
}
