//! The page about one thing — a host, a client, an application — or, without one, about everything.

use futures_util::future::join_all;
use hyper::{Response, StatusCode};
use maud::{Markup, html};
use serde_json::Value;

use super::{Context, address, layout, table};
use crate::api;
use crate::data;
use crate::report::{Report, Scope, Subject, report, totals};
use crate::response::Body;
use crate::text::visible;

/// Rows of each table.
const ROWS: usize = 8;

/// Which tables say something of it.
fn tables(subject: Option<Subject>) -> &'static [&'static str] {
    match subject {
        None => &["applications", "hosts", "clients", "risks"],
        Some(Subject::Host | Subject::Server) => {
            &["clients", "protocols", "applications", "findings", "flows"]
        }
        Some(Subject::Client) => &["hosts", "applications", "protocols", "findings", "flows"],
        Some(Subject::Application | Subject::Category) => {
            &["hosts", "clients", "protocols", "findings", "flows"]
        }
        Some(Subject::Protocol) => &["hosts", "clients", "applications", "findings", "flows"],
        Some(Subject::Risk | Subject::Severity) => &["findings", "hosts", "clients", "protocols"],
        Some(Subject::Fingerprint) => &["clients", "hosts", "applications", "flows"],
    }
}

pub(super) async fn page(context: Context<'_>, subject: Option<Subject>) -> Response<Body> {
    let scope = context.asked.scope();
    let value = subject.map(|subject| scope.filters.get(&subject));
    if value == Some(None) {
        return super::missing(context);
    }
    let name = value.flatten().map(|value| visible(value));
    let path = subject.map_or_else(|| "/overview".to_owned(), |subject| format!("/{}", subject.name()));
    let title = name.as_deref().unwrap_or_else(|| context.t("page-overview"));
    let over = subject.map(|subject| context.locale.get(message(subject)));
    let frame = layout::Page { over, script: Some("charts.js"), ..layout::Page::of(title, &path, &scope) };
    let sums = match context.app.ask(totals(&scope)).await {
        Ok(sums) => sums,
        Err(failed) => {
            let (status, _) = api::kind(&failed);
            return super::page(status, context, &frame, &super::trouble(context, &failed));
        }
    };
    let row = sums.rows.into_iter().next().unwrap_or_default();
    let flows = row.first().and_then(Value::as_i64).unwrap_or_default();
    let body = html! {
        @for warning in &sums.warnings { p.warning role="status" { (visible(warning)) } }
        (numbers(context, &row))
        @if let (Some(Subject::Risk), Some(risk)) = (subject, scope.filters.get(&Subject::Risk)) { (explained(risk)) }
        @if flows == 0 { div.card { (super::nothing(context)) } }
        @else {
            (over_time(context, subject, &scope).await)
            div.grid {
                @let found = join_all(tables(subject).iter().filter_map(|name| report(name)).map(|report| small(context, report, &scope)));
                @for markup in found.await { (markup) }
            }
        }
    };
    super::page(StatusCode::OK, context, &frame, &body)
}

fn message(subject: Subject) -> &'static str {
    table::message(subject.name())
}

/// The sums.
fn numbers(context: Context<'_>, row: &[Value]) -> Markup {
    let number = |at: usize| row.get(at).and_then(Value::as_f64).unwrap_or_default();
    let count = |at: usize| context.locale.count(number(at) as i128);
    let time = |at: usize| row.get(at).and_then(Value::as_str);
    let cells = [
        ("column-flows", count(0)),
        ("column-clients", count(1)),
        ("column-servers", count(2)),
        ("column-up", context.locale.bytes(number(3))),
        ("column-down", context.locale.bytes(number(4))),
        ("column-risky-flows", count(5)),
    ];
    html! {
        dl.numbers {
            @for (key, text) in &cells { div { dt { (context.locale.get(key)) } dd { (text) } } }
            @for (key, at) in [("column-first", 6), ("column-last", 7)] {
                @if let Some(text) = time(at) {
                    div.time { dt { (context.locale.get(key)) } dd { (table::time(context, text)) } }
                }
            }
        }
    }
}

/// What a risk means, in the words of its declaration.
fn explained(name: &str) -> Markup {
    let risk = daylight_inspect::risks::all().into_iter().find(|risk| risk.name == name);
    html! { @if let Some(risk) = risk { p.card.note lang="en" { (risk.help) } } }
}

/// By what is most telling of it.
async fn over_time(context: Context<'_>, subject: Option<Subject>, scope: &Scope) -> Markup {
    let by = match subject {
        Some(Subject::Application | Subject::Category | Subject::Fingerprint) => "hosts",
        Some(Subject::Host | Subject::Server | Subject::Protocol) => "clients",
        Some(Subject::Risk | Subject::Severity) => "findings",
        None | Some(Subject::Client) => "applications",
    };
    let Some(report) = report(by) else { return html! {} };
    let order = report.order(crate::chart::COLOURS);
    let steps = async {
        let found = data::rows(context.app, report, scope, order).await?;
        data::steps(context.app, report, scope, data::names(report, &found.rows)).await
    };
    match steps.await {
        Ok(steps) => super::report::chart(context, report, scope, &steps, order),
        Err(failed) => super::trouble(context, &failed),
    }
}

async fn small(context: Context<'_>, report: &'static Report, scope: &Scope) -> Markup {
    let found = data::rows(context.app, report, scope, report.order(ROWS)).await;
    let href = address(&format!("/{}", report.name), scope, &[]);
    html! {
        section.card.small-table.span[report.group.is_empty()] {
            h2 { a href=(href) { (context.t(layout::menu_key(report.name))) } }
            @match &found {
                Ok(found) if found.rows.is_empty() => { p.none { (context.t("none-found")) } }
                Ok(found) => {
                    @let options = table::Options { order: None, steps: None, brief: true };
                    (table::table(context, report, scope, &found.rows, &options))
                }
                Err(failed) => (super::trouble(context, failed)),
            }
        }
    }
}
