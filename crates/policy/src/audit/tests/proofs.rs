//! Proofs hold for what is in the log, and for nothing else.

use std::convert::Infallible;

use proptest::prelude::*;

use super::super::merkle::{Nodes, check_consistency, check_inclusion, consistency, inclusion, root_of};
use super::*;

/// A tree in memory.
pub(super) struct Leaves(pub(super) Vec<Hash>);

impl Nodes for Leaves {
    type Error = Infallible;

    fn node(&self, level: u32, index: u64) -> Result<Hash, Infallible> {
        let start = (index << level) as usize;
        Ok(root_of(&self.0[start..start + (1 << level)]))
    }
}

fn tree(size: u64) -> Leaves {
    Leaves((0..size).map(|n| Hash::leaf(&n.to_be_bytes())).collect())
}

fn flip(hash: Hash, bit: usize) -> Hash {
    let mut bytes = hash.0;
    bytes[bit / 8 % 32] ^= 1 << (bit % 8);
    Hash(bytes)
}

proptest! {
    #[test]
    fn inclusion_holds_and_no_changed_bit_does(size in 1u64..600, at: prop::sample::Index, bit in 0usize..256, node: prop::sample::Index) {
        let index = at.index(size as usize) as u64;
        let leaves = tree(size);
        let (leaf, root) = (leaves.0[index as usize], root_of(&leaves.0));
        let path = inclusion(&leaves, index, size).unwrap();
        prop_assert!(check_inclusion(index, size, leaf, &path, root));
        prop_assert!(!check_inclusion(index, size, flip(leaf, bit), &path, root));
        prop_assert!(!check_inclusion(index, size, leaf, &path, flip(root, bit)));
        prop_assert!(!check_inclusion(size, size, leaf, &path, root));
        let mut longer = path.clone();
        longer.push(root);
        prop_assert!(!check_inclusion(index, size, leaf, &longer, root));
        if !path.is_empty() {
            let mut changed = path.clone();
            let node = node.index(path.len());
            changed[node] = flip(changed[node], bit);
            prop_assert!(!check_inclusion(index, size, leaf, &changed, root));
            prop_assert!(!check_inclusion(index, size, leaf, &path[1..], root));
            let other = (index + 1) % size;
            prop_assert!(!check_inclusion(other, size, leaf, &path, root));
        }
    }

    #[test]
    fn consistency_holds_and_no_changed_bit_does(size in 1u64..600, at: prop::sample::Index, bit in 0usize..256, node: prop::sample::Index) {
        let old = at.index(size as usize) as u64 + 1;
        let leaves = tree(size);
        let (old_root, root) = (root_of(&leaves.0[..old as usize]), root_of(&leaves.0));
        let path = consistency(&leaves, old, size).unwrap();
        prop_assert!(check_consistency(old, old_root, size, root, &path));
        prop_assert!(!check_consistency(old, flip(old_root, bit), size, root, &path));
        prop_assert!(!check_consistency(old, old_root, size, flip(root, bit), &path));
        prop_assert!(!check_consistency(size + 1, old_root, size, root, &path));
        let mut longer = path.clone();
        longer.push(root);
        prop_assert!(!check_consistency(old, old_root, size, root, &longer));
        if !path.is_empty() {
            let mut changed = path.clone();
            let node = node.index(path.len());
            changed[node] = flip(changed[node], bit);
            prop_assert!(!check_consistency(old, old_root, size, root, &changed));
            prop_assert!(!check_consistency(old, old_root, size, root, &path[1..]));
        }
    }
}

/// Every other value of every byte is too many; one flipped bit and one replaced character for each byte are enough
/// to hit every field.
fn every_mutation_fails(proof: &str) {
    assert!(proof.parse::<Proof>().unwrap().verify(&key()).is_ok());
    for at in 0..proof.len() {
        for change in [1u8, 0x20, 0x80] {
            let mut bytes = proof.as_bytes().to_vec();
            bytes[at] ^= change;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            let holds = text.parse::<Proof>().is_ok_and(|proof| proof.verify(&key()).is_ok());
            assert!(!holds, "byte {at} changed:\n{text}");
        }
        if let Some(cut) = proof.get(..at) {
            assert!(cut.parse::<Proof>().is_err(), "cut at {at}");
        }
    }
}

#[test]
fn no_byte_of_an_inclusion_proof_can_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), 11);
    let log = Log::open(folder.path(), &key()).unwrap();
    every_mutation_fails(&log.prove_inclusion(6).unwrap().to_string());
}

#[test]
fn no_byte_of_a_consistency_proof_can_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), 11);
    let log = Log::open(folder.path(), &key()).unwrap();
    every_mutation_fails(&log.prove_consistency(6).unwrap().to_string());
}

#[test]
fn proofs_from_tiles_hold_at_every_index_and_size() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), 530);
    let log = Log::open(folder.path(), &key()).unwrap();
    for index in (0..530).step_by(13).chain([255, 256, 511, 512, 529]) {
        let proof: InclusionProof = log.prove_inclusion(index).unwrap().to_string().parse().unwrap();
        assert_eq!(proof.verify(&key()).unwrap().size, 530);
        assert_eq!(proof.index(), index);
        Entry::decode(proof.entry()).unwrap();
        log.prove_consistency(index + 1).unwrap();
    }
    log.prove_consistency(0).unwrap();
    assert!(matches!(log.prove_inclusion(530), Err(AuditError::OutOfRange { asked: 530, size: 530 })));
    assert!(matches!(log.prove_consistency(531), Err(AuditError::OutOfRange { .. })));
}
