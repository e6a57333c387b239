//! A server that is set up: it starts as it is, and cards open it.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use daylight_card::keyring::{Bundle, Keyring};
use daylight_card::{Address, Day, Standing};
use daylight_server::config::{Config, Place};
use daylight_server::init::{InitError, Made, Options, Tls, init};
use daylight_server::run::Server;
use daylight_server::secrets;
use daylight_session::ClientConfig;
use daylight_tunnel::census::{Outcome, report};
use daylight_tunnel::driver::Driver;
use daylight_tunnel::transports::door::CardKeys;
use daylight_tunnel::transports::plain::path::Client;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::net::{PATIENCE, listen};

/// In tenths: how much systemd thinks a fault of the service could do. What is left is what a server needs: the network,
/// and ports below 1024.
const EXPOSURE_MAX: &str = "20";

fn options() -> Options {
    Options {
        name: Some("www.example.org".into()),
        addresses: Vec::new(),
        tls: Tls::Acme(Some("ops@example.org".into())),
        plain: Some(8388),
        cards: 3,
        days: 90,
        today: "2026-11-23".parse().unwrap(),
        program: "/usr/bin/daylight".into(),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn set_up(options: &Options) -> (tempfile::TempDir, Made) {
    let folder = tempfile::tempdir().unwrap();
    let made = init(&folder.path().join("server"), options).unwrap();
    (folder, made)
}

#[test]
fn all_that_a_server_needs_is_there() {
    let (folder, made) = set_up(&options());
    let folder = folder.path().join("server");
    let config = Config::read(&made.config).unwrap();
    assert_eq!(config.web.unwrap().acme.unwrap().names, ["www.example.org"]);
    assert!(config.census.is_some() && config.plain.is_some());
    assert_eq!(config.site.unwrap().folder.unwrap(), folder.join("site"));
    // The cards are good, and let in.
    let trust = Keyring::new(&made.issuer).trust().unwrap();
    let let_in: HashSet<_> =
        secrets::read(&config.cards).unwrap().iter().map(|card| card.access.id).collect();
    assert_eq!((made.cards.len(), let_in.len()), (3, 3));
    for path in &made.cards {
        let bundle = Bundle::read(&std::fs::read(path).unwrap()).unwrap();
        let card = &bundle.cards[0];
        assert!(matches!(trust.check(card, options().today), Ok(Standing::Vouched { .. })));
        assert!(card.as_bytes().len() <= daylight_card::CARD_BYTES_GOAL, "{}", card.as_bytes().len());
        let server = card.body();
        assert_eq!(server.addresses, [Address::Name("www.example.org".into())]);
        let offers: Vec<_> = server.offers.iter().map(ToString::to_string).collect();
        assert_eq!(offers, ["web", "h3", "plain:port=8388"]);
        assert!(let_in.contains(&CardKeys::of(server.secret.as_bytes()).unwrap().access.id));
        let public = std::fs::read_to_string(folder.join("server.pub")).unwrap();
        let hex: String = server.key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(public.trim(), hex);
    }
    // Nobody else can look into it; those without secrets matter as little as the folder lets them be seen.
    assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    for name in
        ["server.toml", "server.key", "cards", "issuer/root.key", "issuer/issuer.key", "hand-out/1.card"]
    {
        assert_eq!(std::fs::metadata(folder.join(name)).unwrap().mode() & 0o777, 0o600, "{name}");
    }
}

/// As it was made, without a word changed: a client with one of the cards gets in, and is counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_card_opens_the_server_that_was_set_up() {
    let port = listen().await.1.port();
    let addresses = vec!["127.0.0.1".parse().unwrap()];
    let (folder, made) = set_up(&Options { name: None, addresses, plain: Some(port), ..options() });
    let server = Server::start(&Config::read(&made.config).unwrap(), Arc::new(|_| {})).await.unwrap();
    let card = Bundle::read(&std::fs::read(&made.cards[1]).unwrap()).unwrap().cards.remove(0);
    let card = card.body();
    let keys = CardKeys::of(card.secret.as_bytes()).unwrap();
    let (news, _listening) = mpsc::unbounded_channel();
    let session = Arc::new(ClientConfig::new(card.key, keys.session));
    let driver = Driver::client(session, rand::random(), news);
    let connection = TcpStream::connect(("127.0.0.1", card.offers[0].port.unwrap())).await.unwrap();
    let path = Client { connection, server: card.key, access: keys.access };
    let carrying = driver.clone();
    tokio::spawn(async move { carrying.carry(Box::new(path), |_| {}).await });
    let state = folder.path().join("client");
    let reported = tokio::time::timeout(PATIENCE, report(&driver, &state)).await.expect("an answer");
    assert_eq!(reported.unwrap(), Outcome::Counted);
    server.drain(Duration::ZERO).await;
    let ledger = std::fs::read_to_string(folder.path().join("server/state/census/ledger.json")).unwrap();
    let ledger: serde_json::Value = serde_json::from_str(&ledger).unwrap();
    assert_eq!(ledger["today"], serde_json::json!({ "unknown": { "plain": 1 } }));
}

#[test]
fn what_is_there_is_never_overwritten() {
    let (folder, made) = set_up(&options());
    let before = std::fs::read(folder.path().join("server/server.key")).unwrap();
    let error = init(&folder.path().join("server"), &options()).unwrap_err();
    assert!(matches!(error, InitError::File { .. }));
    assert!(error.to_string().ends_with("there is something in it already"), "{error}");
    assert_eq!(std::fs::read(made.config.with_file_name("server.key")).unwrap(), before);
}

#[test]
fn behind_another_server_and_with_files_and_by_plain_alone() {
    let (_folder, made) = set_up(&Options { tls: Tls::InFront(8081), ..options() });
    let config = Config::read(&made.config).unwrap();
    let behind = config.behind.unwrap();
    assert_eq!(behind.listen, Place::Tcp("127.0.0.1:8081".parse().unwrap()));
    assert_eq!(behind.visitor.unwrap(), "x-real-ip");
    assert!(config.web.is_none() && config.h3.is_none());

    let files = Tls::Files("/etc/ssl/a \"chain\".pem".into(), "/etc/ssl/key.pem".into());
    let (_folder, made) = set_up(&Options { tls: files, ..options() });
    let web = Config::read(&made.config).unwrap().web.unwrap();
    assert_eq!(web.certificate.unwrap(), Path::new("/etc/ssl/a \"chain\".pem"));

    let elsewhere = vec!["192.0.2.7".parse().unwrap(), "other.example.org".parse().unwrap()];
    let (_folder, made) = set_up(&Options { addresses: elsewhere, ..options() });
    let card = Bundle::read(&std::fs::read(&made.cards[0]).unwrap()).unwrap().cards.remove(0);
    let offers: Vec<_> = card.body().offers.iter().map(ToString::to_string).collect();
    assert_eq!(offers, ["web:name=www.example.org", "h3:name=www.example.org", "plain:port=8388"]);

    let alone = Options { name: None, addresses: vec!["192.0.2.7".parse().unwrap()], ..options() };
    let (folder, made) = set_up(&alone);
    let config = Config::read(&made.config).unwrap();
    assert!(config.site.is_none() && config.web.is_none() && config.behind.is_none());
    assert!(made.site.is_none() && !folder.path().join("server/site").exists());
}

#[test]
fn what_cannot_be_is_told_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let ip = || vec!["192.0.2.7".parse().unwrap()];
    for (wrong, part) in [
        (Options { name: None, plain: None, ..options() }, "give a name"),
        (Options { name: None, ..options() }, "where the server is"),
        (Options { name: Some("WWW.example.org".into()), ..options() }, "small letters"),
        (Options { name: Some("192.0.2.1".into()), ..options() }, "no name in DNS"),
        (Options { name: Some("localhost".into()), ..options() }, "no name in DNS"),
        (Options { plain: Some(443), ..options() }, "port 443 is the site's"),
        (Options { plain: Some(0), name: None, addresses: ip(), ..options() }, "1 to 65535"),
        (Options { cards: 1001, ..options() }, "1000 at most"),
        (Options { program: "daylight".into(), ..options() }, "must be absolute"),
    ] {
        let path = folder.path().join("server");
        let error = init(&path, &wrong).unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
        assert!(!path.exists());
    }
    let error = init(&folder.path().join("a server"), &options()).unwrap_err().to_string();
    assert!(error.contains("no path for a unit"), "{error}");
}

