//! A day in a made-up network, and a store that answers the dashboard's questions about it: by their names and parameters, not by
//! their SQL.
#![allow(dead_code, unreachable_pub)] // the demo and the tests each use a part

pub mod link;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use daylight_dashboard::{Answer, Ask, AskError, BoxFuture, Parameter, Question, Ready, ReadyParameter};
use serde_json::{Value, json};

pub const DAY_S: i64 = 86_400;
const SECOND_NS: i64 = 1_000_000_000;

/// A flow of the made-up day.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    pub start_ns: i64,
    pub duration_s: f64,
    pub client: String,
    pub src_port: u16,
    pub server: String,
    pub dst_port: u16,
    pub transport: &'static str,
    pub protocol: &'static str,
    pub application: Option<String>,
    pub category: Option<String>,
    pub host: Option<String>,
    pub up: u64,
    pub down: u64,
    pub fingerprint: Option<String>,
    pub user_agent: Option<String>,
    pub query_type: Option<&'static str>,
    pub rcode: Option<&'static str>,
    /// Name, severity, side, evidence.
    pub risks: Vec<(String, &'static str, &'static str, String)>,
    pub id: String,
}

impl Flow {
    fn end_ns(&self) -> i64 {
        self.start_ns + (self.duration_s * 1e9) as i64
    }

    fn named(&self) -> &str {
        self.host.as_deref().unwrap_or(&self.server)
    }

    fn severity(&self) -> Option<&'static str> {
        let rank = |name: &str| ["low", "medium", "high", "severe"].iter().position(|known| *known == name);
        self.risks.iter().map(|risk| risk.1).max_by_key(|name| rank(name))
    }
}

/// Numbers that look random and are the same each time.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub fn below(&mut self, most: u64) -> u64 {
        self.next() % most.max(1)
    }

    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Application, category, host, network of its servers, weight, typical kilobytes down, protocol.
pub const SERVICES: [(&str, &str, &str, &str, u64, u64, &str); 16] = [
    ("video-example", "streaming", "cdn7.video.example.net", "203.0.113", 16, 5200, "quic"),
    ("video-example", "streaming", "api.video.example.net", "203.0.113", 8, 60, "tls"),
    ("office-example", "work", "docs.office.example.com", "198.51.100", 15, 420, "tls"),
    ("mail-example", "mail", "imap.mail.example.com", "198.51.100", 9, 90, "tls"),
    ("chat-example", "messaging", "edge.chat.example.org", "192.0.2", 14, 24, "quic"),
    ("news-example", "news", "www.news.example.org", "192.0.2", 10, 740, "tls"),
    ("updates-example", "software", "deb.updates.example.org", "192.0.2", 3, 21_000, "http"),
    ("cloud-example", "storage", "eu-3.storage.example.net", "203.0.113", 6, 2900, "tls"),
    ("games-example", "games", "match.games.example.com", "198.51.100", 5, 310, "tls"),
    ("shop-example", "shopping", "img.shop.example.com", "198.51.100", 7, 560, "tls"),
    ("calls-example", "calls", "relay-2.calls.example.net", "203.0.113", 4, 1900, "rtp"),
    ("", "", "printer.example.internal", "10.20.0", 2, 12, "ipp"),
    ("", "", "files.example.internal", "10.20.0", 4, 3800, "smb"),
    ("", "", "backup.example.internal", "10.20.0", 2, 9000, "ssh"),
    ("", "", "time.example.org", "192.0.2", 3, 1, "ntp"),
    ("", "", "", "203.0.113", 3, 44, "unknown"),
];

/// A day that ends now: quiet at night, two peaks, a scan in the afternoon.
pub fn day(until_ns: i64, flows: usize) -> Vec<Flow> {
    let mut dice = Dice(7);
    let mut all = Vec::with_capacity(flows);
    let weights: u64 = SERVICES.iter().map(|service| service.4).sum();
    while all.len() < flows {
        let ago_s = dice.below(DAY_S as u64) as i64;
        let start_ns = until_ns - (ago_s + 20) * SECOND_NS;
        let hour = (start_ns / SECOND_NS % DAY_S) as f64 / 3600.0;
        let bump = |at: f64, width: f64| (-((hour - at) / width).powi(2)).exp();
        if dice.share() > 0.12 + 0.6 * bump(10.5, 2.6) + 0.85 * bump(19.5, 3.2) {
            continue;
        }
        if dice.below(100) < 22 {
            all.push(lookup(&mut dice, start_ns));
            continue;
        }
        let mut at = dice.below(weights);
        let mut index = 0;
        while at >= SERVICES[index].4 {
            at -= SERVICES[index].4;
            index += 1;
        }
        all.push(visit(&mut dice, start_ns, index));
    }
    all.sort_by_key(|flow| flow.start_ns);
    for (i, flow) in all.iter_mut().enumerate() {
        flow.id = format!("demo-{i:06}");
    }
    all
}

