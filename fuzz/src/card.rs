//! Cards and what belongs to them. Input: a byte that says which, and its bytes or, for lines, its text.

use std::sync::LazyLock;

use daylight_card::frame::Frame;
use daylight_card::keyring::Bundle;
use daylight_card::seal::{Sealed, Share};
use daylight_card::{
    Address, Body, Cards, Certificate, Day, Issuer, List, Offer, PublicKey, Revoked, Secret, SecretKey,
    Server, Signed, Trust, Validity, Value, frame, line,
};

use crate::input::Input;

const TODAY_S: u64 = 1_795_392_000;

/// Who believes a root and knows its issuer, and a list of theirs.
struct Sample {
    issuer: PublicKey,
    trust: Trust,
    list: List,
}

static SAMPLE: LazyLock<Sample> = LazyLock::new(|| {
    let root = SecretKey::from_seed([1; 32]).expect("a key");
    let issuer = SecretKey::from_seed([2; 32]).expect("a key");
    let validity = Validity::new(today(), 90);
    let body = Issuer { key: issuer.public() };
    let certificate = Certificate::sign(&body, validity, &root).expect("a certificate");
    let mut trust = Trust::new([root.public()]);
    trust.add_certificate(certificate.clone()).expect("one of this root");
    let server = Server {
        addresses: vec!["192.0.2.1".parse().expect("an address")],
        port: 443,
        offers: vec!["web".parse().expect("an offer")],
        key: [3; 32],
        secret: Secret::new(vec![4; 16]).expect("a secret"),
    };
    let cards = vec![Signed::sign(&server, validity, &issuer).expect("a card")];
    let body = Cards { cards, certificates: vec![certificate], ..Cards::default() };
    let list = List::sign(&body, validity, &issuer).expect("a list");
    Sample { issuer: issuer.public(), trust, list }
});

fn today() -> Day {
    Day::of_unix_s(TODAY_S)
}

/// Bytes of each kind.
pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let which = input.u8() % 9;
    let bytes = input.rest();
    let text = String::from_utf8_lossy(bytes);
    match which {
        0 => {
            let Some(card) = signed::<Server>(bytes) else { return };
            for offer in &card.body().offers {
                assert!(offer.port != Some(0));
                let _ = card.site(offer);
            }
            for address in &card.body().addresses {
                assert_eq!(address.to_string().parse::<Address>().as_ref(), Ok(address));
            }
            if SAMPLE.trust.check(&card, today()).is_ok() && card.signer() == SAMPLE.issuer.id() {
                assert_eq!(card, SAMPLE.list.body().cards[0], "a card that the issuer never signed");
            }
        }
        1 => drop(signed::<Issuer>(bytes)),
        2 => drop(signed::<Revoked>(bytes)),
        3 => {
            let Some(list) = signed::<Cards>(bytes) else { return };
            let mut trust = SAMPLE.trust.clone();
            if trust.add_list(&list, today()).is_ok() {
                assert_eq!(list, SAMPLE.list, "a list that the issuer never signed");
            }
        }
        4 => drop(signed::<Sealed>(bytes)),
        5 => {
            if let Ok(share) = Share::decode(bytes) {
                assert_eq!(share.encode(), bytes);
            }
        }
        6 => {
            if let Ok(value) = Value::decode(bytes) {
                assert_eq!(value.encode(), bytes);
            }
        }
        7 => {
            if let Ok(bundle) = Bundle::read(bytes) {
                let _ = bundle.teach(&mut SAMPLE.trust.clone());
            }
        }
        _ => {
            if let Ok(offer) = text.parse::<Offer>() {
                assert_eq!(offer.to_string().parse(), Ok(offer));
            }
            let _ = PublicKey::from_pem(&text);
            if let Ok(day) = text.parse::<Day>() {
                assert_eq!(day.to_string().parse(), Ok(day));
            }
        }
    }
}

/// What parses has these bytes and no others.
fn signed<T: Body + std::fmt::Debug>(bytes: &[u8]) -> Option<Signed<T>> {
    let signed = Signed::<T>::parse(bytes).ok()?;
    assert_eq!(signed.as_bytes(), bytes);
    let _ = signed.verify(&SAMPLE.issuer);
    let _ = signed.check_day(today());
    Some(signed)
}

/// Lines of text. Input: the text.
pub(crate) fn lines(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = line::read_all(&text);
    let Ok(read) = line::read(&text) else { return };
    let written = line::write(read.kind, &read.bytes).expect("what was in a line fits one");
    let again = line::read(&written).expect("what was written can be read");
    assert!(again.mended.is_empty());
    assert_eq!((again.kind, again.bytes), (read.kind, read.bytes));
    assert_eq!(line::groups(&written).collect::<String>(), written[line::PREFIX.len()..]);
}

/// Frames, some of them of the sample's list and some of the input. Input: for each, two bytes: the number of a frame of
/// the list, or (the highest bit) that so many bytes of a frame follow.
pub(crate) fn frames(data: &[u8]) {
    const FRAMES: u32 = 24;
    static OWN: LazyLock<Vec<Frame>> =
        LazyLock::new(|| frame::frames(SAMPLE.list.as_bytes(), 64, 0, FRAMES).expect("frames"));
    let mut input = Input::new(data);
    let mut collector = frame::Collector::new();
    while !input.is_empty() {
        let number = input.u16();
        let foreign = number & 0x8000 != 0;
        let outcome = if foreign {
            match Frame::decode(input.take(usize::from(number & 0x3ff))) {
                Ok(frame) => {
                    assert!(Frame::decode(&frame.encode()).is_ok_and(|again| again == frame));
                    collector.add(&frame)
                }
                Err(_) => continue,
            }
        } else {
            collector.add(&OWN[usize::from(number) % OWN.len()])
        };
        if let Ok(Some(bytes)) = outcome
            && !foreign
        {
            assert_eq!(bytes, SAMPLE.list.as_bytes());
        }
        let (seen, needed) = collector.progress();
        assert!(seen <= needed + 64);
    }
}
