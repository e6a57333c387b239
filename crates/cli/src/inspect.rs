//! `daylight inspect`

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use daylight_inspect::summary::Summary;
use daylight_inspect::{Column, ColumnId, Config, Control, RecordSink, column, columns};
use daylight_packet::{FrameSource, SourceEnd, SourceError};
use daylight_protocols::ProtocolId;
use daylight_store::folder::StoreWriter;
use daylight_store::{Destination, Order, Select, Writer};

use crate::args::{Format, Inspect};
use crate::interrupt::{self, Interruptible, is_interrupted};
use crate::progress::Progress;
use crate::summary::Read;
use crate::term::{Style, bytes, grouped};

pub(crate) fn run(args: &Inspect) -> Result<ExitCode> {
    let files = daylight_capture::expand(&args.files)?;
    let columns = chosen_columns(&args.fields)?;
    let condition = match args.condition.as_deref().map(daylight_inspect::compile).transpose() {
        Ok(condition) => condition,
        Err(error) => bail!("--where: {}", error.report()),
    };
    let order = args.sort.as_deref().map(chosen_order).transpose()?;
    let mut config = args.engine.config(args.active_timeout, args.quiet)?;
    // A summary shows nothing that the engine doesn't work out anyway.
    let mut wanted: Vec<ColumnId> = match args.format {
        Format::Summary if args.store.is_none() => Vec::new(),
        _ => columns.iter().map(|c| c.id).collect(),
    };
    if let Some(condition) = &condition {
        wanted.extend(daylight_inspect::columns_of(condition));
    }
    wanted.extend(order.map(|o| o.column));
    config.want_columns(wanted);
    config.wanted.set_events(args.format == Format::Zeek);
    let config = Arc::new(config);

    interrupt::watch()?;
    let to = Destination::from(args.output.clone());
    if let Some(folder) = &args.store {
        let writer = StoreWriter::new(&crate::store::options(folder, &args.kept)?)?;
        let mut sink = Select::new(writer, condition, order, args.limit);
        let run = read_all(&files, &config, args, &mut sink);
        let flows = sink.finish()?;
        let run = run?;
        run.tell(args);
        if !args.quiet {
            let counters = sink.inner().counters();
            let _ = writeln!(
                io::stderr(),
                "daylight: {} flows in {} files in {} ({})",
                grouped(flows),
                grouped(counters.files),
                folder.display(),
                bytes(counters.bytes)
            );
        }
        return Ok(run.exit_code());
    }
    if args.format == Format::Summary {
        let mut sink = Select::new(Summary::default(), condition, order, args.limit);
        let run = read_all(&files, &config, args, &mut sink)?;
        sink.release();
        let style = Style::new(args.colour, to == Destination::Stdout);
        let summary = sink.into_inner();
        let mut text = Vec::new();
        // Writing to a Vec can't fail.
        let _ = crate::summary::print(&mut text, &summary, &run.read, args.top, style);
        match &to {
            Destination::Stdout => {
                quiet_pipe(io::stdout().write_all(&text).and_then(|()| io::stdout().flush()))?
            }
            Destination::Path(path) => std::fs::write(path, &text)
                .with_context(|| format!("can't write the summary to {}", path.display()))?,
        }
        return Ok(run.exit_code());
    }
    let format = match args.format {
        Format::Jsonl => daylight_store::Format::Jsonl,
        Format::Csv => daylight_store::Format::Csv,
        Format::Parquet => daylight_store::Format::Parquet,
        Format::Zeek | Format::Summary => daylight_store::Format::Zeek,
    };
    let writer = daylight_store::open(format, columns, &to)?;
    let mut sink = Select::new(writer, condition, order, args.limit);
    let run = read_all(&files, &config, args, &mut sink);
    // What was written until an error is finished in any case.
    match sink.finish() {
        Ok(_) => {}
        Err(error) if error.is_closed_pipe() => return Ok(ExitCode::SUCCESS),
        Err(error) => return Err(error.into()),
    }
    let run = run?;
    run.tell(args);
    Ok(run.exit_code())
}

/// What became of the captures.
struct Run {
    read: Vec<Read>,
    /// Captures that could not be read at all.
    failed: usize,
}

