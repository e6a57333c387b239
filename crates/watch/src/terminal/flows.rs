//! Flows: filtered, sorted, and as many columns as there is room for.

use std::net::IpAddr;

use ratatui::style::Style;

use super::app::App;
use super::canvas::Canvas;
use super::edit::Editor;
use super::theme::{Theme, sign};
use crate::board::{FlowRow, Sort, Which};
use crate::text::{clean, fit, fit_host, left, right, width};
use crate::units::{bits_per_s, bytes, duration_ns, short};

/// Draws the view, and says where the cursor is while a filter is written.
pub(crate) fn draw(app: &mut App, canvas: &mut Canvas<'_>) -> Option<(u16, u16)> {
    let theme = canvas.theme;
    let (bar, cursor) = match &app.editor {
        Some(editor) => edit(editor, canvas),
        None => {
            state(app, canvas);
            (2, None)
        }
    };
    let columns = columns(canvas.width());
    let mut x = 3;
    for column in &columns {
        let is_sorted = column.sort == Some(app.sort);
        let arrow = if app.is_reversed { "▴" } else { "▾" };
        let title = format!("{}{}", column.title, if is_sorted { arrow } else { "" });
        let cell = if column.is_number { right(&title, column.width) } else { left(&title, column.width) };
        x = canvas.put(x, bar, &cell, theme.strong()) + 1;
    }
    let Some(page) = &app.snapshot.flows else { return cursor };
    let visible = canvas.height().saturating_sub(bar + 1);
    let first = app.flows.show(visible, page.rows.len());
    let now_ns = app.snapshot.now_ns.unwrap_or(0);
    for (i, flow) in page.rows.iter().enumerate().skip(first).take(visible) {
        let y = bar + 1 + i - first;
        let is_chosen = i == app.flows.chosen;
        canvas.put(0, y, if is_chosen { "›" } else { " " }, theme.strong());
        canvas.put(1, y, if flow.is_open { "●" } else { " " }, theme.good());
        let mut x = 3;
        for column in &columns {
            let (text, style) = (column.cell)(flow, now_ns, column.width, theme);
            let cell = if column.is_number { right(&text, column.width) } else { left(&text, column.width) };
            x = canvas.put(x, y, &cell, style) + 1;
        }
        if is_chosen {
            canvas.restyle(y, theme.chosen());
        }
    }
    if page.rows.is_empty() {
        let text = if page.of == 0 { "no flows yet" } else { "no flow meets the filter" };
        canvas.put(3, bar + 1, text, theme.faint());
    }
    cursor
}

/// The line above the table: which flows, how many, by which filter.
fn state(app: &App, canvas: &mut Canvas<'_>) {
    let theme = canvas.theme;
    let which = match app.which {
        Which::All => "flows",
        Which::Open => "open flows",
        Which::Ended => "ended flows",
    };
    let (matching, of, shown) =
        app.snapshot.flows.as_ref().map_or((0, 0, 0), |page| (page.matching, page.of, page.rows.len()));
    let mut count =
        if app.filter.is_some() { format!("{matching} of {of} {which}") } else { format!("{of} {which}") };
    if shown < matching {
        count += &format!(", the first {shown} shown");
    }
    let order = format!("by {}{} ", app.sort.name(), if app.is_reversed { ", reversed" } else { "" });
    canvas.put_right(0, &order, theme.faint());
    let x = canvas.put(1, 0, &count, theme.faint());
    if let Some(filter) = &app.filter {
        let room = canvas.width().saturating_sub(x + 3 + order.len() + 2);
        canvas.put(x + 3, 0, &fit(&format!("/ {}", filter.source()), room), theme.strong());
        let warning = filter.warnings().first();
        if let Some(warning) = warning {
            canvas.put(1, 1, &format!("* {warning}; {}", warning.advice()), theme.warn());
        }
    }
}

/// The filter while it is written, with what is wrong about it under the place. Says how many lines that takes.
fn edit(editor: &Editor, canvas: &mut Canvas<'_>) -> (usize, Option<(u16, u16)>) {
    const PROMPT: &str = "Filter: ";
    let theme = canvas.theme;
    let start = canvas.put(1, 0, PROMPT, theme.strong());
    let room = canvas.width().saturating_sub(start + 2);
    // What is typed may not fit: the part around the cursor is shown.
    let column = |at: usize| width(&clean(editor.text().get(..at).unwrap_or_default()));
    let cursor = column(editor.cursor());
    let hidden = cursor.saturating_sub(room.saturating_sub(1));
    let shown = skip_columns(&clean(editor.text()), hidden);
    canvas.put(start, 0, &fit(&shown, room), theme.plain());
    if let Some(error) = editor.error() {
        let at = column(error.span().start).saturating_sub(hidden).min(room);
        let to = column(error.span().end).saturating_sub(hidden).clamp(at + 1, room.max(at + 1));
        let carets = "^".repeat(to - at);
        let x = canvas.put(start + at, 1, &carets, theme.bad());
        let beside = error.beside();
        if x + 1 + width(&clean(beside)) < canvas.width() {
            canvas.put(x + 1, 1, beside, theme.bad());
        }
        let advice = error.advice().map(|advice| format!("; {advice}")).unwrap_or_default();
        canvas.put(1, 2, &format!("{error}{advice}"), theme.bad());
    } else {
        let examples =
            "such as: tls && dst_port != 443   src_ip in {10.0.0.0/8}   hostname contains \"example\"";
        canvas.put(start, 1, examples, theme.faint());
    }
    let at = (canvas.area.x + (start + cursor - hidden) as u16, canvas.area.y);
    (4, Some(at))
}

