//! What a user gave: lines, files, keys.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use daylight_card::flier::Words;
use daylight_card::keyring::{Bundle, Keyring};
use daylight_card::{Card, Day, PublicKey, Trust, line};

/// No file with cards is longer.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Today, by the system's clock.
pub(super) fn today() -> Result<Day> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Ok(Day::of_unix_s(now.context("the clock stands before 1970; set it")?.as_secs()))
}

fn file(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).with_context(|| format!("can't read {}", path.display()))?;
    file.take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .with_context(|| format!("can't read {}", path.display()))?;
    Ok(bytes)
}

/// What a file holds.
pub(super) fn of_file(path: &Path) -> Result<Bundle> {
    Bundle::read(&file(path)?).with_context(|| path.display().to_string())
}

/// What a line says, or a file, or with - the standard input.
pub(super) fn bundle(given: &str) -> Result<Bundle> {
    if given == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().take(FILE_BYTES_MAX).read_to_end(&mut bytes).context("can't read standard input")?;
        return Ok(Bundle::read(&bytes)?);
    }
    if given.get(..line::PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(line::PREFIX)) {
        return Ok(Bundle::read(given.as_bytes())?);
    }
    of_file(Path::new(given))
}

/// All cards that are in what was given, by themselves or in lists.
pub(super) fn cards(given: &[String]) -> Result<Vec<Card>> {
    let mut cards = Vec::new();
    for given in given {
        let bundle = bundle(given)?;
        cards.extend(bundle.cards);
        cards.extend(bundle.lists.iter().flat_map(|list| list.body().cards.iter().cloned()));
    }
    Ok(cards)
}

/// Whom to believe.
pub(super) fn trust(
    roots: &[std::path::PathBuf],
    keys: Option<&Path>,
    with: &[std::path::PathBuf],
) -> Result<Trust> {
    let mut known = roots.iter().map(|path| PublicKey::open(path)).collect::<Result<Vec<_>, _>>()?;
    let mut bundles = with.iter().map(|path| of_file(path)).collect::<Result<Vec<_>>>()?;
    if let Some(keys) = keys {
        let keyring = Keyring::new(keys);
        known.push(keyring.root()?);
        let own = Bundle {
            certificates: keyring.certificates()?,
            revocations: keyring.revocations()?,
            ..Bundle::default()
        };
        bundles.push(own);
    }
    let mut trust = Trust::new(known);
    for bundle in &bundles {
        bundle.teach(&mut trust)?;
    }
    Ok(trust)
}

/// Bytes as hexadecimal digits, or a file with them, or a file with the bytes themselves, of which there must be `len`.
pub(super) fn bytes(given: &str, what: &str, len: std::ops::RangeInclusive<usize>) -> Result<Vec<u8>> {
    let good = |bytes: &Vec<u8>| len.contains(&bytes.len());
    if let Some(bytes) = of_hex(given).filter(good) {
        return Ok(bytes);
    }
    let path = Path::new(given);
    if path.exists() {
        let held = file(path)?;
        if let Some(bytes) = std::str::from_utf8(&held).ok().and_then(|text| of_hex(text.trim())).filter(good)
        {
            return Ok(bytes);
        }
        if good(&held) {
            return Ok(held);
        }
        bail!(
            "{}: is no {what}: it has neither {len:?} bytes nor as many pairs of hexadecimal digits",
            path.display()
        );
    }
    bail!("the {what} is neither a file nor {len:?} pairs of hexadecimal digits")
}

fn of_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

/// The words of a language that comes with the program, or of a file.
pub(super) fn words(path: &Path) -> Result<Words> {
    let text = std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    Ok(Words::parse(&text, &path.display().to_string())?)
}
