//! What the network does now. The server draws it once; a script goes on drawing.

use daylight_watch::board::TopRow;
use hyper::{Response, StatusCode};
use maud::{Markup, html};

use super::{Context, layout, table};
use crate::live::Now;
use crate::report::Subject;
use crate::response::Body;
use crate::text::{cell, json, visible};

pub(super) async fn page(context: Context<'_>) -> Response<Body> {
    let title = context.t("page-now");
    let now = match &context.app.live {
        Some(live) => live.now().await,
        None => None,
    };
    let mut frame = layout::Page { current: "now", ..layout::Page::plain(title) };
    let Some(now) = now else {
        let body = html! {
            div.card.empty {
                h2 { (context.t("no-live-title")) }
                p { (context.t("no-live-text")) }
                pre { code { "daylight serve --store DIR --live IFACE" } }
                p { a.button href="/overview" { (context.t("page-overview")) } }
            }
        };
        return super::page(StatusCode::OK, context, &frame, &body);
    };
    frame.script = Some("live.js");
    frame.refresh_s = Some(5);
    super::page(StatusCode::OK, context, &frame, &body(context, &now))
}

/// What the script wants to say, in the reader's language.
const WORDS: [&str; 21] = [
    "number-group",
    "number-point",
    "unit-prefixes",
    "unit-byte",
    "unit-bit-per-s",
    "unit-packet-per-s",
    "severity-low",
    "severity-medium",
    "severity-high",
    "severity-severe",
    "none-found",
    "live-on",
    "live-lost",
    "live-paused",
    "live-pause",
    "live-go-on",
    "loss-none",
    "interface-down",
    "seconds-ago",
    "live-over",
    "page-now",
];

fn body(context: Context<'_>, now: &Now) -> Markup {
    let (t, locale) = (|key: &'static str| context.t(key), context.locale);
    let words: std::collections::BTreeMap<&str, &str> = WORDS.iter().map(|key| (*key, t(key))).collect();
    let words = String::from_utf8(json(&words)).unwrap_or_default();
    let first = String::from_utf8(json(now)).unwrap_or_default();
    html! {
        div id="live" data-words=(words) data-first=(first) {
            p.live-state { span.dot data-dot {} span role="status" data-state { (t("live-still")) }
                button.small type="button" data-pause hidden { (t("live-pause")) } }
            dl.numbers.live {
                (number("bits", t("live-bits"), &locale.bits_per_s(now.rates.bits_per_s as f64)))
                (number("packets", t("live-packets"), &locale.quantity(now.rates.packets_per_s as f64, "unit-packet-per-s")))
                (number("flows", t("live-flows"), &locale.count(now.flows_open.into())))
                (number("dropped", t("live-dropped"), &locale.quantity(now.rates.dropped_per_s as f64, "unit-packet-per-s")))
                (number("risks", t("live-risks"), &locale.count(now.risks_found.into())))
            }
            figure.card.chart data-chart data-title=(t("live-throughput")) {
                figcaption { h2 { (t("live-throughput")) }
                    div.actions { button.small type="button" data-csv hidden { "CSV" } button.small type="button" data-png hidden { (t("png")) } } }
                div.plot data-plot data-live { (throughput(context, now)) }
            }
            div.grid.tops {
                (top(context, "applications", t("page-applications"), Subject::Application, &now.tops.applications))
                (top(context, "hosts", t("page-hosts"), Subject::Host, &now.tops.hosts))
                (top(context, "clients", t("page-clients"), Subject::Client, &now.tops.clients))
                (top(context, "protocols", t("page-protocols"), Subject::Protocol, &now.tops.protocols))
            }
            div.grid {
                section.card.span { h2 { a href="/findings" { (t("live-latest-risks")) } } div.scroll data-risks tabindex="0" role="region" aria-label=(t("live-latest-risks")) { (risks(context, now)) } }
                section.card { h2 { (t("live-losses")) } div data-losses { (losses(context, now)) } }
                section.card { h2 { (t("live-budgets")) } div data-budgets { (budgets(context, now)) } }
            }
        }
    }
}

fn number(key: &str, title: &str, value: &str) -> Markup {
    html! { div { dt { (title) } dd data-number=(key) { (value) } } }
}

/// As the script draws it too.
fn throughput(context: Context<'_>, now: &Now) -> Markup {
    let values: Vec<f64> = now.seconds.bits.iter().map(|bits| *bits as f64).collect();
    let most = values.iter().copied().fold(1.0, f64::max);
    let last = values.len().saturating_sub(1).max(1) as f64;
    let points: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(i, value)| format!("{:.1} {:.1}", i as f64 / last * 1000.0, 200.0 - value / most * 190.0))
        .collect();
    let label = context
        .locale
        .with("live-chart-label", &[("value", &context.locale.bits_per_s(now.rates.bits_per_s as f64))]);
    html! {
        svg.timechart role="img" aria-label=(label) width="100%" height="240" {
            svg x="0" y="10" width="100%" height="200" viewBox="0 0 1000 200" preserveAspectRatio="none" {
                @if points.len() > 1 { path class="line s0" d={ "M" (points.join("L")) } {} }
            }
            line.axis x1="0" x2="100%" y1="210" y2="210" {}
            text.mark x="4" y="16" { (context.locale.bits_per_s(most)) }
        }
    }
}

