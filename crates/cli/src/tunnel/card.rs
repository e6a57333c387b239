//! `daylight tunnel card show | verify | open`, and the way to the others.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use daylight_card::keyring::Bundle;
use daylight_card::{Body, Card, Day, List, Offer, PublicKey, Signed, Standing, Trust, drive, seal};

use super::args::{CardCommand, Open, Show};
use super::{drawn, given, issued};
use crate::listing::print;

pub(super) fn run(command: &CardCommand) -> Result<ExitCode> {
    match command {
        CardCommand::Keys(args) => issued::keys(args),
        CardCommand::New(args) => issued::new(args),
        CardCommand::Show(args) => show(args),
        CardCommand::Print(args) => drawn::run(args),
        CardCommand::Verify(args) => verify(args),
        CardCommand::Revoke(args) => issued::revoke(args),
        CardCommand::List(args) => issued::list(args),
        CardCommand::Open(args) => open(args),
        CardCommand::Drive(args) => issued::drive(args),
    }
}

fn show(args: &Show) -> Result<ExitCode> {
    let today = given::today()?;
    let mut trust = given::trust(&args.roots, args.keys.as_deref(), &args.with)?;
    let mut out = String::new();
    for name in &args.cards {
        let bundle = given::bundle(name)?;
        bundle.teach(&mut trust)?;
        describe(&mut out, &bundle, &mut trust, today)?;
    }
    print(out.as_bytes())
}

fn describe(out: &mut String, bundle: &Bundle, trust: &mut Trust, today: Day) -> Result<()> {
    for mended in &bundle.mended {
        writeln!(out, "mended: {mended}")?;
    }
    for card in &bundle.cards {
        describe_card(out, card, trust, today)?;
    }
    for list in &bundle.lists {
        let outcome = trust.add_list(list, today);
        writeln!(out, "list {}", list.id())?;
        if let Some(channel) = list.body().channel {
            writeln!(out, "  channel     {channel}")?;
        }
        days(out, list)?;
        match outcome {
            Ok(()) => writeln!(out, "  signature   good")?,
            Err(why) => writeln!(out, "  NOT GOOD    {why}")?,
        }
        writeln!(out, "  cards       {}\n", list.body().cards.len())?;
        for card in &list.body().cards {
            describe_card(out, card, trust, today)?;
        }
    }
    for sealed in &bundle.sealed {
        writeln!(out, "sealed list {}", sealed.body().set)?;
        days(out, sealed)?;
        writeln!(out, "  opened by   {} shares\n", sealed.body().threshold)?;
    }
    for share in &bundle.shares {
        writeln!(
            out,
            "share {} of sealed list {}, {} are needed\n",
            share.number(),
            share.set(),
            share.threshold()
        )?;
    }
    for certificate in &bundle.certificates {
        writeln!(out, "certificate of issuer {}", certificate.body().key.id())?;
        days(out, certificate)?;
        writeln!(out, "  root        {}\n", certificate.signer())?;
    }
    for revocation in &bundle.revocations {
        writeln!(out, "revocation by {}", revocation.signer())?;
        revocation.body().cards.iter().try_for_each(|id| writeln!(out, "  card        {id}"))?;
        revocation.body().keys.iter().try_for_each(|id| writeln!(out, "  issuer      {id}"))?;
        writeln!(out)?;
    }
    Ok(())
}

fn days<T: Body>(out: &mut String, signed: &Signed<T>) -> Result<()> {
    let validity = signed.validity();
    Ok(writeln!(out, "  good        {} to {}", validity.first, validity.last)?)
}

fn describe_card(out: &mut String, card: &Card, trust: &Trust, today: Day) -> Result<()> {
    let server = card.body();
    let joined = |parts: Vec<String>| parts.join(", ");
    writeln!(out, "card {}", card.id())?;
    writeln!(out, "  addresses   {}", joined(server.addresses.iter().map(ToString::to_string).collect()))?;
    writeln!(out, "  port        {}", server.port)?;
    writeln!(out, "  transports  {}", joined(server.offers.iter().map(Offer::to_string).collect()))?;
    let key: String = server.key.iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(out, "  server key  {key}")?;
    days(out, card)?;
    writeln!(out, "  size        {} bytes", card.as_bytes().len())?;
    match trust.check(card, today) {
        Ok(standing) => writeln!(out, "  issuer      {}\n", said(card, standing))?,
        Err(why) => writeln!(out, "  NOT GOOD    {why}\n")?,
    }
    Ok(())
}

