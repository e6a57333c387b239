//! Risks: how many flows have which, and the latest with their evidence.

use super::app::App;
use super::canvas::Canvas;
use super::table;
use super::theme::sign;
use crate::board::{Kind, RiskRow};
use crate::text::{fit_host, left, width as text_width, wrap};
use crate::units::clock;

pub(crate) fn draw(app: &mut App, canvas: &mut Canvas<'_>) {
    let theme = canvas.theme;
    let (width, height) = (canvas.width(), canvas.height());
    let snapshot = &app.snapshot;
    let tops = &snapshot.tops;
    let most = (height / 4).min(tops.risks.rows.len().max(1) + 1);
    let mut summary = canvas.part(1, 0, (width - 2).min(100), most);
    table::small(&mut summary, Kind::Risks, &tops.risks, tops.covered_s);
    canvas.put(8, 0, &format!("in the flows of the last {}", app.window.name()), theme.faint());

    let y = most + 1;
    canvas.put(1, y, "Found", theme.strong());
    let found = format!("{} since the start; the gravest first, then the latest", snapshot.risks_found);
    canvas.put(8, y, &found, theme.faint());
    // What the chosen one means, at the bottom.
    let help_height = if height >= 30 { 5 } else { 3 };
    let visible = height.saturating_sub(y + 1 + help_height + 1);
    let first = app.risks.show(visible, snapshot.risks.len());
    for (i, risk) in snapshot.risks.iter().enumerate().skip(first).take(visible) {
        let y = y + 1 + i - first;
        row(risk, y, i == app.risks.chosen, canvas);
    }
    if let Some(risk) = snapshot.risks.get(app.risks.chosen) {
        let evidence = format!("{} ({}, {}): {}", risk.name, risk.severity, side(risk.side), risk.evidence);
        let lines =
            wrap(&evidence, width - 2).into_iter().take(help_height - 2).chain(wrap(risk.help, width - 2));
        for (i, line) in lines.take(help_height).enumerate() {
            canvas.put(
                1,
                height - help_height + i,
                &line,
                if i == 0 { theme.strong() } else { theme.plain() },
            );
        }
    }
}

/// Who would have to mend it.
fn side(side: &str) -> &str {
    match side {
        "client" => "the client's to mend",
        "server" => "the server's to mend",
        _ => "for both to mend",
    }
}

fn row(risk: &RiskRow, y: usize, is_chosen: bool, canvas: &mut Canvas<'_>) {
    let theme = canvas.theme;
    let width = canvas.width();
    let style = theme.severity(Some(risk.severity));
    canvas.put(0, y, if is_chosen { "›" } else { " " }, theme.strong());
    let x = canvas.put(1, y, sign(Some(risk.severity)), style);
    let x = canvas.put(x, y, &left(risk.name, if width >= 110 { 28 } else { 24 }), style) + 1;
    let x = canvas.put(x, y, &clock(risk.time_ns), theme.faint()) + 2;
    // Evidence is beside it where there is room; the chosen one's is at the bottom in any case.
    let ends = match width {
        160.. => 80,
        110.. => 46,
        _ => width.saturating_sub(x + 1),
    };
    let server = risk.host.clone().unwrap_or_else(|| risk.dst_ip.to_string());
    let client = risk.src_ip.to_string();
    let half = (ends - 3) / 2;
    let client_width = text_width(&client).min(half).max(15);
    let server_width = ends - 3 - client_width;
    let ends =
        format!("{} > {}", left(&client, client_width), left(&fit_host(&server, server_width), server_width));
    let x = canvas.put(x, y, &ends, theme.plain()) + 2;
    if width >= 110 {
        canvas.put(x, y, &risk.evidence, theme.plain());
    }
    if is_chosen {
        canvas.restyle(y, theme.chosen());
    }
}
