//! The OpenAPI 3.1 document, made from the reports. A test asks every route in it and holds the answers against it.

use serde_json::{Map, Value, json};

use crate::range::PRESETS;
use crate::report::{Kind, REPORTS, Report, Subject};

/// The document.
pub(crate) fn document() -> Value {
    let mut paths = Map::new();
    for report in &REPORTS {
        paths.insert(format!("/{}", report.name), table(report));
        paths.insert(format!("/{}/series", report.name), series(report));
    }
    for (path, operation) in others() {
        paths.insert(path.to_owned(), operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Daylight",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "What the network does and did",
            "description": "Everything here reads. With passwords, the session's cookie of the pages is wanted. Names of hosts and \
                other texts are as they came from the network: whoever shows them must make them harmless."
        },
        "servers": [{ "url": "/api/v1" }],
        "paths": paths,
        "components": { "schemas": schemas(), "securitySchemes": {
            "session": { "type": "apiKey", "in": "cookie", "name": "daylight-session" }
        } },
        "security": [{}, { "session": [] }]
    })
}

fn parameter(name: &str, description: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "query", "required": false, "description": description, "schema": schema })
}

/// The time and the filters.
fn scope() -> Vec<Value> {
    let presets: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
    let mut all = vec![
        parameter("range", "The last so much time; a day if nothing is said", &json!({ "enum": presets })),
        parameter(
            "from",
            "Flows that ended then or later, instead of range (RFC 3339)",
            &json!({ "type": "string" }),
        ),
        parameter(
            "to",
            "Flows that ended before then; now if nothing is said (RFC 3339)",
            &json!({ "type": "string" }),
        ),
        parameter("search", "A part of the name in the first column", &json!({ "type": "string" })),
    ];
    all.extend(Subject::ALL.map(|subject| {
        parameter(
            subject.name(),
            &format!("Only flows with this {}", subject.name()),
            &json!({ "type": "string" }),
        )
    }));
    all
}

fn paging(report: &Report) -> Vec<Value> {
    let keys: Vec<&str> = report.columns.iter().map(|column| column.key).collect();
    vec![
        parameter("sort", "The column that rows are sorted by", &json!({ "enum": keys })),
        parameter("direction", "The largest first, or the smallest", &json!({ "enum": ["asc", "desc"] })),
        parameter(
            "rows",
            "How many rows",
            &json!({ "type": "integer", "minimum": 1, "maximum": crate::api::ROWS_MAX }),
        ),
        parameter("offset", "How many rows are passed over", &json!({ "type": "integer", "minimum": 0 })),
        format(),
    ]
}

fn format() -> Value {
    parameter("format", "CSV instead of JSON", &json!({ "enum": ["json", "csv"] }))
}

