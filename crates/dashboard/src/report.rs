//! Reports: each a table over the records, its chart, and what can be clicked in it. Pages, the JSON interface, CSV and the OpenAPI
//! document are all made from this one description, so that they say the same.

use std::collections::BTreeMap;

use crate::ask::{Limits, Parameter, Question};
use crate::range::Range;

/// Something a page can be about; a report can be narrowed to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Application,
    Category,
    Client,
    Fingerprint,
    Host,
    Protocol,
    Risk,
    Server,
    Severity,
}

impl Subject {
    pub(crate) const ALL: [Self; 9] = [
        Self::Application,
        Self::Category,
        Self::Client,
        Self::Fingerprint,
        Self::Host,
        Self::Protocol,
        Self::Risk,
        Self::Server,
        Self::Severity,
    ];

    /// As in addresses of pages, in queries and in message files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Category => "category",
            Self::Client => "client",
            Self::Fingerprint => "fingerprint",
            Self::Host => "host",
            Self::Protocol => "protocol",
            Self::Risk => "risk",
            Self::Server => "server",
            Self::Severity => "severity",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|subject| subject.name() == name)
    }

    /// The condition on a flow.
    fn condition(self) -> &'static str {
        match self {
            Self::Application => "application = $application",
            Self::Category => "category = $category",
            Self::Client => "src_ip = $client",
            Self::Fingerprint => "(ja4 = $fingerprint OR ja3 = $fingerprint)",
            // Each of them alone can be looked up by bloom filters; a coalesce of them could not.
            Self::Host => "(hostname = $host OR resolved_name = $host OR dst_ip = $host)",
            Self::Protocol => "protocol = $protocol",
            Self::Risk => {
                "record_id IN (SELECT record_id FROM (SELECT record_id, unnest(risks) AS found FROM flows WHERE risks IS NOT NULL \
                 AND \"end\" >= $since AND \"end\" < $until) AS r WHERE r.found['name'] = $risk)"
            }
            Self::Server => "dst_ip = $server",
            Self::Severity => "risk_severity = $severity",
        }
    }

    /// The condition where every row is a risk of a flow.
    fn condition_on_risk(self) -> &'static str {
        match self {
            Self::Risk => "found['name'] = $risk",
            Self::Severity => "found['severity'] = $severity",
            other => other.condition(),
        }
    }
}

/// What the values of a column are: how they are shown, and their type in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bytes,
    Count,
    /// Of a flow, whose page it leads to.
    Id,
    Port,
    Seconds,
    Severity,
    Text,
    Time,
}

impl Kind {
    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Bytes | Self::Count | Self::Port | Self::Seconds)
    }
}

/// A column.
#[derive(Debug)]
pub(crate) struct Column {
    /// Its name in SQL and JSON; its heading is the message `column-…`.
    pub(crate) key: &'static str,
    pub(crate) sql: &'static str,
    pub(crate) kind: Kind,
    /// The page that its values lead to.
    pub(crate) link: Option<Subject>,
    /// Shown where there is room: not on a telephone.
    pub(crate) wide: bool,
}

const fn column(key: &'static str, sql: &'static str, kind: Kind) -> Column {
    Column { key, sql, kind, link: None, wide: false }
}

const fn link(key: &'static str, sql: &'static str, link: Subject) -> Column {
    Column { key, sql, kind: Kind::Text, link: Some(link), wide: false }
}

const fn wide(column: Column) -> Column {
    Column { wide: true, ..column }
}

/// What a row is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Flows,
    /// Each risk of each flow.
    Risks,
}

