//! One flow: all that is known of it.

use hyper::{Response, StatusCode};
use maud::{Markup, html};
use serde_json::Value;

use super::{Context, layout, table};
use crate::ask::Answer;
use crate::report::{Kind, Scope, Subject, flow};
use crate::response::Body;
use crate::text::visible;

pub(super) async fn page(context: Context<'_>) -> Response<Body> {
    let id = context.asked.get("id").unwrap_or_default();
    let scope = context.asked.scope();
    let live = match &context.app.live {
        Some(live) if !id.is_empty() => live.flow(id.to_owned()).await,
        _ => None,
    };
    let records = match context.app.has_store() && !id.is_empty() {
        true => context.app.ask(flow(id)).await,
        false => Ok(Answer::default()),
    };
    let title = visible(id);
    let frame = layout::Page { over: Some(context.t("column-flow")), ..layout::Page::plain(&title) };
    let records = match records {
        Ok(records) => records,
        Err(failed) if live.is_none() => {
            let (status, _) = crate::api::kind(&failed);
            return super::page(status, context, &frame, &super::trouble(context, &failed));
        }
        Err(_) => Answer::default(),
    };
    let is_missing = records.rows.is_empty() && live.is_none();
    let status = if is_missing { StatusCode::NOT_FOUND } else { StatusCode::OK };
    let body = html! {
        @if is_missing { div.card.empty { h2 { (context.t("flow-missing")) } p { (context.t("flow-missing-text")) } } }
        @for row in &records.rows { (record(context, &scope, &records.columns, row)) }
        @if let Some(live) = &live && records.rows.is_empty() {
            section.card {
                h2 { (context.t(if live.row.is_open { "flow-open" } else { "flow-ended" })) }
                @for risk in &live.risks { (risk_line(context, risk.name, risk.severity, risk.side, &risk.evidence)) }
                dl.fields {
                    @for field in &live.fields {
                        div { dt title=(field.help) { (field.name) } dd { bdi { (visible(&field.values.join(", "))) } } }
                    }
                }
            }
        }
    };
    super::page(status, context, &frame, &body)
}

/// What a record's columns are grouped by, as headings, and what tells them apart.
fn group(name: &str) -> &'static str {
    match name {
        "uid" | "record_id" | "community_id" | "capture" | "sensor" | "address_key" | "day" | "hour" => {
            "fields-identity"
        }
        "start" | "end" | "duration_s" => "fields-time",
        _ if name.contains("packets")
            || name.contains("bytes")
            || name.contains("size")
            || name.contains("gap") =>
        {
            "fields-amount"
        }
        "state" | "end_reason" | "history" | "retransmitted" | "out_of_order" | "first_payload_entropy" => {
            "fields-amount"
        }
        "transport" | "ip_protocol" | "src_ip" | "src_port" | "dst_ip" | "dst_port" | "vlan" | "tunnel" => {
            "fields-ends"
        }
        _ => "fields-content",
    }
}

fn record(context: Context<'_>, scope: &Scope, columns: &[String], row: &[Value]) -> Markup {
    let fields: Vec<(&str, &Value)> = columns
        .iter()
        .map(String::as_str)
        .zip(row)
        .filter(|(name, value)| !value.is_null() && *name != "risks" && *value != &Value::Array(Vec::new()))
        .collect();
    let get = |wanted: &str| fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    let text = |wanted: &str| get(wanted).and_then(Value::as_str).unwrap_or("–");
    let risks = columns.iter().position(|name| name == "risks").and_then(|at| row.get(at));
    html! {
        section.card.ends {
            p.between {
                (link(context, scope, Subject::Client, text("src_ip")))
                span.port { ":" (get("src_port").map(Value::to_string).unwrap_or_default()) }
                span.arrow aria-label=(context.t("to")) { " → " }
                (link(context, scope, Subject::Server, text("dst_ip")))
                span.port { ":" (get("dst_port").map(Value::to_string).unwrap_or_default()) }
            }
            @if let Some(Value::String(host)) = get("hostname").or_else(|| get("resolved_name")) {
                p.host { (link(context, scope, Subject::Host, host)) }
            }
        }
        @if let Some(Value::Array(risks)) = risks && !risks.is_empty() {
            section.card { h2 { (context.t("page-risks")) }
                @for risk in risks {
                    @let of = |key: &str| risk.get(key).and_then(Value::as_str).unwrap_or_default();
                    (risk_line(context, of("name"), of("severity"), of("side"), of("evidence")))
                }
            }
        }
        div.grid {
            @for heading in ["fields-content", "fields-ends", "fields-time", "fields-amount", "fields-identity"] {
                section.card {
                    h2 { (context.t(heading)) }
                    dl.fields {
                        @for (name, value) in fields.iter().filter(|(name, _)| group(name) == heading) {
                            div { dt title=(help(name)) { (name) } dd { (shown(context, scope, name, value)) } }
                        }
                    }
                }
            }
        }
    }
}

fn help(name: &str) -> &'static str {
    daylight_inspect::columns().iter().find(|column| column.name == name).map_or("", |column| column.help)
}

fn link(context: Context<'_>, scope: &Scope, subject: Subject, value: &str) -> Markup {
    let column = crate::report::Column {
        key: subject.name(),
        sql: "",
        kind: Kind::Text,
        link: Some(subject),
        wide: false,
    };
    table::shown(context, scope, &column, &Value::from(value))
}

fn shown(context: Context<'_>, scope: &Scope, name: &str, value: &Value) -> Markup {
    let subject = match name {
        "application" => Some(Subject::Application),
        "category" => Some(Subject::Category),
        "protocol" => Some(Subject::Protocol),
        "hostname" | "resolved_name" => Some(Subject::Host),
        "src_ip" => Some(Subject::Client),
        "dst_ip" => Some(Subject::Server),
        "ja4" | "ja3" => Some(Subject::Fingerprint),
        _ => None,
    };
    match (subject, value) {
        (Some(subject), Value::String(text)) => link(context, scope, subject, text),
        (None, Value::String(text)) if matches!(name, "start" | "end") => table::time(context, text),
        (None, Value::String(text)) if name == "risk_severity" => table::severity(context, text),
        (_, Value::String(text)) => html! { bdi { (visible(text)) } },
        (_, Value::Number(number)) if name.ends_with("bytes") => {
            let bytes = number.as_f64().unwrap_or_default();
            html! { data value=(number) title=(number) { (context.locale.bytes(bytes)) } }
        }
        (_, Value::Number(number)) if name == "duration_s" => {
            html! { (context.locale.seconds(number.as_f64().unwrap_or_default())) }
        }
        (_, Value::Array(values)) => {
            let texts: Vec<String> = values
                .iter()
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                .collect();
            html! { bdi { (visible(&texts.join(", "))) } }
        }
        (_, other) => html! { (visible(&other.to_string())) },
    }
}

fn risk_line(context: Context<'_>, name: &str, severity: &str, side: &str, evidence: &str) -> Markup {
    let known = daylight_inspect::risks::all().into_iter().find(|risk| risk.name == name);
    let query: String =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("risk", name).finish();
    html! {
        div.risk {
            p { (table::severity(context, severity)) " " a href={ "/risk?" (query) } { bdi { (visible(name)) } } " · " (visible(side)) }
            p.evidence { code { bdi { (visible(evidence)) } } }
            @if let Some(risk) = known { p.advice lang="en" { (risk.help) } }
        }
    }
}
