//! A thumb drive: programs, the list, a guide, and signatures that can be checked offline, also without us.
//!
//! ```text
//! README.html, README.txt       the guide, in all languages
//! programs/PLATFORM/…           what the operator passed
//! servers.list                  the signed list
//! certificates.card             the issuer's certificates, for us
//! root.pem, issuer.pem          public keys, for openssl
//! issuer.pem.sig                the root's signature of issuer.pem
//! minisign.pub                  the issuer's key, for minisign
//! SHA256SUMS                    of all files above, as sha256sum writes and checks it
//! SHA256SUMS.sig, .minisig      the issuer's signatures of it
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};

use crate::error::{Error, Result};
use crate::flier::{Words, escape};
use crate::keyring::{Bundle, Keyring, lines};
use crate::minisign;
use crate::{Day, Id, List, PublicKey, Trust};

const SUMS: &str = "SHA256SUMS";
/// What can't be among the sums.
const UNSUMMED: [&str; 3] = [SUMS, "SHA256SUMS.sig", "SHA256SUMS.minisig"];
/// No drive has more files.
const FILES_MAX: usize = 10_000;
/// Folders lie this deep in one another at most.
const DEPTH_MAX: usize = 16;

/// A program for a drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// For which kind of computer: `linux-x86_64`, `windows-x86_64`, … It becomes a folder's name.
    pub platform: String,
    /// Where its file is.
    pub path: PathBuf,
}

/// `PLATFORM=FILE`.
impl std::str::FromStr for Program {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not PLATFORM=FILE, as in linux-x86_64=target/release/daylight");
        let (platform, path) = text.split_once('=').ok_or_else(wrong)?;
        let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if platform.is_empty() || !platform.chars().all(good) || path.is_empty() {
            return Err(wrong());
        }
        Ok(Self { platform: platform.to_owned(), path: path.into() })
    }
}

/// Lays out a drive in a folder, which must be empty or not be there.
///
/// # Errors
/// If there is something in the folder, or a file can't be read or written.
pub fn lay_out(
    folder: &Path,
    keyring: &Keyring,
    list: &List,
    programs: &[Program],
    words: &[Words],
    today: Day,
) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    if fs::read_dir(folder).map_err(Error::io("read", folder))?.next().is_some() {
        return Err(Error::drive(folder, "is not empty; give a folder that is"));
    }
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(Error::io("write", &path))
    };
    let mut names = Vec::new();
    for program in programs {
        let file = program.path.file_name().and_then(|name| name.to_str());
        let file = file.ok_or_else(|| Error::drive(&program.path, "has no name in UTF-8"))?;
        let name = format!("programs/{}/{file}", program.platform);
        let path = folder.join(&name);
        let parent = folder.join("programs").join(&program.platform);
        fs::create_dir_all(&parent).map_err(Error::io("create", &parent))?;
        if path.exists() {
            return Err(Error::drive(&path, "is given twice; use another platform's name"));
        }
        // Keeps the permission to run it, where the drive can hold it.
        fs::copy(&program.path, &path).map_err(Error::io("copy", &program.path))?;
        names.push(name);
    }
    let (root, issuer) = (keyring.root()?, keyring.issuer()?);
    let (pem, pem_signature) = keyring.issuer_pem()?;
    write("servers.list", list.as_bytes())?;
    write("certificates.card", lines(&keyring.certificates()?)?.as_bytes())?;
    write("root.pem", root.to_pem().as_bytes())?;
    write("issuer.pem", &pem)?;
    write("issuer.pem.sig", &pem_signature)?;
    write("minisign.pub", minisign::public_key(&issuer.public()).as_bytes())?;
    write("README.html", html(words, &names, &root).as_bytes())?;
    write("README.txt", text(words, &names, &root).as_bytes())?;

    let mut sums = String::new();
    for (name, sum) in hashes(folder)? {
        // Writing into a string doesn't fail.
        let _ = writeln!(sums, "{}  {name}", hex(&sum));
    }
    write(SUMS, sums.as_bytes())?;
    write("SHA256SUMS.sig", &issuer.sign(sums.as_bytes()))?;
    let comment = format!("laid out {today}");
    write("SHA256SUMS.minisig", minisign::sign(sums.as_bytes(), &comment, &issuer).as_bytes())
}

