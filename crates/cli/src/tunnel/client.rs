//! `daylight tunnel client`.

use std::future::pending;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use daylight_browser::Trust;
use daylight_card::Card;
use daylight_client::Tunnel;
use daylight_client::direct::Direct;
use daylight_client::engine::{Config, Engine, StateFolder};
use daylight_client::front::{Front, Reach};
use daylight_client::hints::hints;
use daylight_client::memory::Identity;
use daylight_client::split::{Rules, Split, Way};
use daylight_client::status::{Line, Status, StatusSocket, ask, socket_path};
use daylight_client::tun::{self, MARK, Tun, TunConfig};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

use super::args::{Client, ClientCommand, ClientRun};
use super::given;

/// Statuses follow one another no faster.
const PAUSE: Duration = Duration::from_secs(1);
/// A live line may change so often.
const LIVE_PAUSE: Duration = Duration::from_millis(250);

pub(super) fn run(args: &Client) -> Result<ExitCode> {
    match &args.command {
        Some(ClientCommand::Status { json }) => runtime()?.block_on(status(*json)),
        Some(ClientCommand::Restore) => {
            tun::restore()?;
            Ok(ExitCode::SUCCESS)
        }
        Some(ClientCommand::Forget { all, state }) => forget(*all, state.as_deref()),
        None => {
            let runtime = runtime()?;
            runtime.block_on(carry(&args.run))?;
            // Connections that are still open are cut.
            runtime.shutdown_background();
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().context("the system has no threads for the client")
}

fn folder(given: Option<&Path>) -> Result<StateFolder> {
    Ok(match given {
        Some(path) => StateFolder::at(path),
        None => StateFolder::usual(),
    }?)
}

fn forget(all: bool, state: Option<&Path>) -> Result<ExitCode> {
    let mut memory = folder(state)?.memory()?;
    if all {
        memory.forget_all();
    } else {
        let network = memory.network(&Identity::current());
        memory.forget(&network);
    }
    memory.save()?;
    Ok(ExitCode::SUCCESS)
}

async fn status(json: bool) -> Result<ExitCode> {
    let status = ask(&socket_path()).await?;
    let text = if json { serde_json::to_string(&status)? + "\n" } else { Line::new(false).render(&status) };
    io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The cards that are good today. One that is not is told of, and no hindrance if there is another.
fn good_cards(given: &[String]) -> Result<Vec<Card>> {
    let today = given::today()?;
    let cards = given::cards(given)?;
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for card in cards {
        match card.check_day(today) {
            Ok(()) => good.push(card),
            Err(error) => bad.push(error),
        }
    }
    match (good.is_empty(), bad.pop()) {
        (true, Some(error)) => Err(error.into()),
        (true, None) => anyhow::bail!("there is no card in what was given"),
        (false, last) => {
            bad.into_iter().chain(last).for_each(|error| say(&format!("daylight: {error}\n")));
            Ok(good)
        }
    }
}

fn rules(args: &ClientRun) -> Result<Rules> {
    let otherwise = if args.only.is_empty() { Way::Tunnel } else { Way::Direct };
    let mut rules = Rules::new(otherwise, !args.no_local);
    let lists = [(&args.split, Way::Direct), (&args.only, Way::Tunnel), (&args.refuse, Way::Refuse)];
    for (paths, way) in lists {
        for path in paths {
            rules.add_list(&path.display().to_string(), &read(path)?, way)?;
        }
    }
    Ok(rules)
}

fn read(path: &PathBuf) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))
}