fn client(dice: &mut Dice) -> String {
    // Some ask for more than others.
    let number = (dice.share() * dice.share() * 46.0) as u64 + 11;
    format!("10.20.{}.{number}", 1 + number % 3)
}

fn lookup(dice: &mut Dice, start_ns: i64) -> Flow {
    let host = SERVICES[dice.below(14) as usize].2;
    let fails = dice.below(14) == 0;
    let host =
        if fails { format!("x{:05x}.updates.example.invalid", dice.below(1 << 20)) } else { host.to_owned() };
    Flow {
        start_ns,
        duration_s: 0.012 + dice.share() * 0.08,
        client: client(dice),
        src_port: 20_000 + dice.below(40_000) as u16,
        server: "10.20.0.53".to_owned(),
        dst_port: 53,
        transport: "udp",
        protocol: "dns",
        host: Some(host),
        up: 78,
        down: 190,
        query_type: Some(["A", "AAAA", "HTTPS"][dice.below(3) as usize]),
        rcode: Some(if fails { "NXDOMAIN" } else { "NOERROR" }),
        ..Flow::default()
    }
}

fn visit(dice: &mut Dice, start_ns: i64, index: usize) -> Flow {
    let (application, category, host, network, _, kilobytes, protocol) = SERVICES[index];
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let size = (dice.share() * 2.0 + 0.1) * (dice.share() + 0.2);
    let down = (kilobytes as f64 * 1000.0 * size) as u64 + 900;
    let is_web = matches!(protocol, "tls" | "quic");
    let mut flow = Flow {
        start_ns,
        duration_s: 0.2 + dice.share() * 18.0 * size,
        client: client(dice),
        src_port: 32_768 + dice.below(28_000) as u16,
        server: format!("{network}.{}", 10 + index as u64 * 3 + dice.below(3)),
        dst_port: match protocol {
            "http" => 80,
            "ssh" => 22,
            "smb" => 445,
            "ipp" => 631,
            "ntp" => 123,
            "rtp" => 40_012,
            "unknown" => 8_765,
            _ => 443,
        },
        transport: if matches!(protocol, "quic" | "rtp" | "ntp") { "udp" } else { "tcp" },
        protocol,
        application: some(application),
        category: some(category),
        host: some(host),
        up: down / (3 + dice.below(40)),
        down,
        fingerprint: is_web.then(|| {
            [
                "t13d1516h2_8daaf6152771_d8a2da3f94cd",
                "t13d1715h2_5b57614c22b0_3d5424432f57",
                "q13d0312h3_55b375c5d22e_06cda9e17597",
                "t12d190700_d83cc789557e_7af1ed941c26",
            ][dice.below(10).saturating_sub(6) as usize]
                .to_owned()
        }),
        user_agent: (protocol == "http").then(|| "Debian APT-HTTP/1.3 (2.6.1)".to_owned()),
        ..Flow::default()
    };
    let mut risk = |name: &str, severity, side, evidence: String| {
        flow.risks.push((name.to_owned(), severity, side, evidence))
    };
    match (protocol, dice.below(60)) {
        ("http", 0..20) => risk("unsafe-protocol", "low", "both", "protocol=http".to_owned()),
        ("tls", 0) => risk(
            "tls-certificate-expired",
            "medium",
            "server",
            format!("tls.cert_not_after=2026-10-3{} 12:00:00", dice.below(2)),
        ),
        ("tls", 1) => risk("tls-obsolete-version", "high", "server", "tls_version=TLSv1.0".to_owned()),
        ("ssh", 0..4) => {
            risk("ssh-obsolete", "medium", "server", "ssh.server=SSH-2.0-OpenSSH_6.6".to_owned())
        }
        ("unknown", 0..9) => {
            risk("tcp-overlap-conflict", "severe", "both", format!("offset={} bytes=24", dice.below(9000)))
        }
        ("unknown", 9..30) => risk("non-standard-port", "low", "server", "dst_port=8765".to_owned()),
        _ => {}
    }
    flow
}

