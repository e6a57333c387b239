//! The topology as SVG: providers on the left, transit in the middle, hosting on the right.

use std::collections::HashMap;
use std::fmt::Write;

use super::{escape, short};
use crate::record::{LinkRecord, NetworkRecord, Record};
use crate::scenario::model::Role;

const WIDTH: f64 = 1000.0;
const CARD: f64 = 240.0;
const HEAD: f64 = 50.0;
const ROW: f64 = 22.0;
const GAP: f64 = 26.0;

struct Card<'a> {
    network: &'a NetworkRecord,
    x: f64,
    y: f64,
    height: f64,
    column: usize,
}

/// Draws it.
pub(super) fn draw(record: &Record) -> String {
    let columns: Vec<Vec<&NetworkRecord>> = [Role::Provider, Role::Transit, Role::Hosting]
        .into_iter()
        .map(|role| record.networks.iter().filter(|n| n.role == role).collect::<Vec<_>>())
        .filter(|column| !column.is_empty())
        .collect();
    let rows = |n: &NetworkRecord| record.hosts.iter().filter(|h| h.network == n.name).count();
    let height = |n: &NetworkRecord| HEAD + ROW * rows(n) as f64 + if rows(n) > 0 { 10.0 } else { 0.0 };
    let tall = |column: &[&NetworkRecord]| column.iter().map(|n| height(n) + GAP).sum::<f64>() - GAP;
    let full = columns.iter().map(|c| tall(c)).fold(120.0, f64::max);
    let step = if columns.len() > 1 { (WIDTH - CARD) / (columns.len() - 1) as f64 } else { 0.0 };
    let mut cards: HashMap<&str, Card<'_>> = HashMap::new();
    for (i, column) in columns.iter().enumerate() {
        let mut y = (full - tall(column)) / 2.0 + 10.0;
        for network in column {
            let card = Card { network, x: step * i as f64, y, height: height(network), column: i };
            y += card.height + GAP;
            cards.insert(&network.name, card);
        }
    }
    let mut svg = format!(
        "<svg class=\"topology\" viewBox=\"-4 0 {} {}\" role=\"img\" aria-label=\"Topology\">",
        WIDTH + 8.0,
        full + 20.0
    );
    for link in &record.links {
        if let (Some(a), Some(b)) = (cards.get(link.ends[0].as_str()), cards.get(link.ends[1].as_str())) {
            line(&mut svg, link, a, b);
        }
    }
    let mut in_order: Vec<&Card<'_>> = cards.values().collect();
    in_order.sort_by(|a, b| (a.x, a.y).partial_cmp(&(b.x, b.y)).unwrap_or(std::cmp::Ordering::Equal));
    for card in in_order {
        draw_card(&mut svg, record, card);
    }
    // What stands in the way lies over everything else.
    for link in &record.links {
        if let (Some(a), Some(b)) = (cards.get(link.ends[0].as_str()), cards.get(link.ends[1].as_str())) {
            flags(&mut svg, link, a, b);
        }
    }
    svg.push_str("</svg>");
    svg
}

/// Where a link leaves one card and reaches the other.
fn ends(a: &Card<'_>, b: &Card<'_>) -> [(f64, f64); 2] {
    let middle = |c: &Card<'_>| c.y + c.height / 2.0;
    match a.column.cmp(&b.column) {
        std::cmp::Ordering::Less => [(a.x + CARD, middle(a)), (b.x, middle(b))],
        std::cmp::Ordering::Greater => [(a.x, middle(a)), (b.x + CARD, middle(b))],
        std::cmp::Ordering::Equal => {
            let (upper, lower) = if a.y < b.y { (a, b) } else { (b, a) };
            [(a.x + CARD / 2.0, upper.y + upper.height), (b.x + CARD / 2.0, lower.y)]
        }
    }
}

fn line(svg: &mut String, link: &LinkRecord, a: &Card<'_>, b: &Card<'_>) {
    let [(x1, y1), (x2, y2)] = ends(a, b);
    // Level where the labels are, near side a, and steep behind them: so a label is beside its own card.
    let (near, far) = (x1 + (x2 - x1) * 0.95, x1 + (x2 - x1) * 0.75);
    let class = if link.adversaries.is_empty() { "wire" } else { "wire watched" };
    let _ = write!(
        svg,
        "<path class=\"{class}\" d=\"M{x1:.1} {y1:.1}C{near:.1} {y1:.1} {far:.1} {y2:.1} {x2:.1} {y2:.1}\">\
         <title>{}: {}</title></path>",
        escape(&link.name),
        escape(&link.properties)
    );
}

