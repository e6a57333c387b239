//! `daylight probe run`, and the control it is compared with.

use std::cell::RefCell;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use daylight_probe::control::{Front, Helpers, Pack as ControlPack, Signer, Verifier};
use daylight_probe::helper::{self, Limits, Policy, Tls};
use daylight_probe::plan::{Plan, Services};
use daylight_probe::settings::Settings;
use daylight_probe::tls::Roots;
use daylight_probe::{Event, Options, consent, evidence, plan_of};
use indicatif::{ProgressBar, ProgressStyle};

use super::args::{Helper, Pack, Run};
use super::text;
use crate::interrupt;

/// Targets that a preview names.
const PREVIEWED: usize = 12;

fn roots(file: Option<&Path>) -> Result<Roots> {
    Ok(file.map_or_else(Roots::system, Roots::open)?)
}

pub(super) fn run(args: &Run) -> Result<ExitCode> {
    let options = options(args)?;
    let plan = plan_of(&options, &|event| {
        if let Event::Skipped { list, row } = event {
            let _ = writeln!(io::stderr(), "{}: {row}: left out", list.display());
        }
    })?;
    if args.dry_run {
        return crate::listing::print(preview(&plan).as_bytes());
    }
    let _ = write!(io::stderr(), "{}", preview(&plan));
    if !args.yes && !is_agreed()? {
        return Ok(ExitCode::FAILURE);
    }
    // So that the run takes the order that was shown.
    let options = Options { seed: Some(plan.seed), ..options };
    interrupt::watch()?;
    // Old machines measure too: with huge pages the allocator takes two thirds more, and a run mostly waits. Where there are
    // none to be had, nothing is lost.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let shown = Shown::new();
    let summary = daylight_probe::run(&options, &|event| shown.tell(event), interrupt::flag())?;
    shown.bar.finish_and_clear();
    let _ = writeln!(
        io::stderr(),
        "{} measured{}{}: {}",
        summary.measured,
        if summary.before > 0 { format!(", {} before", summary.before) } else { String::new() },
        if summary.left > 0 { format!(", {} left", summary.left) } else { String::new() },
        args.output.display(),
    );
    if summary.measured + summary.before > 0 {
        let output = args.output.display();
        let _ = writeln!(io::stderr(), "What it means: daylight probe classify {output} --explain");
    }
    if summary.packets > 0 {
        let capture = evidence::File::beside(&args.output);
        let capture = capture.path();
        let _ = writeln!(
            io::stderr(),
            "Connections with packets that are not the server's: {}\nWhich, and why: daylight probe packets {}",
            capture.display(),
            capture.display(),
        );
    }
    Ok(if summary.left > 0 { ExitCode::from(130) } else { ExitCode::SUCCESS })
}