fn top(context: Context<'_>, key: &str, title: &str, subject: Subject, rows: &[TopRow]) -> Markup {
    let most = rows.iter().map(|row| row.amount.bytes).max().unwrap_or(1).max(1);
    html! {
        section.card.top {
            h2 { a href={ "/" (key) } { (title) } }
            ul.tops data-top=(key) data-subject=(subject.name()) {
                @for row in rows {
                    li {
                        (crate::chart::bar(row.amount.bytes as f64 / most as f64))
                        a href=(href(subject, &row.name)) title=(visible(&row.name)) { bdi { (cell(&row.name)) } }
                        span.value { (context.locale.bytes(row.amount.bytes as f64)) }
                    }
                }
                @if rows.is_empty() { li.none { (context.t("none-found")) } }
            }
        }
    }
}

fn href(subject: Subject, name: &str) -> String {
    let query: String = url::form_urlencoded::Serializer::new("range=1h".to_owned())
        .append_pair(subject.name(), name)
        .finish();
    format!("/{}?{query}", subject.name())
}

fn risks(context: Context<'_>, now: &Now) -> Markup {
    html! {
        @if now.risks.is_empty() { p.none { (context.t("none-found")) } }
        @else {
            table.report {
                thead { tr {
                    @for key in ["severity", "risk", "evidence", "client", "host"] {
                        th scope="col" { (context.t(table::message(key))) }
                    }
                } }
                tbody {
                    @for risk in &now.risks {
                        tr {
                            td { (table::severity(context, risk.severity)) }
                            th scope="row" { a href={ "/flow?id=" (risk.uid) } title=(risk.help) { (risk.name) } }
                            td { bdi title=(visible(&risk.evidence)) { (cell(&risk.evidence)) } }
                            td { a href=(href(Subject::Client, &risk.src_ip.to_string())) { (risk.src_ip) } }
                            td { bdi { (risk.host.as_deref().map_or_else(|| risk.dst_ip.to_string(), cell)) } }
                        }
                    }
                }
            }
        }
    }
}

fn losses(context: Context<'_>, now: &Now) -> Markup {
    html! {
        @for interface in &now.interfaces {
            p.interface {
                span.dot class={ @if interface.is_up { "on" } @else { "off" } } {}
                bdi { (visible(&interface.name)) }
                @if !interface.is_up { " — " (context.t("interface-down")) }
            }
        }
        @if now.losses.is_empty() { p.good { (context.t("loss-none")) } }
        @for loss in &now.losses {
            p.loss.going-on[loss.is_going_on()] {
                strong { (context.locale.count(loss.total.into())) } " " bdi lang="en" { (visible(&loss.what)) }
                span.advice lang="en" { (visible(&loss.advice)) }
            }
        }
    }
}

fn budgets(context: Context<'_>, now: &Now) -> Markup {
    html! {
        ul.budgets {
            @for budget in now.budgets.iter().filter(|budget| budget.max > 0) {
                li class=[budget.is_tight().then_some("tight")] {
                    (crate::chart::bar(budget.now as f64 / budget.max as f64))
                    span lang="en" { (budget.name) }
                    span.value { (context.locale.count(budget.now.into())) " / " (context.locale.count(budget.max.into())) }
                }
            }
        }
    }
}