fn flags(svg: &mut String, link: &LinkRecord, a: &Card<'_>, b: &Card<'_>) {
    let [(x1, y1), (x2, y2)] = ends(a, b);
    let (x, y) = match a.column == b.column {
        true => ((x1 + x2) / 2.0, (y1 + y2) / 2.0),
        false => ((x1 + x2) / 2.0, y1 + (y2 - y1) * 0.12),
    };
    let labels: Vec<(String, &str)> = match (&link.middlebox, link.adversaries.as_slice()) {
        (Some(middlebox), _) => vec![(short(middlebox, 22), "pill box")],
        (None, []) => vec![(short(&link.name, 22), "pill")],
        (None, all) => all
            .iter()
            .map(|v| (short(&v.kind, 22), if v.enacted { "pill flag" } else { "pill flag absent" }))
            .collect(),
    };
    let top = y - 11.0 * labels.len() as f64;
    for (i, (text, class)) in labels.iter().enumerate() {
        let width = pill_width(text);
        let y = top + 22.0 * i as f64;
        let _ = write!(
            svg,
            "<g class=\"{class}\"><rect x=\"{:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"20\" rx=\"10\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text><title>{}</title></g>",
            x - width / 2.0,
            y + 14.0,
            escape(text),
            escape(&link.properties)
        );
    }
}

/// A label and the room beside it.
fn pill_width(text: &str) -> f64 {
    7.0 * text.chars().count() as f64 + 18.0
}

fn draw_card(svg: &mut String, record: &Record, card: &Card<'_>) {
    let _ = write!(
        svg,
        "<g class=\"card\" transform=\"translate({:.1} {:.1})\"><rect width=\"{CARD}\" height=\"{:.1}\" rx=\"9\"/>\
         <text class=\"name\" x=\"14\" y=\"22\">{}</text><text class=\"range\" x=\"14\" y=\"39\">{}</text>",
        card.x,
        card.y,
        card.height,
        escape(&short(&card.network.title, 26)),
        escape(&short(&card.network.ranges.join("  "), 34))
    );
    for (i, host) in record.hosts.iter().filter(|h| h.network == card.network.name).enumerate() {
        let y = HEAD + ROW * i as f64 + 12.0;
        let services: Vec<&str> = record
            .services
            .iter()
            .filter(|s| s.host == host.name)
            .map(|s| s.category.as_deref().unwrap_or(s.kind.as_str()))
            .collect();
        // An adversary on a host's own line has no room of its own.
        let watched: Vec<&str> = record
            .links
            .iter()
            .filter(|l| l.ends.contains(&host.name))
            .flat_map(|l| &l.adversaries)
            .map(|a| a.kind.as_str())
            .collect();
        let (services, tone) =
            if watched.is_empty() { (services, "range") } else { (watched, "range watcher") };
        let is_client = record.clients.iter().any(|c| c.host == host.name);
        let class = if is_client { "dot person" } else { "dot" };
        let title = short(&host.title, 24);
        let room = 30_usize.saturating_sub(title.chars().count());
        let _ = write!(
            svg,
            "<circle class=\"{class}\" cx=\"20\" cy=\"{:.1}\" r=\"4\"/><text x=\"32\" y=\"{y:.1}\">{}</text>\
             <text class=\"{tone}\" x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>",
            y - 4.0,
            escape(&title),
            CARD - 12.0,
            escape(&short(&services.join(", "), room))
        );
    }
    // What stands in the router lies on the card's lower edge.
    let mut x = CARD - 10.0;
    let adversaries = card.network.adversaries.iter().map(|a| {
        (a.kind.as_str(), a.name.as_str(), if a.enacted { "pill flag" } else { "pill flag absent" })
    });
    let middlebox = card.network.middlebox.iter().map(|what| (what.as_str(), what.as_str(), "pill box"));
    for (text, title, class) in adversaries.chain(middlebox) {
        let width = pill_width(text);
        x -= width;
        let _ = write!(
            svg,
            "<g class=\"{class}\"><rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"20\" rx=\"10\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text><title>{}</title></g>",
            card.height - 10.0,
            x + width / 2.0,
            card.height + 4.0,
            escape(text),
            escape(title)
        );
        x -= 6.0;
    }
    svg.push_str("</g>");
}
