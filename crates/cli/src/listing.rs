//! What daylight knows: protocols, fields, risks, applications.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use daylight_inspect::catalog::Catalog;
use daylight_inspect::{Column, ColumnId, columns, dispatcher};
use daylight_protocols::dispatch::Rejected;
use daylight_protocols::{Dir, Probe, Protocol, ProtocolId, Transport, Verdict};

use crate::args::{Applications, Fields, Protocols, Risks};
use crate::inspect::quiet_pipe;

/// Prints to standard output; a reader that has gone away is no error.
pub(crate) fn print(bytes: &[u8]) -> Result<ExitCode> {
    quiet_pipe(io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()))?;
    Ok(ExitCode::SUCCESS)
}

fn nearest_of<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    daylight_expr::nearest(name, names).map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
}

pub(crate) fn protocols(args: &Protocols) -> Result<ExitCode> {
    if let Some(what) = &args.explain {
        return explain(what, args);
    }
    let mut text = String::new();
    match &args.name {
        Some(name) => match ProtocolId::from_name(name) {
            Some(id) => one(&mut text, id),
            None => {
                let near = nearest_of(name, ProtocolId::all().map(ProtocolId::name));
                bail!("there is no protocol {name:?}{near}")
            }
        },
        None => {
            let mut ids: Vec<_> = ProtocolId::all().collect();
            ids.sort_by_key(|id| (id.get().family, id.name()));
            let mut family = None;
            for id in ids {
                let p = id.get();
                if family != Some(p.family) {
                    let gap = if family.is_some() { "\n" } else { "" };
                    let _ = writeln!(text, "{gap}{}", p.family.name());
                    family = Some(p.family);
                }
                let _ = writeln!(text, "  {:<14} {:<46} {}", p.name, p.title, ports(p));
            }
        }
    }
    print(text.as_bytes())
}

fn ports(p: &Protocol) -> String {
    let mut parts = Vec::new();
    for (name, transport) in [("tcp", Transport::Tcp), ("udp", Transport::Udp)] {
        let numbers: Vec<_> = p
            .ports
            .iter()
            .filter(|port| port.transport == transport)
            .map(|port| port.number.to_string())
            .collect();
        if !numbers.is_empty() {
            parts.push(format!("{name} {}", numbers.join(",")));
        }
    }
    for pattern in p.patterns {
        if let Transport::Ip(number) = pattern.transport {
            parts.push(format!("ip {number}"));
        }
    }
    parts.dedup();
    parts.join("; ")
}

fn one(text: &mut String, id: ProtocolId) {
    let p = id.get();
    let _ = writeln!(text, "{}: {}", p.name, p.title);
    let _ = writeln!(text, "  family   {}", p.family.name());
    let _ = writeln!(text, "  source   {}", p.source);
    let mut transports: Vec<_> = p.patterns.iter().map(|p| transport_name(p.transport)).collect();
    transports.sort();
    transports.dedup();
    let over = if transports.is_empty() {
        "named by another protocol or flow".into()
    } else {
        transports.join(", ")
    };
    let _ = writeln!(text, "  over     {over}");
    let ports = ports(p);
    if !ports.is_empty() {
        let _ = writeln!(text, "  ports    {ports}");
    }
    if !p.fields.is_empty() {
        let _ = writeln!(text, "  fields");
        for field in p.fields {
            let kind = format!("{:?}{}", field.kind, if field.list { " list" } else { "" }).to_lowercase();
            let _ = writeln!(
                text,
                "    {:<28} {:<11} {}",
                format!("{}.{}", p.name, field.name),
                kind,
                field.help
            );
        }
    }
    if !p.risks.is_empty() {
        let _ = writeln!(text, "  risks");
        for risk in p.risks {
            let _ = writeln!(text, "    {:<34} {:<7} {}", risk.name, risk.severity.name(), risk.side.name());
        }
    }
}

fn transport_name(transport: Transport) -> String {
    match transport {
        Transport::Tcp => "tcp".into(),
        Transport::Udp => "udp".into(),
        Transport::Ip(number) => format!("ip protocol {number}"),
    }
}