/// A report.
#[derive(Debug)]
pub(crate) struct Report {
    /// Its name: the page is `/NAME`, the interface `/api/v1/NAME`.
    pub(crate) name: &'static str,
    pub(crate) source: Source,
    pub(crate) columns: &'static [Column],
    /// What rows are put together by; nothing if every flow (or risk) is a row.
    pub(crate) group: &'static str,
    pub(crate) condition: &'static str,
    /// The column that the first rows are largest in.
    pub(crate) sort: &'static str,
    /// By what the chart is coloured: the same as the column of this number.
    pub(crate) series: usize,
    /// What the chart adds up, and whether these are bytes.
    pub(crate) measure: (&'static str, Kind),
}

const HOST: &str = "coalesce(hostname, resolved_name, dst_ip)";
const FLOWS: Column = column("flows", "count(*)", Kind::Count);
const CLIENTS: Column = wide(column("clients", "count(DISTINCT src_ip)", Kind::Count));
const UP: Column = wide(column("up", "sum(src_bytes)", Kind::Bytes));
const DOWN: Column = wide(column("down", "sum(dst_bytes)", Kind::Bytes));
const BYTES: Column = column("bytes", "sum(src_bytes + dst_bytes)", Kind::Bytes);
const BYTES_MEASURE: (&str, Kind) = ("sum(src_bytes + dst_bytes)", Kind::Bytes);
const COUNT_MEASURE: (&str, Kind) = ("count(*)", Kind::Count);
const RISK_ORDER: &str =
    "max(CASE found['severity'] WHEN 'severe' THEN 3 WHEN 'high' THEN 2 WHEN 'medium' THEN 1 ELSE 0 END)";

/// All reports, in the order of the menu.
pub(crate) static REPORTS: [Report; 11] = [
    Report {
        name: "applications",
        columns: &[
            link("application", "application", Subject::Application),
            wide(link("category", "category", Subject::Category)),
            FLOWS,
            CLIENTS,
            UP,
            DOWN,
            BYTES,
        ],
        group: "application, category",
        series: 0,
        ..BASE
    },
    Report {
        name: "hosts",
        columns: &[
            link("host", HOST, Subject::Host),
            wide(link("application", "min(application)", Subject::Application)),
            FLOWS,
            CLIENTS,
            UP,
            DOWN,
            BYTES,
        ],
        group: HOST,
        ..BASE
    },
    Report {
        name: "clients",
        columns: &[
            link("client", "src_ip", Subject::Client),
            FLOWS,
            wide(column("servers", "count(DISTINCT dst_ip)", Kind::Count)),
            wide(column("risky_flows", "count(risk_severity)", Kind::Count)),
            UP,
            DOWN,
            BYTES,
        ],
        group: "src_ip",
        ..BASE
    },
    Report {
        name: "talkers",
        columns: &[
            link("client", "src_ip", Subject::Client),
            link("server", "dst_ip", Subject::Server),
            wide(link("host", "min(coalesce(hostname, resolved_name))", Subject::Host)),
            wide(FLOWS),
            UP,
            DOWN,
            BYTES,
        ],
        group: "src_ip, dst_ip",
        ..BASE
    },
    Report {
        name: "protocols",
        columns: &[
            link("protocol", "protocol", Subject::Protocol),
            wide(column("transport", "min(transport)", Kind::Text)),
            FLOWS,
            CLIENTS,
            UP,
            DOWN,
            BYTES,
        ],
        group: "protocol",
        ..BASE
    },
    Report {
        name: "risks",
        source: Source::Risks,
        columns: &[
            link("risk", "found['name']", Subject::Risk),
            column("severity", "min(found['severity'])", Kind::Severity),
            wide(column("side", "min(found['side'])", Kind::Text)),
            column("found", "count(*)", Kind::Count),
            wide(CLIENTS),
            wide(column("servers", "count(DISTINCT dst_ip)", Kind::Count)),
            column("last", "max(\"end\")", Kind::Time),
            wide(column("gravity", RISK_ORDER, Kind::Count)),
        ],
        group: "found['name']",
        sort: "gravity",
        measure: COUNT_MEASURE,
        ..BASE
    },
    Report {
        name: "findings",
        source: Source::Risks,
        columns: &[
            column("start", "start", Kind::Time),
            column("severity", "found['severity']", Kind::Severity),
            link("risk", "found['name']", Subject::Risk),
            column("evidence", "found['evidence']", Kind::Text),
            wide(link("client", "src_ip", Subject::Client)),
            wide(link("host", HOST, Subject::Host)),
            wide(link("protocol", "protocol", Subject::Protocol)),
            wide(column("record_id", "record_id", Kind::Id)),
        ],
        sort: "start",
        series: 2,
        measure: COUNT_MEASURE,
        ..BASE
    },
    Report {
        name: "flows",
        columns: &[
            column("start", "start", Kind::Time),
            link("client", "src_ip", Subject::Client),
            link("host", HOST, Subject::Host),
            wide(column("dst_port", "dst_port", Kind::Port)),
            wide(link("protocol", "protocol", Subject::Protocol)),
            wide(link("application", "application", Subject::Application)),
            wide(column("severity", "risk_severity", Kind::Severity)),
            wide(column("duration_s", "duration_s", Kind::Seconds)),
            column("bytes", "src_bytes + dst_bytes", Kind::Bytes),
            column("record_id", "record_id", Kind::Id),
        ],
        sort: "start",
        series: 4,
        ..BASE
    },
    Report {
        name: "dns",
        columns: &[
            link("host", "hostname", Subject::Host),
            wide(column("query_type", "array_to_string(\"dns.qtype\", ', ')", Kind::Text)),
            column("rcode", "\"dns.rcode\"", Kind::Text),
            column("asked", "count(*)", Kind::Count),
            CLIENTS,
            wide(column("last", "max(\"end\")", Kind::Time)),
        ],
        condition: "protocol IN ('dns', 'mdns', 'llmnr')",
        group: "hostname, array_to_string(\"dns.qtype\", ', '), \"dns.rcode\"",
        sort: "asked",
        series: 2,
        measure: COUNT_MEASURE,
        ..BASE
    },
    Report {
        name: "fingerprints",
        columns: &[
            link("fingerprint", "coalesce(ja4, ja3)", Subject::Fingerprint),
            FLOWS,
            CLIENTS,
            wide(column("hosts", "count(DISTINCT hostname)", Kind::Count)),
            wide(link("host", "min(hostname)", Subject::Host)),
            wide(column("user_agent", "min(user_agent)", Kind::Text)),
            BYTES,
        ],
        condition: "coalesce(ja4, ja3) IS NOT NULL",
        group: "coalesce(ja4, ja3)",
        sort: "flows",
        measure: COUNT_MEASURE,
        ..BASE
    },
    Report {
        name: "servers",
        columns: &[
            link("server", "dst_ip", Subject::Server),
            wide(link("host", "min(coalesce(hostname, resolved_name))", Subject::Host)),
            FLOWS,
            CLIENTS,
            UP,
            DOWN,
            BYTES,
        ],
        group: "dst_ip",
        ..BASE
    },
];

const BASE: Report = Report {
    name: "",
    source: Source::Flows,
    columns: &[],
    group: "",
    condition: "",
    sort: "bytes",
    series: 0,
    measure: BYTES_MEASURE,
};

/// The report of this name.
pub(crate) fn report(name: &str) -> Option<&'static Report> {
    REPORTS.iter().find(|report| report.name == name)
}