fn said(card: &Card, standing: Standing) -> String {
    match standing {
        Standing::Vouched { root } => format!("{}, for whom root {root} vouches", card.signer()),
        Standing::Unvouched { issuer } => {
            format!("{issuer}, not known here: as good as the hand that gave it (--root, --with)")
        }
    }
}

fn verify(args: &Show) -> Result<ExitCode> {
    let today = given::today()?;
    let mut out = String::new();
    let mut bad = 0;
    for name in &args.cards {
        if Path::new(name).is_dir() {
            bad += verify_drive(&mut out, Path::new(name), args, today)?;
            continue;
        }
        let bundle = given::bundle(name)?;
        let mut trust = given::trust(&args.roots, args.keys.as_deref(), &args.with)?;
        bundle.teach(&mut trust)?;
        for mended in &bundle.mended {
            writeln!(out, "mended: {mended}")?;
        }
        let mut cards: Vec<&Card> = bundle.cards.iter().collect();
        for list in &bundle.lists {
            trust.add_list(list, today)?;
            writeln!(out, "good: list {} of {} cards", list.id(), list.body().cards.len())?;
            cards.extend(&list.body().cards);
        }
        for sealed in &bundle.sealed {
            sealed.check_day(today)?;
            match trust.signer_of(sealed)? {
                Standing::Vouched { .. } => writeln!(out, "good: sealed list {}", sealed.body().set)?,
                Standing::Unvouched { issuer } => {
                    bail!("sealed list {}: nobody known vouches for {issuer}", sealed.body().set)
                }
            }
        }
        for card in cards {
            match trust.check(card, today) {
                Ok(standing @ Standing::Vouched { .. }) => {
                    writeln!(out, "good: card {} by {}", card.id(), said(card, standing))?
                }
                Ok(standing) => {
                    bad += 1;
                    writeln!(out, "unknown: card {} by {}", card.id(), said(card, standing))?;
                }
                Err(why) => {
                    bad += 1;
                    writeln!(out, "bad: {why}")?;
                }
            }
        }
    }
    print(out.as_bytes())?;
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Gives how many of its cards can't be used.
fn verify_drive(out: &mut String, folder: &Path, args: &Show, today: Day) -> Result<usize> {
    let root = match (&args.roots[..], &args.keys) {
        ([], None) => None,
        ([], Some(keys)) => Some(daylight_card::keyring::Keyring::new(keys).root()?),
        ([root], _) => Some(PublicKey::open(root)?),
        _ => bail!("a drive has one root; give one --root"),
    };
    let checked = drive::verify(folder, root, today)?;
    writeln!(out, "good: {} files, signed by issuer {}", checked.files, checked.issuer)?;
    writeln!(out, "good: list {} with {} good cards", checked.list.id(), checked.good)?;
    checked.bad.iter().try_for_each(|why| writeln!(out, "bad: {why}"))?;
    if !checked.root_given {
        writeln!(out, "The root's key came with the drive. Compare it with what you were told:")?;
        writeln!(out, "  {}", drive::fingerprint(&checked.root))?;
    }
    Ok(checked.bad.len())
}

fn open(args: &Open) -> Result<ExitCode> {
    let bundle = given::of_file(&args.sealed)?;
    let [sealed] = &bundle.sealed[..] else {
        bail!("{} does not hold a sealed list", args.sealed.display());
    };
    let mut shares = Vec::new();
    for share in &args.shares {
        shares.extend(given::bundle(share)?.shares);
    }
    let list: List = seal::open(sealed, &shares)?;
    std::fs::write(&args.output, list.as_bytes())
        .with_context(|| format!("can't write {}", args.output.display()))?;
    let count = list.body().cards.len();
    print(format!("opened: list {} of {count} cards, in {}\n", list.id(), args.output.display()).as_bytes())
}
