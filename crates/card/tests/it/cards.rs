//! What a card says, and that nobody else can say it.

use daylight_card::{
    Address, CARD_BYTES_GOAL, Card, Error, Id, Offer, Revocation, Revoked, Secret, SecretKey, Server,
    Standing, Transport, Trust, Validity, Value, line,
};
use proptest::prelude::*;

use crate::{card, server, today, world};

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        "[a-z][a-z0-9]{0,12}(\\.[a-z][a-z0-9-]{0,8}[a-z]){0,3}".prop_map(Address::Name),
        any::<std::net::IpAddr>().prop_map(Address::Ip),
    ]
}

fn offer() -> impl Strategy<Value = Offer> {
    let transport = prop_oneof![
        Just(Transport::Web),
        Just(Transport::H3),
        Just(Transport::Plain),
        (4..u64::MAX).prop_map(Transport::Other)
    ];
    let unknown = proptest::collection::btree_map(4..1000u64, any::<u64>().prop_map(Value::Uint), 0..3);
    let parts = (
        transport,
        proptest::option::of("[a-z]{1,8}\\.example"),
        proptest::option::of(1..=u16::MAX),
        proptest::option::of("/[a-z0-9/_-]{0,20}"),
        unknown,
    );
    parts.prop_map(|(transport, name, port, path, unknown)| Offer {
        transport,
        name,
        port,
        path,
        unknown: unknown.into_iter().map(|(key, value)| (Value::Uint(key), value)).collect(),
    })
}

fn any_server() -> impl Strategy<Value = Server> {
    let parts = (
        proptest::collection::vec(address(), 1..5),
        1..=u16::MAX,
        proptest::collection::vec(offer(), 1..4),
        any::<[u8; 32]>(),
        proptest::collection::vec(any::<u8>(), 16..=32),
    );
    parts.prop_map(|(addresses, port, mut offers, key, secret)| {
        offers.sort_by_key(|offer| offer.transport);
        offers.dedup_by_key(|offer| offer.transport);
        Server { addresses, port, offers, key, secret: Secret::new(secret).unwrap() }
    })
}

proptest! {
    #[test]
    fn a_card_says_what_it_was_given(server in any_server(), days in 0..3000u32) {
        let world = world();
        let validity = Validity::new(today(), days);
        match Card::sign(&server, validity, &world.issuer) {
            Ok(card) => {
                let read = Card::parse(card.as_bytes()).unwrap();
                prop_assert_eq!(read.body(), &server);
                prop_assert_eq!(read.validity(), validity);
                read.verify(&world.issuer.public()).unwrap();
                prop_assert_eq!(read, card);
            }
            Err(error) => prop_assert!(matches!(error, Error::TooLong { .. }), "{}", error),
        }
    }

    #[test]
    fn any_bytes_may_come(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Card::parse(&bytes).is_err());
    }

    #[test]
    fn what_an_offer_prints_it_reads(offer in offer()) {
        prop_assume!(!matches!(offer.transport, Transport::Other(_)));
        let known = Offer { unknown: vec![], ..offer };
        prop_assert_eq!(known.to_string().parse::<Offer>(), Ok(known));
    }
}

#[test]
fn a_card_fits_its_goal() {
    let len = card(1).as_bytes().len();
    assert!(len <= CARD_BYTES_GOAL, "{len}");
    let hex: String = card(1).as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut rest = hex.as_str();
    for (part, what) in GOLDEN {
        rest = rest.strip_prefix(part).unwrap_or_else(|| panic!("{what}: {part} is now {rest}"));
    }
    assert_eq!(rest, "");
    let line = line::write(daylight_card::Kind::Card, card(1).as_bytes()).unwrap();
    assert_eq!(line, GOLDEN_LINE);
}

/// Every bit of a card counts: none can be another without being noticed.
#[test]
fn every_flipped_bit_is_found() {
    let (world, card) = (world(), card(1));
    assert!(matches!(world.trust.check(&card, today()), Ok(Standing::Vouched { .. })));
    for bit in 0..card.as_bytes().len() * 8 {
        let mut bytes = card.as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let outcome = Card::parse(&bytes).map(|card| world.trust.check(&card, today()));
        // A changed signer is somebody unknown: nobody vouches for the card then.
        let found = matches!(outcome, Err(_) | Ok(Err(_) | Ok(Standing::Unvouched { .. })));
        assert!(found, "bit {bit}: {outcome:?}");
    }
}