/// Which part of a report is wanted: all that stands in an address beside the report's name.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) range: Range,
    pub(crate) filters: BTreeMap<Subject, String>,
    /// A part of the first column that is text.
    pub(crate) search: Option<String>,
}

impl Scope {
    fn parameters(&self) -> BTreeMap<String, Parameter> {
        let mut parameters = BTreeMap::from([
            ("since".to_owned(), Parameter::TimeNs(self.range.since_ns)),
            ("until".to_owned(), Parameter::TimeNs(self.range.until_ns)),
        ]);
        for (subject, value) in &self.filters {
            parameters.insert(subject.name().to_owned(), Parameter::Text(value.clone()));
        }
        if let Some(search) = &self.search {
            parameters.insert("search".to_owned(), Parameter::Text(search.to_lowercase()));
        }
        parameters
    }
}

/// How the rows of a report are sorted and cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) column: usize,
    pub(crate) ascending: bool,
    pub(crate) offset: usize,
    pub(crate) rows: usize,
}

impl Report {
    pub(crate) fn position(&self, key: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.key == key)
    }

    /// As rows are sorted if nobody says otherwise.
    pub(crate) fn order(&self, rows: usize) -> Order {
        Order { column: self.position(self.sort).unwrap_or_default(), ascending: false, offset: 0, rows }
    }

    /// The expression that the search looks into: the first text with a page of its own.
    fn searched(&self) -> &'static str {
        let found = self.columns.iter().find(|column| column.link.is_some() && !column.sql.contains("min("));
        found.map_or("hostname", |column| column.sql)
    }

    /// `FROM … WHERE …`.
    fn rows_of(&self, scope: &Scope) -> String {
        let mut conditions = vec!["\"end\" >= $since AND \"end\" < $until".to_owned()];
        let from = match self.source {
            Source::Flows => "flows".to_owned(),
            Source::Risks => {
                let within = conditions.remove(0);
                format!(
                    "(SELECT *, unnest(risks) AS found FROM flows WHERE risks IS NOT NULL AND {within}) AS f"
                )
            }
        };
        conditions.extend((!self.condition.is_empty()).then(|| self.condition.to_owned()));
        conditions.extend(scope.filters.keys().map(|subject| match self.source {
            Source::Flows => subject.condition().to_owned(),
            Source::Risks => subject.condition_on_risk().to_owned(),
        }));
        if scope.search.is_some() {
            conditions.push(format!("contains(lower({}), $search)", self.searched()));
        }
        match conditions.is_empty() {
            true => format!("FROM {from}"),
            false => format!("FROM {from} WHERE {}", conditions.join(" AND ")),
        }
    }

    /// The question for its rows; one more than wanted, so that it is known whether there are more.
    pub(crate) fn rows(&self, scope: &Scope, order: Order) -> Question {
        let columns: Vec<String> =
            self.columns.iter().map(|column| format!("{} AS \"{}\"", column.sql, column.key)).collect();
        let group = if self.group.is_empty() { String::new() } else { format!(" GROUP BY {}", self.group) };
        let by = self.columns.get(order.column).map_or(self.sort, |column| column.key);
        let direction = if order.ascending { "ASC" } else { "DESC" };
        // With the first column, rows that are equal keep their places from page to page.
        let first = self.columns.first().map_or(self.sort, |column| column.key);
        let sql = format!(
            "SELECT {} {}{group} ORDER BY \"{by}\" {direction} NULLS LAST, \"{first}\" ASC NULLS LAST LIMIT {} OFFSET {}",
            columns.join(", "),
            self.rows_of(scope),
            order.rows + 1,
            order.offset,
        );
        let limits = Limits { rows: order.rows, ..Limits::default() };
        Question { name: self.name.to_owned(), sql, parameters: scope.parameters(), limits }
    }

    /// The question for its chart: `step`, `name`, `value`. Names that aren't asked for are one, null.
    pub(crate) fn series(&self, scope: &Scope, names: &[String]) -> Question {
        let mut parameters = scope.parameters();
        let mut placeholders = Vec::new();
        for (i, name) in names.iter().enumerate() {
            placeholders.push(format!("$name{i}"));
            parameters.insert(format!("name{i}"), Parameter::Text(name.clone()));
        }
        let by = self.columns.get(self.series).map_or("protocol", |column| column.sql);
        let name = match names.is_empty() {
            true => "CAST(NULL AS VARCHAR)".to_owned(),
            false => format!("CASE WHEN {by} IN ({}) THEN {by} END", placeholders.join(", ")),
        };
        let sql = format!(
            "SELECT CAST(\"end\" AS BIGINT) / {} AS step, {name} AS name, {} AS value {} GROUP BY step, name ORDER BY step",
            scope.range.step_s() * 1_000_000_000,
            self.measure.0,
            self.rows_of(scope),
        );
        Question { name: format!("{}/series", self.name), sql, parameters, limits: Limits::default() }
    }
}

/// The question for the sums over a scope.
pub(crate) fn totals(scope: &Scope) -> Question {
    let sql = format!(
        "SELECT count(*) AS flows, count(DISTINCT src_ip) AS clients, count(DISTINCT dst_ip) AS servers, \
         sum(src_bytes) AS up, sum(dst_bytes) AS down, count(risk_severity) AS risky_flows, min(start) AS first, \
         max(\"end\") AS last {}",
        Report { ..BASE }.rows_of(scope)
    );
    Question { name: "totals".to_owned(), sql, parameters: scope.parameters(), limits: Limits::default() }
}

/// The question for one flow, by its record's name or by its own; a long flow has several records.
pub(crate) fn flow(id: &str) -> Question {
    Question {
        name: "flow".to_owned(),
        sql: "SELECT * FROM flows WHERE record_id = $id OR uid = $id ORDER BY start LIMIT 20".to_owned(),
        parameters: BTreeMap::from([("id".to_owned(), Parameter::Text(id.to_owned()))]),
        limits: Limits { rows: 20, ..Limits::default() },
    }
}
