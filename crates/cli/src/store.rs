//! `daylight store`, and how records get into a store.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use daylight_store::Networks;
use daylight_store::folder::{
    Hour, Keeper, KeeperOptions, Kept, Privacy, Pseudonymity, StoreOptions, files, hours, key_file,
};

use crate::args::{StoreCommand, StoreCompact, StoreKept, StorePrune, StoreStatus};
use crate::listing;
use crate::term::{bytes, grouped};

/// Runs a command.
pub(crate) fn run(command: &StoreCommand) -> Result<ExitCode> {
    match command {
        StoreCommand::Status(args) => status(args),
        StoreCommand::Compact(args) => compact(args),
        StoreCommand::Prune(args) => prune(args),
    }
}

fn status(args: &StoreStatus) -> Result<ExitCode> {
    let store = &args.store;
    let unreadable = || format!("can't read the store {}", store.display());
    let (mut count, mut merged, mut size) = (0u64, 0u64, 0u64);
    let mut filled: Vec<Hour> = Vec::new();
    for hour in hours(store).with_context(unreadable)? {
        let files = files(store, hour).with_context(unreadable)?;
        if !files.is_empty() {
            filled.push(hour);
        }
        count += files.len() as u64;
        merged += files.iter().filter(|file| file.is_merged()).count() as u64;
        size += files.iter().map(|file| file.bytes).sum::<u64>();
    }
    let time = |ns: i64| {
        let mut text = Vec::new();
        daylight_store::rfc3339(ns, &mut text);
        // Whole hours: the minutes and what comes after are zeros.
        String::from_utf8_lossy(&text).chars().take(16).collect::<String>()
    };
    let first = filled.first().map(|hour| time(hour.start_ns()));
    let last = filled.last().map(|hour| time(hour.end_ns()));
    let mut text = Vec::new();
    if args.json {
        let json = serde_json::json!({
            "first": first, "last": last, "hours": filled.len(), "files": count, "merged_files": merged, "bytes": size,
        });
        // Writing to a Vec can't fail.
        let _ = writeln!(text, "{json}");
    } else {
        let or_none =
            |time: Option<String>| time.map_or_else(|| "-".to_owned(), |time| format!("{time} UTC"));
        let _ = writeln!(text, "from    {}", or_none(first));
        let _ = writeln!(text, "to      {}", or_none(last));
        let _ = writeln!(text, "hours   {}", grouped(filled.len() as u64));
        let _ = writeln!(text, "files   {} ({} merged)", grouped(count), grouped(merged));
        let _ = writeln!(text, "size    {}", bytes(size));
    }
    listing::print(&text)
}

fn compact(args: &StoreCompact) -> Result<ExitCode> {
    let keeper = Keeper::new(KeeperOptions::new(existing(&args.store)?));
    tell(&keeper.compact(args.now)?)
}

fn prune(args: &StorePrune) -> Result<ExitCode> {
    let store = existing(&args.store)?;
    let keeper = Keeper::new(KeeperOptions {
        keep_for: args.keep_days.map(|days| Duration::from_secs(u64::from(days) * 86_400)),
        keep_bytes: args.keep_size.map(|gb| gb.saturating_mul(1_000_000_000)),
        key_file: Some(args.key_file.clone().unwrap_or_else(|| key_file(store))),
        ..KeeperOptions::new(store)
    });
    tell(&keeper.prune()?)
}

/// The folder, which must be there: a mistyped one isn't made.
fn existing(store: &Path) -> Result<&Path> {
    std::fs::metadata(store).with_context(|| format!("can't read the store {}", store.display()))?;
    Ok(store)
}

fn tell(kept: &Kept) -> Result<ExitCode> {
    let mut text = Vec::new();
    if kept.made > 0 {
        let _ = writeln!(
            text,
            "{} files merged into {}, {} flows",
            grouped(kept.merged),
            grouped(kept.made),
            grouped(kept.rows)
        );
    }
    if kept.removed_files > 0 {
        let _ =
            writeln!(text, "{} files removed, {}", grouped(kept.removed_files), bytes(kept.removed_bytes));
    }
    if kept.removed_hours > 0 {
        let _ = writeln!(text, "{} hours removed", grouped(kept.removed_hours));
    }
    if kept.dropped_keys > 0 {
        let _ = writeln!(text, "{} keys dropped", grouped(kept.dropped_keys));
    }
    if text.is_empty() && kept.problems.is_empty() {
        let _ = writeln!(text, "there was nothing to do");
    }
    for problem in &kept.problems {
        let _ = writeln!(io::stderr(), "daylight: {problem}");
    }
    let code = listing::print(&text)?;
    Ok(if kept.problems.is_empty() { code } else { ExitCode::from(3) })
}

/// How records are kept in this folder.
pub(crate) fn options(folder: &Path, kept: &StoreKept) -> Result<StoreOptions> {
    let mut options = StoreOptions::new(folder);
    options.sensor.clone_from(&kept.sensor);
    if kept.keep_addresses {
        options.privacy = Privacy::KeepAddresses;
    } else if let Privacy::Pseudonyms(how) = options.privacy {
        let more = Networks::new(kept.clients.iter().map(|text| text.trim()))?;
        options.privacy = Privacy::Pseudonyms(Pseudonymity {
            key_file: kept.key_file.clone().unwrap_or(how.key_file),
            rotate_every: Duration::from_secs(u64::from(kept.rotate_key) * 86_400),
            networks: how.networks.and(more),
        });
    }
    Ok(options)
}