/// Every character of its line counts, too: it is mended, or the line is refused.
#[test]
fn every_changed_character_of_a_line_is_found() {
    let card = card(1);
    let line = line::write(daylight_card::Kind::Card, card.as_bytes()).unwrap();
    for at in line::PREFIX.len()..line.len() {
        for other in "07AZ".chars().filter(|other| line.as_bytes()[at] != *other as u8) {
            let mut changed: Vec<char> = line.chars().collect();
            changed[at] = other;
            let read = line::read(&changed.into_iter().collect::<String>()).unwrap();
            assert_eq!(read.bytes, card.as_bytes());
            assert!(!read.mended.is_empty(), "character {at} as {other}");
        }
    }
}

#[test]
fn nothing_cut_and_nothing_longer_is_a_card() {
    let card = card(1);
    for len in 0..card.as_bytes().len() {
        let error = Card::parse(&card.as_bytes()[..len]).unwrap_err();
        assert!(error.to_string().contains("it is cut off at byte"), "{len}: {error}");
    }
    let longer = [card.as_bytes(), &[0]].concat();
    assert!(Card::parse(&longer).unwrap_err().to_string().contains("bytes too many"));
}

#[test]
fn a_card_has_its_days() {
    let (world, card) = (world(), card(1));
    let on = |day| world.trust.check(&card, day);
    let last = card.validity().last;
    assert!(on(last).is_ok());
    let error = on(last.plus(1)).unwrap_err().to_string();
    assert!(error.contains("has expired: its last day was 2027-02-21, today is 2027-02-22"), "{error}");
    let yesterday = daylight_card::Day::of_unix_s(crate::TODAY_S - 1);
    assert!(on(yesterday).is_ok(), "clocks differ by a day");
    let before = daylight_card::Day::of_unix_s(crate::TODAY_S - 86_401);
    let error = on(before).unwrap_err().to_string();
    assert!(
        error.contains("is from the future: its first day is 2026-11-23, today is 2026-11-21"),
        "{error}"
    );
}

/// A later version's fields stay where they are, under the signature.
#[test]
fn unknown_fields_are_kept() {
    let world = world();
    let Value::Array(mut parts) = Value::decode(card(1).as_bytes()).unwrap() else { panic!("an array") };
    let Value::Map(entries) = &mut parts[0] else { panic!("a map") };
    entries.push((Value::Uint(99), Value::Array(vec![Value::Text("new".into()), Value::Negative(7)])));
    let map = parts[0].encode();
    let signature = world.issuer.sign(&[b"daylight card v1\n", &map[..]].concat());
    parts[1] = Value::Bytes(signature.to_vec());
    let bytes = Value::Array(parts).encode();
    let card = Card::parse(&bytes).unwrap();
    assert!(matches!(world.trust.check(&card, today()), Ok(Standing::Vouched { .. })));
    assert_eq!(card.as_bytes(), bytes);
    assert_eq!(card.body(), crate::card(1).body());
}

#[test]
fn an_unknown_issuer_is_told_from_a_forger() {
    let world = world();
    let stranger = SecretKey::from_seed([9; 32]).unwrap();
    let theirs = Card::sign(&server(1), Validity::new(today(), 9), &stranger).unwrap();
    assert_eq!(
        world.trust.check(&theirs, today()).unwrap(),
        Standing::Unvouched { issuer: stranger.public().id() }
    );
    // Someone who says to be the issuer.
    let mut bytes = theirs.as_bytes().to_vec();
    let id = stranger.public().id().0;
    let at = bytes.windows(8).position(|eight| eight == id).unwrap();
    bytes[at..at + 8].copy_from_slice(&world.issuer.public().id().0);
    let forged = Card::parse(&bytes).unwrap();
    let error = world.trust.check(&forged, today()).unwrap_err();
    assert!(matches!(error, Error::Signature { .. }), "{error}");
    // A certificate by somebody who is no root here.
    let certificate = daylight_card::Certificate::sign(
        &daylight_card::Issuer { key: stranger.public() },
        Validity::new(today(), 9),
        &stranger,
    );
    let mut trust = world.trust;
    assert!(matches!(trust.add_certificate(certificate.unwrap()), Err(Error::UnknownSigner { .. })));
}

