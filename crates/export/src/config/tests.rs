//! What is read, and what is refused.

use std::path::Path;

use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, "to.toml", Path::new("/etc/daylight"))
}

/// The message for a text that is refused.
fn refused(text: &str) -> String {
    match parse(text) {
        Ok(config) => panic!("{config:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_least_and_its_defaults() {
    let config = parse("[[to]]\nkind = \"nats\"\nurls = \"nats://a\"").unwrap();
    assert_eq!((config.spool, config.budget_bytes), (None, BUDGET_BYTES));
    let [To { name, kind: Kind::Nats(nats) }] = &config.to[..] else { panic!("{:?}", config.to) };
    assert_eq!((&**name, &*nats.urls, &*nats.stream), ("nats", &["nats://a".to_owned()][..], "DAYLIGHT"));
    assert_eq!(parse("").unwrap().to, []);
    let config = parse("[spool]\npath = \"s\"\nbudget_mib = 5").unwrap();
    assert_eq!((config.spool.unwrap(), config.budget_bytes), ("/etc/daylight/s".into(), 5 << 20));
}

#[test]
fn every_problem_with_its_place_and_what_to_do() {
    let text = "budget = 5\n[[to]]\nkind = \"nats\"\nurl = \"nats://a\"\n\n[[to]]\nkind = \"natz\"\n[[to]]\nname = \"x\"\n";
    let expected = "\
to.toml:1:1: a configuration has no key `budget`: there are spool, to
to.toml:2:1: [[to]] has no `urls`: add urls = [\"nats://localhost:4222\"]
to.toml:4:1: a [[to]] of kind \"nats\" has no key `url`: did you mean `urls`?
to.toml:7:8: there is no kind \"natz\": did you mean \"nats\"?
to.toml:8:1: [[to]] has no `kind`: add one of clickhouse, ipfix, kafka, nats, otlp, s3, syslog, webhook";
    assert_eq!(refused(text), expected);
}

#[test]
fn values_that_are_wrong() {
    for (text, problem) in [
        ("[[to]]\nkind = \"kafka\"\nbrokers = 5", "to.toml:3:11: `brokers` is text, in quotes, not a number"),
        ("[[to]]\nkind = \"syslog\"\naddress = \"a:514\"\nfacility = 24", "4:12: `facility` is from 0 to 23"),
        (
            "[[to]]\nkind = \"syslog\"\naddress = \"a\"",
            "3:11: `address` is a host and a port, such as \"siem:514\"",
        ),
        ("[[to]]\nkind = \"webhook\"\nurl = \"ftp://x\"", "3:7: `url` is an address such as"),
        (
            "[[to]]\nkind = \"otlp\"\nurl = \"http://x\"\nsame = \"pairs\"",
            "4:8: there is no same \"pairs\": did you mean \"pair\"?",
        ),
        (
            "[[to]]\nkind = \"clickhouse\"\nurl = \"http://x\"\ndatabase = \"a; DROP\"",
            "4:12: `database` is letters",
        ),
        ("[[to]]\nkind = \"nats\"\nurls = \"a\"\nname = \"../x\"", "4:8: a `name` is letters, digits"),
        (
            "[[to]]\nkind = \"nats\"\nurls = \"a\"\npassword_file = \"none\"",
            "can't read /etc/daylight/none: No such file",
        ),
        (
            "[[to]]\nkind = \"nats\"\nurls = \"a\"\ntls_key = \"k\"",
            "needs both `tls_certificate` and `tls_key`",
        ),
        (
            "[[to]]\nkind = \"nats\"\nurls = \"a\"\n[[to]]\nkind = \"nats\"\nurls = \"b\"",
            "4:1: there is a [[to]] with the name \"nats\" already",
        ),
        ("[spool]\nbudget_mib = 0", "2:14: `budget_mib` is from 1 to"),
        ("to = 5", "1:6: `to` is a list of tables: write [[to]] over each, not a number"),
        ("[[to]", "to.toml:1:"),
    ] {
        let message = refused(text);
        assert!(message.contains(problem), "{text}\n{message}\nlacks: {problem}");
    }
}

#[test]
fn a_password_is_told_only_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p"), "secret\n").unwrap();
    let text = "[[to]]\nkind = \"kafka\"\nbrokers = \"a:1\"\nuser = \"u\"\npassword_file = \"p\"\nmechanism = \"plain\"\n";
    let parse = |text: &str| Config::parse(text, "to.toml", folder.path());
    assert!(parse(text).unwrap_err().to_string().contains("add tls = true"));
    let config = parse(&format!("{text}tls = true")).unwrap();
    let Kind::Kafka(kafka) = &config.to[0].kind else { panic!("{config:?}") };
    assert_eq!(kafka.user.as_ref().unwrap().1.as_str(), "secret");
    assert!(!format!("{config:?}").contains("\"secret\""), "{config:?}");
    std::fs::write(folder.path().join("p"), "whsec_!!").unwrap();
    let text = "[[to]]\nkind = \"webhook\"\nurl = \"https://x\"\nsecret_file = \"p\"";
    assert!(parse(text).unwrap_err().to_string().contains("no Base64"));
    std::fs::write(folder.path().join("p"), "short").unwrap();
    assert!(parse(text).unwrap_err().to_string().contains("fewer than 16 bytes"));
}
