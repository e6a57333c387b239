//! One flow: its risks with their evidence, and every field.

use ratatui::style::Style;

use super::app::App;
use super::canvas::Canvas;
use super::theme::{Theme, sign};
use crate::board::FlowDetail;
use crate::text::{clean, left, wrap};
use crate::units::{bits_per_s, bytes, duration_ns};

/// Columns of a field's name.
const NAMES: usize = 26;

pub(crate) fn draw(app: &mut App, canvas: &mut Canvas<'_>) {
    let theme = canvas.theme;
    let Some(detail) = &mut app.detail else { return };
    let Some(flow) = &detail.known else {
        canvas.put(1, 0, "this flow is no longer kept; Esc goes back", theme.faint());
        return;
    };
    let row = &flow.row;
    let ends = format!(
        "{} > {}",
        std::net::SocketAddr::new(row.src_ip, row.src_port),
        std::net::SocketAddr::new(row.dst_ip, row.dst_port)
    );
    canvas.put(1, 0, &ends, theme.strong());
    let state = match (detail.is_gone, row.is_open) {
        (true, _) => "no longer kept ",
        (_, true) => "● open ",
        (_, false) => "ended ",
    };
    canvas.put_right(0, state, if row.is_open { theme.good() } else { theme.faint() });
    let mut facts = format!(
        "{}{}   {} up, {} down   {}",
        row.protocol,
        row.application.map(|name| format!(" ({name})")).unwrap_or_default(),
        bytes(row.src_bytes),
        bytes(row.dst_bytes),
        duration_ns(row.end_ns.saturating_sub(row.start_ns)),
    );
    if row.bytes_per_s > 0 {
        facts += &format!("   {} now", bits_per_s(row.bytes_per_s.saturating_mul(8)));
    }
    if let Some(host) = &row.host {
        facts += &format!("   {}", clean(host));
    }
    canvas.put(1, 1, &facts, theme.plain());

    let lines = lines(flow, theme, canvas.width().saturating_sub(3));
    let visible = canvas.height().saturating_sub(3);
    (detail.lines, detail.visible) = (lines.len(), visible);
    detail.scroll = detail.scroll.min(lines.len().saturating_sub(visible));
    for (y, line) in lines.iter().skip(detail.scroll).take(visible).enumerate() {
        line.iter().fold(1, |x, (text, style)| canvas.put(x, y + 3, text, *style));
    }
    if lines.len() > visible {
        let last = (detail.scroll + visible).min(lines.len());
        canvas.put_right(
            2,
            &format!("lines {}–{last} of {} ", detail.scroll + 1, lines.len()),
            theme.faint(),
        );
    }
}

fn lines(flow: &FlowDetail, theme: Theme, width: usize) -> Vec<Vec<(String, Style)>> {
    let mut lines = Vec::new();
    for risk in &flow.risks {
        let style = theme.severity(Some(risk.severity));
        let title = format!("{}{} ({}, {})", sign(Some(risk.severity)), risk.name, risk.severity, risk.side);
        lines.push(vec![(title, style)]);
        lines.extend(
            wrap(&risk.evidence, width - 3)
                .into_iter()
                .map(|line| vec![(format!("   {line}"), theme.strong())]),
        );
        lines.extend(
            wrap(risk.help, width - 3).into_iter().map(|line| vec![(format!("   {line}"), theme.plain())]),
        );
        lines.push(Vec::new());
    }
    // What fields mean is said where there is room for it.
    let help = if width >= 150 { 66 } else { 0 };
    let values = width.saturating_sub(NAMES + help + if help > 0 { 2 } else { 0 });
    for field in &flow.fields {
        let text = field.values.join(", ");
        for (i, line) in wrap(&text, values).into_iter().enumerate() {
            let name = if i == 0 { field.name } else { "" };
            let mut parts = vec![(left(name, NAMES), theme.faint()), (left(&line, values), theme.plain())];
            if help > 0 && i == 0 {
                parts.push((format!("  {}", field.help), theme.faint()));
            }
            lines.push(parts);
        }
    }
    lines
}