/// What was found on a drive that is sound.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The root's key. If it came with the drive, it has to be compared with what one was told.
    pub root: PublicKey,
    /// Whether the root's key was given, and not taken from the drive.
    pub root_given: bool,
    /// The issuer's key.
    pub issuer: Id,
    /// How many files have the sums that were signed.
    pub files: usize,
    /// The list.
    pub list: List,
    /// Its cards that can be used today.
    pub good: usize,
    /// What is wrong with the others.
    pub bad: Vec<String>,
}

/// Checks a drive: the root vouches for the issuer, the issuer for the sums, the sums for the files, and there are no
/// others; and the list and its cards, as they are today.
///
/// # Errors
/// If one of these does not hold. The message says which file it is.
pub fn verify(folder: &Path, root: Option<PublicKey>, today: Day) -> Result<Checked> {
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read(&path).map_err(Error::io("read", &path))
    };
    let (root, root_given) = match root {
        Some(root) => (root, true),
        None => (PublicKey::open(&folder.join("root.pem"))?, false),
    };
    let mut trust = Trust::new([root]);
    Bundle::read(&read("certificates.card")?)?.teach(&mut trust)?;
    let issuer = PublicKey::open(&folder.join("issuer.pem"))?;
    if !trust.certifies(&issuer, today) {
        let why =
            "is not of an issuer whom the root vouches for today; the drive is old, or not of this root";
        return Err(Error::drive(&folder.join("issuer.pem"), why));
    }
    let sums = read(SUMS)?;
    if !issuer.verifies(&sums, &read("SHA256SUMS.sig")?) {
        return Err(Error::drive(
            &folder.join(SUMS),
            "was changed: the issuer's signature is wrong; do not use the drive",
        ));
    }
    let files = check_sums(folder, &sums)?;

    let list = List::parse(&read("servers.list")?)?;
    trust.add_list(&list, today)?;
    let outcomes: Vec<Result<_>> = list.body().cards.iter().map(|card| trust.check(card, today)).collect();
    let good = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let bad = outcomes.into_iter().filter_map(|outcome| outcome.err().map(|why| why.to_string())).collect();
    Ok(Checked { root, root_given, issuer: issuer.id(), files, list, good, bad })
}

/// Every file has its sum and every sum its file.
fn check_sums(folder: &Path, sums: &[u8]) -> Result<usize> {
    let path = folder.join(SUMS);
    let mut said = BTreeMap::new();
    let text = std::str::from_utf8(sums).map_err(|_| Error::drive(&path, "is not UTF-8"))?;
    for (at, line) in text.lines().enumerate() {
        let parts = line.split_once("  ").filter(|(sum, _)| sum.len() == 64);
        let (sum, name) =
            parts.ok_or_else(|| Error::drive(&path, format!("line {} is not a sum and a name", at + 1)))?;
        said.insert(name.to_owned(), sum.to_owned());
    }
    let found = hashes(folder)?;
    for (name, sum) in &found {
        match said.remove(name) {
            Some(said) if said == hex(sum) => {}
            Some(_) => {
                return Err(Error::drive(&folder.join(name), "was changed: its sum is wrong; do not use it"));
            }
            None => {
                return Err(Error::drive(
                    &folder.join(name),
                    "was not there when the drive was signed; do not use it",
                ));
            }
        }
    }
    match said.keys().next() {
        Some(missing) => Err(Error::drive(&folder.join(missing), "is missing")),
        None => Ok(found.len()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The sums of all files below a folder, by their names from there, but of what holds the sums.
fn hashes(folder: &Path) -> Result<BTreeMap<String, [u8; 32]>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![(folder.to_owned(), String::new(), 0)];
    while let Some((path, prefix, depth)) = folders.pop() {
        if depth > DEPTH_MAX {
            return Err(Error::drive(&path, format!("lies deeper than {DEPTH_MAX} folders")));
        }
        for entry in fs::read_dir(&path).map_err(Error::io("read", &path))? {
            let entry = entry.map_err(Error::io("read", &path))?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(Error::io("read", &entry.path()))?);
            let name = entry.file_name();
            let name = name.to_str().filter(|name| !name.contains(['\n', '\r', '\\']));
            let name = name.ok_or_else(|| Error::drive(&path, "has a name that sums can't hold"))?;
            let name = format!("{prefix}{name}");
            if kind.is_dir() {
                folders.push((path, format!("{name}/"), depth + 1));
            } else if !kind.is_file() {
                return Err(Error::drive(&path, "is neither a file nor a folder"));
            } else if !UNSUMMED.contains(&name.as_str()) {
                found.insert(name, hash(&path)?);
            }
            if found.len() > FILES_MAX {
                return Err(Error::drive(folder, format!("has more than {FILES_MAX} files")));
            }
        }
    }
    Ok(found)
}

fn hash(path: &Path) -> Result<[u8; 32]> {
    let mut file = fs::File::open(path).map_err(Error::io("read", path))?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let len = file.read(&mut buffer).map_err(Error::io("read", path))?;
        if len == 0 {
            break;
        }
        context.update(&buffer[..len]);
    }
    let mut sum = [0; 32];
    sum.copy_from_slice(context.finish().as_ref());
    Ok(sum)
}

