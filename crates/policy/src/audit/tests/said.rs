//! What entries say and can't say, the keys' files, the tally, and the answers about hosts.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use proptest::prelude::*;

use super::*;

#[test]
fn entries_have_one_encoding() {
    let [first, second] = load().try_into().unwrap();
    let bytes = first.encode().unwrap();
    let of_load = r#"{"time":"2026-11-23T00:00:00Z","kind":"policy-loaded","policy":"school","version":"VERSION","rules":1,"lists":0}"#
        .replace("VERSION", &Digest::of(b"policy").to_string());
    assert_eq!(String::from_utf8(bytes.clone()).unwrap(), of_load);
    let of_rule = String::from_utf8(second.encode().unwrap()).unwrap();
    assert_eq!(
        of_rule,
        r#"{"time":"2026-11-23T00:00:00Z","kind":"rule","policy":"school","rule":"malware","action":"reject","condition":"hostname in $malware","reason":"It spreads malware","authority":"Head of the school","expires":"2028-10-17T10:40:00Z"}"#
    );
    let of_totals = String::from_utf8(totals(1, 2)[0].encode().unwrap()).unwrap();
    assert_eq!(
        of_totals,
        r#"{"time":"2026-11-23T00:01:00Z","kind":"totals","hour":"2026-11-23T00:00:00Z","policy":"school","rule":"malware","target":{"host":"h1.example"},"flows":1,"packets":3,"bytes":999}"#
    );
    assert_eq!(Entry::decode(&bytes).unwrap(), first);
    // What an entry does not say is as it was before there was the word for it.
    assert_eq!(Entry::decode(of_rule.as_bytes()).unwrap(), second);
    let required =
        Entry { time: time(0), event: Event::Rule(Rule { basis: Basis::External, ..rule("malware") }) };
    let of_required = of_rule.replace("Z\"}", "Z\",\"basis\":\"external\"}");
    assert_eq!(String::from_utf8(required.encode().unwrap()).unwrap(), of_required);
    assert_eq!(Entry::decode(of_required.as_bytes()).unwrap(), required);
    for basis in ["operator", "court", ""] {
        let other = of_required.replace("external", basis);
        assert!(Entry::decode(other.as_bytes()).is_err(), "{other}");
    }
    for (from, to) in [
        (":1,", ": 1,"),
        ("school", "sch\\u006fol"),
        (":999}", ":999,\"client\":\"198.51.100.7\"}"),
        (":999}", ":999.0}"),
        (":999}", ":999} "),
        ("T00:01:00Z", "T00:01:00.0Z"),
        ("T00:01:00Z", "T02:01:00+02:00"),
        ("\"hour\":\"2026-11-23T00:00:00Z\"", "\"hour\":\"2026-11-23T00:00:01Z\""),
        ("h1.example", "H1.example"),
        ("{\"host\":\"h1.example\"}", "{\"host\":\"198.51.100.7\"}"),
        ("{\"host\":\"h1.example\"}", "{\"address\":\"198.51.100.7\"}"),
        ("totals", "other"),
    ] {
        assert!(of_totals.contains(from), "{from}");
        let changed = of_totals.replacen(from, to, 1);
        assert!(Entry::decode(changed.as_bytes()).is_err(), "{changed}");
    }
}

#[test]
fn no_target_can_be_an_address() {
    for address in [
        "198.51.100.7",
        "198.51.100.7.",
        "3325256711",
        "0xc6336407",
        "198.51.25607",
        "2001:db8::7",
        "[2001:db8::7]",
        "::ffff:198.51.100.7",
        "7.100.51.198.in-addr.arpa",
        "7.0.0.8.B.D.0.1.0.0.2.IP6.ARPA",
        "198.51.100.0/24",
    ] {
        assert!(HostName::new(address).is_err(), "{address}");
        assert!(Domain::new(address).is_err(), "{address}");
        assert!(Domain::new(&format!("*.{address}")).is_err(), "{address}");
    }
    for label in
        ["198.51.100.7", "2001:db8::7", "[2001:db8::7]", "198.51.100.0/24", "2001:db8::/32", "", " a", "a\n"]
    {
        assert!(Label::new(label).is_err(), "{label}");
    }
    assert_eq!(HostName::new("WWW.Example.").unwrap().as_str(), "www.example");
    assert_eq!(Domain::new(".Example").unwrap().as_str(), "*.example");
    for name in ["a..b", ".a", "a b", "bücher.example", "a/b", &"a".repeat(64), &"a.".repeat(128)] {
        assert!(HostName::new(name).is_err(), "{name}");
    }
}

