//! The `daylight` command: argument parsing and wiring, nothing else.

mod args;
mod audit;
mod engine;
mod filter;
mod inspect;
mod interrupt;
mod lab;
mod listing;
mod probe;
mod progress;
mod query;
mod serve;
mod store;
mod summary;
mod term;
mod tunnel;
mod watch;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser};

use args::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As given; under the name `daylight-plugin`, a link to the program, `tunnel plugin` for those who start a plug-in by its
/// name alone.
fn arguments() -> Vec<OsString> {
    let given: Vec<OsString> = std::env::args_os().collect();
    match given.first().and_then(|name| Path::new(name).file_name()) {
        Some(name) if name == "daylight-plugin" => {
            ["daylight", "tunnel", "plugin"].map(OsString::from).into()
        }
        _ => given,
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse_from(arguments());
    let result = match cli.command {
        Command::Inspect(args) => inspect::run(&args),
        Command::Query(args) => query::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Store(command) => store::run(&command),
        Command::Watch(args) => watch::run(&args),
        Command::Protocols(args) => listing::protocols(&args),
        Command::Fields(args) => listing::fields(&args),
        Command::Risks(args) => listing::risks(&args),
        Command::Applications(args) => listing::applications(&args),
        Command::Filter(command) => filter::run(&command),
        Command::Audit(command) => audit::run(&command),
        Command::Lab(args) => lab::run(args.command),
        Command::Tunnel(command) => tunnel::run(&command),
        Command::Probe(command) => probe::run(&command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "daylight", &mut script);
            listing::print(&script)
        }
        Command::Man { folder } => clap_mangen::generate_to(Cli::command(), &folder)
            .with_context(|| format!("can't write man pages to {}", folder.display()))
            .map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        // The message, and what caused it, on one line each.
        let _ = writeln!(io::stderr(), "daylight: {error:#}");
        ExitCode::FAILURE
    })
}
