//! Tables of reports.

use maud::{Markup, html};
use serde_json::Value;

use super::{Context, about, address};
use crate::chart::{bar, sparkline};
use crate::data::Steps;
use crate::range::{rfc3339, time_ns};
use crate::report::{Column, Kind, Order, Report, Scope};
use crate::request::VALUE_LEN_MAX;
use crate::text::{cell, visible};

/// What a table has beside its rows.
pub(super) struct Options<'a> {
    /// How rows are sorted, if that can be changed; with the page's path.
    pub(super) order: Option<(Order, &'a str)>,
    /// Lines of the rows, and what colours they have in the chart.
    pub(super) steps: Option<&'a Steps>,
    /// Columns for where there is little room are all.
    pub(super) brief: bool,
}

pub(super) fn table(
    context: Context<'_>,
    report: &Report,
    scope: &Scope,
    rows: &[Vec<Value>],
    options: &Options<'_>,
) -> Markup {
    let most = |at: usize| rows.iter().filter_map(|row| row.get(at)?.as_f64()).fold(0.0, f64::max);
    let shown: Vec<(usize, &Column, f64)> = report
        .columns
        .iter()
        .enumerate()
        .filter(|(_, column)| !(column.key == "gravity" || options.brief && column.wide))
        .map(|(at, column)| (at, column, if column.key == "bytes" { most(at) } else { 0.0 }))
        .collect();
    html! {
        div.scroll tabindex="0" role="region" aria-label=(context.t(super::layout::menu_key(report.name))) {
            table.report {
                thead { tr {
                    @for (at, column, _) in &shown { (heading(context, scope, *at, column, options)) }
                    @if options.steps.is_some() { th.trend.wide scope="col" { (context.t("column-trend")) } }
                } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (i, (at, column, most)) in shown.iter().enumerate() {
                                @let value = row.get(*at).unwrap_or(&Value::Null);
                                @if i == 0 { (first(context, scope, column, value, report, options)) }
                                @else { (other(context, scope, column, value, *most)) }
                            }
                            @if let Some(steps) = options.steps {
                                td.trend.wide {
                                    @if let Some(values) = row.get(report.series).and_then(Value::as_str).and_then(|name| steps.of(name)) {
                                        (sparkline(values))
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn heading(context: Context<'_>, scope: &Scope, at: usize, column: &Column, options: &Options<'_>) -> Markup {
    let title = context.locale.get(message(column.key));
    let class = classes(column);
    let Some((order, path)) = options.order else {
        return html! { th class=(class) scope="col" { (title) } };
    };
    let is_current = order.column == at;
    let direction = if is_current && !order.ascending { "asc" } else { "" };
    let search = scope.search.as_deref().unwrap_or_default();
    let href = address(path, scope, &[("search", search), ("sort", column.key), ("direction", direction)]);
    let sorted = is_current.then_some(if order.ascending { "ascending" } else { "descending" });
    html! { th class=(class) scope="col" aria-sort=[sorted] { a href=(href) { (title) } } }
}

/// The message of a column's heading.
pub(super) fn message(key: &str) -> &'static str {
    match key {
        "application" => "subject-application",
        "category" => "subject-category",
        "client" => "subject-client",
        "fingerprint" => "subject-fingerprint",
        "host" => "subject-host",
        "protocol" => "subject-protocol",
        "risk" => "subject-risk",
        "server" => "subject-server",
        "severity" => "subject-severity",
        "asked" => "column-asked",
        "bytes" => "column-bytes",
        "clients" => "column-clients",
        "down" => "column-down",
        "dst_port" => "column-port",
        "duration_s" => "column-duration",
        "evidence" => "column-evidence",
        "flows" => "column-flows",
        "found" => "column-found",
        "hosts" => "column-hosts",
        "last" => "column-last",
        "query_type" => "column-query-type",
        "rcode" => "column-rcode",
        "record_id" => "column-flow",
        "risky_flows" => "column-risky-flows",
        "servers" => "column-servers",
        "side" => "column-side",
        "start" => "column-start",
        "transport" => "column-transport",
        "up" => "column-up",
        "user_agent" => "column-user-agent",
        _ => "column-value",
    }
}

fn classes(column: &Column) -> &'static str {
    match (column.kind.is_number(), column.wide) {
        (true, true) => "number wide",
        (true, false) => "number",
        (false, true) => "wide",
        (false, false) => "",
    }
}

fn first(
    context: Context<'_>,
    scope: &Scope,
    column: &Column,
    value: &Value,
    report: &Report,
    options: &Options<'_>,
) -> Markup {
    let name = value.as_str();
    let place = options
        .steps
        .zip(name)
        .filter(|_| report.series == 0)
        .and_then(|(steps, name)| steps.named.iter().position(|(known, _)| known == name));
    html! {
        th scope="row" {
            @if let Some(place) = place {
                span class={ "swatch " (crate::chart::colour(place, false)) } {}
            }
            (shown(context, scope, column, value))
        }
    }
}

fn other(context: Context<'_>, scope: &Scope, column: &Column, value: &Value, most: f64) -> Markup {
    html! {
        td class=(classes(column)) {
            @if most > 0.0 { (bar(value.as_f64().unwrap_or_default() / most)) }
            (shown(context, scope, column, value))
        }
    }
}

/// A value, as people like to see it, and where it leads.
pub(super) fn shown(context: Context<'_>, scope: &Scope, column: &Column, value: &Value) -> Markup {
    let locale = context.locale;
    match (column.kind, value) {
        (_, Value::Null) => html! { span.none { "–" span.hidden { (locale.get("none")) } } },
        (Kind::Bytes, value) => {
            let bytes = value.as_f64().unwrap_or_default();
            html! { data value=(bytes) { (locale.bytes(bytes)) } }
        }
        (Kind::Count, value) => html! { (locale.count(value.as_i64().unwrap_or_default().into())) },
        (Kind::Port, value) => html! { (value.as_i64().unwrap_or_default()) },
        (Kind::Seconds, value) => html! { (locale.seconds(value.as_f64().unwrap_or_default())) },
        (Kind::Time, Value::String(text)) => time(context, text),
        (Kind::Severity, Value::String(name)) => severity(context, name),
        (Kind::Id, Value::String(id)) => {
            let bare = Scope { filters: Default::default(), search: None, ..scope.clone() };
            html! { a.id href=(address("/flow", &bare, &[("id", id)])) { (locale.get("open")) } }
        }
        // What is longer would not be read from an address.
        (_, Value::String(text)) => match column.link.filter(|_| text.len() <= VALUE_LEN_MAX) {
            Some(subject) => html! {
                a href=(about(subject, text, scope)) title=(visible(text)) { bdi { (breakable(text)) } }
            },
            None => html! { bdi title=(visible(text)) { (breakable(text)) } },
        },
        (_, other) => html! { bdi { (cell(&other.to_string())) } },
    }
}

/// A value that may go on in the next line after a dot or what else parts it; an address may not.
fn breakable(text: &str) -> Markup {
    let shown = cell(text);
    if text.parse::<std::net::Ipv4Addr>().is_ok() {
        return html! { span.whole { (shown) } };
    }
    html! { @for part in shown.split_inclusive(['.', '-', '_', '/', ':', '=', '@']) { (part) wbr; } }
}

pub(super) fn time(context: Context<'_>, text: &str) -> Markup {
    match time_ns(text) {
        Some(ns) => html! { time datetime=(rfc3339(ns)) { (context.locale.time(ns)) } },
        None => html! { (cell(text)) },
    }
}

pub(super) fn severity(context: Context<'_>, name: &str) -> Markup {
    let (class, key) = match name {
        "severe" => ("severe", "severity-severe"),
        "high" => ("high", "severity-high"),
        "medium" => ("medium", "severity-medium"),
        _ => ("low", "severity-low"),
    };
    html! { span class={ "severity " (class) } { (context.t(key)) } }
}
