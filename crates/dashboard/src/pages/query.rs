//! Questions in SQL. The question is in the address, so that it can be sent to a colleague; it is asked when the reader comes from
//! here, so that nobody else's page can make a browser ask.

use hyper::{Response, StatusCode};
use maud::{Markup, html};
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::{Context, layout};
use crate::api;
use crate::ask::{Answer, AskError};
use crate::data;
use crate::response::Body;
use crate::text::{cell, visible};

/// Rows that are shown; CSV has more.
const ROWS: usize = 500;
const EXAMPLE: &str = "SELECT application, count(*) AS flows, sum(src_bytes + dst_bytes) AS bytes\nFROM flows\n\
    GROUP BY application\nORDER BY bytes DESC\nLIMIT 20";

pub(super) async fn page(context: Context<'_>) -> Response<Body> {
    let title = context.t("page-query");
    let frame = layout::Page { current: "query", ..layout::Page::plain(title) };
    let asked = context.asked;
    let sql = asked.get("q");
    let found = match sql {
        Some(sql) if !asked.is_foreign() => {
            Some(data::query(context.app, sql, api::parameters(asked), ROWS).await)
        }
        _ => None,
    };
    let status = match &found {
        Some(Err(failed)) => api::kind(failed).0,
        _ => StatusCode::OK,
    };
    let body = html! {
        form.card.query method="get" action="/query" {
            label for="sql" { (context.t("query-sql")) }
            textarea id="sql" name="q" rows="7" spellcheck="false" autocapitalize="off" autocomplete="off" data-search { (sql.unwrap_or(EXAMPLE)) }
            @for (name, value) in api::parameters(asked) {
                label { "$" bdi { (visible(&name)) } input name={ "p." (name) } value=(value); }
            }
            div.tools {
                button.primary type="submit" { (context.t("query-ask")) }
                span.hint { (context.t("query-hint")) }
            }
        }
        @if sql.is_some() && found.is_none() { p.card.note role="status" { (context.t("query-foreign")) } }
        @if let Some(found) = &found { (result(context, found)) }
        (ready(context))
    };
    super::page(status, context, &frame, &body)
}

fn result(context: Context<'_>, found: &Result<Answer, AskError>) -> Markup {
    let answer = match found {
        Ok(answer) => answer,
        Err(failed) => return super::trouble(context, failed),
    };
    let mut query = Serializer::new(String::new());
    query.append_pair("format", "csv");
    for (name, value) in context.asked.query.iter().filter(|(name, _)| *name == "q" || name.starts_with("p."))
    {
        query.append_pair(name, value);
    }
    let csv = query.finish();
    let rows = context.locale.count(answer.rows.len() as i128);
    html! {
        section.card {
            div.tools {
                p role="status" {
                    (context.locale.with("query-rows", &[("count", &rows)]))
                    @if answer.truncated { " · " (context.t("query-cut")) }
                }
                div.spacer {}
                a.button.small href={ "/api/v1/query?" (csv) } download { "CSV" }
            }
            @for warning in &answer.warnings { p.warning { (visible(warning)) } }
            @if answer.rows.is_empty() { p.none { (context.t("none-found")) } }
            @else {
                div.scroll tabindex="0" role="region" aria-label=(context.t("query-result")) {
                    table.report.answer {
                        thead { tr { @for column in &answer.columns { th scope="col" { bdi { (visible(column)) } } } } }
                        tbody { @for row in &answer.rows { tr { @for value in row { (shown(context, value)) } } } }
                    }
                }
            }
        }
    }
}

fn shown(context: Context<'_>, value: &Value) -> Markup {
    match value {
        Value::Null => html! { td.none { "–" } },
        Value::Number(number) => match number.as_i64() {
            Some(whole) => html! { td.number { (context.locale.count(whole.into())) } },
            None => html! { td.number { (number) } },
        },
        Value::String(text) => html! { td { bdi title=(visible(text)) { (cell(text)) } } },
        other => html! { td { bdi { (cell(&other.to_string())) } } },
    }
}

fn ready(context: Context<'_>) -> Markup {
    let all = context.app.ready();
    html! {
        @if !all.is_empty() {
            section.card {
                h2 { (context.t("query-ready")) }
                ul.ready {
                    @for question in &all {
                        @let mut query = Serializer::new(String::new());
                        @let _ = query.append_pair("q", question.sql.trim());
                        @let _ = question.parameters.iter().fold(&mut query, |query, one| query.append_pair(&format!("p.{}", one.name), one.default.as_deref().unwrap_or_default()));
                        @let query = query.finish();
                        li { a href={ "/query?" (query) } { (question.name) } " " span lang="en" { (question.help) } }
                    }
                }
            }
        }
    }
}
