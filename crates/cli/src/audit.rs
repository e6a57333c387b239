//! `daylight audit`: the public log of a filter, checked with its key alone.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use daylight_policy::audit::{Log, Proof, Signer, VerifierKey, Writer, verify};

use crate::args::AuditCommand;
use crate::interrupt;
use crate::listing::print;

pub(crate) fn run(command: &AuditCommand) -> Result<ExitCode> {
    match command {
        AuditCommand::Create { log, key, origin } => {
            let signer = Signer::generate(key, origin)?;
            let public = signer.verifier_key().to_string();
            if let Err(error) = Writer::create(log, signer) {
                // A key without its log is of no use.
                let _ = std::fs::remove_file(key);
                return Err(error.into());
            }
            print(format!("{public}\n").as_bytes())
        }
        AuditCommand::Verify { log, key } => {
            let key = key_of(key)?;
            let mut text = Vec::new();
            if log.is_dir() {
                let verified = verify(log, &key)?;
                let entries: u64 = verified.kinds.values().sum();
                writeln!(text, "sound: {entries} entries in {} files", verified.files)?;
                for (kind, count) in &verified.kinds {
                    writeln!(text, "{count:>10} {kind}")?;
                }
            } else {
                let proof = std::fs::read_to_string(log).with_context(|| log.display().to_string())?;
                let proof: Proof = proof.parse()?;
                proof.verify(&key)?;
                writeln!(text, "sound: the log vouches for what {} says", log.display())?;
            }
            print(&text)
        }
        AuditCommand::Prove { log, key, entry, since } => {
            let log = Log::open(log, &key_of(key)?)?;
            let proof = match (entry, since) {
                (Some(entry), _) => log.prove_inclusion(*entry)?.to_string(),
                (None, Some(size)) => log.prove_consistency(*size)?.to_string(),
                (None, None) => bail!("say what to prove: --entry NUMBER, or --since SIZE"),
            };
            print(format!("{}\n", proof.trim_end()).as_bytes())
        }
        AuditCommand::Tail { log, key, from, follow } => {
            interrupt::watch()?;
            let mut tail = Log::open(log, &key_of(key)?)?.tail(*from)?;
            loop {
                let mut text = Vec::new();
                for (index, entry) in tail.poll()? {
                    writeln!(text, "{index} {}", String::from_utf8_lossy(&entry.encode()?))?;
                }
                print(&text)?;
                io::stdout().flush()?;
                if !follow || interrupt::is_interrupted() {
                    return Ok(ExitCode::SUCCESS);
                }
                std::thread::sleep(std::time::Duration::from_millis(500));
            }
        }
    }
}

/// A verifier key, or the name of a file that holds one.
pub(crate) fn key_of(text: &str) -> Result<VerifierKey> {
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    let held = std::fs::read_to_string(text)
        .with_context(|| format!("{text:?} is neither a verifier key (name+hash+key) nor a file"))?;
    Ok(held.trim().parse()?)
}