fn operation(id: &str, summary: &str, parameters: &[Value], schema: &Value, is_csv: bool) -> Value {
    let mut content = json!({ "application/json": { "schema": schema } });
    if is_csv {
        content["text/csv"] = json!({ "schema": { "type": "string" } });
    }
    let error = |description: &str| json!({ "description": description, "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } } });
    json!({ "get": {
        "operationId": id,
        "summary": summary,
        "parameters": parameters,
        "responses": {
            "200": { "description": "The answer", "content": content },
            "400": error("The question is at fault"),
            "401": error("Nobody is logged in"),
            "404": error("There is no such thing"),
            "503": error("The store or the board can't answer now"),
            "504": error("It took too long")
        }
    } })
}

fn of_kind(kind: Kind) -> Value {
    match kind {
        Kind::Bytes | Kind::Count | Kind::Port => json!({ "type": ["integer", "null"] }),
        Kind::Seconds => json!({ "type": ["number", "null"] }),
        Kind::Severity => json!({ "enum": ["low", "medium", "high", "severe", null] }),
        Kind::Time => json!({ "type": ["string", "null"], "format": "date-time" }),
        Kind::Id | Kind::Text => json!({ "type": ["string", "null"] }),
    }
}

fn object(properties: Value) -> Value {
    let required: Vec<String> =
        properties.as_object().map(|all| all.keys().cloned().collect()).unwrap_or_default();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn list(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn table(report: &Report) -> Value {
    let columns: Map<String, Value> =
        report.columns.iter().map(|column| (column.key.to_owned(), of_kind(column.kind))).collect();
    let schema = object(json!({
        "from": time(), "to": time(), "rows": list(&object(columns.into())), "more": { "type": "boolean" },
        "warnings": list(&json!({ "type": "string" }))
    }));
    let parameters: Vec<Value> = scope().into_iter().chain(paging(report)).collect();
    operation(report.name, &format!("The report {}", report.name), &parameters, &schema, true)
}

fn series(report: &Report) -> Value {
    let line = object(
        json!({ "name": { "type": ["string", "null"] }, "values": list(&json!({ "type": "number" })) }),
    );
    let schema = object(json!({
        "from": time(), "to": time(), "step_s": { "type": "integer" }, "times": list(&time()), "series": list(&line)
    }));
    let parameters: Vec<Value> = scope().into_iter().chain(paging(report)).collect();
    let summary =
        format!("The first rows of {} over time; the series without a name is all others", report.name);
    operation(&format!("{}-series", report.name), &summary, &parameters, &schema, true)
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn others() -> Vec<(&'static str, Value)> {
    let text = json!({ "type": "string" });
    let maybe = json!({ "type": ["string", "null"] });
    let count = json!({ "type": "integer", "minimum": 0 });
    let sum = json!({ "type": ["integer", "null"] });
    let flag = json!({ "type": "boolean" });
    let maybe_time = json!({ "type": ["string", "null"], "format": "date-time" });
    let status = object(json!({
        "version": text, "live": flag, "store": flag, "networks": flag, "viewers": count
    }));
    let network = object(json!({
        "network": text, "organisation": maybe, "country": maybe, "servers": count, "flows": count, "bytes": count,
        "largest": text
    }));
    let networks = object(json!({
        "from": time(), "to": time(), "by_file": flag, "rows": list(&network), "more": flag
    }));
    let totals = object(json!({
        "from": time(), "to": time(), "flows": sum, "clients": sum, "servers": sum, "up": sum, "down": sum,
        "risky_flows": sum, "first": maybe_time, "last": maybe_time
    }));
    let question = object(json!({
        "name": text, "help": text, "sql": text,
        "parameters": list(&object(json!({ "name": text, "help": text, "default": maybe })))
    }));
    let answer = object(json!({
        "columns": list(&text), "rows": list(&list(&json!({}))), "truncated": flag, "warnings": list(&text)
    }));
    let flow = object(json!({
        "records": list(&json!({ "type": "object" })), "live": { "type": ["object", "null"] }
    }));
    let id = json!({ "name": "id", "in": "query", "required": true, "description": "The name of the flow, or of its record",
                     "schema": text });
    let sql = json!({ "name": "q", "in": "query", "required": true,
                      "description": "SQL; a value for $name in it is the parameter p.name", "schema": text });
    let rows = parameter(
        "rows",
        "How many rows",
        &json!({ "type": "integer", "minimum": 1, "maximum": crate::api::ROWS_MAX }),
    );
    let mut live = operation(
        "live",
        "The same as /now, once a second, as server-sent events named now",
        &[],
        &text,
        false,
    );
    live["get"]["responses"]["200"]["content"] = json!({ "text/event-stream": { "schema": text } });
    vec![
        ("/openapi.json", operation("openapi", "This document", &[], &json!({ "type": "object" }), false)),
        ("/status", operation("status", "What there is to be seen", &[], &status, false)),
        ("/now", operation("now", "What the network does now", &[], &reference("Now"), false)),
        ("/live", live),
        ("/totals", operation("totals", "Sums over a time", &scope(), &totals, false)),
        (
            "/networks",
            operation(
                "networks",
                "Networks of servers",
                &[scope(), vec![format()]].concat(),
                &networks,
                true,
            ),
        ),
        (
            "/questions",
            operation(
                "questions",
                "Questions that have a name",
                &[],
                &object(json!({ "questions": list(&question) })),
                false,
            ),
        ),
        ("/query", operation("query", "A question in SQL", &[sql, rows, format()], &answer, true)),
        ("/flow", operation("flow", "One flow, from the store and from the board", &[id], &flow, false)),
    ]
}

fn schemas() -> Value {
    let text = json!({ "type": "string" });
    let maybe = json!({ "type": ["string", "null"] });
    let count = json!({ "type": "integer", "minimum": 0 });
    let flag = json!({ "type": "boolean" });
    let counts = list(&count);
    let top = json!({ "type": "object", "required": ["name", "bytes", "packets", "flows"], "properties": {
        "name": text, "bytes": count, "packets": count, "flows": count, "severity": text } });
    let tops = list(&top);
    let severity = json!({ "enum": ["low", "medium", "high", "severe"] });
    let risk = object(json!({
        "number": count, "time_ns": { "type": "integer" }, "name": text, "severity": severity, "side": text, "evidence": text,
        "help": text, "uid": text, "src_ip": text, "dst_ip": text, "dst_port": count, "host": maybe, "protocol": text
    }));
    let interface = object(json!({
        "name": text, "is_up": flag, "received": count, "dropped_by_kernel": count, "dropped_by_card": count,
        "dropped_by_engine": count
    }));
    json!({
        "Error": object(json!({ "error": text, "message": text })),
        "Now": object(json!({
            "time": { "type": ["string", "null"], "format": "date-time" },
            "running_s": count, "flows_open": count, "flows_ended": count, "risks_found": count, "window_s": count,
            "rates": object(json!({ "bits_per_s": count, "packets_per_s": count, "flows_per_s": count, "dropped_per_s": count })),
            "seconds": object(json!({ "bits": counts, "packets": counts, "dropped": counts })),
            "tops": object(json!({ "applications": tops, "hosts": tops, "clients": tops, "protocols": tops })),
            "risks": list(&risk),
            "interfaces": list(&interface),
            "losses": list(&object(json!({ "what": text, "total": count, "last_minute": count, "advice": text }))),
            "budgets": list(&object(json!({ "name": text, "unit": text, "now": count, "max": count })))
        }))
    })
}