fn options(args: &Run) -> Result<Options> {
    let mut settings = Settings::ordinary();
    if !args.resolver.is_empty() {
        settings.resolvers.clone_from(&args.resolver);
    }
    settings.non_resolver = args.no_resolver.map(|address| SocketAddr::new(address, 53));
    if let Some((name, address)) = &args.control {
        settings.control.host.clone_from(name);
        settings.control.addresses = address.iter().copied().collect();
    }
    settings.network.asn = args.asn.unwrap_or_default();
    settings.network.country = args.country.clone().unwrap_or_default().to_ascii_uppercase();
    settings.network.name.clone_from(&args.network);
    settings.steps.locate = args.locate;
    if args.quiet {
        settings.be_quiet();
    }
    let keys: Result<Vec<Verifier>> = args.pack_key.iter().map(|path| verifier(path)).collect();
    let keys = keys?;
    let packs: Result<Vec<ControlPack>> = args.pack.iter().map(|path| read_pack(path, &keys)).collect();
    Ok(Options {
        targets: args.targets.clone(),
        lists: args.list.clone(),
        services: args.service.clone(),
        services_text: args.services.as_deref().map(text).transpose()?,
        without: args.without.iter().map(|code| code.to_ascii_uppercase()).collect(),
        seed: args.seed,
        output: args.output.clone(),
        at_once: if args.quiet { 1 } else { args.at_once.into() },
        settings,
        roots: roots(args.authority.as_deref())?,
        helpers: Helpers { fronts: args.helper.iter().cloned().map(Front::of).collect(), packs: packs? },
        packets: !args.no_packets,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

fn verifier(path: &Path) -> Result<Verifier> {
    Verifier::from_pem(text(path)?.as_bytes()).with_context(|| path.display().to_string())
}

fn read_pack(path: &Path, keys: &[Verifier]) -> Result<ControlPack> {
    let bytes = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    let pack = ControlPack::read(&bytes, keys).with_context(|| path.display().to_string())?;
    let days = jiff::Timestamp::now().duration_since(pack.made).as_hours() / 24;
    let _ = writeln!(io::stderr(), "{}: a control pack, {days} days old", path.display());
    Ok(pack)
}

/// What will be asked for, before anything is sent.
fn preview(plan: &Plan) -> String {
    let mut said = format!("{} targets, in this order (--seed {}):\n", plan.items.len(), plan.seed);
    for item in plan.items.iter().take(PREVIEWED) {
        let about = item.category.as_deref().or(item.service.as_deref());
        let about = about.map_or_else(String::new, |about| format!("  ({about})"));
        said += &format!("  {}{about}\n", crate::term::fit(item.target.input(), 60));
    }
    if plan.items.len() > PREVIEWED {
        said += &format!("  … and {} more\n", plan.items.len() - PREVIEWED);
    }
    let count = |(code, count): (&str, usize)| format!("{code} {count}");
    let categories: Vec<String> = plan.categories().into_iter().map(count).collect();
    if !categories.is_empty() {
        said += &format!("Categories: {} (leave one out: --without CODE)\n", categories.join(", "));
    }
    let left_out: Vec<String> = plan.left_out.iter().map(|(code, n)| count((code.as_str(), *n))).collect();
    if !left_out.is_empty() {
        said += &format!("Left out: {}\n", left_out.join(", "));
    }
    said
}

/// Where it is kept that the warning was read.
fn consent_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/state"));
    Some(state.or_else(home)?.join("daylight/probe-consent"))
}

/// Asks once whether the person wants to measure, knowing what that means.
fn is_agreed() -> Result<bool> {
    let file = consent_file();
    if file.as_deref().is_some_and(consent::is_given) {
        return Ok(true);
    }
    let _ = write!(io::stderr(), "\n{}\n", consent::TEXT);
    if !io::stdin().is_terminal() {
        bail!("nobody is there to agree: run it in a terminal, or with --yes if this was read");
    }
    let _ = write!(io::stderr(), "Measure? Write yes: ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("can't read the answer")?;
    if !answer.trim().eq_ignore_ascii_case("yes") {
        let _ = writeln!(io::stderr(), "Nothing was sent.");
        return Ok(false);
    }
    if let Some(file) = file {
        consent::give(&file).with_context(|| format!("can't write {}", file.display()))?;
    }
    Ok(true)
}

/// Shows what happens: a bar in a terminal, else a line for each target.
struct Shown {
    bar: ProgressBar,
    under_way: RefCell<Vec<String>>,
}

impl Shown {
    fn new() -> Self {
        let bar = if io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{pos}/{len} {bar:20} {elapsed} {wide_msg}") {
            bar.set_style(style);
        }
        // A target may take a minute, in which nothing else moves.
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { bar, under_way: RefCell::default() }
    }

    /// A line that stays.
    fn say(&self, line: &str) {
        if self.bar.is_hidden() {
            let _ = writeln!(io::stderr(), "{line}");
        } else {
            self.bar.println(line);
        }
    }

    fn tell(&self, event: Event) {
        match event {
            Event::Planned { targets, .. } => self.bar.set_length(targets as u64),
            Event::NoPackets { why } => self.say(&format!(
                "packets are not captured: {why}\n\
                 With CAP_NET_RAW, those that are not the servers' would be kept as evidence."
            )),
            Event::Begun { input } => self.under_way.borrow_mut().push(input),
            Event::Measured { input, done, took, outcome, of } => {
                self.under_way.borrow_mut().retain(|other| *other != input);
                self.bar.set_position(done as u64);
                let line = format!("{input}: {outcome} ({:.1} s)", took.as_secs_f64());
                self.say(&if self.bar.is_hidden() { format!("{done}/{of} {line}") } else { line });
            }
            Event::Stopped { left } => self.say(&format!("stopped, {left} left")),
            // The preview has told those.
            _ => {}
        }
        self.bar.set_message(self.under_way.borrow().join(" "));
    }
}

pub(super) fn services() -> Result<ExitCode> {
    let services = Services::built_in()?;
    let mut said = String::new();
    for service in &services.services {
        said += &format!("{:<16} {} ({} endpoints)\n", service.id, service.name, service.endpoints().count());
    }
    crate::listing::print(said.as_bytes())
}

fn policy(
    resolvers: &[daylight_probe::dns::Resolver],
    authority: Option<&Path>,
    private: bool,
) -> Result<Policy> {
    Ok(Policy { resolvers: resolvers.to_vec(), roots: roots(authority)?, private })
}

pub(super) fn helper(args: &Helper) -> Result<ExitCode> {
    let tls = args.certificate.clone().zip(args.certificate_key.clone());
    let options = helper::Options {
        listen: args.listen,
        tls: tls.map(|(chain, key)| Tls { chain, key }),
        policy: policy(&args.resolver, args.authority.as_deref(), args.private)?,
        limits: Limits::default(),
        behind_proxy: args.behind_proxy,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    interrupt::watch()?;
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let ready = |at| {
        let _ = writeln!(io::stderr(), "daylight: the helper is at {scheme}://{at}/");
    };
    helper::run(options, &ready, interrupt::flag())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn pack(args: &Pack) -> Result<ExitCode> {
    let mut plan = Plan::new();
    for path in &args.lists {
        let list = daylight_probe::plan::List::open(path)?;
        for row in &list.skipped {
            let _ = writeln!(io::stderr(), "{}: {row}: left out", path.display());
        }
        plan.add(list.entries, &std::collections::HashSet::new());
    }
    let signer =
        Signer::from_pem(text(&args.key)?.as_bytes()).with_context(|| args.key.display().to_string())?;
    let policy = policy(&args.resolver, args.authority.as_deref(), args.private)?;
    let each = |input: &str| {
        let _ = writeln!(io::stderr(), "{input}");
    };
    let pack = helper::make_pack(&plan, &policy, &signer, &each)?;
    fs::write(&args.output, pack).with_context(|| format!("can't write {}", args.output.display()))?;
    Ok(ExitCode::SUCCESS)
}
