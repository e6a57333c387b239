//! DNS by unbound: authoritative for zones it has as files, recursive for clients.
//!
//! One program for both, as unbound answers from a zone file with the AA bit like any authoritative server
//! (`auth-zone`, RFC 8806's means). A resolver finds the zones' servers by stub zones in place of a root.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;

use super::{Context, system_program, write};
use crate::LabError;
use crate::scenario::Scenario;
use crate::scenario::check::in_zone;
use crate::scenario::model::Service;

/// What a name in the scenario's zones truly stands for.
pub(crate) fn truth(
    scenario: &Scenario,
    addresses: &std::collections::BTreeMap<String, Vec<IpAddr>>,
    name: &str,
) -> BTreeSet<IpAddr> {
    let mut found = BTreeSet::new();
    for service in scenario.service.values() {
        if service.names.iter().any(|n| n.get_ref() == name) {
            found.extend(addresses.get(service.host.get_ref()).into_iter().flatten());
        }
    }
    for (zone, of) in &scenario.zone {
        for (label, target) in &of.names {
            if full_name(label.get_ref(), zone.get_ref()) != name {
                continue;
            }
            for value in target.all() {
                match value.parse() {
                    Ok(address) => drop(found.insert(address)),
                    Err(_) => found.extend(addresses.get(value.as_str()).into_iter().flatten()),
                }
            }
        }
    }
    found
}

fn full_name(label: &str, zone: &str) -> String {
    if label == "@" { zone.to_owned() } else { format!("{label}.{zone}") }
}

/// The zone that a name is in: the longest that holds it.
fn zone_of<'a>(scenario: &'a Scenario, name: &str) -> Option<&'a str> {
    scenario.zone.keys().map(|z| z.get_ref().as_str()).filter(|z| in_zone(name, z)).max_by_key(|z| z.len())
}

fn zone_file(scenario: &Scenario, context: &Context<'_>, zone: &str) -> String {
    let mut text = format!(
        "$ORIGIN {zone}.\n$TTL 5\n@ IN SOA ns.{zone}. hostmaster.{zone}. 1 3600 600 86400 5\n@ IN NS ns.{zone}.\n"
    );
    let mut names: BTreeSet<String> = BTreeSet::new();
    names.extend(scenario.service.values().flat_map(|s| &s.names).map(|n| n.get_ref().clone()));
    for (own, of) in &scenario.zone {
        names.extend(of.names.keys().map(|label| full_name(label.get_ref(), own.get_ref())));
    }
    let mut record = |name: &str, address: &IpAddr| {
        let kind = if address.is_ipv4() { "A" } else { "AAAA" };
        let _ = writeln!(text, "{name}. IN {kind} {address}");
    };
    for name in names.iter().filter(|n| zone_of(scenario, n) == Some(zone)) {
        for address in &truth(scenario, context.addresses, name) {
            record(name, address);
        }
    }
    let server = scenario.zone.iter().find(|(n, _)| n.get_ref() == zone).map(|(_, z)| z.service.get_ref());
    let host = server.and_then(|s| scenario.service.get(s.as_str())).map(|s| s.host.get_ref().as_str());
    let name = format!("ns.{zone}");
    if !names.contains(&name) {
        for address in host.and_then(|h| context.addresses.get(h)).into_iter().flatten() {
            record(&name, address);
        }
    }
    text
}

fn common(service: &Service, context: &Context<'_>, folder: &Path) -> String {
    let port = service.port.as_ref().map_or(53, |p| *p.get_ref());
    let mut text = format!(
        "server:\n  directory: \"{0}\"\n  chroot: \"\"\n  username: \"\"\n  pidfile: \"\"\n  use-syslog: no\n  \
         logfile: \"\"\n  verbosity: 1\n  do-daemonize: no\n  num-threads: 1\n  so-reuseport: no\n  port: {port}\n  \
         access-control: 0.0.0.0/0 allow\n  access-control: ::/0 allow\n  module-config: \"iterator\"\n  \
         do-not-query-localhost: no\n  hide-identity: yes\n  hide-version: yes\n  outgoing-range: 512\n",
        folder.display()
    );
    for address in context.addresses.get(service.host.get_ref()).into_iter().flatten() {
        let _ = writeln!(text, "  interface: {address}");
    }
    text
}

const REMOTE: &str = "remote-control:\n  control-enable: no\n";

/// Writes the configuration of an authoritative server.
pub(super) fn authoritative(
    name: &str,
    service: &Service,
    context: &Context<'_>,
    folder: &Path,
) -> Result<Vec<String>, LabError> {
    let mut text = common(service, context, folder);
    text.push_str(REMOTE);
    for (zone, _) in context.scenario.zone.iter().filter(|(_, z)| z.service.get_ref() == name) {
        let zone = zone.get_ref();
        let file = folder.join(format!("{zone}.zone"));
        write(&file, zone_file(context.scenario, context, zone))?;
        let _ = writeln!(
            text,
            "auth-zone:\n  name: \"{zone}\"\n  zonefile: \"{}\"\n  for-downstream: yes\n  for-upstream: no\n  \
             fallback-enabled: no",
            file.display()
        );
    }
    command(folder, &text)
}

/// Writes the configuration of a resolver.
pub(super) fn recursive(
    service: &Service,
    context: &Context<'_>,
    folder: &Path,
) -> Result<Vec<String>, LabError> {
    let mut text = common(service, context, folder);
    // Answers are kept for a second at most, so that what the timeline changes is seen.
    text.push_str(
        "  cache-max-ttl: 1\n  cache-max-negative-ttl: 1\n  infra-host-ttl: 1\n  qname-minimisation: no\n",
    );
    // Whatever the scenario has no zone for does not exist; there is no root to ask.
    text.push_str("  local-zone: \".\" static\n");
    for zone in context.scenario.zone.keys() {
        let _ = writeln!(text, "  local-zone: \"{}.\" transparent", zone.get_ref());
    }
    text.push_str(REMOTE);
    for (zone, of) in &context.scenario.zone {
        let Some(server) = context.scenario.service.get(of.service.get_ref().as_str()) else { continue };
        let port = server.port.as_ref().map_or(53, |p| *p.get_ref());
        let _ = writeln!(text, "stub-zone:\n  name: \"{}\"", zone.get_ref());
        for address in context.addresses.get(server.host.get_ref()).into_iter().flatten() {
            let _ = writeln!(text, "  stub-addr: {address}@{port}");
        }
    }
    command(folder, &text)
}

fn command(folder: &Path, text: &str) -> Result<Vec<String>, LabError> {
    let file = folder.join("unbound.conf");
    write(&file, text)?;
    Ok(vec![system_program("unbound"), "-d".into(), "-p".into(), "-c".into(), file.display().to_string()])
}
