//! `daylight filter`: looking at policies.

mod inline;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use daylight_inspect::{Config, Control, FlowRecord, RecordSink};
use daylight_policy::{Basis, Counter, Policy, Verdict, check};

use crate::args::{FilterCheck, FilterCommand, FilterExplain};
use crate::listing::print;

pub(crate) fn run(command: &FilterCommand) -> Result<ExitCode> {
    match command {
        FilterCommand::Check(args) => checked(args),
        FilterCommand::Explain(args) => explained(args),
        FilterCommand::Plan(args) => inline::plan(args),
        FilterCommand::Run(args) => inline::run(args),
        FilterCommand::Reload(args) => inline::reload(args),
        FilterCommand::Status(args) => inline::status(args),
        FilterCommand::Serve(args) => inline::serve(args),
        FilterCommand::Clean { name } => inline::clean(name),
    }
}

/// Loads a policy, or says everything that is wrong with it.
fn load(path: &Path) -> Result<Option<Arc<Policy>>> {
    match Policy::load(path, None) {
        Ok(policy) => Ok(Some(Arc::new(policy))),
        Err(error) => {
            // All problems, each with its place: more than fits behind a program's name.
            writeln!(io::stderr(), "{}", error.to_string().trim_end())?;
            Ok(None)
        }
    }
}

fn checked(args: &FilterCheck) -> Result<ExitCode> {
    let Some(policy) = load(&args.policy)? else { return Ok(ExitCode::FAILURE) };
    let mut text = Vec::new();
    writeln!(
        text,
        "{}: {}, {}",
        policy.name(),
        counted(policy.rules().len(), "rule"),
        counted(policy.lists().len(), "list")
    )?;
    for rule in policy.rules().iter().filter(|rule| rule.basis != Basis::Operator) {
        writeln!(text, "{}: {}: {}", rule.name, rule.basis.words(), rule.authority)?;
    }
    let report = check(&policy, now_ns());
    write!(text, "{report}")?;
    if !args.against.is_empty() {
        let mut counter = Counter::new(Arc::clone(&policy));
        for path in &args.against {
            read(path, &policy, &mut Counting(&mut counter))?;
        }
        dry_run(&policy, &counter, &mut text)?;
    }
    print(&text)?;
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn dry_run(policy: &Policy, counter: &Counter, text: &mut Vec<u8>) -> io::Result<()> {
    writeln!(text, "\n{:<40} {:>8} {:>12} {:>12}", "Rule", "", "flows", "bytes")?;
    let mut row = |name: &str, action: &str, count: daylight_policy::Count| {
        let short: String = name.chars().take(40).collect();
        writeln!(text, "{short:<40} {action:>8} {:>12} {:>12}", count.flows, count.bytes)
    };
    for (rule, (name, count)) in policy.rules().iter().zip(counter.rules()) {
        row(name, rule.action.name(), count)?;
    }
    row("(none of them)", "allow", counter.others())
}

struct Counting<'a>(&'a mut Counter);

impl RecordSink for Counting<'_> {
    fn flow(&mut self, record: Box<FlowRecord>) {
        self.0.add(&record);
    }
}

fn explained(args: &FilterExplain) -> Result<ExitCode> {
    let Some(policy) = load(&args.policy)? else { return Ok(ExitCode::FAILURE) };
    let mut search = Search { wanted: &args.flow, found: Vec::new() };
    read(&args.capture, &policy, &mut search)?;
    if search.found.is_empty() {
        bail!(
            "no flow of {} is called {:?}; give its uid, its host name, or its client as in 192.0.2.1:40000",
            args.capture.display(),
            args.flow
        );
    }
    let mut text = Vec::new();
    for record in search.found {
        let ends = &record.ends;
        let (src, dst) = ((ends.src_ip, ends.src_port), (ends.dst_ip, ends.dst_port));
        let [src, dst] = [src, dst].map(std::net::SocketAddr::from);
        writeln!(text, "{} {src} > {dst} {}", ends.uid.as_str(), record.protocol.name())?;
        let explanation = policy.explain(&record, record.start_ns);
        write!(text, "{explanation}")?;
        if let Some((Verdict::Drop | Verdict::Reject, Some(rule))) = explanation.decided
            && let Some(rule) = policy.rules().get(rule as usize)
        {
            writeln!(text, "because: {}\nby: {}, until {}", rule.reason, rule.authority, rule.expires)?;
            writeln!(text, "basis: {}", rule.basis.words())?;
        }
        writeln!(text)?;
    }
    print(&text)
}

struct Search<'a> {
    wanted: &'a str,
    found: Vec<FlowRecord>,
}

impl RecordSink for Search<'_> {
    fn flow(&mut self, record: Box<FlowRecord>) {
        let ends = &record.ends;
        let client = std::net::SocketAddr::from((ends.src_ip, ends.src_port)).to_string();
        let host = record.text(daylight_protocols::common::HOSTNAME);
        let is_host = host.is_some_and(|host| host.eq_ignore_ascii_case(self.wanted.trim_end_matches('.')));
        if ends.uid.as_str() == self.wanted || client == self.wanted || is_host {
            self.found.push(*record);
        }
    }
}

/// Runs a capture through the engine, with what the policy reads.
fn read(path: &Path, policy: &Policy, sink: &mut dyn RecordSink) -> Result<()> {
    let mut config = Config::default();
    config.want_columns(policy.fields().iter().filter_map(|field| field.column));
    let mut source = daylight_capture::open(path).map_err(|error| anyhow::anyhow!("{error}"))?;
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    daylight_inspect::inspect(source.as_mut(), &name, &Arc::new(config), &Control::default(), sink)
        .with_context(|| format!("{} can't be read on", path.display()))?;
    Ok(())
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