/// What came from the network with bad intent.
pub fn hostile() -> Vec<String> {
    let mut all: Vec<String> = [
        "<script>window.hacked=1</script>",
        "\"><img src=x onerror=window.hacked=1>",
        "'\"><svg/onload=window.hacked=1>",
        "javascript:window.hacked=1",
        "</textarea></title><script>window.hacked=1</script>",
        "moc.elpmaxe\u{202e}gpj.exe",
        "\u{2066}hidden\u{200b}\u{feff}\u{e0041}",
        "=HYPERLINK(\"http://evil.example\",\"x\")",
        "+1+1|cmd",
        "@SUM(A1:A9)",
        "-2+3",
        "\t=1+1",
        "bell\u{7}\u{1b}[31mred\u{1b}]0;title\u{7}\r\nSet-Cookie: a=b",
        "nul\u{0}byte",
        "..",
        "a/../../etc/passwd?x=1&y=2#z%00",
        "{{7*7}}${7*7}<%= 7*7 %>",
        "ÄÖ日本語🙂",
        "' OR 1=1 --",
    ]
    .map(str::to_owned)
    .to_vec();
    all.push("long".repeat(3000));
    all
}

/// Flows in which every text is one of those.
pub fn hostile_flows(until_ns: i64) -> Vec<Flow> {
    let mut dice = Dice(3);
    let texts = hostile();
    let mut flows = Vec::new();
    for (i, text) in texts.iter().enumerate() {
        let mut flow = visit(&mut dice, until_ns - (i as i64 + 60) * 600 * SECOND_NS, i % 11);
        flow.id = text.chars().take(60).collect();
        flow.host = Some(text.clone());
        flow.client.clone_from(text);
        flow.server.clone_from(text);
        flow.application = Some(text.clone());
        flow.category = Some(text.clone());
        flow.user_agent = Some(text.clone());
        flow.fingerprint = Some(text.clone());
        flow.risks = vec![(text.clone(), "high", "both", text.clone())];
        flows.push(flow.clone());
        flows.push(Flow {
            protocol: "dns",
            rcode: Some("NOERROR"),
            query_type: Some("A"),
            id: format!("dns-{i}"),
            ..flow
        });
    }
    flows
}

/// A store that holds flows in memory.
pub struct Store(pub Arc<Vec<Flow>>);

impl Ask for Store {
    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, AskError>> {
        let answer = answer(&self.0, question);
        Box::pin(async move { answer })
    }

    fn ready(&self) -> Vec<Ready> {
        let one = |name: &str, help: &str, sql: &str, parameters: &[&str]| Ready {
            name: name.to_owned(),
            help: help.to_owned(),
            sql: sql.to_owned(),
            parameters: parameters
                .iter()
                .map(|name| ReadyParameter {
                    name: (*name).to_owned(),
                    help: "A name".to_owned(),
                    default: None,
                })
                .collect(),
        };
        vec![
            one(
                "top-applications",
                "Applications by bytes",
                "SELECT application, sum(src_bytes + dst_bytes) AS bytes FROM flows GROUP BY application ORDER BY bytes DESC",
                &[],
            ),
            one("host", "Flows with one host", "SELECT * FROM flows WHERE hostname = $host", &["host"]),
            one(
                "uploads",
                "Flows in which a client sent the most",
                "SELECT start, src_ip, dst_ip, src_bytes AS up FROM flows ORDER BY src_bytes DESC",
                &[],
            ),
        ]
    }
}

fn rfc3339(ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(ns.into()).unwrap_or_default().to_string()
}

fn parameter<'a>(question: &'a Question, name: &str) -> Option<&'a str> {
    match question.parameters.get(name)? {
        Parameter::Text(text) => Some(text),
        Parameter::TimeNs(_) => None,
    }
}

