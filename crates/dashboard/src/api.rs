//! The JSON interface: the same reports as the pages, for programs. Every route is in the [OpenAPI document](crate::openapi).

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::app::{App, Visit};
use crate::ask::AskError;
use crate::range::rfc3339;
use crate::report::{Order, Report, Scope, flow, report, totals};
use crate::request::Asked;
use crate::response::{self, Body, CSV, JSON};
use crate::{csv, data, live, openapi, text};

/// Rows that one request gets at most.
pub(crate) const ROWS_MAX: usize = 10_000;
const ROWS: usize = 100;

/// An answer in JSON.
fn document(value: &impl Serialize) -> Response<Body> {
    response::answer(StatusCode::OK, JSON, text::json(value))
}

/// Why there is none.
pub(crate) fn error(status: StatusCode, error: &str, message: &str) -> Response<Body> {
    let body = text::json(&json!({ "error": error, "message": message }));
    response::answer(status, JSON, body)
}

/// The status and the short name of what went wrong with a question.
pub(crate) fn kind(failed: &AskError) -> (StatusCode, &'static str) {
    match failed {
        AskError::Question(_) => (StatusCode::BAD_REQUEST, "question"),
        AskError::Slow(_) => (StatusCode::GATEWAY_TIMEOUT, "slow"),
        AskError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
        AskError::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "store"),
    }
}

fn refused(failed: &AskError) -> Response<Body> {
    let (status, name) = kind(failed);
    error(status, name, &failed.to_string())
}

/// Answers what is under `/api/v1`.
pub(crate) async fn answer(app: &Arc<App>, asked: &Asked, visit: &Visit, path: &[&str]) -> Response<Body> {
    let result = match path {
        ["openapi.json"] => Ok(document(&openapi::document())),
        ["status"] => Ok(status(app)),
        ["now"] => Ok(now(app).await),
        ["live"] => Ok(events(app, visit)),
        ["totals"] => of_totals(app, asked).await,
        ["networks"] => networks(app, asked).await,
        ["questions"] => Ok(document(&json!({ "questions": app.ready() }))),
        ["query"] => query(app, asked).await,
        ["flow"] => one_flow(app, asked).await,
        [name] if let Some(report) = report(name) => rows(app, asked, report).await,
        [name, "series"] if let Some(report) = report(name) => series(app, asked, report).await,
        _ => Ok(error(StatusCode::NOT_FOUND, "path", "there is no such route; see /api/v1/openapi.json")),
    };
    result.unwrap_or_else(|failed| refused(&failed))
}

fn status(app: &App) -> Response<Body> {
    document(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "live": app.live.is_some(),
        "store": app.has_store(),
        "networks": app.networks.is_some(),
        "viewers": app.live.as_ref().map_or(0, live::Live::viewers),
    }))
}

fn no_live() -> Response<Body> {
    error(
        StatusCode::NOT_FOUND,
        "live",
        "no interface is watched; start the dashboard with --live and its name",
    )
}

async fn now(app: &App) -> Response<Body> {
    let Some(live) = &app.live else { return no_live() };
    match live.now().await {
        Some(now) => document(&*now),
        None => error(StatusCode::SERVICE_UNAVAILABLE, "live", "the board can't be read"),
    }
}

fn events(app: &Arc<App>, visit: &Visit) -> Response<Body> {
    let Some(live) = &app.live else { return no_live() };
    if live.viewers() >= live::VIEWERS_MAX {
        return error(StatusCode::SERVICE_UNAVAILABLE, "viewers", "too many look already; close some pages");
    }
    response::events(live.events(app.watchdog(visit.secret.clone())))
}

/// A page's part of an answer about records.
fn about(scope: &Scope) -> Map<String, Value> {
    let mut about = Map::new();
    about.insert("from".to_owned(), rfc3339(scope.range.since_ns).into());
    about.insert("to".to_owned(), rfc3339(scope.range.until_ns).into());
    about
}

/// How many rows, from where on, and by what they are sorted.
pub(crate) fn order(asked: &Asked, report: &Report, rows: usize, rows_max: usize) -> Order {
    let number = |name| asked.get(name).and_then(|value| value.parse::<usize>().ok());
    let mut order = report.order(number("rows").unwrap_or(rows).clamp(1, rows_max));
    order.offset = number("offset").unwrap_or_default().min(10_000_000);
    if let Some(column) = asked.get("sort").and_then(|key| report.position(key)) {
        order.column = column;
    }
    order.ascending = asked.get("direction") == Some("asc");
    order
}

fn wants_csv(asked: &Asked) -> bool {
    asked.get("format") == Some("csv")
}

fn file(name: &str, body: String) -> Response<Body> {
    response::as_file(response::answer(StatusCode::OK, CSV, body), &format!("daylight-{name}.csv"))
}

async fn rows(app: &App, asked: &Asked, report: &'static Report) -> Result<Response<Body>, AskError> {
    let scope = asked.scope();
    let default = if wants_csv(asked) { ROWS_MAX } else { ROWS };
    let found = data::rows(app, report, &scope, order(asked, report, default, ROWS_MAX)).await?;
    let keys: Vec<&str> = report.columns.iter().map(|column| column.key).collect();
    if wants_csv(asked) {
        return Ok(file(report.name, csv::write(&keys, found.rows.into_iter())));
    }
    let named = |row: Vec<Value>| {
        Value::Object(keys.iter().map(|key| (*key).to_owned()).zip(row).collect::<Map<_, _>>())
    };
    let mut body = about(&scope);
    body.insert("rows".to_owned(), found.rows.into_iter().map(named).collect());
    body.insert("more".to_owned(), found.has_more.into());
    body.insert("warnings".to_owned(), found.warnings.into());
    Ok(document(&body))
}