impl Run {
    fn exit_code(&self) -> ExitCode {
        let damaged = self.read.iter().any(|r| matches!(r.stats.end, SourceEnd::Damaged { .. }));
        ExitCode::from(match () {
            () if is_interrupted() => 130,
            () if self.failed > 0 => 1,
            () if damaged => 3,
            () => 0,
        })
    }

    /// With records on standard output, what a person should know goes to standard error.
    fn tell(&self, args: &Inspect) {
        for read in &self.read {
            if let SourceEnd::Damaged { offset, reason } = &read.stats.end {
                let _ = writeln!(
                    io::stderr(),
                    "daylight: {}: stopped at byte {offset}: {reason}; what came before was read",
                    read.name
                );
            }
            if let Some(link) = read.stats.unknown_link
                && !args.quiet
            {
                let _ = writeln!(
                    io::stderr(),
                    "daylight: {}: {link} is not a link type that daylight reads",
                    read.name
                );
            }
        }
    }
}

fn read_all(
    files: &[std::path::PathBuf],
    config: &Arc<Config>,
    args: &Inspect,
    sink: &mut dyn RecordSink,
) -> Result<Run> {
    let mut run = Run { read: Vec::new(), failed: 0 };
    let mut first_error = None;
    for (i, path) in files.iter().enumerate() {
        if is_interrupted() || sink.is_closed() {
            break;
        }
        let name = capture_name(path);
        let result = open(path).and_then(|mut source| {
            let control = Control::default();
            let progress = Progress::new(&name, i, files.len(), args.quiet);
            progress
                .watch(&control, || daylight_inspect::inspect(source.as_mut(), &name, config, &control, sink))
        });
        match result {
            Ok(stats) => run.read.push(Read { name, stats }),
            Err(error) => {
                run.failed += 1;
                let message = error.to_string();
                if files.len() > 1 {
                    let _ = writeln!(io::stderr(), "daylight: {message}");
                }
                first_error.get_or_insert(message);
            }
        }
    }
    // One capture that can't be read among many is told above; none that can is an error.
    match first_error {
        Some(error) if run.read.is_empty() => match files.len() {
            1 => bail!("{error}"),
            n => bail!("none of the {n} captures could be read"),
        },
        _ => Ok(run),
    }
}

fn open(path: &Path) -> Result<Box<dyn FrameSource>, SourceError> {
    let stdin = io::stdin();
    if path.as_os_str() != "-" || stdin.is_terminal() {
        return daylight_capture::open(path);
    }
    daylight_capture::open_reader("standard input", Interruptible::new(stdin), None)
}

/// A capture's name in records: the file's, without its folder.
fn capture_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// The columns that `--fields` names, or all.
pub(crate) fn chosen_columns(names: &[String]) -> Result<Vec<&'static Column>> {
    if names.is_empty() {
        return Ok(columns().iter().collect());
    }
    let mut chosen: Vec<&'static Column> = Vec::new();
    for name in names.iter().map(|n| n.trim()).filter(|n| !n.is_empty()) {
        if let Some(column) = column(name) {
            chosen.push(column);
            continue;
        }
        let protocol = ProtocolId::from_name(name).filter(|id| !id.get().fields.is_empty());
        let Some(protocol) = protocol else { bail!("--fields: {}", no_field(name)) };
        let mine = |c: &&Column| matches!(c.id, ColumnId::Field(f) if f.protocol == protocol);
        chosen.extend(columns().iter().filter(mine));
    }
    Ok(chosen)
}

fn chosen_order(text: &str) -> Result<Order> {
    let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
    match column(name) {
        Some(column) => Ok(Order { column: column.id, descending }),
        None => bail!("--sort: {}", no_field(name)),
    }
}

fn no_field(name: &str) -> String {
    match daylight_expr::nearest(name, columns().iter().map(|c| c.name)) {
        Some(near) => format!("there is no field {name:?}; did you mean {near:?}? See `daylight fields`"),
        None => format!("there is no field {name:?}; `daylight fields` lists them"),
    }
}

/// A reader of the pipe that has gone away is no error.
pub(crate) fn quiet_pipe(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("can't write to standard output"),
    }
}
