//! `daylight tunnel card keys | new | revoke | list | drive`: what an issuer does.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use daylight_card::flier::Words;
use daylight_card::keyring::{Keyring, Revoker, lines};
use daylight_card::{
    CARD_BYTES_GOAL, Card, Cards, Id, Kind, List, Secret, Server, Validity, drive as drives, line, random,
    seal,
};

use super::{args, given};
use crate::listing::print;

pub(super) fn keys(args: &args::Keys) -> Result<ExitCode> {
    let keyring = Keyring::new(&args.keys);
    let certificate = keyring.create(given::today()?, args.days, args.renew)?;
    let issuer = certificate.body().key.id();
    let text = format!(
        "issuer {issuer}, until {}\nThe root's key, to tell people: {}\n",
        certificate.validity().last,
        drives::fingerprint(&keyring.root()?)
    );
    print(text.as_bytes())
}

pub(super) fn new(args: &args::New) -> Result<ExitCode> {
    let keyring = Keyring::new(&args.keys);
    let key = given::bytes(&args.server_key, "server's key", 32..=32)?;
    let secret = match &args.secret {
        Some(secret) => given::bytes(secret, "secret", 16..=32)?,
        None => random::<16>()?.to_vec(),
    };
    let server = Server {
        addresses: args.addresses.clone(),
        port: args.port,
        offers: args.transports.clone(),
        key: key.try_into().map_err(|_| anyhow!("the server's key must have 32 bytes"))?,
        secret: Secret::new(secret).ok_or_else(|| anyhow!("the secret must have 16 to 32 bytes"))?,
    };
    let validity = keyring.validity(given::today()?, args.days)?;
    let card = Card::sign(&server, validity, &keyring.issuer()?)?;
    let text = lines(std::slice::from_ref(&card))?;
    if let Some(output) = &args.output {
        write(output, text.as_bytes())?;
    }
    let (len, asked) = (card.as_bytes().len(), validity.first.plus(args.days));
    if len > CARD_BYTES_GOAL {
        eprintln!(
            "daylight: the card has {len} bytes; up to {CARD_BYTES_GOAL} are easy to scan. Fewer addresses help"
        );
    }
    if validity.last < asked {
        eprintln!("daylight: the card is good until {}, as long as the issuer's key", validity.last);
    }
    print(text.as_bytes())
}

pub(super) fn revoke(args: &args::Revoke) -> Result<ExitCode> {
    let mut ids = Vec::new();
    for card in &args.cards {
        match card.parse::<Id>() {
            Ok(id) => ids.push(id),
            Err(_) => ids.extend(given::cards(std::slice::from_ref(card))?.iter().map(Card::id)),
        }
    }
    let by = if args.root { Revoker::Root } else { Revoker::Issuer };
    let revocation = Keyring::new(&args.keys).revoke(&ids, &args.issuers, by, given::today()?)?;
    let said: String = ids.iter().chain(&args.issuers).map(|id| format!("revoked {id}\n")).collect();
    // Hundreds of them are too long for a line; lists carry those all the same.
    let line = line::write(Kind::Revocation, revocation.as_bytes())
        .map_or_else(|_| String::new(), |line| line + "\n");
    print(format!("{said}Make the lists anew: they carry it. Or hand on this line:\n{line}").as_bytes())
}

pub(super) fn list(args: &args::List) -> Result<ExitCode> {
    let keyring = Keyring::new(&args.keys);
    let today = given::today()?;
    let trust = keyring.trust()?;
    let mut cards = given::cards(&args.cards)?;
    let mut text = String::new();
    cards.retain(|card| match trust.check(card, today) {
        Ok(_) => true,
        Err(why) => {
            text.push_str(&format!("left out: {why}\n"));
            false
        }
    });
    if cards.is_empty() {
        bail!("there is no good card to put into a list\n{text}");
    }
    let validity = keyring.validity(today, args.days)?;
    std::fs::create_dir_all(&args.output).with_context(|| format!("can't make {}", args.output.display()))?;
    let sign = |channel: Option<Id>, cards: Vec<Card>| -> Result<List> {
        let (certificates, revocations) = (keyring.certificates()?, keyring.revocations()?);
        let body = Cards { channel, cards, certificates, revocations };
        Ok(List::sign(&body, validity, &keyring.issuer()?)?)
    };
    if args.channels.is_empty() {
        text.push_str(&save(args, "servers", &sign(None, cards)?, validity, &keyring)?);
    } else {
        let key = keyring.channels()?;
        if cards.len() * args.copies < args.channels.len() {
            bail!(
                "{} cards are too few for {} channels: some would have none",
                cards.len(),
                args.channels.len()
            );
        }
        let servers: Vec<[u8; 32]> = cards.iter().map(|card| card.body().key).collect();
        let names: Vec<&str> = args.channels.iter().map(String::as_str).collect();
        for (name, places) in key.deal(&servers, &names, args.copies)? {
            let own = places.into_iter().map(|at| cards[at].clone()).collect();
            text.push_str(&save(args, name, &sign(Some(key.id(name)), own)?, validity, &keyring)?);
        }
    }
    print(text.as_bytes())
}

/// Writes a list, or the sealed list and its shares; says what was written.
fn save(args: &args::List, name: &str, list: &List, validity: Validity, keyring: &Keyring) -> Result<String> {
    let count = list.body().cards.len();
    let Some((k, n)) = args.seal else {
        let path = args.output.join(format!("{name}.list"));
        write(&path, list.as_bytes())?;
        return Ok(format!("{}: cards: {count}, bytes: {}\n", path.display(), list.as_bytes().len()));
    };
    let (sealed, shares) = seal::seal(list, k, n, validity, &keyring.issuer()?)?;
    let path = args.output.join(format!("{name}.sealed"));
    write(&path, sealed.as_bytes())?;
    for share in &shares {
        let path = args.output.join(format!("{name}-share-{}.card", share.number()));
        write(&path, (line::write(Kind::Share, &share.encode())? + "\n").as_bytes())?;
    }
    Ok(format!("{}: cards: {count}, opened by {k} of the {n} shares beside it\n", path.display()))
}

pub(super) fn drive(args: &args::Drive) -> Result<ExitCode> {
    let bundle = given::of_file(&args.list)?;
    let [list] = &bundle.lists[..] else { bail!("{} does not hold a list", args.list.display()) };
    let mut words = Words::languages().map(Words::built_in).collect::<Result<Vec<_>, _>>()?;
    for path in &args.words {
        words.push(given::words(path)?);
    }
    let (keyring, today) = (Keyring::new(&args.keys), given::today()?);
    drives::lay_out(&args.folder, &keyring, list, &args.programs, &words, today)?;
    let checked = drives::verify(&args.folder, Some(keyring.root()?), today)?;
    let text = format!(
        "{}: {} files, {} programs, {} good cards\n",
        args.folder.display(),
        checked.files,
        args.programs.len(),
        checked.good
    );
    print(text.as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("can't write {}", path.display()))
}
