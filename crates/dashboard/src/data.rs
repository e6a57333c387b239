//! Reports with their answers, for pages and for programs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use crate::app::App;
use crate::ask::{Answer, AskError, Limits};
use crate::chart::COLOURS;
use crate::networks::{NetworkRow, by_network};
use crate::report::{Order, Report, Scope, report};

/// Servers that networks are made up of; those with fewer bytes are left out, and it is said.
pub(crate) const SERVERS_MAX: usize = 5000;

/// Rows of a report.
pub(crate) struct Rows {
    pub(crate) rows: Vec<Vec<Value>>,
    /// There are more behind them.
    pub(crate) has_more: bool,
    pub(crate) warnings: Vec<String>,
}

/// The rows of a report.
pub(crate) async fn rows(app: &App, report: &Report, scope: &Scope, order: Order) -> Result<Rows, AskError> {
    let answer = app.ask(report.rows(scope, order)).await?;
    let width = report.columns.len();
    let fit = |mut row: Vec<Value>| {
        row.resize(width, Value::Null);
        row
    };
    let rows: Vec<_> = answer.rows.into_iter().map(fit).collect();
    Ok(Rows { has_more: answer.truncated, rows, warnings: answer.warnings })
}

/// A report over time: for each name its values, one a step of the range.
pub(crate) struct Steps {
    /// The names that were asked for, in their order.
    pub(crate) named: Vec<(String, Vec<f64>)>,
    /// All others.
    pub(crate) rest: Vec<f64>,
}

/// The names of a report's rows, each once.
pub(crate) fn names(report: &Report, rows: &[Vec<Value>]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for row in rows {
        if let Some(Value::String(name)) = row.get(report.series)
            && !names.contains(name)
        {
            names.push(name.clone());
        }
    }
    names
}

/// A report over time.
pub(crate) async fn steps(
    app: &App,
    report: &Report,
    scope: &Scope,
    names: Vec<String>,
) -> Result<Steps, AskError> {
    let answer = app.ask(report.series(scope, &names)).await?;
    let (first, last) = scope.range.steps();
    let length = usize::try_from(last - first + 1).unwrap_or(1);
    let places: BTreeMap<&str, usize> =
        names.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    let mut found = vec![vec![0.0; length]; names.len()];
    let mut rest = vec![0.0; length];
    for row in &answer.rows {
        let step = row.first().and_then(Value::as_i64).and_then(|step| usize::try_from(step - first).ok());
        let name = row.get(1).and_then(Value::as_str).and_then(|name| places.get(name));
        let value = row.get(2).and_then(Value::as_f64).unwrap_or_default();
        let line = name.and_then(|at| found.get_mut(*at)).unwrap_or(&mut rest);
        if let Some(place) = step.and_then(|step| line.get_mut(step)) {
            *place += value;
        }
    }
    Ok(Steps { named: names.into_iter().zip(found).collect(), rest })
}

impl Steps {
    /// What is not among the first, as one line.
    pub(crate) fn beyond(&self) -> Vec<f64> {
        let mut rest = self.rest.clone();
        for (_, values) in self.named.iter().skip(COLOURS) {
            rest.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        rest
    }

    /// The values of a name.
    pub(crate) fn of(&self, name: &str) -> Option<&[f64]> {
        self.named.iter().find(|(known, _)| known == name).map(|(_, values)| values.as_slice())
    }
}

/// Networks of servers, and whether servers were left out.
pub(crate) async fn networks(app: &App, scope: &Scope) -> Result<(Vec<NetworkRow>, bool), AskError> {
    let Some(servers) = report("servers") else { return Ok((Vec::new(), false)) };
    let order = Order { rows: SERVERS_MAX, ..servers.order(SERVERS_MAX) };
    let found = rows(app, servers, scope, order).await?;
    let position = |key| servers.position(key).unwrap_or_default();
    let (address, flows, bytes) = (position("server"), position("flows"), position("bytes"));
    let number = |row: &[Value], at: usize| row.get(at).and_then(Value::as_u64).unwrap_or_default();
    let parsed = found.rows.iter().filter_map(|row| {
        let ip: IpAddr = row.get(address)?.as_str()?.parse().ok()?;
        Some((ip, number(row, flows), number(row, bytes)))
    });
    Ok((by_network(app.networks.as_deref(), parsed), found.has_more))
}

/// A person's own question.
pub(crate) async fn query(
    app: &App,
    sql: &str,
    parameters: BTreeMap<String, String>,
    rows: usize,
) -> Result<Answer, AskError> {
    let parameters =
        parameters.into_iter().map(|(name, value)| (name, crate::ask::Parameter::Text(value))).collect();
    let limits = Limits { rows, ..Limits::default() };
    app.ask(crate::ask::Question { name: "query".to_owned(), sql: sql.to_owned(), parameters, limits }).await
}