/// Until it is told to end.
async fn carry(args: &ClientRun) -> Result<()> {
    let mut interrupts = Interrupts::watch()?;
    let cards = good_cards(&args.cards)?;
    let rules = rules(args)?;
    let state = folder(args.state.as_deref())?;
    let trust = match &args.authority {
        Some(path) => Trust::Roots(read(path)?),
        None => Trust::System,
    };
    let reach = if args.share { Reach::Network } else { Reach::Loopback };
    let front = Front::bind(args.listen, reach).await?.with_direct_private(!args.no_local);
    let proxy = front.address();
    let socket = StatusSocket::bind(&socket_path())?;
    let mark = args.tun.then_some(MARK);
    let config = Config {
        transports: args.transports.clone(),
        profile: state.profile()?,
        trust,
        mark,
        memory: state.memory()?,
        census: (!args.no_census).then(|| state.census()),
        ..Config::new(cards)
    };
    let engine = Engine::start(config)?;
    let tun = if args.tun {
        engine.look_up_servers().await;
        let config =
            TunConfig { direct_lan: !args.no_local, resolver: args.resolver, ..TunConfig::default() };
        Some(Tun::open(&config)?)
    } else {
        None
    };
    engine.describe(|status| {
        status.proxy = Some(proxy);
        status.is_whole_machine = tun.is_some();
    });
    if !args.quiet && !args.json {
        introduce(proxy, tun.is_some());
    }
    let tunnel = Split::new(rules, engine.clone(), Direct { mark });
    let outcome = tokio::select! {
        never = front.serve(tunnel.clone()) => never,
        never = socket.serve(engine.status()) => never,
        never = tell(engine.status(), args.quiet, args.json) => never,
        failed = carry_machine(tun.as_ref(), tunnel) => Err(failed),
        () = interrupts.next() => Ok(()),
    };
    if io::stderr().is_terminal() && !args.quiet && !args.json {
        say("\n");
    }
    let end = async {
        engine.stop().await;
        tun.map_or(Ok(()), Tun::close)
    };
    tokio::select! {
        closed = end => closed?,
        () = interrupts.next() => anyhow::bail!("ended at once{}", if args.tun { LEFT } else { "" }),
    }
    outcome
}

/// What a second Ctrl-C leaves.
const LEFT: &str = ": nothing goes out of this machine before `daylight tunnel client restore`";

/// Ends only if the device fails.
async fn carry_machine(tun: Option<&Tun>, tunnel: impl Tunnel) -> anyhow::Error {
    match tun {
        Some(tun) => match tun.run(tunnel).await {
            Err(failed) => failed.into(),
        },
        None => pending().await,
    }
}

/// Ctrl-C, or `kill`.
struct Interrupts([Signal; 2]);

impl Interrupts {
    fn watch() -> Result<Self> {
        let watch = |kind| signal(kind).context("can't watch for Ctrl-C");
        Ok(Self([watch(SignalKind::interrupt())?, watch(SignalKind::terminate())?]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

fn introduce(proxy: std::net::SocketAddr, is_whole_machine: bool) {
    if is_whole_machine {
        say("The whole machine goes through the tunnel; Ctrl-C ends that.\n");
        return;
    }
    let mut text = format!("Your programs find the tunnel at {proxy} (SOCKS 5, SOCKS 4a, HTTP):\n");
    for hint in hints(proxy) {
        let programs = std::iter::once(hint.program).chain(std::iter::repeat(""));
        for (program, step) in programs.zip(hint.steps.lines()) {
            text += &format!("  {program:16} {step}\n");
        }
    }
    say(&text);
}

/// Writes what happens, for ever.
async fn tell(mut status: watch::Receiver<Status>, quiet: bool, json: bool) -> ! {
    let is_terminal = io::stderr().is_terminal() && !json;
    let mut line = Line::new(is_terminal);
    loop {
        let now = status.borrow_and_update().clone();
        if json {
            let text = serde_json::to_string(&now).unwrap_or_default();
            // Whoever ended the pipe wants to know no more.
            let _ = writeln!(io::stdout(), "{text}");
        } else if !quiet {
            say(&line.render(&now));
        }
        sleep(if is_terminal { LIVE_PAUSE } else { PAUSE }).await;
        if status.changed().await.is_err() {
            pending::<()>().await;
        }
    }
}

/// To the person; the tunnel goes on if nobody reads it.
fn say(text: &str) {
    let mut stderr = io::stderr();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
