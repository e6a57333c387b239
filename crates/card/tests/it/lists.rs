//! Lists, sealed and unsealed.

use daylight_card::seal::{SealedList, Share, open, seal};
use daylight_card::{Cards, Id, List, Validity};
use proptest::prelude::*;

use crate::{card, today, world};

fn list(cards: u8) -> List {
    let world = world();
    let body = Cards {
        channel: Some(Id([5; 8])),
        cards: (1..=cards).map(card).collect(),
        certificates: vec![world.certificate.clone()],
        revocations: vec![],
    };
    List::sign(&body, Validity::new(today(), 30), &world.issuer).unwrap()
}

#[test]
fn a_list_brings_all_it_takes_to_check_it() {
    let list = List::parse(list(5).as_bytes()).unwrap();
    // Knows the root alone.
    let mut trust = daylight_card::Trust::new([world().root.public()]);
    trust.add_list(&list, today()).unwrap();
    assert!(list.body().cards.iter().all(|card| trust.check(card, today()).is_ok()));
    assert!(trust.add_list(&list, today().plus(31)).unwrap_err().to_string().contains("has expired"));
    let mut nobody = daylight_card::Trust::default();
    assert!(nobody.add_list(&list, today()).unwrap_err().to_string().contains("nobody known vouches for"));
}

#[test]
fn a_changed_list_is_found() {
    let (list, world) = (list(2), world());
    for at in 0..list.as_bytes().len() {
        let mut bytes = list.as_bytes().to_vec();
        bytes[at] ^= 1;
        let Ok(changed) = List::parse(&bytes) else { continue };
        assert!(world.trust.clone().add_list(&changed, today()).is_err(), "byte {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_that_are_enough_open_it(k in 1..8u8, more in 0..8u8, order in any::<u64>()) {
        let (world, list) = (world(), list(3));
        let (sealed, mut shares) = seal(&list, k, k + more, Validity::new(today(), 9), &world.issuer).unwrap();
        let sealed = SealedList::parse(sealed.as_bytes()).unwrap();
        prop_assert!(!sealed.as_bytes().windows(8).any(|eight| eight == &list.as_bytes()[20..28]));
        sealed.verify(&world.issuer.public()).unwrap();
        shares.sort_by_key(|share| order.rotate_left(u32::from(share.number()) * 7));
        let shares: Vec<Share> =
            shares.iter().map(|share| Share::decode(&share.encode()).unwrap()).take(k.into()).collect();
        let twice = [&shares[..], &shares[..1]].concat();
        prop_assert_eq!(&open(&sealed, &twice).unwrap(), &list);
        let error = open(&sealed, &shares[1..]).unwrap_err().to_string();
        prop_assert_eq!(error, format!("{} of {k} shares are here; find 1 more", k - 1));
    }

    #[test]
    fn a_wrong_share_is_named(bit in 0..256usize) {
        let (world, list) = (world(), list(1));
        let (sealed, shares) = seal(&list, 2, 3, Validity::new(today(), 9), &world.issuer).unwrap();
        let mut bytes = shares[1].encode();
        let at = bytes.len() - 32 + bit / 8;
        bytes[at] ^= 1 << (bit % 8);
        let forged = Share::decode(&bytes).unwrap();
        let error = open(&sealed, &[shares[0].clone(), forged]).unwrap_err().to_string();
        prop_assert_eq!(error, "share 2 of those given is forged or damaged; leave it out");
    }

    #[test]
    fn any_bytes_may_be_a_share(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(share) = Share::decode(&bytes) {
            prop_assert_eq!(share.encode(), bytes);
        }
    }
}

#[test]
fn a_share_of_another_list_is_named() {
    let (world, list) = (world(), list(1));
    let seal = || seal(&list, 2, 3, Validity::new(today(), 9), &world.issuer).unwrap();
    let ((sealed, shares), (_, others)) = (seal(), seal());
    let error = open(&sealed, &[others[0].clone(), shares[1].clone()]).unwrap_err().to_string();
    assert_eq!(error, "share 1 of those given is of another list");
    for (k, n) in [(0, 3), (4, 3)] {
        assert!(daylight_card::seal::seal(&list, k, n, Validity::new(today(), 9), &world.issuer).is_err());
    }
}