/// The dispatcher's table, and what it makes of a payload.
fn explain(what: &str, args: &Protocols) -> Result<ExitCode> {
    let payload = match unhex(what) {
        Some(bytes) => bytes,
        None => std::fs::read(what)
            .with_context(|| format!("{what:?} is neither hexadecimal digits nor a file that can be read"))?,
    };
    if payload.is_empty() {
        bail!("--explain: there are no bytes in {what:?}");
    }
    let probe = Probe {
        transport: if args.udp { Transport::Udp } else { Transport::Tcp },
        dir: if args.from_server { Dir::Server } else { Dir::Client },
        payload: &payload,
        other: &[],
        earlier: &[],
        client_port: 0,
        server_port: args.port,
        whole: true,
    };
    let dispatcher = dispatcher();
    let mut text = String::new();
    for table in dispatcher.describe() {
        let offsets: Vec<_> = table.offsets.iter().map(ToString::to_string).collect();
        let _ = writeln!(
            text,
            "{} table: {} patterns, {} sets of patterns, {} bytes; offsets {}",
            table.transport,
            table.patterns,
            table.sets,
            table.bytes,
            offsets.join(" ")
        );
    }
    let _ = writeln!(text, "\n{} bytes over {}\n", payload.len(), transport_name(probe.transport));
    let _ = writeln!(text, "offset  byte  patterns still possible");
    for (offset, byte, left) in dispatcher.explain(&probe) {
        let names: Vec<_> = left.iter().take(8).map(|id| id.name()).collect();
        let more = left.len().saturating_sub(names.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let none = if left.is_empty() { "none" } else { "" };
        let _ = writeln!(text, "{offset:>6}    {byte:02x}  {none}{}{more}", names.join(" "));
    }
    let candidates = dispatcher.candidates(&probe);
    let _ = writeln!(text, "\ncandidates, in the order in which they are asked");
    for id in candidates.as_slice() {
        let verdict = match (id.get().identify)(&probe) {
            Verdict::Yes => "yes".into(),
            Verdict::YesReversed => "yes, but the other end sent it".into(),
            Verdict::Need(n) => format!("needs {n} bytes to tell"),
            Verdict::Later => "needs another payload to tell".into(),
            Verdict::No => "no".to_owned(),
        };
        let _ = writeln!(text, "  {:<14} {verdict}", id.name());
    }
    if candidates.as_slice().is_empty() {
        let _ = writeln!(text, "  none");
    }
    let outcome = dispatcher.identify(&probe, &mut Rejected::default());
    let _ = writeln!(text, "\noutcome: {outcome:?}");
    print(text.as_bytes())
}

/// Bytes, if the text is hexadecimal digits (spaces and colons may stand between them).
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace() && *c != ':')
        .map(|c| c.to_digit(16).map(|d| d as u8))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    (!digits.is_empty() && pairs.remainder().is_empty()).then(|| pairs.map(|p| p[0] << 4 | p[1]).collect())
}

pub(crate) fn fields(args: &Fields) -> Result<ExitCode> {
    let chosen: Vec<&Column> = match &args.protocol {
        None => columns().iter().collect(),
        Some(name) => {
            let Some(id) = ProtocolId::from_name(name) else {
                let near = nearest_of(name, ProtocolId::all().map(ProtocolId::name));
                bail!("there is no protocol {name:?}{near}")
            };
            columns().iter().filter(|c| matches!(c.id, ColumnId::Field(f) if f.protocol == id)).collect()
        }
    };
    let mut text = String::new();
    for column in chosen {
        let kind = format!("{:?}{}", column.kind, if column.list { " list" } else { "" }).to_lowercase();
        let _ = writeln!(text, "{:<30} {:<11} {}", column.name, kind, column.help);
    }
    print(text.as_bytes())
}

pub(crate) fn risks(args: &Risks) -> Result<ExitCode> {
    let all = daylight_inspect::risks::all();
    let mut text = String::new();
    match &args.name {
        None => {
            for risk in all {
                let (severity, side) = (risk.severity.name(), risk.side.name());
                let _ = writeln!(
                    text,
                    "{:<34} {severity:<7} {side:<6}  {}",
                    risk.name,
                    first_sentence(risk.help)
                );
            }
        }
        Some(name) => match all.iter().find(|r| r.name == name) {
            Some(risk) => {
                let _ = writeln!(
                    text,
                    "{}: severity {}, side {}",
                    risk.name,
                    risk.severity.name(),
                    risk.side.name()
                );
                let _ = writeln!(text, "{}", risk.help);
            }
            None => bail!("there is no risk {name:?}{}", nearest_of(name, all.iter().map(|r| r.name))),
        },
    }
    print(text.as_bytes())
}

fn first_sentence(text: &str) -> &str {
    text.split_inclusive(". ").next().unwrap_or(text).trim_end_matches(['.', ' '])
}

pub(crate) fn applications(args: &Applications) -> Result<ExitCode> {
    let catalog = Catalog::builtin();
    let mut text = String::new();
    let mut apps: Vec<_> = catalog.apps().collect();
    apps.sort_by_key(|app| (app.category, app.name));
    for app in &apps {
        if args.name.as_deref().is_none_or(|name| name == app.name || name == app.category) {
            let _ = writeln!(text, "{:<28} {:<22} {}", app.name, app.category, app.title);
        }
    }
    match &args.name {
        Some(name) if text.is_empty() => {
            let names = apps.iter().flat_map(|a| [a.name, a.category]);
            bail!("there is no application or category {name:?}{}", nearest_of(name, names))
        }
        _ => print(text.as_bytes()),
    }
}
