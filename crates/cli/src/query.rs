//! `daylight query`

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::process::ExitCode;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use daylight_query::output::{Form, Output, Target};
use daylight_query::questions::{self, Question};
use daylight_query::{
    Answer, Embedded, EmbeddedOptions, Engine, FUNCTIONS, Parameters, Times, VIEWS, parse_time,
};
use futures_util::StreamExt;

use crate::args::{Colour, Query, QueryFormat};
use crate::interrupt::{self, is_interrupted};
use crate::listing;
use crate::term::Style;

/// Threads of a query have so much stack: conditions nest.
const STACK_BYTES: usize = 16 << 20;

pub(crate) fn run(args: &Query) -> Result<ExitCode> {
    if args.list {
        return list();
    }
    let (Some(store), Some(question)) = (&args.store, &args.question) else {
        bail!("a question and --store DIR are needed");
    };
    let (sql, parameters) = asked(question, &args.parameters)?;
    let sql = if args.explain { format!("EXPLAIN {sql}") } else { sql };
    let limit = args.limit.or_else(|| (is_name(question) && !args.explain).then_some(questions::ROWS));
    let now_ns = jiff::Timestamp::now().as_nanosecond();
    let now_ns = i64::try_from(now_ns).unwrap_or_default();
    let time = |name: &str, text: &Option<String>| {
        text.as_deref().map(|text| parse_time(text, now_ns)).transpose().with_context(|| name.to_owned())
    };
    let mut options = EmbeddedOptions::new(store);
    options.times =
        Times { since_ns: time("--since", &args.since)?, until_ns: time("--until", &args.until)? };
    options.memory_bytes = args.memory << 20;
    if let Some(threads) = args.threads {
        options.threads = threads.into();
    }
    interrupt::watch()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(options.threads)
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .context("can't start threads")?;
    // On a thread of the runtime, which has the stack for it.
    let form = form(args)?;
    let output = args.output.clone();
    let (done, wait) = std::sync::mpsc::sync_channel(1);
    runtime.spawn(async move {
        let work = async {
            let engine = Embedded::new(&options).await?;
            let answer = engine.query(&sql, &parameters).await?;
            write(answer, form, &output, limit).await
        };
        let _ = done.send(work.await);
    });
    // This thread waits for itself: the runtime's clock stands still while a join keeps all its threads busy.
    let done = loop {
        match wait.recv_timeout(Duration::from_millis(50)) {
            Err(RecvTimeoutError::Timeout) if is_interrupted() => break None,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => bail!("the query's thread has failed"),
            Ok(done) => break Some(done),
        }
    };
    // What is still at work is not waited for.
    runtime.shutdown_background();
    match done {
        None => Ok(ExitCode::from(130)),
        Some(done) => done.map(|()| ExitCode::SUCCESS),
    }
}

/// SQL has spaces in it, a name has none.
fn is_name(question: &str) -> bool {
    question != "-" && !question.contains(char::is_whitespace)
}

fn asked(question: &str, given: &[String]) -> Result<(String, Parameters)> {
    let given: Vec<(Option<String>, String)> = given
        .iter()
        .map(|text| match text.split_once('=') {
            Some((name, value)) if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
                (Some(name.to_owned()), value.to_owned())
            }
            _ => (None, text.clone()),
        })
        .collect();
    if is_name(question) {
        let question = Question::named(question)?;
        return Ok((question.sql.clone(), question.values(&given)?));
    }
    let mut sql = question.to_owned();
    if question == "-" {
        sql.clear();
        io::stdin().read_to_string(&mut sql).context("can't read the question from standard input")?;
    }
    let mut values = Parameters::new();
    for (name, value) in given {
        let Some(name) = name else { bail!("{value:?}: what SQL calls $name is given as name=value") };
        values.insert(name, daylight_query::ScalarValue::Utf8View(Some(value)));
    }
    Ok((sql, values))
}

fn form(args: &Query) -> Result<Form> {
    let to_stdout = args.output.as_os_str() == "-";
    Ok(match args.format {
        // For a file there is no terminal to fit.
        QueryFormat::Table if !to_stdout => Form::Table { width: usize::MAX },
        QueryFormat::Table => Form::Table { width: Style::new(Colour::Never, true).width.max(80) },
        QueryFormat::Csv => Form::Csv,
        QueryFormat::Jsonl => Form::Jsonl,
        QueryFormat::Parquet if to_stdout => {
            bail!("a Parquet file can't be written to standard output: name a file with --output FILE")
        }
        QueryFormat::Parquet => Form::Parquet,
    })
}

async fn write(mut answer: Answer, form: Form, to: &std::path::Path, limit: Option<usize>) -> Result<()> {
    for warning in &answer.warnings {
        let _ = writeln!(io::stderr(), "daylight: {warning}");
    }
    let out: Box<dyn Target> = if to.as_os_str() == "-" {
        Box::new(BufWriter::new(io::stdout()))
    } else {
        Box::new(BufWriter::new(File::create(to).with_context(|| format!("can't create {}", to.display()))?))
    };
    match rows(&mut answer, form, out, limit).await {
        // Nobody reads on.
        Err(daylight_query::QueryError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

async fn rows(
    answer: &mut Answer,
    form: Form,
    out: Box<dyn Target>,
    limit: Option<usize>,
) -> Result<(), daylight_query::QueryError> {
    let mut output = Output::new(form, &answer.schema, out)?;
    let mut left = limit.unwrap_or(usize::MAX);
    while left > 0
        && let Some(batch) = answer.rows.next().await
    {
        let batch = batch?;
        let batch = batch.slice(0, batch.num_rows().min(left));
        left -= batch.num_rows();
        output.write(&batch)?;
    }
    output.finish().map(drop)
}

fn list() -> Result<ExitCode> {
    let mut text = Vec::new();
    // Writing to a Vec can't fail.
    let _ = writeln!(text, "Questions:");
    for question in questions::all() {
        let parameters: String =
            question.parameters.iter().map(|p| format!(" {}", p.name.to_uppercase())).collect();
        let _ = writeln!(text, "  {:<26} {}", format!("{}{parameters}", question.name), question.help);
    }
    let _ = writeln!(text, "\nTables:");
    let _ = writeln!(
        text,
        "  {:<26} All flows; its columns are those of `daylight fields`, and day and hour",
        "flows"
    );
    for view in VIEWS {
        let _ = writeln!(text, "  {:<26} {}", view.name, view.help);
    }
    let _ = writeln!(text, "\nFunctions, beside those of SQL:");
    for (call, help) in FUNCTIONS {
        let _ = writeln!(text, "  {call}\n      {help}");
    }
    listing::print(&text)
}
