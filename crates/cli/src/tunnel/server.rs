//! `daylight tunnel server`.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use daylight_card::drive::fingerprint;
use daylight_server::config::Config;
use daylight_server::init::{Options, Tls, init};
use daylight_server::run;

use super::args::{Server, ServerCommand, ServerInit};
use super::given;
use crate::listing::print;

pub(super) fn run(args: &Server) -> Result<ExitCode> {
    match (&args.command, &args.config) {
        (Some(ServerCommand::Init(args)), _) => return made(args),
        (None, Some(config)) if args.check => {
            Config::read(config)?;
            return print(format!("{}: nothing is wrong with it\n", config.display()).as_bytes());
        }
        (None, Some(config)) => run::run(config, |line| {
            // A server whose words nobody reads serves all the same.
            let _ = writeln!(io::stderr(), "daylight: {line}");
        })?,
        // clap asks for one of them.
        (None, None) => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn made(args: &ServerInit) -> Result<ExitCode> {
    let tls = match (&args.certificate, &args.certificate_key, args.behind) {
        (Some(certificate), Some(key), _) => {
            Tls::Files(std::path::absolute(certificate)?, std::path::absolute(key)?)
        }
        (_, _, Some(port)) => Tls::InFront(port),
        _ => Tls::Acme(args.mail.clone()),
    };
    let options = Options {
        name: args.name.clone(),
        addresses: args.addresses.clone(),
        tls,
        plain: args.plain,
        cards: args.cards,
        days: args.days,
        today: given::today()?,
        program: std::env::current_exe().context("where this program lies can't be found")?,
    };
    let folder = std::path::absolute(&args.folder)?;
    let made = init(&folder, &options)?;
    let mut text = String::new();
    if let Some(site) = &made.site {
        text.push_str(&format!("The site, which yours may replace: {site}\n"));
    }
    for card in &made.cards {
        text.push_str(&format!("A card: {}\n", card.display()));
    }
    text.push_str(&format!(
        "The root's key, to tell people: {}\n\
         Keep {} where the server is not: whoever has it can make cards.\n\
         Run it: daylight tunnel server {}\n\
         Or by systemd: cp {} /etc/systemd/system/ && systemctl enable --now daylight-server\n",
        fingerprint(&made.root),
        made.issuer.display(),
        made.config.display(),
        made.unit.display()
    ));
    print(text.as_bytes())
}