/// A key that was stolen after its certificate ended can't make cards, whatever day it writes on them.
#[test]
fn a_card_lies_within_its_issuers_days() {
    let world = world();
    for (first, days) in [(today(), 121), (today().plus(121), 1)] {
        let card = Card::sign(&server(1), Validity::new(first, days), &world.issuer).unwrap();
        let error = world.trust.check(&card, first).unwrap_err();
        assert!(matches!(error, Error::Outlives { .. }), "{error}");
    }
}

fn revoke(cards: &[Id], keys: &[Id], by: &SecretKey) -> Revocation {
    let revoked = Revoked { cards: cards.iter().copied().collect(), keys: keys.iter().copied().collect() };
    Revocation::sign(&revoked, Validity::new(today(), 9), by).unwrap()
}

#[test]
fn who_may_revoke_what() {
    let (world, card) = (world(), card(1));
    let is_revoked = |trust: &Trust| matches!(trust.check(&card, today()), Err(Error::Revoked { .. }));
    for by in [&world.issuer, &world.root] {
        let mut trust = world.trust.clone();
        trust.add_revocation(&revoke(&[card.id()], &[], by)).unwrap();
        assert!(is_revoked(&trust));
        assert!(trust.check(&crate::card(2), today()).is_ok());
        // What was revoked stays so when later revocations don't say it.
        trust.add_revocation(&revoke(&[], &[], by)).unwrap();
        assert!(is_revoked(&trust));
    }
    // Another issuer of the same root can't.
    let other = SecretKey::from_seed([7; 32]).unwrap();
    let body = daylight_card::Issuer { key: other.public() };
    let certificate =
        daylight_card::Certificate::sign(&body, Validity::new(today(), 9), &world.root).unwrap();
    let mut trust = world.trust.clone();
    assert!(trust.add_revocation(&revoke(&[card.id()], &[], &other)).is_err(), "nobody knows them yet");
    trust.add_certificate(certificate).unwrap();
    trust.add_revocation(&revoke(&[card.id()], &[world.issuer.public().id()], &other)).unwrap();
    assert!(!is_revoked(&trust));
    // The root revokes an issuer.
    trust.add_revocation(&revoke(&[], &[world.issuer.public().id()], &world.root)).unwrap();
    assert!(is_revoked(&trust));
}

/// The card's bytes, part by part.
const GOLDEN: [(&str, &str); 17] = [
    ("82a7", "[ {7 fields}, signature ]"),
    ("0119512c", "1: first day"),
    ("02185a", "2: 90 days"),
    ("03486a3803d5f059902a", "3: signer"),
    ("0482", "4: two addresses"),
    ("44c0000201", "192.0.2.1"),
    ("6e73312e6578616d706c652e6f7267", "s1.example.org"),
    ("06a3", "6: three transports"),
    ("01a0", "web"),
    ("02a0", "h3"),
    ("03a1021920c4", "plain, at port 8388"),
    ("075820", "7: server key"),
    ("1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e", ""),
    ("0850", "8: secret"),
    ("01010101010101010101010101010101", ""),
    ("5840", "signature"),
    (
        "65a18f101064c7f1a83cb625bd3e33306ecfe7ede91b4f6c571c7a5ba50d90d0c72ba4de3cc27314b428e0234e371db0724a65b93a5d7524b49f1d35b4567e02",
        "",
    ),
];

const GOLDEN_LINE: &str = "DAYLIGHT:C05CGAKG26AH5G11GPG391N3G0YNY1CS0AG4G92C000205Q76C9ECNW62VBGDHJJWVVJCW3\
    A60D00AG0788234GC81TR40FJ08924CJ2A9H750MJMASC5MQ2YC1H68SK8D9P6WW3JEHV7GYKW22G040\
    G2081040G2081040G208105C40SD1HW810S67Y6M3SDH5QMZ36C3ESZKYVT8V9XP5E73TBEJGV46GRWN\
    T9QHWR9SH9D18W0HMWDRXP1S4MSDS79EQA95MKWEKBD2PFR1040ZYNN7F0956";