#[test]
fn entries_that_are_too_long_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = log_of(folder.path(), 2);
    let mut long = rule("long");
    // 4,096 quotation marks take twice as many bytes; no text alone can fill an entry.
    long.reason = text(&"\"".repeat(4096));
    writer.append(&[Entry { time: time(0), event: Event::Rule(long) }]).unwrap();
    assert!(Text::new(&"a".repeat(4097)).is_err());
    assert!(Text::new("a\tb").is_err());
    let mut bundle = Vec::new();
    assert!(tile::push_entry(&mut bundle, &vec![0; ENTRY_BYTES_MAX]));
    assert!(!tile::push_entry(&mut bundle, &vec![0; ENTRY_BYTES_MAX + 1]));
    assert_eq!(tile::read_bundle(&bundle).unwrap().len(), 1);
    assert!(tile::read_bundle(&bundle[..100]).is_none());
}

#[test]
fn key_files_are_the_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let made = Signer::generate(&path, NAME).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(Signer::open(&path).unwrap().verifier_key(), made.verifier_key());
    assert!(Signer::generate(&path, NAME).is_err(), "a key was overwritten");
    for mode in [0o640, 0o604, 0o660, 0o610] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = Signer::open(&path).unwrap_err().to_string();
        assert!(error.contains("set it to 0600"), "{error}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() - 1 {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(Signer::open(&path).is_err(), "cut to {length}");
    }
    let other = folder.path().join("other");
    assert!(Signer::generate(&other, "two words").is_err());
    let debug = format!("{:?}", Signer::generate(&other, NAME).unwrap());
    let secret = fs::read_to_string(&other).unwrap();
    // "PRIVATE+KEY+name+hash+key"; the key is base64, which has a + of its own.
    let key = secret.trim().splitn(5, '+').last().unwrap();
    assert_eq!(key.len(), 44, "{secret}");
    assert!(!debug.contains(key));
}

#[test]
fn the_tally_keeps_what_was_not_written() {
    let (policy, rule) = (label("school"), label("malware"));
    let one = Counts { flows: 1, packets: 2, bytes: 300 };
    let mut tally = Tally::with_targets_max(3);
    for n in [1, 1, 2, 3, 4, 5] {
        tally.add(time(1), &policy, &rule, Target::Host(host(&format!("h{n}.example"))), one);
    }
    assert!(tally.due(time(59)).is_empty());
    let due = tally.due(time(61));
    // Three by name, and the rest.
    assert_eq!(due.len(), 4);
    let flows = |entries: &[Entry], target: &Target| {
        let of = |entry: &Entry| match &entry.event {
            Event::Totals(totals) if totals.target == *target => totals.counts.flows,
            _ => 0,
        };
        entries.iter().map(of).sum::<u64>()
    };
    assert_eq!(flows(&due, &Target::Host(host("h1.example"))), 2);
    assert_eq!(flows(&due, &Target::Rest), 2);
    // What comes between asking and writing stays.
    tally.add(time(2), &policy, &rule, Target::Host(host("h1.example")), one);
    tally.written(&due);
    let rest = tally.all(time(62));
    assert_eq!(rest.len(), 1);
    assert_eq!(flows(&rest, &Target::Host(host("h1.example"))), 1);
    tally.written(&rest);
    assert!(tally.all(time(1000)).is_empty());
}

fn stopped(minute: u64, rule: &str, target: Target) -> Entry {
    let counts = Counts { flows: 2, packets: 6, bytes: 1200 };
    let totals =
        Totals { hour: time(minute).hour(), policy: label("school"), rule: label(rule), target, counts };
    Entry { time: time(minute), event: Event::Totals(totals) }
}

fn loaded(minute: u64, rules: Vec<Rule>) -> Vec<Entry> {
    Entry::policy_loaded(time(minute), &label("school"), Digest::of(b"policy"), None, rules, vec![])
}