/// What checks a drive, with us and without.
const COMMANDS: [&str; 5] = [
    "daylight tunnel card verify . --root root.pem",
    "openssl pkeyutl -verify -pubin -inkey root.pem -rawin -in issuer.pem -sigfile issuer.pem.sig",
    "openssl pkeyutl -verify -pubin -inkey issuer.pem -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig",
    "minisign -V -p minisign.pub -m SHA256SUMS",
    "sha256sum -c SHA256SUMS",
];

/// The whole key in groups, for comparing.
#[must_use]
pub fn fingerprint(key: &PublicKey) -> String {
    let digits = hex(&key.0);
    let groups: Vec<&str> = (0..digits.len()).step_by(4).filter_map(|at| digits.get(at..at + 4)).collect();
    groups.join(" ")
}

fn text(words: &[Words], programs: &[String], root: &PublicKey) -> String {
    let mut out = String::new();
    for words in words {
        let guide = &words.guide;
        let _ = writeln!(out, "{}\n{}\n", guide.title, "=".repeat(guide.title.chars().count()));
        for (at, step) in guide.steps.iter().enumerate() {
            let _ = writeln!(out, "{}. {}", at + 1, step.replace("{programs}", &programs.join(", ")));
        }
        let _ = writeln!(out, "\n{}\n", guide.check);
        COMMANDS.iter().for_each(|command| out.push_str(&format!("    {command}\n")));
        let _ = writeln!(out, "\n{}\n\n    {}\n\n", guide.fingerprint, fingerprint(root));
    }
    out
}

fn html(words: &[Words], programs: &[String], root: &PublicKey) -> String {
    let code = |text: &str| format!("<code>{}</code>", escape(text));
    let programs = programs.iter().map(|name| code(name)).collect::<Vec<_>>().join(", ");
    let links = words.iter().map(|words| {
        let (language, name) = (escape(&words.language), escape(&words.guide.name));
        format!("<a href=\"#{language}\" lang=\"{language}\">{name}</a>")
    });
    let nav = links.collect::<Vec<_>>().join(" ");
    let mut body = String::new();
    for words in words {
        let (guide, language) = (&words.guide, escape(&words.language));
        let _ = write!(
            body,
            "<section id=\"{language}\" lang=\"{language}\">\n<h1>{}</h1>\n<ol>\n",
            escape(&guide.title)
        );
        for step in &guide.steps {
            let step = escape(step).replace("{programs}", &programs);
            let _ = writeln!(body, "<li>{step}</li>");
        }
        let commands = COMMANDS.map(|command| format!("{}\n", escape(command))).concat();
        let _ = write!(
            body,
            "</ol>\n<p>{}</p>\n<pre>{commands}</pre>\n<p>{}</p>\n<pre>{}</pre>\n</section>\n",
            escape(&guide.check),
            escape(&guide.fingerprint),
            fingerprint(root)
        );
    }
    let language = words.first().map_or("en", |words| &words.language);
    let title = words.first().map_or("Daylight", |words| &words.guide.title);
    format!(
        "<!doctype html>\n<html lang=\"{}\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n\
         <nav>{nav}</nav>\n{body}</html>\n",
        escape(language),
        escape(title)
    )
}

const STYLE: &str = "\
body { max-width: 44rem; margin: 2rem auto; padding: 0 1rem; font: 1.1rem/1.5 system-ui, sans-serif; color: #111; background: #fff }
h1 { font-size: 1.9rem; line-height: 1.2; border-bottom: .2rem solid; padding-bottom: .5rem }
section { margin: 2rem 0 4rem } li { margin: .6rem 0 } nav a { margin-right: 1rem }
pre { background: #f2f2f2; padding: .8rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .9rem }
";