#[test]
fn sites_are_whole_and_differ() {
    let mut seen: [HashSet<String>; 3] = Default::default();
    for _ in 0..40 {
        let (folder, made) = set_up(&options());
        let site = folder.path().join("server/site");
        let all = files(&site);
        let text = |path: &Path| std::fs::read_to_string(path).unwrap();
        let index = text(&site.join("index.html"));
        assert!(index.contains(&made.site.clone().unwrap()));
        assert_eq!(
            all.iter().filter(|path| path.extension().is_some_and(|ending| ending == "html")).count(),
            4
        );
        let times: HashSet<_> = all.iter().map(|path| path.metadata().unwrap().mtime()).collect();
        assert!(times.len() + 1 >= all.len(), "made at one time");
        for path in &all {
            let content = text(path);
            assert!(!content.to_lowercase().contains("daylight"), "{}", path.display());
            assert!(
                !content.contains('{') || path.extension().unwrap() == "css",
                "{}: {content}",
                path.display()
            );
            // Whatever is linked to is there.
            for link in
                content.split(['"']).skip(1).step_by(2).filter(|_| path.extension().unwrap() == "html")
            {
                if link.ends_with(".html") || link.ends_with(".css") || link.ends_with(".svg") {
                    assert!(site.join(link).exists(), "{link} of {}", path.display());
                }
            }
        }
        seen[0].insert(made.site.unwrap());
        seen[1].insert(index);
        let css = all.iter().find(|path| path.extension().is_some_and(|ending| ending == "css")).unwrap();
        seen[2].insert(text(css));
    }
    let counts = seen.map(|seen| seen.len());
    assert!(counts[0] > 30 && counts[1] == 40 && counts[2] > 35, "{counts:?}");
}