fn time(question: &Question, name: &str) -> Option<i64> {
    match question.parameters.get(name)? {
        Parameter::TimeNs(ns) => Some(*ns),
        Parameter::Text(_) => None,
    }
}

/// True if the flow is in the time and passes the filters.
fn passes(flow: &Flow, question: &Question) -> bool {
    let is = |name: &str, value: Option<&str>| {
        parameter(question, name).is_none_or(|wanted| value == Some(wanted))
    };
    time(question, "since").is_none_or(|since| flow.end_ns() >= since)
        && time(question, "until").is_none_or(|until| flow.end_ns() < until)
        && is("application", flow.application.as_deref())
        && is("category", flow.category.as_deref())
        && is("client", Some(&flow.client))
        && is("server", Some(&flow.server))
        && is("protocol", Some(flow.protocol))
        && is("fingerprint", flow.fingerprint.as_deref())
        && is("severity", flow.severity())
        && parameter(question, "host").is_none_or(|host| flow.named() == host || flow.server == host)
        && parameter(question, "risk").is_none_or(|risk| flow.risks.iter().any(|found| found.0 == risk))
}

/// A row before it is grouped: a flow, with one of its risks.
type Row<'a> = (&'a Flow, Option<&'a (String, &'static str, &'static str, String)>);

/// What a column holds in one row.
fn text(row: &Row<'_>, key: &str) -> Value {
    let (flow, risk) = row;
    match key {
        "application" => json!(flow.application),
        "category" => json!(flow.category),
        "client" => json!(flow.client),
        "server" => json!(flow.server),
        "host" => json!(flow.named()),
        "protocol" => json!(flow.protocol),
        "transport" => json!(flow.transport),
        "fingerprint" => json!(flow.fingerprint),
        "user_agent" => json!(flow.user_agent),
        "query_type" => json!(flow.query_type),
        "rcode" => json!(flow.rcode),
        "risk" => json!(risk.map(|risk| &risk.0)),
        "severity" => json!(risk.map_or(flow.severity(), |risk| Some(risk.1))),
        "side" => json!(risk.map(|risk| risk.2)),
        "evidence" => json!(risk.map(|risk| &risk.3)),
        "start" => json!(rfc3339(flow.start_ns)),
        "dst_port" => json!(flow.dst_port),
        "duration_s" => json!(flow.duration_s),
        "bytes" => json!(flow.up + flow.down),
        "record_id" => json!(flow.id),
        _ => Value::Null,
    }
}

/// What a column holds in a group of rows.
fn together(rows: &[Row<'_>], key: &str) -> Value {
    let distinct =
        |of: fn(&Flow) -> String| json!(rows.iter().map(|row| of(row.0)).collect::<BTreeSet<_>>().len());
    match key {
        "flows" | "asked" | "found" => json!(rows.len()),
        "clients" => distinct(|flow| flow.client.clone()),
        "servers" => distinct(|flow| flow.server.clone()),
        "hosts" => distinct(|flow| flow.named().to_owned()),
        "risky_flows" => json!(rows.iter().filter(|row| !row.0.risks.is_empty()).count()),
        "up" => json!(rows.iter().map(|row| row.0.up).sum::<u64>()),
        "down" => json!(rows.iter().map(|row| row.0.down).sum::<u64>()),
        "bytes" => json!(rows.iter().map(|row| row.0.up + row.0.down).sum::<u64>()),
        "first" => json!(rows.iter().map(|row| row.0.start_ns).min().map(rfc3339)),
        "last" => json!(rows.iter().map(|row| row.0.end_ns()).max().map(rfc3339)),
        "gravity" => {
            let rank = |row: &Row<'_>| match row.1.map_or("", |risk| risk.1) {
                "severe" => 3,
                "high" => 2,
                "medium" => 1,
                _ => 0,
            };
            json!(rows.iter().map(rank).max())
        }
        key => rows.iter().map(|row| text(row, key)).find(|value| !value.is_null()).unwrap_or_default(),
    }
}