/// A text without its first columns.
fn skip_columns(text: &str, columns: usize) -> String {
    let mut skipped = 0;
    let keep = |c: &char| {
        let keep = skipped >= columns;
        skipped += width(c.encode_utf8(&mut [0; 4]));
        keep
    };
    text.chars().filter(keep).collect()
}

/// A column of the table.
struct Column {
    title: &'static str,
    width: usize,
    is_number: bool,
    sort: Option<Sort>,
    cell: fn(&FlowRow, i64, usize, Theme) -> (String, Style),
}

/// The columns for a screen's width. The two ends take what the others leave.
fn columns(width: usize) -> Vec<Column> {
    let column = |title, width, sort, cell| Column { title, width, is_number: false, sort, cell };
    let number = |title, width, sort, cell| Column { title, width, is_number: true, sort, cell };
    let mut columns = vec![
        column("proto", if width >= 110 { 14 } else { 9 }, Some(Sort::Protocol), |f, _, _, t| {
            (f.protocol.into(), t.plain())
        }),
        number("bytes", 7, Some(Sort::Bytes), |f, _, _, t| {
            (bytes(f.src_bytes.saturating_add(f.dst_bytes)), t.plain())
        }),
        number("last", 7, Some(Sort::Last), |f, now_ns, _, t| {
            (age(now_ns.saturating_sub(f.end_ns)), t.faint())
        }),
        column("", 2, Some(Sort::Risk), |f, _, _, t| (sign(f.severity).into(), t.severity(f.severity))),
    ];
    if width >= 96 {
        columns.insert(
            1,
            column("application", 14, Some(Sort::Application), |f, _, _, t| match f.application {
                Some(name) => (name.into(), t.plain()),
                None => ("–".into(), t.faint()),
            }),
        );
    }
    if width >= 116 {
        let at = columns.len() - 2;
        columns.insert(
            at,
            number("rate", 10, Some(Sort::Rate), |f, _, _, t| {
                let rate = if f.bytes_per_s > 0 {
                    bits_per_s(f.bytes_per_s.saturating_mul(8))
                } else {
                    "–".into()
                };
                (rate, t.plain())
            }),
        );
    }
    if width >= 132 {
        let at = columns.len() - 2;
        columns.insert(
            at,
            number("packets", 8, Some(Sort::Packets), |f, _, _, t| (short(f.packets), t.plain())),
        );
        columns.insert(
            at + 1,
            number("duration", 13, Some(Sort::Duration), |f, _, _, t| {
                (duration_ns(f.end_ns.saturating_sub(f.start_ns)), t.plain())
            }),
        );
    }
    if width >= 150 {
        columns.insert(0, column("over", 6, None, |f, _, _, t| (f.transport.into(), t.faint())));
        let at = columns.len() - 2;
        columns.insert(at, column("state", 6, None, |f, _, _, t| (f.state.into(), t.faint())));
    }
    if width >= 180 {
        columns.push(column("risks", 30, None, |f, _, _, t| (f.risks.join(" "), t.severity(f.severity))));
    }
    let taken: usize = columns.iter().map(|column| column.width + 1).sum();
    let ends = width.saturating_sub(3 + taken + 2);
    let client = (ends * 9 / 20).min(47);
    columns.insert(
        0,
        column("client", client, Some(Sort::Client), |f, _, columns, t| {
            (end(f, f.src_ip, f.src_port, columns), t.plain())
        }),
    );
    columns.insert(
        1,
        column("server", ends - client, Some(Sort::Server), |f, _, columns, t| {
            (server(f, columns), t.plain())
        }),
    );
    columns
}

/// An address with its port, as they are written: `10.0.0.1:443`, `[2001:db8::1]:443`. Where that doesn't fit, the port
/// does. What has no ports goes without.
fn end(flow: &FlowRow, ip: IpAddr, port: u16, columns: usize) -> String {
    if !has_ports(flow) {
        return ip.to_string();
    }
    let whole = std::net::SocketAddr::new(ip, port).to_string();
    match whole.rsplit_once(':') {
        Some((ip, port)) if whole.len() > columns => {
            let tail = if ip.ends_with(']') { format!("]:{port}") } else { format!(":{port}") };
            format!("{}{tail}", fit(ip.trim_end_matches(']'), columns.saturating_sub(tail.len())))
        }
        _ => whole,
    }
}

fn has_ports(flow: &FlowRow) -> bool {
    matches!(flow.transport, "tcp" | "udp" | "udp-lite" | "sctp")
}

/// The server's name with its port, or else its address.
fn server(flow: &FlowRow, columns: usize) -> String {
    let Some(host) = &flow.host else { return end(flow, flow.dst_ip, flow.dst_port, columns) };
    let port = format!(":{}", flow.dst_port);
    // Some protocols' names have it already.
    if !has_ports(flow) || host.ends_with(&port) {
        return fit_host(host, columns);
    }
    format!("{}{port}", fit_host(host, columns.saturating_sub(port.len())))
}

/// How long ago, in at most seven columns.
fn age(ns: i64) -> String {
    match ns / 1_000_000_000 {
        ..=0 => "now".into(),
        s @ 1..=99 => format!("{s} s"),
        s @ 100..=5999 => format!("{} min", s / 60),
        s => format!("{} h", s / 3600),
    }
}
