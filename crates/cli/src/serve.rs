//! `daylight serve`

pub(crate) mod args;
mod passwd;
mod store;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};
use daylight_dashboard::{Acme, Dashboard, Data, Networks, Options, Transport};
use daylight_query::{Embedded, EmbeddedOptions};
use daylight_watch::Board;

use crate::interrupt;
use crate::watch::link::{Listening, Opened};
use args::{Serve, ServeCommand};
use store::Store;

pub(crate) fn run(args: &Serve) -> Result<ExitCode> {
    match (&args.command, &args.store) {
        (Some(ServeCommand::Passwd(args)), _) => passwd::run(args),
        (None, Some(store)) => serve(args, store),
        // clap asks for one of them.
        (None, None) => Ok(ExitCode::from(2)),
    }
}

fn serve(args: &Serve, folder: &Path) -> Result<ExitCode> {
    let networks = match args.networks.as_slice() {
        [] => None,
        files => Some(Arc::new(Networks::open(files)?)),
    };
    // While there are rights to: a port below 1024, the key of a certificate.
    let dashboard = Dashboard::bind(options(args))?;
    let opened = match args.interfaces.as_slice() {
        [] => None,
        interfaces => Some(Opened::new(&args.link, interfaces, Some(folder))?),
    };
    if let Some(path) = &args.passwords {
        // It is read at each login.
        File::open(path).with_context(|| {
            format!("{} must be readable to the user whom to go on as (see --user)", path.display())
        })?;
    }
    interrupt::watch()?;
    let stop = Arc::new(AtomicBool::new(false));
    let board = opened.is_some().then(Board::new);
    let listening = match (opened, &board) {
        (Some(opened), Some(board)) => Some(opened.start(None, board, &stop)?),
        _ => None,
    };
    let shown = show(args, folder, dashboard, Data { live: board, ask: None, networks });
    // Whatever became of the pages, what was seen is written.
    let kept = listening.map_or(Ok(()), Listening::finish);
    shown.and(kept)?;
    Ok(ExitCode::SUCCESS)
}

/// Serves pages until it is interrupted.
fn show(args: &Serve, folder: &Path, dashboard: Dashboard, data: Data) -> Result<()> {
    let data = Data { ask: Some(Arc::new(Store(open(args, folder)?))), ..data };
    let scheme = if dashboard.is_tls() { "https" } else { "http" };
    tell(&format!("{scheme}://{}/", dashboard.local_addr()?));
    Ok(dashboard.run(data, interrupt::flag(), tell)?)
}

fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "daylight: {line}");
}

fn open(args: &Serve, folder: &Path) -> Result<Embedded> {
    let mut options = EmbeddedOptions::new(folder);
    options.memory_bytes = args.memory << 20;
    let runtime =
        tokio::runtime::Builder::new_current_thread().build().context("can't look into the store")?;
    Ok(runtime.block_on(Embedded::new(&options))?)
}

fn options(args: &Serve) -> Options {
    let transport = match (&args.certificate, &args.certificate_key) {
        (Some(certificate), Some(key)) => {
            Transport::Files { certificate: certificate.clone(), key: key.clone() }
        }
        _ if !args.acme.is_empty() => Transport::Acme(Acme {
            names: args.acme.clone(),
            contact: args.mail.clone(),
            directory: args.acme_directory.clone(),
            folder: args.acme_folder.clone(),
        }),
        _ if args.behind_proxy => Transport::BehindProxy,
        _ if args.clear_text => Transport::PlainAnywhere,
        _ => Transport::Plain,
    };
    Options {
        listen: args.listen,
        passwords: args.passwords.clone(),
        transport,
        names: args.name.clone(),
        title: args.title.clone(),
        session_idle: Duration::from_secs(u64::from(args.session_idle) * 60),
        session_absolute: Duration::from_secs(u64::from(args.session_max) * 3600),
        questions_max: args.questions.into(),
        question_time: Duration::from_secs(args.question_time.into()),
        ..Options::default()
    }
}
