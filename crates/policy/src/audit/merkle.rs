//! Proofs in a Merkle tree (RFC 6962 §2.1): making them from its complete subtrees, and checking them.

use super::Hash;

/// Where the hashes of complete subtrees come from.
pub(crate) trait Nodes {
    type Error;

    /// The hash of the complete subtree over the leaves `index << level` up to `(index + 1) << level`.
    fn node(&self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The root over these perfect or imperfect subtrees: `MTH` of RFC 6962 §2.1 with hashes in the place of leaves.
pub(crate) fn root_of(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => Hash::empty(),
        [one] => *one,
        _ => {
            let (left, right) = hashes.split_at(split(hashes.len() as u64) as usize);
            Hash::node(root_of(left), root_of(right))
        }
    }
}

/// The greatest power of two below `n`, for `n` of 2 or more.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// The root over the leaves from `low` up to `high`, where `low` is a multiple of the subtree's size.
pub(crate) fn subtree<N: Nodes>(nodes: &N, low: u64, high: u64) -> Result<Hash, N::Error> {
    let n = high - low;
    if n == 0 {
        return Ok(Hash::empty());
    }
    if n.is_power_of_two() {
        return nodes.node(n.ilog2(), low >> n.ilog2());
    }
    let middle = low + split(n);
    Ok(Hash::node(subtree(nodes, low, middle)?, subtree(nodes, middle, high)?))
}

/// The audit path of leaf `index` in the tree of `size` leaves (RFC 6962 §2.1.1), from the leaf's sibling upwards.
pub(crate) fn inclusion<N: Nodes>(nodes: &N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    let (mut low, mut high) = (0, size);
    let mut path = Vec::new();
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            path.push(subtree(nodes, middle, high)?);
            high = middle;
        } else {
            path.push(subtree(nodes, low, middle)?);
            low = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `old` leaves is a prefix of that of `size` (RFC 6962 §2.1.2). Empty if `old` is 0 or `size`.
pub(crate) fn consistency<N: Nodes>(nodes: &N, old: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    let (mut low, mut high) = (0, size);
    let mut path = Vec::new();
    if old == 0 {
        return Ok(path);
    }
    while old < high {
        let middle = low + split(high - low);
        if old <= middle {
            path.push(subtree(nodes, middle, high)?);
            high = middle;
        } else {
            path.push(subtree(nodes, low, middle)?);
            low = middle;
        }
    }
    // The verifier has the old root already; it needs the last subtree only if that is not the whole old tree.
    if low != 0 {
        path.push(subtree(nodes, low, high)?);
    }
    path.reverse();
    Ok(path)
}

/// Checks an audit path by the algorithm of RFC 9162 §2.1.3.2.
pub(crate) fn check_inclusion(index: u64, size: u64, leaf: Hash, path: &[Hash], root: Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = leaf;
    for &sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = Hash::node(sibling, hash);
            // A node without a right sibling moves up until it is one.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = Hash::node(hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == root
}

/// Checks a consistency proof by the algorithm of RFC 9162 §2.1.4.2.
pub(crate) fn check_consistency(old: u64, old_root: Hash, size: u64, root: Hash, path: &[Hash]) -> bool {
    if old > size {
        return false;
    }
    if old == size {
        return path.is_empty() && old_root == root;
    }
    if old == 0 {
        return path.is_empty() && old_root == Hash::empty();
    }
    let mut rest = path.iter().copied();
    let first = if old.is_power_of_two() { Some(old_root) } else { rest.next() };
    let Some(first) = first else { return false };
    let (mut node, mut last) = (old - 1, size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut hash) = (first, first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = Hash::node(sibling, old_hash);
            hash = Hash::node(sibling, hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = Hash::node(hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == old_root && hash == root
}
