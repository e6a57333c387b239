//! Views: what is asked again and again, under a name.

/// A view's name, a line about it, and what it is.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Its name.
    pub name: &'static str,
    /// One line about it.
    pub help: &'static str,
    pub(crate) sql: &'static str,
}

/// The views.
pub const VIEWS: &[View] = &[
    View {
        name: "applications_by_hour",
        help: "Flows, bytes and clients of each application, an hour a row",
        sql: "SELECT day, hour, application, category, count(*) AS flows, count(DISTINCT src_ip) AS clients, \
              sum(src_bytes) AS src_bytes, sum(dst_bytes) AS dst_bytes, sum(src_bytes + dst_bytes) AS bytes \
              FROM flows GROUP BY day, hour, application, category",
    },
    View {
        name: "protocols_by_hour",
        help: "Flows, bytes and clients of each protocol, an hour a row",
        sql: "SELECT day, hour, transport, protocol, count(*) AS flows, count(DISTINCT src_ip) AS clients, \
              sum(src_bytes) AS src_bytes, sum(dst_bytes) AS dst_bytes, sum(src_bytes + dst_bytes) AS bytes \
              FROM flows GROUP BY day, hour, transport, protocol",
    },
    View {
        name: "hosts_by_hour",
        help: "Flows, bytes and clients of each server, by its name or else its address, an hour a row",
        sql: "SELECT day, hour, coalesce(hostname, resolved_name, dst_ip) AS host, count(*) AS flows, \
              count(DISTINCT src_ip) AS clients, sum(src_bytes) AS src_bytes, sum(dst_bytes) AS dst_bytes, \
              sum(src_bytes + dst_bytes) AS bytes \
              FROM flows GROUP BY day, hour, coalesce(hostname, resolved_name, dst_ip)",
    },
    View {
        name: "clients_by_hour",
        help: "Flows, bytes, servers and risks of each client, an hour a row",
        sql: "SELECT day, hour, src_ip, count(*) AS flows, count(DISTINCT dst_ip) AS servers, \
              sum(src_bytes) AS src_bytes, sum(dst_bytes) AS dst_bytes, sum(src_bytes + dst_bytes) AS bytes, \
              count(risk_severity) AS flows_with_risks FROM flows GROUP BY day, hour, src_ip",
    },
    View {
        name: "talkers",
        help: "Flows and bytes between each client and each server, an hour a row",
        sql: "SELECT day, hour, src_ip, dst_ip, count(*) AS flows, sum(src_bytes) AS src_bytes, \
              sum(dst_bytes) AS dst_bytes, sum(src_bytes + dst_bytes) AS bytes, min(start) AS first, max(\"end\") AS last \
              FROM flows GROUP BY day, hour, src_ip, dst_ip",
    },
    View {
        name: "risks",
        help: "Each risk that was found, with its evidence and its flow",
        sql: "SELECT day, hour, start, \"end\", found['name'] AS risk, found['severity'] AS severity, \
              found['side'] AS side, found['evidence'] AS evidence, sensor, record_id, uid, src_ip, src_port, dst_ip, \
              dst_port, transport, protocol, application, hostname FROM (SELECT *, unnest(risks) AS found FROM flows \
              WHERE risks IS NOT NULL)",
    },
    View {
        name: "dns",
        help: "Flows of DNS: what was asked, and what was answered",
        sql: "SELECT day, hour, start, sensor, src_ip, dst_ip, dst_port, transport, hostname AS query, \
              \"dns.qtype\" AS query_type, \"dns.rcode\" AS rcode, \"dns.addresses\" AS addresses, record_id \
              FROM flows WHERE protocol IN ('dns', 'mdns', 'llmnr')",
    },
    View {
        name: "tls_fingerprints",
        help: "Each fingerprint of a TLS client, with how often, by whom and for what, an hour a row",
        sql: "SELECT day, hour, ja4, ja3, count(*) AS flows, count(DISTINCT src_ip) AS clients, \
              count(DISTINCT hostname) AS hosts, min(hostname) AS a_host, min(user_agent) AS a_user_agent, \
              sum(src_bytes + dst_bytes) AS bytes FROM flows WHERE ja4 IS NOT NULL OR ja3 IS NOT NULL \
              GROUP BY day, hour, ja4, ja3",
    },
];
