//! `daylight tunnel`: what goes past a filter.

pub(crate) mod args;
mod card;
mod client;
mod drawn;
mod given;
mod issued;
mod server;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use daylight_tunnel::plugin;

use crate::args::TunnelCommand;

pub(crate) fn run(command: &TunnelCommand) -> Result<ExitCode> {
    match command {
        TunnelCommand::Card(command) => card::run(command),
        TunnelCommand::Client(args) => client::run(args),
        TunnelCommand::Server(args) => server::run(args),
        TunnelCommand::Plugin => {
            let environment = std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect();
            plugin::run(&environment, io::stdin(), io::stdout(), |line| {
                let _ = writeln!(io::stderr(), "daylight: {line}");
            })?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
