//! Filtering by a policy, and talking to a filter that does.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use daylight_filter::control::{Answer, Request, ask};
use daylight_filter::daemon;
use daylight_filter::decisions::{Clients, Decisions};
use daylight_filter::kernel::{self, KernelRules, MarkBits};
use daylight_filter::ledger::Ledger;
use daylight_filter::service::{Service, Wishes};
use daylight_filter::status::Status;
use daylight_policy::audit::Signer;
use daylight_web::metrics::Metrics;
use daylight_web::public::{Page, Settings};

use super::{counted, load};
use crate::args::{FilterControl, FilterKernel, FilterRun, FilterServe, FilterStatus, Way};
use crate::audit::key_of;
use crate::interrupt;
use crate::listing::print;

pub(super) fn plan(args: &FilterKernel) -> Result<ExitCode> {
    let rules = rules(args)?;
    let mut text = Vec::new();
    for (program, v6) in [("iptables-restore", false), ("ip6tables-restore", true)] {
        writeln!(text, "# {program} --noflush\n{}", rules.install_script(v6))?;
    }
    print(&text)
}

pub(super) fn run(args: &FilterRun) -> Result<ExitCode> {
    let Some(policy) = load(&args.policy)? else { return Ok(ExitCode::FAILURE) };
    if !args.key.exists() {
        bail!(
            "there is no key {}: make one with `daylight audit create {} --key {} --origin NAME`",
            args.key.display(),
            args.log.display(),
            args.key.display()
        );
    }
    let mut ledger = Ledger::open(&args.log, Signer::open(&args.key)?)?;
    let mut settings = daemon::Settings::new(args.policy.clone(), &args.kernel.name);
    settings.kernel = rules(&args.kernel)?;
    settings.mirror = args.mirror.clone();
    settings.queue.fail_open = args.if_full == Way::Open;
    settings.queue.accept_undecided = args.kernel.if_gone == Way::Open;
    settings.open_on_fault = args.if_fault == Way::Open;
    settings.open_on_memory = args.if_memory == Way::Open;
    settings.memory_max = args.memory_max.map(|mib| mib.saturating_mul(1 << 20));
    settings.page = args.page.clone();
    let wishes = wishes()?;
    let started = format!(
        "{}: {} ({}) is in force, and told in {}\n{}",
        args.kernel.name,
        policy.name(),
        counted(policy.rules().len(), "rule"),
        args.log.display(),
        failures(&settings)
    );
    let status = Arc::new(Mutex::<Status>::default());
    let of_metrics = Arc::clone(&status);
    let metrics = args.metrics.map(|listen| {
        Metrics::bind(listen, move || {
            let status = of_metrics.lock().unwrap_or_else(PoisonError::into_inner).clone();
            status.metrics()
        })
    });
    let metrics = metrics.transpose()?;
    let service = Service {
        settings,
        control: control(&args.kernel.name, args.control.as_deref()),
        decisions: decisions(args)?,
        wishes,
        status,
    };
    let mut begun = false;
    let ready = || {
        if !std::mem::replace(&mut begun, true) {
            let _ = io::stderr().write_all(started.as_bytes());
        }
    };
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        if let Some(metrics) = metrics {
            scope.spawn(|| {
                if let Err(error) = metrics.run(|| over.load(Ordering::Acquire)) {
                    let _ = writeln!(io::stderr(), "daylight: no metrics: {error}");
                }
            });
        }
        let result = service.run(policy, &mut ledger, ready);
        over.store(true, Ordering::Release);
        result
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What becomes of packets when something fails: a line for each cause.
fn failures(settings: &daemon::Settings) -> String {
    if settings.mirror.is_some() {
        return "it listens only: if anything fails, packets go on\n".to_owned();
    }
    let way = |open| if open { "packets go on" } else { "packets are dropped" };
    settings.on_failure().iter().map(|(cause, open)| format!("if {cause}, {}\n", way(*open))).collect()
}

fn wishes() -> Result<Wishes> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let wishes = Wishes::default();
    for (signal, wish) in [(SIGHUP, &wishes.reload), (SIGINT, &wishes.end), (SIGTERM, &wishes.end)] {
        signal_hook::flag::register(signal, Arc::clone(wish)).context("can't watch for signals")?;
    }
    Ok(wishes)
}

fn decisions(args: &FilterRun) -> Result<Option<Decisions>> {
    let Some(path) = &args.decisions else { return Ok(None) };
    let clients = match &args.pseudonyms {
        _ if args.addresses => Clients::Addresses,
        Some(path) => Clients::from_file(path).with_context(|| path.display().to_string())?,
        None => Clients::random(),
    };
    let file = (path.as_os_str() != "-").then(|| path.clone());
    Decisions::open(file, clients).with_context(|| format!("can't write {}", path.display())).map(Some)
}

fn rules(args: &FilterKernel) -> Result<KernelRules> {
    let last = args.first_queue.checked_add(args.queues - 1);
    Ok(KernelRules {
        name: args.name.clone(),
        queues: args.first_queue..=last.context("there are queues up to number 65535 only")?,
        mark: MarkBits::from_bit(args.mark_bit).unwrap_or_default(),
        open_if_gone: args.if_gone == Way::Open,
        own_traffic: args.own_traffic,
        offload: !args.no_offload,
    })
}

fn control(name: &str, path: Option<&Path>) -> PathBuf {
    path.map_or_else(|| Path::new("/run/daylight").join(format!("{name}.sock")), Path::to_owned)
}

pub(super) fn reload(args: &FilterControl) -> Result<ExitCode> {
    match ask(&control(&args.name, args.control.as_deref()), Request::Reload)? {
        Answer::Failed(why) => {
            writeln!(io::stderr(), "the policy in force stays so:\n{}", why.trim_end())?;
            Ok(ExitCode::FAILURE)
        }
        Answer::Done | Answer::Status(_) => Ok(ExitCode::SUCCESS),
    }
}

pub(super) fn status(args: &FilterStatus) -> Result<ExitCode> {
    match ask(&control(&args.filter.name, args.filter.control.as_deref()), Request::Status)? {
        Answer::Status(status) if args.json => {
            print(format!("{}\n", serde_json::to_string_pretty(&status)?).as_bytes())
        }
        Answer::Status(status) if args.metrics => print(status.metrics().as_bytes()),
        Answer::Status(status) => print(status.to_string().as_bytes()),
        Answer::Failed(why) => bail!("{why}"),
        Answer::Done => bail!("the filter answers in a way that this version doesn't know"),
    }
}

pub(super) fn serve(args: &FilterServe) -> Result<ExitCode> {
    interrupt::watch()?;
    let mut settings = Settings::new(args.log.clone(), key_of(&args.key)?, args.listen);
    settings.policy = args.policy.clone();
    settings.operator = args.operator.clone();
    settings.contact = args.contact.clone();
    let page = Page::bind(settings)?;
    writeln!(io::stderr(), "the public page is at http://{}/", page.local_addr()?)?;
    page.run(interrupt::is_interrupted, |line| _ = writeln!(io::stderr(), "{line}"))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn clean(name: &str) -> Result<ExitCode> {
    let found = kernel::remove(name)?;
    let said =
        if found { "its rules were taken out of the kernel" } else { "nothing of it is in the kernel" };
    print(format!("{name}: {said}\n").as_bytes())
}
