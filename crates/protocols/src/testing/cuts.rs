//! For tests: the ways in which a ClientHello can be cut, put in another order, and wrapped.

use super::tls::Initial;
use crate::Dir;

/// Ways to cut a message of `len` bytes (more than 100) into records: what they are, and the sizes of the first ones.
pub fn record_splits(len: usize) -> Vec<(String, Vec<usize>)> {
    let mut splits = vec![("one record".to_owned(), vec![])];
    for first in [1, 2, 3, 4, 5, 6, 9, 40, 43, 100, len / 2, len - 100, len - 1] {
        splits.push((format!("first {first}"), vec![first]));
    }
    for each in [1, 3, 64, 500] {
        if len / each <= 2000 {
            splits.push((format!("all {each}"), vec![each; len / each + 1]));
        }
    }
    // Cut within the name.
    splits.push(("within the name".to_owned(), vec![len - len.min(60), 20, 5]));
    splits
}

/// Orders in which `n` pieces can come.
pub fn orders(n: usize) -> Vec<(&'static str, Vec<usize>)> {
    let forward: Vec<_> = (0..n).collect();
    let mut inside_out = forward.clone();
    inside_out.sort_by_key(|i| (*i as isize - n as isize / 2).unsigned_abs());
    vec![
        ("in order", forward.clone()),
        ("backwards", forward.iter().rev().copied().collect()),
        ("rotated", (n / 2..n).chain(0..n / 2).collect()),
        ("first last", (1..n).chain(0..n.min(1)).collect()),
        ("last first", (n.saturating_sub(1)..n).chain(0..n.saturating_sub(1)).collect()),
        ("inside out", inside_out),
        ("odd ones first", forward.iter().copied().filter(|i| i % 2 == 1).chain((0..n).step_by(2)).collect()),
        ("neighbours swapped", (0..n).map(|i| if i ^ 1 < n { i ^ 1 } else { i }).collect()),
        ("each twice", forward.iter().flat_map(|i| [*i, *i]).collect()),
        ("all twice, backwards", forward.iter().rev().chain(forward.iter().rev()).copied().collect()),
    ]
}

/// Every order of `n` pieces.
pub fn permutations(n: usize) -> Vec<Vec<usize>> {
    (0..n).fold(vec![Vec::new()], |shorter, next| {
        let insert = |order: &Vec<usize>, at: usize| {
            let mut order = order.clone();
            order.insert(at, next);
            order
        };
        shorter.iter().flat_map(|order| (0..=order.len()).map(move |at| insert(order, at))).collect()
    })
}

/// How the CRYPTO frames of a hello are put into Initial packets and datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrap {
    /// Each frame in a packet and datagram of its own.
    Alone,
    /// All frames in as few packets as fit a datagram.
    Together,
    /// Two packets to a datagram.
    Coalesced,
    /// Each alone, with PING and PADDING frames around it.
    Padded,
}

impl Wrap {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Alone, Self::Together, Self::Coalesced, Self::Padded];
}

/// The frames in datagrams of the client, with packet numbers from 0 on.
pub fn datagrams(initial: &Initial<'_>, frames: &[Vec<u8>], wrap: Wrap) -> Vec<Vec<u8>> {
    let mut number = 0;
    let mut numbered = || {
        number += 1;
        Initial { number: number - 1, ..initial.clone() }
    };
    match wrap {
        Wrap::Alone => frames.iter().map(|f| numbered().datagram(Dir::Client, f)).collect(),
        Wrap::Padded => frames
            .iter()
            .map(|f| numbered().datagram(Dir::Client, &[&[0, 0, 1, 0][..], f, &[1, 0, 0, 1]].concat()))
            .collect(),
        Wrap::Together => {
            let mut payloads: Vec<Vec<u8>> = vec![Vec::new()];
            for frame in frames {
                match payloads.last_mut() {
                    Some(last) if last.len() + frame.len() <= 1150 => last.extend(frame),
                    _ => payloads.push(frame.clone()),
                }
            }
            payloads.iter().map(|p| numbered().datagram(Dir::Client, p)).collect()
        }
        Wrap::Coalesced => frames
            .chunks(2)
            .map(|pair| {
                let mut datagram: Vec<u8> =
                    pair.iter().flat_map(|f| numbered().packet(Dir::Client, f)).collect();
                // What is missing to 1200 bytes may be zeros after the last packet, too.
                datagram.resize(datagram.len().max(1200), 0);
                datagram
            })
            .collect(),
    }
}