#[test]
fn a_host_is_looked_up_with_its_proofs() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), signer()).unwrap();
    let of_list = Target::ListName { list: label("ads"), name: Domain::new("*.ads.example").unwrap() };
    let short = Rule { expires: time(100), ..rule("short") };
    let slow = Rule { action: Action::Limit, ..rule("slow") };
    writer.append(&loaded(0, vec![rule("malware"), rule("ads"), short.clone(), slow.clone()])).unwrap();
    writer.append(&[stopped(70, "malware", Target::Host(host("evil.example")))]).unwrap();
    writer
        .append(&[stopped(71, "ads", of_list.clone()), stopped(72, "slow", Target::Host(host("a.example")))])
        .unwrap();
    writer.append(&[stopped(73, "short", Target::Host(host("b.example")))]).unwrap();
    // Loaded again, without a break for the first rule; its words have changed.
    let changed = Rule { reason: text("It still does"), ..rule("malware") };
    writer.append(&loaded(130, vec![changed, short, slow])).unwrap();
    writer.append(&[stopped(140, "malware", Target::Host(host("evil.example")))]).unwrap();
    let ask = |name: &str, minute, matching: &[(Label, Label)]| {
        let log = Log::open(folder.path(), &key()).unwrap();
        let found = lookup(log, &host(name), time(minute), matching).unwrap();
        for proof in &found.proofs {
            proof.verify(&key()).unwrap();
        }
        let proven: Vec<u64> = found.proofs.iter().map(InclusionProof::index).collect();
        (found.answer, proven)
    };
    let (answer, proven) = ask("evil.example", 150, &[]);
    assert!(answer.blocked);
    let [found] = &answer.findings[..] else { panic!("{answer:?}") };
    assert_eq!((found.since, found.rule.reason.as_str()), (time(0), "It still does"));
    let counted = found.stopped.as_ref().unwrap();
    assert_eq!(
        (counted.counts.flows, counted.first_hour.start(), counted.last_hour.start()),
        (4, time(60), time(120))
    );
    assert_eq!(proven, [1, 10, 13]);
    let (answer, _) = ask("x.ads.example", 150, &[]);
    assert!(!answer.blocked);
    assert_eq!(answer.findings[0].standing, Standing::Withdrawn { at: time(130) });
    assert_eq!(answer.findings[0].target, Some(of_list));
    assert!(ask("ads.example", 150, &[]).0.findings.is_empty());
    let (answer, _) = ask("a.example", 150, &[]);
    assert!(!answer.blocked && answer.findings[0].standing == Standing::InForce);
    assert_eq!(ask("b.example", 150, &[]).0.findings[0].standing, Standing::Expired);
    assert!(ask("b.example", 99, &[]).0.blocked);
    // Nobody tried to reach it yet, but the filter's policy covers it.
    let (answer, proven) = ask("new.example", 150, &[(label("school"), label("malware"))]);
    assert!(answer.blocked);
    assert_eq!(proven, [1, 10]);
    let (answer, proven) = ask("free.example", 150, &[]);
    assert!(!answer.blocked && answer.findings.is_empty() && proven.is_empty());
    writer
        .append(&[Entry { time: time(160), event: Event::FilterStopped { why: text("Stopped") } }])
        .unwrap();
    let (answer, _) = ask("evil.example", 170, &[]);
    assert_eq!((answer.blocked, answer.findings[0].standing), (false, Standing::Halted { at: time(160) }));
    // A rule that was gone for a load starts anew.
    writer.append(&loaded(200, vec![])).unwrap();
    writer.append(&loaded(210, vec![rule("malware")])).unwrap();
    assert_eq!(ask("evil.example", 220, &[]).0.findings[0].since, time(210));
    let json = serde_json::to_value(ask("evil.example", 220, &[]).0).unwrap();
    assert_eq!(json["findings"][0]["authority"], "Head of the school");
    assert_eq!(json["findings"][0]["state"], "halted");
}

proptest! {
    #[test]
    fn entries_are_read_back(name in "[a-z][a-z0-9-]{0,20}(\\.[a-z]{1,8}){0,3}", words in "[^\\x00-\\x1f\\x7f-\\x9f]{1,200}", seconds in 0i64..=253_402_214_400, counts: (u64, u64, u64), line: u32) {
        let time = Timestamp::from_unix_s(seconds).unwrap();
        prop_assert_eq!(Timestamp::parse(&time.to_string()).unwrap(), time);
        let words = text(&words);
        let counts = Counts { flows: counts.0, packets: counts.1, bytes: counts.2 };
        let targets = [
            Target::Host(host(&name)),
            Target::ListName { list: label("l"), name: Domain::new(&format!("*.{name}")).unwrap() },
            Target::ListLine { list: label("l"), digest: Digest::of(b"l"), line },
            Target::Rest,
            Target::Rule,
        ];
        let mut events = vec![
            Event::FilterStarted { software: words.clone() },
            Event::FilterStopped { why: words.clone() },
            Event::PolicyRefused { policy: label("p"), version: Digest::of(name.as_bytes()), why: words.clone() },
            Event::Rule(Rule { appeal: Some(words.clone()), reason: words, basis: Basis::Client, ..rule("r") }),
            Event::List(List { policy: label("p"), list: label("l"), digest: Digest::of(b""), entries: counts.flows }),
        ];
        events.extend(targets.map(|target| Event::Totals(Totals {
            hour: time.hour(), policy: label("p"), rule: label("r"), target, counts,
        })));
        for event in events {
            let entry = Entry { time, event };
            prop_assert_eq!(Entry::decode(&entry.encode().unwrap()).unwrap(), entry);
        }
    }

    #[test]
    fn no_bytes_make_the_readers_panic(bytes: Vec<u8>, words in "\\PC*") {
        let _ = Entry::decode(&bytes);
        let _ = tile::read_bundle(&bytes);
        let _ = words.parse::<Note>();
        let _ = words.parse::<SignedCheckpoint>();
        let _ = words.parse::<VerifierKey>();
        let _ = words.parse::<Proof>();
        let _ = Timestamp::parse(&words);
        let _ = HostName::new(&words);
    }
}
