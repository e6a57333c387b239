//! The `daylight` command: argument parsing and wiring, nothing else.

mod args;
mod audit;
mod filter;
mod inspect;
mod interrupt;
mod lab;
mod listing;
mod progress;
mod summary;
mod term;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser};

use args::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Inspect(args) => inspect::run(&args),
        Command::Protocols(args) => listing::protocols(&args),
        Command::Fields(args) => listing::fields(&args),
        Command::Risks(args) => listing::risks(&args),
        Command::Applications(args) => listing::applications(&args),
        Command::Filter(command) => filter::run(&command),
        Command::Audit(command) => audit::run(&command),
        Command::Lab(args) => lab::run(args.command),
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
