//! The pages of `docs/reference` that are made from the code. A test fails when they differ.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use daylight_inspect::{ColumnId, columns};
use daylight_protocols::{Protocol, ProtocolId, Transport};

/// Writes all pages into a folder.
pub(crate) fn write(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("can't create {}", folder.display()))?;
    for (name, text) in pages() {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))?;
    }
    Ok(())
}

fn pages() -> Vec<(&'static str, String)> {
    vec![("protocols.md", protocols()), ("fields.md", fields()), ("risks.md", risks())]
}

const NOTE: &str = "<!-- Made by `cargo xtask gen` from the code; edit that. -->\n\n";

fn protocols() -> String {
    let mut text = format!("# Protocols\n\n{NOTE}");
    let mut ids: Vec<_> = ProtocolId::all().collect();
    ids.sort_by_key(|id| (id.get().family, id.name()));
    let mut family = None;
    for id in ids {
        let p = id.get();
        if family != Some(p.family) {
            let _ = write!(
                text,
                "\n## {}\n\n| name | protocol | at home on | source |\n|---|---|---|---|\n",
                p.family.name()
            );
            family = Some(p.family);
        }
        let _ = writeln!(text, "| `{}` | {} | {} | {} |", p.name, cell(p.title), ports(p), cell(p.source));
    }
    text
}

fn ports(p: &Protocol) -> String {
    let mut parts = Vec::new();
    for port in p.ports {
        parts.push(match port.transport {
            Transport::Tcp => format!("tcp/{}", port.number),
            Transport::Udp => format!("udp/{}", port.number),
            Transport::Ip(number) => format!("ip/{number}"),
        });
    }
    parts.join(" ")
}

fn fields() -> String {
    let mut text = format!(
        "# Fields of a flow record\n\n{NOTE}The keys of JSON lines, the columns of CSV and Parquet, and the names in `--where`, `--fields` and `--sort`. What was not seen is left out.\n\n"
    );
    let mut open = None;
    for column in columns() {
        let group = match column.id {
            ColumnId::Core(_) => "Every flow",
            ColumnId::Field(f) if f.protocol == ProtocolId::Unknown => "Common to several protocols",
            ColumnId::Field(f) => f.protocol.name(),
        };
        if open != Some(group) {
            let _ = write!(text, "\n## {group}\n\n| field | kind | what |\n|---|---|---|\n");
            open = Some(group);
        }
        let kind = format!("{:?}{}", column.kind, if column.list { " list" } else { "" }).to_lowercase();
        let _ = writeln!(text, "| `{}` | {kind} | {} |", column.name, cell(column.help));
    }
    text
}

fn risks() -> String {
    let mut text = format!(
        "# Risks\n\n{NOTE}Each risk in a record has a name, a severity, the side that would have to mend it, and the evidence.\n"
    );
    for risk in daylight_inspect::risks::all() {
        let by: Vec<_> = ProtocolId::all()
            .filter(|id| id.get().risks.iter().any(|r| r.name == risk.name))
            .map(|id| format!("`{}`", id.name()))
            .collect();
        let by = if by.is_empty() { "the engine".into() } else { by.join(", ") };
        let _ = write!(
            text,
            "\n## {}\n\nSeverity {}, side {}, raised by {by}.\n\n{}\n",
            risk.name,
            risk.severity.name(),
            risk.side.name(),
            risk.help
        );
    }
    text
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_are_those_of_the_code() {
        let folder = crate::root().join("docs/reference");
        for (name, text) in pages() {
            let there = fs::read_to_string(folder.join(name)).unwrap_or_default();
            assert!(there == text, "docs/reference/{name} differs from the code: run `cargo xtask gen`");
        }
    }

    #[test]
    fn every_protocol_is_documented() {
        for id in ProtocolId::all() {
            let p = id.get();
            assert!(!p.title.is_empty() && !p.source.is_empty(), "{} has no title or source", p.name);
            assert!(
                p.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{}",
                p.name
            );
            assert!(
                p.fields.len() <= daylight_protocols::Wanted::FIELDS_MAX,
                "{} has too many fields",
                p.name
            );
            for field in p.fields {
                let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
                assert!(field.name.bytes().all(fine) && !field.help.is_empty(), "{}.{}", p.name, field.name);
            }
        }
    }
}
