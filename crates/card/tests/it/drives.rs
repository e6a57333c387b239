//! A drive is checked by us and by the tools of any system, and every change to it is found.

use std::fs;
use std::path::Path;

use daylight_card::drive::{Program, lay_out, verify};
use daylight_card::flier::Words;
use daylight_card::keyring::{Bundle, Keyring, Revoker, lines};
use daylight_card::{Card, Cards, Error, List, Standing};

use crate::{run, server, today};

/// A keyring and a drive.
fn drive(folder: &Path) -> Keyring {
    let keyring = Keyring::new(&folder.join("keys"));
    keyring.create(today(), 120, false).unwrap();
    let validity = keyring.validity(today(), 90).unwrap();
    let issuer = keyring.issuer().unwrap();
    let cards: Vec<Card> =
        (1..4).map(|number| Card::sign(&server(number), validity, &issuer).unwrap()).collect();
    keyring.revoke(&[cards[2].id()], &[], Revoker::Issuer, today()).unwrap();
    let body = Cards {
        channel: Some(keyring.channels().unwrap().id("library")),
        cards,
        certificates: keyring.certificates().unwrap(),
        revocations: keyring.revocations().unwrap(),
    };
    let list = List::sign(&body, validity, &issuer).unwrap();
    fs::write(folder.join("client"), b"a program").unwrap();
    let programs = ["linux-x86_64", "windows-x86_64"]
        .map(|platform| Program { platform: platform.into(), path: folder.join("client") });
    let words: Vec<Words> = Words::languages().map(|language| Words::built_in(language).unwrap()).collect();
    lay_out(&folder.join("drive"), &keyring, &list, &programs, &words, today()).unwrap();
    keyring
}

#[test]
fn a_drive_is_sound_until_something_changes() {
    let folder = tempfile::tempdir().unwrap();
    let keyring = drive(folder.path());
    let drive = folder.path().join("drive");
    let root = Some(keyring.root().unwrap());
    let checked = verify(&drive, root, today()).unwrap();
    assert_eq!((checked.good, checked.bad.len(), checked.files), (2, 1, 10));
    assert!(checked.bad[0].contains("was revoked"), "{:?}", checked.bad);
    assert!(checked.root_given && !verify(&drive, None, today()).unwrap().root_given);
    let other = daylight_card::SecretKey::generate().unwrap().public();
    assert!(verify(&drive, Some(other), today()).is_err(), "another root knows nothing of it");
    assert!(verify(&drive, root, today().plus(121)).is_err(), "the issuer's time is over");

    let names = [
        "README.txt",
        "programs/linux-x86_64/client",
        "servers.list",
        "root.pem",
        "SHA256SUMS",
        "issuer.pem",
    ];
    for name in names {
        let path = drive.join(name);
        let before = fs::read(&path).unwrap();
        let mut changed = before.clone();
        let at = changed.len() / 2;
        changed[at] ^= 1;
        fs::write(&path, changed).unwrap();
        assert!(verify(&drive, root, today()).is_err(), "{name} was changed");
        fs::remove_file(&path).unwrap();
        assert!(verify(&drive, root, today()).is_err(), "{name} is gone");
        fs::write(&path, before).unwrap();
    }
    fs::write(drive.join("programs/more.exe"), b"").unwrap();
    let error = verify(&drive, root, today()).unwrap_err().to_string();
    assert!(error.ends_with("more.exe: was not there when the drive was signed; do not use it"), "{error}");
    fs::remove_file(drive.join("programs/more.exe")).unwrap();
    verify(&drive, root, today()).unwrap();
}

#[test]
fn the_tools_of_any_system_check_it() {
    let folder = tempfile::tempdir().unwrap();
    drive(folder.path());
    let drive = folder.path().join("drive");
    let readme = fs::read_to_string(drive.join("README.txt")).unwrap();
    let mut tried = 0;
    for command in readme.lines().filter_map(|line| line.strip_prefix("    ")) {
        let mut words = command.split(' ');
        let program = words.next().unwrap();
        if !["openssl", "minisign", "sha256sum"].contains(&program) {
            continue;
        }
        tried += 1;
        let args: Vec<&str> = words.collect();
        let Some(output) = run(program, &args, &drive) else { continue };
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(tried, 3 * 4, "in three languages");
    let html = fs::read_to_string(drive.join("README.html")).unwrap();
    assert!(html.contains("<code>programs/linux-x86_64/client</code>") && html.contains("Вольны інтэрнэт"));
    assert!(!html.contains("{programs}"));
}

#[test]
fn a_keyring_goes_on_with_a_new_key() {
    let folder = tempfile::tempdir().unwrap();
    let keyring = Keyring::new(&folder.path().join("keys"));
    keyring.create(today(), 30, false).unwrap();
    assert!(keyring.create(today(), 30, false).unwrap_err().to_string().contains("--renew"));
    let validity = keyring.validity(today(), 90).unwrap();
    assert_eq!(validity.last, today().plus(30), "no longer than the certificate");
    let old = Card::sign(&server(1), validity, &keyring.issuer().unwrap()).unwrap();
    let later = today().plus(20);
    keyring.create(later, 30, true).unwrap();
    let new =
        Card::sign(&server(2), keyring.validity(later, 90).unwrap(), &keyring.issuer().unwrap()).unwrap();
    let trust = keyring.trust().unwrap();
    for card in [&old, &new] {
        assert!(matches!(trust.check(card, later), Ok(Standing::Vouched { .. })));
    }
    // The old key is gone, so what it signed is the root's to revoke.
    keyring.revoke(&[old.id()], &[], Revoker::Root, later).unwrap();
    assert!(matches!(keyring.trust().unwrap().check(&old, later), Err(Error::Revoked { .. })));
    assert!(keyring.validity(later.plus(31), 1).is_err(), "its certificate has ended");
    let mode =
        std::os::unix::fs::MetadataExt::mode(&fs::metadata(folder.path().join("keys/root.key")).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_holds_whatever_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let keyring = drive(folder.path());
    let list = fs::read(folder.path().join("drive/servers.list")).unwrap();
    let list = Bundle::read(&list).unwrap().lists.remove(0);
    let text = format!(
        "# for you\n{}\n{}{}",
        lines(&list.body().cards).unwrap(),
        lines(&keyring.certificates().unwrap()).unwrap(),
        lines(&keyring.revocations().unwrap()).unwrap()
    );
    let bundle = Bundle::read(text.as_bytes()).unwrap();
    let counts = (bundle.cards.len(), bundle.certificates.len(), bundle.revocations.len());
    assert_eq!(counts, (3, 1, 1));
    assert_eq!(bundle.cards, list.body().cards);
    let one = Bundle::read(bundle.cards[0].as_bytes()).unwrap();
    assert_eq!(one.cards, bundle.cards[..1]);
    assert!(Bundle::read(b"hello").is_err() && Bundle::read(&[0x82, 1]).is_err());
}
