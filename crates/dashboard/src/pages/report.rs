//! The page of a report: its chart, its table, its search.

use hyper::{Response, StatusCode};
use maud::{Markup, html};

use super::{Context, about, address, layout, table};
use crate::api;
use crate::chart::{COLOURS, Series, figure, time_chart};
use crate::data::{self, Steps};
use crate::report::{Kind, Order, Report, Scope};
use crate::response::Body;
use crate::text::cell;

/// Rows of a page.
const ROWS: usize = 25;

pub(super) async fn page(context: Context<'_>, report: &'static Report) -> Response<Body> {
    let scope = context.asked.scope();
    let order = Order { rows: ROWS, ..api::order(context.asked, report, ROWS, ROWS) };
    let title = context.t(layout::menu_key(report.name));
    let path = format!("/{}", report.name);
    let frame = layout::Page { script: Some("charts.js"), ..layout::Page::of(title, &path, &scope) };
    let found = match data::rows(context.app, report, &scope, order).await {
        Ok(found) => found,
        Err(failed) => {
            let (status, _) = api::kind(&failed);
            return super::page(status, context, &frame, &super::trouble(context, &failed));
        }
    };
    let names = data::names(report, &found.rows);
    let steps = data::steps(context.app, report, &scope, names).await;
    let with_lines = report.series == 0 && !report.group.is_empty();
    let body = html! {
        @for warning in &found.warnings { p.warning role="status" { (crate::text::visible(warning)) } }
        @match &steps {
            Ok(steps) => (chart(context, report, &scope, steps, order)),
            Err(failed) => (super::trouble(context, failed)),
        }
        section.card {
            div.tools {
                (search(context, &path, &scope))
                div.spacer {}
                a.button.small href=(csv(report, &scope, context)) download { "CSV" }
            }
            @if found.rows.is_empty() { (super::nothing(context)) }
            @else {
                @let options = table::Options {
                    order: Some((order, &path)),
                    steps: steps.as_ref().ok().filter(|_| with_lines),
                    brief: false,
                };
                (table::table(context, report, &scope, &found.rows, &options))
                (pager(context, report, &path, &scope, order, found.has_more))
            }
        }
    };
    super::page(StatusCode::OK, context, &frame, &body)
}

/// A report over time: of the rows in this order, which its CSV asks for too, so that both have the same lines.
pub(super) fn chart(
    context: Context<'_>,
    report: &Report,
    scope: &Scope,
    steps: &Steps,
    order: Order,
) -> Markup {
    let link = report.columns.get(report.series).and_then(|column| column.link);
    let mut series: Vec<Series> = steps
        .named
        .iter()
        .take(COLOURS)
        .map(|(name, values)| Series {
            name: cell(name),
            href: link.map(|subject| about(subject, name, scope)),
            is_rest: false,
            values: values.clone(),
        })
        .collect();
    let rest = steps.beyond();
    if rest.iter().any(|value| *value > 0.0) {
        let name = if series.is_empty() { "all" } else { "other" };
        series.push(Series { name: context.t(name).to_owned(), href: None, is_rest: true, values: rest });
    }
    let is_empty = series.iter().all(|one| one.values.iter().all(|value| *value == 0.0));
    if is_empty {
        return html! {};
    }
    let text = |value: f64| match report.measure.1 {
        Kind::Bytes => context.locale.bytes(value),
        _ => context.locale.count(value as i128),
    };
    let (picture, legend, values) = time_chart(context.locale, &scope.range, &series, text);
    let title = context.t(if report.measure.1 == Kind::Bytes { "chart-bytes" } else { "chart-count" });
    let search = scope.search.as_deref().unwrap_or_default();
    let sort = report.columns.get(order.column).map_or("", |column| column.key);
    let direction = if order.ascending { "asc" } else { "" };
    let (offset, rows) = (order.offset.to_string(), order.rows.to_string());
    let csv = address(
        &format!("/api/v1/{}/series", report.name),
        scope,
        &[
            ("search", search),
            ("sort", sort),
            ("direction", direction),
            ("offset", &offset),
            ("rows", &rows),
            ("format", "csv"),
        ],
    );
    let words = [context.t("png"), context.t("as-table")];
    figure(title, &format!("chart-{}", report.name), &picture, &legend, &values, &[("CSV", &csv)], words)
}

fn csv(report: &Report, scope: &Scope, context: Context<'_>) -> String {
    let get = |name| context.asked.get(name).unwrap_or_default();
    let more = [
        ("search", get("search")),
        ("sort", get("sort")),
        ("direction", get("direction")),
        ("format", "csv"),
    ];
    address(&format!("/api/v1/{}", report.name), scope, &more)
}

fn search(context: Context<'_>, path: &str, scope: &Scope) -> Markup {
    html! {
        form.search role="search" method="get" action=(path) {
            @if let Some(name) = scope.range.preset { input type="hidden" name="range" value=(name); }
            @else {
                input type="hidden" name="from" value=(crate::range::rfc3339(scope.range.since_ns));
                input type="hidden" name="to" value=(crate::range::rfc3339(scope.range.until_ns));
            }
            @for (subject, value) in &scope.filters { input type="hidden" name=(subject.name()) value=(value); }
            input type="search" name="search" value=[scope.search.as_deref()] placeholder=(context.t("search")) aria-label=(context.t("search")) data-search;
            button type="submit" { (context.t("search-go")) }
        }
    }
}

fn pager(
    context: Context<'_>,
    report: &Report,
    path: &str,
    scope: &Scope,
    order: Order,
    has_more: bool,
) -> Markup {
    let column = report.columns.get(order.column).map_or("", |column| column.key);
    let at = |offset: usize| {
        let offset = if offset == 0 { String::new() } else { offset.to_string() };
        let direction = if order.ascending { "asc" } else { "" };
        let search = scope.search.as_deref().unwrap_or_default();
        address(
            path,
            scope,
            &[("search", search), ("sort", column), ("direction", direction), ("offset", &offset)],
        )
    };
    html! {
        @if order.offset > 0 || has_more {
            nav.pager aria-label=(context.t("pages")) {
                @if order.offset > 0 { a.button href=(at(order.offset.saturating_sub(order.rows))) rel="prev" { "← " (context.t("previous")) } }
                span { (context.locale.count(order.offset as i128 + 1)) " –" }
                @if has_more { a.button href=(at(order.offset + order.rows)) rel="next" { (context.t("next")) " →" } }
            }
        }
    }
}
