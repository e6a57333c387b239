//! Against published test vectors and other implementations.

use proptest::prelude::*;
use signed_note::Verifier as _;

use super::super::merkle::{check_consistency, check_inclusion, consistency, inclusion, root_of, subtree};
use super::super::tile::{Edge, Kind, Tile};
use super::proofs::Leaves;
use super::*;

/// The leaves of the test tree of Certificate Transparency's reference implementation.
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

/// Its roots at sizes 0 to 8.
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn hash(text: &str) -> Hash {
    Hash(unhex(text).try_into().unwrap())
}

fn leaves() -> Leaves {
    Leaves(LEAVES.iter().map(|leaf| Hash::leaf(&unhex(leaf))).collect())
}

#[test]
fn roots_of_rfc_6962() {
    let leaves = leaves();
    let mut edge = Edge::default();
    for (size, root) in ROOTS.iter().enumerate() {
        assert_eq!(root_of(&leaves.0[..size]), hash(root), "size {size}");
        assert_eq!(subtree(&leaves, 0, size as u64).unwrap(), hash(root), "size {size}");
        assert_eq!(edge.root(), hash(root), "size {size}");
        if let Some(leaf) = leaves.0.get(size) {
            edge.push(*leaf, &mut |_, _| {});
        }
    }
}

#[test]
fn proofs_of_rfc_6962() {
    let path = |hashes: &[&str]| hashes.iter().map(|text| hash(text)).collect::<Vec<_>>();
    let last_pair = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
    let inclusion_0_8 = path(&[
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]);
    assert_eq!(inclusion(&leaves(), 0, 8).unwrap(), inclusion_0_8);
    assert!(check_inclusion(0, 8, leaves().0[0], &inclusion_0_8, hash(ROOTS[8])));
    let consistency_6_8 =
        path(&["0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a", last_pair, ROOTS[4]]);
    assert_eq!(consistency(&leaves(), 6, 8).unwrap(), consistency_6_8);
    assert!(check_consistency(6, hash(ROOTS[6]), 8, hash(ROOTS[8]), &consistency_6_8));
    let consistency_2_5 = path(&[
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ]);
    assert_eq!(consistency(&leaves(), 2, 5).unwrap(), consistency_2_5);
    assert!(check_consistency(2, hash(ROOTS[2]), 5, hash(ROOTS[5]), &consistency_2_5));
}

/// Hashes in the order in which tlog_tiles stores them.
struct Stored(Vec<tlog_tiles::Hash>);

impl tlog_tiles::HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0[*index as usize]).collect())
    }
}

#[test]
fn another_implementation_makes_the_same_trees_and_proofs() {
    let ours = Leaves((0..300u64).map(|n| Hash::leaf(&n.to_be_bytes())).collect());
    let mut theirs = Stored(Vec::new());
    let plain = |hashes: Vec<tlog_tiles::Hash>| hashes.iter().map(|hash| hash.0).collect::<Vec<_>>();
    let mine = |hashes: Vec<Hash>| hashes.iter().map(|hash| hash.0).collect::<Vec<_>>();
    for size in 1..=300u64 {
        let new = tlog_tiles::stored_hashes(size - 1, &(size - 1).to_be_bytes(), &theirs).unwrap();
        theirs.0.extend(new);
        assert_eq!(tlog_tiles::tree_hash(size, &theirs).unwrap().0, root_of(&ours.0[..size as usize]).0);
        for other in (0..size).step_by(7).chain([size - 1]) {
            let proof = tlog_tiles::prove_record(size, other, &theirs).unwrap();
            assert_eq!(plain(proof), mine(inclusion(&ours, other, size).unwrap()), "{other} of {size}");
            let proof = tlog_tiles::prove_tree(size, other + 1, &theirs).unwrap();
            assert_eq!(
                plain(proof),
                mine(consistency(&ours, other + 1, size).unwrap()),
                "{other} + 1 to {size}"
            );
        }
    }
}

/// The key and the note of the tests of Go's golang.org/x/mod/sumdb/note.
const GO_PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_PRIVATE: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