/// By what the rows of a report are put together; and the name of its series.
fn keys(report: &str) -> (&'static [&'static str], &'static str) {
    match report {
        "applications" => (&["application", "category"], "application"),
        "hosts" => (&["host"], "host"),
        "clients" => (&["client"], "client"),
        "talkers" => (&["client", "server"], "client"),
        "protocols" => (&["protocol"], "protocol"),
        "risks" => (&["risk"], "risk"),
        "dns" => (&["host", "query_type", "rcode"], "rcode"),
        "fingerprints" => (&["fingerprint"], "fingerprint"),
        "servers" => (&["server"], "server"),
        "findings" => (&[], "risk"),
        _ => (&[], "protocol"),
    }
}

/// The columns, in the order in which the SQL names them.
fn columns(sql: &str) -> Vec<String> {
    let list = sql.split(" FROM ").next().unwrap_or_default();
    list.split(" AS \"").skip(1).filter_map(|part| part.split('"').next()).map(str::to_owned).collect()
}

fn answer(flows: &[Flow], question: &Question) -> Result<Answer, AskError> {
    let (report, is_series) = match question.name.strip_suffix("/series") {
        Some(report) => (report, true),
        None => (question.name.as_str(), false),
    };
    let found: Vec<&Flow> = match report {
        "flow" => flows.iter().filter(|flow| Some(flow.id.as_str()) == parameter(question, "id")).collect(),
        _ => flows.iter().filter(|flow| passes(flow, question)).collect(),
    };
    match report {
        "flow" => return Ok(whole(&found)),
        "totals" => return Ok(totals(&found)),
        "query" => return own(flows, question),
        _ => {}
    }
    let mut rows: Vec<Row<'_>> = Vec::new();
    for flow in found {
        match report {
            "risks" | "findings" => {
                let wanted = parameter(question, "risk");
                let risks = flow.risks.iter().filter(|risk| wanted.is_none_or(|wanted| risk.0 == wanted));
                rows.extend(risks.map(|risk| (flow, Some(risk))));
            }
            "dns" if flow.protocol != "dns" => {}
            "fingerprints" if flow.fingerprint.is_none() => {}
            _ => rows.push((flow, None)),
        }
    }
    let (group, series) = keys(report);
    if is_series {
        return Ok(steps(&rows, question, series));
    }
    if let Some(search) = parameter(question, "search") {
        let first = group.first().copied().unwrap_or("host");
        rows.retain(|row| text(row, first).as_str().is_some_and(|name| name.to_lowercase().contains(search)));
    }
    let columns = columns(&question.sql);
    let mut grouped: BTreeMap<Vec<String>, Vec<Row<'_>>> = BTreeMap::new();
    for (i, row) in rows.into_iter().enumerate() {
        let mut key: Vec<String> = group.iter().map(|key| text(&row, key).to_string()).collect();
        if group.is_empty() {
            key.push(format!("{i:09}"));
        }
        grouped.entry(key).or_default().push(row);
    }
    let mut rows: Vec<Vec<Value>> = grouped
        .into_values()
        .map(|rows| {
            columns
                .iter()
                .map(|key| if group.is_empty() { text(&rows[0], key) } else { together(&rows, key) })
                .collect()
        })
        .collect();
    sort(&mut rows, &columns, &question.sql);
    let rows: Vec<_> = rows
        .into_iter()
        .skip(number(&question.sql, " OFFSET "))
        .take(number(&question.sql, " LIMIT "))
        .collect();
    Ok(Answer { columns, rows, ..Answer::default() })
}

fn number(sql: &str, after: &str) -> usize {
    let rest = sql.rsplit(after).next().unwrap_or_default();
    rest.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(usize::MAX)
}

fn sort(rows: &mut [Vec<Value>], columns: &[String], sql: &str) {
    let order = sql.rsplit(" ORDER BY \"").next().unwrap_or_default();
    let at = columns.iter().position(|column| order.starts_with(&format!("{column}\""))).unwrap_or_default();
    let is_down = order.contains(" DESC ");
    rows.sort_by(|a, b| {
        let (a, b) = (a.get(at).unwrap_or(&Value::Null), b.get(at).unwrap_or(&Value::Null));
        let ordering = match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => a.as_str().cmp(&b.as_str()),
        };
        if is_down { ordering.reverse() } else { ordering }
    });
}