async fn series(app: &App, asked: &Asked, report: &'static Report) -> Result<Response<Body>, AskError> {
    let scope = asked.scope();
    let order = order(asked, report, 6, 100);
    let found = data::rows(app, report, &scope, order).await?;
    let names = data::names(report, &found.rows);
    let steps = data::steps(app, report, &scope, names).await?;
    let (first, _) = scope.range.steps();
    let step_s = scope.range.step_s();
    let time = |i: usize| rfc3339((first + i as i64).saturating_mul(step_s * 1_000_000_000));
    if wants_csv(asked) {
        let mut columns = vec!["time"];
        columns.extend(steps.named.iter().map(|(name, _)| name.as_str()));
        columns.push("other");
        let row = |i: usize| {
            let mut row = vec![Value::from(time(i))];
            let values = steps.named.iter().map(|(_, values)| values).chain([&steps.rest]);
            row.extend(values.map(|values| whole(values.get(i).copied().unwrap_or_default())));
            row
        };
        let body = csv::write(&columns, (0..steps.rest.len()).map(row));
        return Ok(file(&format!("{}-over-time", report.name), body));
    }
    let line = |name: Option<&str>, values: &[f64]| json!({ "name": name, "values": values.iter().map(|value| whole(*value)).collect::<Vec<_>>() });
    let mut lines: Vec<Value> = steps.named.iter().map(|(name, values)| line(Some(name), values)).collect();
    lines.push(line(None, &steps.rest));
    let mut body = about(&scope);
    body.insert("step_s".to_owned(), step_s.into());
    body.insert("times".to_owned(), (0..steps.rest.len()).map(time).collect());
    body.insert("series".to_owned(), lines.into());
    Ok(document(&body))
}

/// A whole number as one: sums of bytes are.
fn whole(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { Value::from(value as i64) } else { Value::from(value) }
}

async fn of_totals(app: &App, asked: &Asked) -> Result<Response<Body>, AskError> {
    let scope = asked.scope();
    let answer = app.ask(totals(&scope)).await?;
    let mut body = about(&scope);
    let row = answer.rows.into_iter().next().unwrap_or_default();
    body.extend(answer.columns.into_iter().zip(row));
    Ok(document(&body))
}

async fn networks(app: &App, asked: &Asked) -> Result<Response<Body>, AskError> {
    let scope = asked.scope();
    let (rows, has_more) = data::networks(app, &scope).await?;
    if wants_csv(asked) {
        let columns = ["network", "organisation", "country", "servers", "flows", "bytes", "largest"];
        let cells = |row: crate::networks::NetworkRow| {
            vec![
                row.network.network.into(),
                row.network.organisation.into(),
                row.network.country.into(),
                row.servers.into(),
                row.flows.into(),
                row.bytes.into(),
                row.largest.into(),
            ]
        };
        return Ok(file("networks", csv::write(&columns, rows.into_iter().map(cells))));
    }
    let mut body = about(&scope);
    body.insert("by_file".to_owned(), app.networks.is_some().into());
    body.insert("rows".to_owned(), json!(rows));
    body.insert("more".to_owned(), has_more.into());
    Ok(document(&body))
}

/// Values for a question's `$name`s: `p.name=value`.
pub(crate) fn parameters(asked: &Asked) -> BTreeMap<String, String> {
    let named = |(key, value): (&String, &String)| Some((key.strip_prefix("p.")?.to_owned(), value.clone()));
    asked.query.iter().filter_map(named).collect()
}

async fn query(app: &App, asked: &Asked) -> Result<Response<Body>, AskError> {
    // A page elsewhere must not make a reader's browser ask large questions.
    if asked.is_foreign() {
        return Ok(error(StatusCode::FORBIDDEN, "foreign", "another site's page asks; ask from here"));
    }
    let Some(sql) = asked.get("q") else {
        return Ok(error(StatusCode::BAD_REQUEST, "question", "give the SQL as q"));
    };
    let rows = asked.get("rows").and_then(|rows| rows.parse().ok()).unwrap_or(ROWS).clamp(1, ROWS_MAX);
    let rows = if wants_csv(asked) { ROWS_MAX } else { rows };
    let answer = data::query(app, sql, parameters(asked), rows).await?;
    if wants_csv(asked) {
        let columns: Vec<&str> = answer.columns.iter().map(String::as_str).collect();
        return Ok(file("query", csv::write(&columns, answer.rows.into_iter())));
    }
    Ok(document(&answer))
}

async fn one_flow(app: &App, asked: &Asked) -> Result<Response<Body>, AskError> {
    let Some(id) = asked.get("id") else {
        return Ok(error(StatusCode::BAD_REQUEST, "id", "give the flow's name as id"));
    };
    let live = match &app.live {
        Some(live) => live.flow(id.to_owned()).await,
        None => None,
    };
    let records = match app.has_store() {
        true => app.ask(flow(id)).await?,
        false => crate::ask::Answer::default(),
    };
    if live.is_none() && records.rows.is_empty() {
        return Ok(error(StatusCode::NOT_FOUND, "flow", "no flow goes by that name"));
    }
    let columns = records.columns;
    let named = |row: Vec<Value>| {
        let pairs = columns.iter().cloned().zip(row).filter(|(_, value)| !value.is_null());
        Value::Object(pairs.collect())
    };
    let records: Vec<Value> = records.rows.into_iter().map(named).collect();
    Ok(document(&json!({ "records": records, "live": live })))
}