#[test]
fn notes_are_those_of_go() {
    let signer = Signer::of_text(GO_PRIVATE).unwrap();
    assert_eq!(signer.verifier_key().to_string(), GO_PUBLIC);
    let key: VerifierKey = GO_PUBLIC.parse().unwrap();
    let note: Note = GO_NOTE.parse().unwrap();
    note.verify(&key).unwrap();
    assert_eq!(note.to_string(), GO_NOTE);
    assert_eq!(Note::sign(note.text().to_owned(), &[&signer]).to_string(), GO_NOTE);
    assert!(matches!(note.verify(&super::key()), Err(AuditError::WrongKey { .. })));
    let changed: Note = GO_NOTE.replace("answer", "Answer").parse().unwrap();
    assert!(matches!(changed.verify(&key), Err(AuditError::Signature { .. })));
}

#[test]
fn mangled_keys_are_refused() {
    for start in 0..GO_PUBLIC.len() {
        for end in start + 1..=GO_PUBLIC.len() {
            let whole = start == 0 && end == GO_PUBLIC.len();
            assert_eq!(GO_PUBLIC[start..end].parse::<VerifierKey>().is_ok(), whole);
        }
        let mut bytes = GO_PUBLIC.as_bytes().to_vec();
        bytes[start] += 1;
        assert!(String::from_utf8(bytes).unwrap().parse::<VerifierKey>().is_err());
    }
}

#[test]
fn mangled_notes_are_refused() {
    for note in
        ["", "a\n", "a\n\nb\n", "a\n\n— n\n", "a\n\n— n \n", "a\r\n\n— n AAAAAAE=\n", "a\n\n— n AAAAAAE="]
    {
        assert!(note.parse::<Note>().is_err(), "{note:?}");
    }
    assert!("a\n\nb\n\n— n AAAAAAE=\n".parse::<Note>().is_ok());
}

#[test]
fn another_implementation_verifies_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let writer = log_of(folder.path(), 300);
    let text = fs::read(folder.path().join("checkpoint")).unwrap();
    let verifier = signed_note::StandardVerifier::new(&key().to_string()).unwrap();
    assert_eq!(verifier.name(), NAME);
    let note = signed_note::Note::from_bytes(&text).unwrap();
    let known = signed_note::VerifierList::new(vec![Box::new(verifier)]);
    let (verified, others) = note.verify(&known).unwrap();
    assert_eq!((verified.len(), others.len()), (1, 0));
    let read = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    let ours = writer.checkpoint().checkpoint();
    assert_eq!((read.origin(), read.size(), read.hash().0), (NAME, 300, ours.root.0));
}

#[test]
fn tiles_are_named_as_the_specification_says() {
    let tile = |kind, index, width| Tile { kind, index, width }.to_string();
    assert_eq!(tile(Kind::Hashes(0), 1_234_067, 256), "tile/0/x001/x234/067");
    assert_eq!(tile(Kind::Hashes(2), 0, 1), "tile/2/000.p/1");
    assert_eq!(tile(Kind::Entries, 273, 112), "tile/entries/273.p/112");
    assert_eq!(Tile::parse("tile/0/x001/x234/067").unwrap().index, 1_234_067);
    let wrong = [
        "tile/00/000",
        "tile/64/000",
        "tile/0/00",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/x001",
        "tile/data/000",
        "tile/0/99999999999999999999",
    ];
    for name in wrong {
        assert!(Tile::parse(name).is_none(), "{name}");
    }
}

/// The example of tlog-tiles: 70,000 entries.
#[test]
fn tiles_of_a_tree_are_those_of_the_specification() {
    let mut edge = Edge::default();
    let mut full = [0; 3];
    for n in 0..70_000u64 {
        edge.push(Hash::leaf(&n.to_be_bytes()), &mut |tile, hashes| {
            let Kind::Hashes(level) = tile.kind else { panic!("{tile}") };
            assert_eq!((tile.index, hashes.len()), (full[level as usize], 256));
            full[level as usize] += 1;
        });
    }
    assert_eq!(full, [273, 1, 0]);
    let partial: Vec<String> = edge.partials().map(|(tile, _)| tile.to_string()).collect();
    assert_eq!(partial, ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
}

proptest! {
    #[test]
    fn tile_names_are_read_back(level in 0u32..64, index: u64, width in 1usize..=256, entries: bool) {
        let tile = Tile { kind: if entries { Kind::Entries } else { Kind::Hashes(level) }, index, width };
        prop_assert_eq!(Tile::parse(&tile.to_string()), Some(tile));
    }
}