fn steps(rows: &[Row<'_>], question: &Question, series: &str) -> Answer {
    let step_ns: i64 = question
        .sql
        .split("AS BIGINT) / ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next()?.parse().ok())
        .unwrap_or(1);
    let is_count = question.sql.contains("count(*) AS value");
    let names: Vec<&str> = (0..).map_while(|i| parameter(question, &format!("name{i}"))).collect();
    let mut sums: BTreeMap<(i64, Option<String>), u64> = BTreeMap::new();
    for row in rows {
        let name = text(row, series).as_str().filter(|name| names.contains(name)).map(str::to_owned);
        let value = if is_count { 1 } else { row.0.up + row.0.down };
        *sums.entry((row.0.end_ns() / step_ns, name)).or_default() += value;
    }
    let rows =
        sums.into_iter().map(|((step, name), value)| vec![json!(step), json!(name), json!(value)]).collect();
    Answer { columns: ["step", "name", "value"].map(str::to_owned).to_vec(), rows, ..Answer::default() }
}

fn totals(flows: &[&Flow]) -> Answer {
    let rows: Vec<Row<'_>> = flows.iter().map(|flow| (*flow, None)).collect();
    let columns = ["flows", "clients", "servers", "up", "down", "risky_flows", "first", "last"];
    let row = columns.iter().map(|key| together(&rows, key)).collect();
    Answer { columns: columns.map(str::to_owned).to_vec(), rows: vec![row], ..Answer::default() }
}

/// As `SELECT *` gives it.
fn whole(flows: &[&Flow]) -> Answer {
    let columns = [
        "uid",
        "start",
        "end",
        "duration_s",
        "transport",
        "src_ip",
        "src_port",
        "dst_ip",
        "dst_port",
        "protocol",
        "application",
        "category",
        "confidence",
        "hostname",
        "ja4",
        "user_agent",
        "dns.qtype",
        "dns.rcode",
        "risks",
        "risk_severity",
        "src_bytes",
        "dst_bytes",
        "src_packets",
        "dst_packets",
        "state",
        "tls.alpn",
        "vlan",
        "sensor",
        "record_id",
    ];
    let row = |flow: &&Flow| {
        let risk = |(name, severity, side, evidence): &(String, &str, &str, String)| json!({ "name": name, "severity": severity, "side": side, "evidence": evidence });
        let risks: Vec<Value> = flow.risks.iter().map(risk).collect();
        vec![
            json!("CdemoFlow0000000001"),
            json!(rfc3339(flow.start_ns)),
            json!(rfc3339(flow.end_ns())),
            json!(flow.duration_s),
            json!(flow.transport),
            json!(flow.client),
            json!(flow.src_port),
            json!(flow.server),
            json!(flow.dst_port),
            json!(flow.protocol),
            json!(flow.application),
            json!(flow.category),
            json!("handshake"),
            json!(flow.host),
            json!(flow.fingerprint),
            json!(flow.user_agent),
            json!(flow.query_type.map(|one| [one])),
            json!(flow.rcode),
            json!(risks),
            json!(flow.severity()),
            json!(flow.up),
            json!(flow.down),
            json!(flow.up / 700 + 1),
            json!(flow.down / 1300 + 1),
            json!("SF"),
            Value::Null,
            json!([]),
            json!("gateway"),
            json!(flow.id),
        ]
    };
    Answer {
        columns: columns.map(str::to_owned).to_vec(),
        rows: flows.iter().map(row).collect(),
        ..Answer::default()
    }
}

/// A person's own question: this store knows no SQL, and answers with its applications.
fn own(flows: &[Flow], question: &Question) -> Result<Answer, AskError> {
    if !question.sql.trim_start().to_lowercase().starts_with("select") {
        return Err(AskError::Question("expected SELECT at line 1, column 1".to_owned()));
    }
    let mut sums: BTreeMap<Option<&str>, (u64, u64)> = BTreeMap::new();
    for flow in flows {
        let sum = sums.entry(flow.application.as_deref()).or_default();
        (sum.0, sum.1) = (sum.0 + 1, sum.1 + flow.up + flow.down);
    }
    let mut rows: Vec<_> = sums.into_iter().collect();
    rows.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.1));
    let rows = rows
        .into_iter()
        .map(|(name, (flows, bytes))| vec![json!(name), json!(flows), json!(bytes)])
        .collect();
    Ok(Answer {
        columns: ["application", "flows", "bytes"].map(str::to_owned).to_vec(),
        rows,
        ..Answer::default()
    })
}