#[test]
fn the_unit_is_sound_and_may_do_little() {
    let analyze = |args: &[&str]| {
        let output = Command::new("systemd-analyze").args(args).output().ok()?;
        let said = [output.stdout, output.stderr].concat();
        Some((String::from_utf8(said).unwrap(), output.status.success()))
    };
    if !analyze(&["--help"]).is_some_and(|(help, _)| help.contains("--offline")) {
        eprintln!("skipped: there is no systemd-analyze, or it is older than 250");
        return;
    }
    let (_folder, made) = set_up(&Options { program: "/bin/true".into(), ..options() });
    let unit = made.unit.to_str().unwrap();
    let text = std::fs::read_to_string(unit).unwrap();
    let folder = made.config.parent().unwrap().to_str().unwrap();
    assert!(text.contains(&format!("ExecStart=/bin/true tunnel server {folder}/server.toml")));
    assert!(text.contains(&format!("ReadWritePaths={folder}/state")));
    assert!(!text.contains("/var/lib") && !text.contains("/usr/bin/daylight"));
    assert_eq!(analyze(&["verify", "--man=no", unit]).unwrap(), (String::new(), true));
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let (said, content) = analyze(&["security", "--offline=true", "--no-pager", &threshold, unit]).unwrap();
    assert!(content, "{said}");
    let allowed: Vec<_> =
        said.lines().filter(|line| line.contains('✗') && line.contains("CapabilityBoundingSet")).collect();
    assert!(allowed.len() == 1 && allowed[0].contains("BIND_SERVICE"), "{allowed:#?}");
}

#[test]
fn validity_ends_with_the_issuers_key() {
    let (_folder, made) = set_up(&Options { days: 400, cards: 1, ..options() });
    let bundle = Bundle::read(&std::fs::read(&made.cards[0]).unwrap()).unwrap();
    let last = bundle.cards[0].validity().last;
    assert_eq!(last, "2026-11-23".parse::<Day>().unwrap().plus(120));
}

#[test]
fn the_guide_shows_the_files_that_are_tested() {
    let guide = include_str!("../../../../docs/guide/server.md");
    for file in
        [include_str!("../../../../packaging/nginx.conf"), include_str!("../../../../packaging/Caddyfile")]
    {
        assert!(guide.contains(file), "{file}");
    }
}
