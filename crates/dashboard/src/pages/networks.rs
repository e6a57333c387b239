//! Which networks the traffic goes to, as areas. A map of the world would show where companies are registered; this shows whom the
//! network depends on.

use hyper::{Response, StatusCode};
use maud::{Markup, html};

use super::{Context, address, layout};
use crate::chart::{COLOURS, Tile, bar, figure, treemap};
use crate::data;
use crate::networks::NetworkRow;
use crate::report::{Scope, Subject};
use crate::response::Body;
use crate::text::{cell, visible};

/// Areas, and rows.
const TILES: usize = 40;
const ROWS: usize = 100;

pub(super) async fn page(context: Context<'_>) -> Response<Body> {
    let scope = context.asked.scope();
    let title = context.t("page-networks");
    let frame = layout::Page { script: Some("charts.js"), ..layout::Page::of(title, "/networks", &scope) };
    let (rows, has_more) = match data::networks(context.app, &scope).await {
        Ok(found) => found,
        Err(failed) => {
            let (status, _) = crate::api::kind(&failed);
            return super::page(status, context, &frame, &super::trouble(context, &failed));
        }
    };
    let most = context.locale.count(data::SERVERS_MAX as i128);
    let body = html! {
        @if context.app.networks.is_none() { p.card.note { (context.t("networks-no-file")) } }
        @if has_more { p.warning { (context.locale.with("networks-cut", &[("count", &most)])) } }
        @if rows.is_empty() { div.card { (super::nothing(context)) } }
        @else { (map(context, &scope, &rows)) (list(context, &scope, &rows)) }
    };
    super::page(StatusCode::OK, context, &frame, &body)
}

fn name(context: Context<'_>, row: &NetworkRow) -> String {
    let network = match row.network.network.as_str() {
        "private" => context.t("network-private"),
        "multicast" => context.t("network-multicast"),
        "loopback" => context.t("network-loopback"),
        other => other,
    };
    cell(row.network.organisation.as_deref().unwrap_or(network))
}

/// Flows to the largest server of it: where one goes on from an area.
fn href(scope: &Scope, row: &NetworkRow) -> String {
    super::about(Subject::Server, &row.largest, scope)
}

fn map(context: Context<'_>, scope: &Scope, rows: &[NetworkRow]) -> Markup {
    let total: u64 = rows.iter().map(|row| row.bytes).sum();
    // A colour a country, the largest first; without countries one for all.
    let mut countries: Vec<&str> = Vec::new();
    for code in rows.iter().filter_map(|row| row.network.country.as_deref()) {
        if !countries.contains(&code) {
            countries.push(code);
        }
    }
    let class = |row: &NetworkRow| match row.network.country.as_deref() {
        Some(code) => {
            crate::chart::colour(countries.iter().position(|known| *known == code).unwrap_or(COLOURS), false)
        }
        None if countries.is_empty() => "s0".to_owned(),
        None => "s-rest".to_owned(),
    };
    let tile = |row: &NetworkRow| {
        let (name, bytes) = (name(context, row), context.locale.bytes(row.bytes as f64));
        let share = context.locale.decimal(row.bytes as f64 / total.max(1) as f64 * 100.0, 1);
        let country =
            row.network.country.as_deref().map(|code| format!(" · {}", visible(code))).unwrap_or_default();
        Tile {
            title: format!("{name} · {}{country} · {bytes} · {share} %", visible(&row.network.network)),
            note: format!("{bytes}{country}"),
            name,
            href: Some(href(scope, row)),
            class: class(row),
            value: row.bytes as f64,
        }
    };
    let tiles: Vec<Tile> = rows.iter().take(TILES).map(tile).collect();
    let title = context.t("networks-map");
    let csv = address("/api/v1/networks", scope, &[("format", "csv")]);
    let legend = html! {
        @if !countries.is_empty() {
            ul.legend {
                @for (i, code) in countries.iter().take(COLOURS).enumerate() {
                    li { span class={ "swatch " (crate::chart::colour(i, false)) } {} (visible(code)) }
                }
                @if countries.len() > COLOURS { li { span class="swatch s-rest" {} (context.t("other")) } }
            }
        }
    };
    let words = [context.t("png"), context.t("as-table")];
    figure(
        title,
        "chart-networks",
        &treemap(&tiles, title),
        &legend,
        &table(context, scope, rows, TILES),
        &[("CSV", &csv)],
        words,
    )
}

fn list(context: Context<'_>, scope: &Scope, rows: &[NetworkRow]) -> Markup {
    html! {
        section.card { div.scroll tabindex="0" role="region" aria-label=(context.t("page-networks")) { (table(context, scope, rows, ROWS)) } }
    }
}

fn table(context: Context<'_>, scope: &Scope, rows: &[NetworkRow], most: usize) -> Markup {
    let largest = rows.first().map_or(1, |row| row.bytes.max(1));
    html! {
        table.report {
            thead { tr {
                th scope="col" { (context.t("column-network")) }
                th.wide scope="col" { (context.t("column-number")) }
                th.wide scope="col" { (context.t("column-country")) }
                th.wide.number scope="col" { (context.t("column-servers")) }
                th.wide.number scope="col" { (context.t("column-flows")) }
                th.number scope="col" { (context.t("column-bytes")) }
            } }
            tbody {
                @for row in rows.iter().take(most) {
                    tr {
                        th scope="row" { a href=(href(scope, row)) { bdi { (name(context, row)) } } }
                        td.wide { bdi { (visible(&row.network.network)) } }
                        td.wide { (row.network.country.as_deref().map(visible).unwrap_or_default()) }
                        td.wide.number { (context.locale.count(row.servers.into())) }
                        td.wide.number { (context.locale.count(row.flows.into())) }
                        td.number { (bar(row.bytes as f64 / largest as f64)) data value=(row.bytes) { (context.locale.bytes(row.bytes as f64)) } }
                    }
                }
            }
        }
    }
}
