//! Cards from the first key to the revocation, as the guide tells it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::{daylight, readme, root};

fn card(folder: &Path, args: &[&str]) -> Output {
    daylight().args(["tunnel", "card"]).args(args).current_dir(folder).output().expect("daylight")
}

/// What it prints, if it succeeds.
fn said(folder: &Path, args: &[&str]) -> String {
    let output = card(folder, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What it complains of; it must fail.
fn refused(folder: &Path, args: &[&str]) -> String {
    let output = card(folder, args);
    assert!(!output.status.success(), "{args:?}");
    [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
}

const KEY: &str = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";

/// A folder with keys and a card.
fn issuer() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    said(folder.path(), &["keys", "keys"]);
    let new = ["new", "--keys", "keys", "--address", "192.0.2.7", "--transport", "web", "--server-key", KEY];
    said(folder.path(), &[&new[..], &["-o", "one.card"]].concat());
    folder
}

#[test]
fn every_command_of_the_guide_works() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("daylight"), "a program").expect("room");
    let page = fs::read_to_string(root().join("docs/guide/cards.md")).expect("the guide");
    let commands = readme::commands(&page);
    assert!(commands.len() >= 14, "{commands:#?}");
    let programs = Path::new(env!("CARGO_BIN_EXE_daylight")).parent().expect("a folder");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    for command in commands {
        let output =
            Command::new("sh").args(["-c", &command]).current_dir(folder.path()).env("PATH", &path).output();
        let output = output.expect("sh");
        assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    for (made, begins) in [
        ("flier.pdf", &b"%PDF"[..]),
        ("code.png", b"\x89PNG"),
        ("library.gif", b"GIF8"),
        ("share-1.pdf", b"%PDF"),
    ] {
        let bytes = fs::read(folder.path().join(made)).unwrap_or_default();
        assert!(bytes.starts_with(begins), "{made}");
    }
}

#[test]
fn a_line_is_as_good_as_its_file() {
    let folder = issuer();
    let line = fs::read_to_string(folder.path().join("one.card")).expect("the card");
    let small = line.trim().to_lowercase();
    let good = ["verify", &small, "--root", "keys/root.pem", "--with", "keys/certificates.card"];
    assert!(said(folder.path(), &good).starts_with("good: card "));
    // A character is another: it is mended, and that is said.
    let other = if small.ends_with('0') { "1" } else { "0" };
    let wrong = format!("{}{other}", &small[..small.len() - 1]);
    let text = said(folder.path(), &["show", &wrong, "--keys", "keys"]);
    assert!(text.starts_with("mended: character ") && text.contains("192.0.2.7"), "{text}");
    let text = refused(folder.path(), &["verify", &small[..60]]);
    assert!(text.contains("but begins as one of"), "{text}");
}

#[test]
fn who_vouches_is_told() {
    let folder = issuer();
    let text = refused(folder.path(), &["verify", "one.card"]);
    assert!(text.contains("not known here: as good as the hand that gave it"), "{text}");
    assert!(said(folder.path(), &["show", "one.card"]).contains("not known here"));
    let line = said(folder.path(), &["print", "one.card", "--format", "line"]);
    assert_eq!(line, fs::read_to_string(folder.path().join("one.card")).expect("the card"));
    assert!(refused(folder.path(), &["keys", "keys"]).contains("--renew"));
}

#[test]
fn what_is_revoked_is_refused_and_left_out() {
    let folder = issuer();
    let text = said(folder.path(), &["revoke", "--keys", "keys", "one.card"]);
    let line = text.lines().last().expect("a line");
    fs::write(folder.path().join("revoked.txt"), line).expect("room");
    let with = ["--root", "keys/root.pem", "--with", "keys/certificates.card", "--with", "revoked.txt"];
    let text = refused(folder.path(), &[&["verify", "one.card"], &with[..]].concat());
    assert!(text.contains("was revoked; ask for another one"), "{text}");
    let text = refused(folder.path(), &["list", "--keys", "keys", "--output", "lists", "one.card"]);
    assert!(text.contains("there is no good card"), "{text}");
}

#[test]
fn a_list_is_not_put_into_one_code() {
    let folder = issuer();
    said(folder.path(), &["list", "--keys", "keys", "--output", "lists", "one.card"]);
    let text = refused(folder.path(), &["print", "lists/servers.list", "--format", "png"]);
    assert!(text.contains("too long for one code"), "{text}");
    let text = refused(folder.path(), &["print", "lists/servers.list"]);
    assert!(text.contains("a moving code needs a terminal"), "{text}");
}
