//! Which servers go to which channel, so that a list that leaked gives away its own channel's servers and no others.
//!
//! A channel is a way by which lists go from hand to hand: a batch of fliers, a school, a friend and her friends. Servers
//! are dealt by rendezvous hashing with a secret key: nobody without it can tell which channel has which server, the
//! channels' sizes differ by one at most (by `copies` being one, no two share a server), and one server more or less
//! moves few others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ring::hmac::{HMAC_SHA256, Key, sign};

use crate::error::{Error, Result};
use crate::key::{random, write_private};
use crate::{Id, Kind};

/// The secret that deals servers to channels.
pub struct ChannelKey(Key);

impl ChannelKey {
    /// The key of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(Key::new(HMAC_SHA256, bytes))
    }

    /// Makes a key and writes it to a new file that only its owner may read.
    ///
    /// # Errors
    /// If the file exists or can't be written.
    pub fn create(path: &Path) -> Result<Self> {
        let bytes = random()?;
        write_private(path, &bytes)?;
        Ok(Self::new(&bytes))
    }

    /// Reads [`Self::create`]'s file.
    ///
    /// # Errors
    /// If it can't be read, or doesn't have 32 bytes.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|bytes: Vec<u8>| Error::Key {
            what: format!("channel key {}", path.display()),
            why: format!("has {} bytes; it must have 32", bytes.len()),
        })?;
        Ok(Self::new(&bytes))
    }

    /// What a channel is called in lists: not its name, which may say where it is.
    #[must_use]
    pub fn id(&self, channel: &str) -> Id {
        Id(self.hash(&[b"channel", channel.as_bytes()]).to_be_bytes())
    }

    fn hash(&self, parts: &[&[u8]]) -> u64 {
        // The lengths stand before the parts, so that no two sequences of parts are one message.
        let message: Vec<u8> = parts
            .iter()
            .flat_map(|part| (part.len() as u64).to_be_bytes().into_iter().chain(part.iter().copied()))
            .collect();
        sign(&self.0, &message).as_ref().iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
    }

    /// Deals servers, told by their keys, to channels, each server to so many of them. The order of neither matters.
    /// Gives each channel the places of its servers, ascending.
    ///
    /// # Errors
    /// If `copies` is 0 or more than there are channels, or a channel or server is there twice.
    pub fn deal<'a>(
        &self,
        servers: &[[u8; 32]],
        channels: &[&'a str],
        copies: usize,
    ) -> Result<BTreeMap<&'a str, Vec<usize>>> {
        let wrong = |field, why: &str| Error::field(Kind::List, field, why);
        if copies == 0 || copies > channels.len() {
            return Err(wrong("copies", "must be at least 1, and no more than there are channels"));
        }
        let mut dealt: BTreeMap<&str, Vec<usize>> = channels.iter().map(|name| (*name, Vec::new())).collect();
        if dealt.len() != channels.len() {
            return Err(wrong("channels", "have one name twice"));
        }
        if servers.iter().collect::<BTreeSet<_>>().len() != servers.len() {
            return Err(wrong("cards", "have one server twice"));
        }
        let least = servers.len() * copies / channels.len();
        let mut with_one_more = servers.len() * copies % channels.len();
        let mut order: Vec<(u64, usize)> =
            servers.iter().enumerate().map(|(at, server)| (self.hash(&[b"order", server]), at)).collect();
        order.sort_unstable();
        for (_, at) in order {
            let mut liked: Vec<(u64, &str)> = dealt
                .keys()
                .map(|channel| (self.hash(&[b"deal", channel.as_bytes(), &servers[at]]), *channel))
                .collect();
            liked.sort_unstable_by(|a, b| b.cmp(a));
            let mut given = 0;
            for (_, channel) in liked {
                let Some(own) = dealt.get_mut(channel) else { continue };
                if given < copies && (own.len() < least || own.len() == least && with_one_more > 0) {
                    with_one_more -= usize::from(own.len() == least);
                    own.push(at);
                    given += 1;
                }
            }
        }
        dealt.values_mut().for_each(|own| own.sort_unstable());
        Ok(dealt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn servers(count: usize) -> Vec<[u8; 32]> {
        (0..count)
            .map(|at| std::array::from_fn(|byte| (at * 7 + byte * at) as u8 ^ (at >> 3) as u8))
            .collect()
    }

    proptest! {
        /// A leaked list gives away its own servers: no other channel has one of them.
        #[test]
        fn channels_share_no_server(
            servers in proptest::collection::btree_set(any::<[u8; 32]>(), 0..60),
            channels in 1..12usize,
            key in any::<[u8; 32]>(),
        ) {
            let servers: Vec<[u8; 32]> = servers.into_iter().collect();
            let names: Vec<String> = (0..channels).map(|at| format!("channel {at}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let key = ChannelKey::new(&key);
            let dealt = key.deal(&servers, &names, 1).unwrap();
            let mut all: Vec<usize> = dealt.values().flatten().copied().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..servers.len()).collect::<Vec<_>>(), "each server has one channel");
            let sizes: Vec<usize> = dealt.values().map(Vec::len).collect();
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{:?}", sizes);
            // In whatever order they are given.
            let mut turned = names.clone();
            turned.reverse();
            prop_assert_eq!(key.deal(&servers, &turned, 1).unwrap(), dealt);
        }

        #[test]
        fn a_server_goes_to_so_many_channels(count in 0..40usize, channels in 1..8usize, copies in 1..8usize) {
            prop_assume!(copies <= channels);
            let names: Vec<String> = (0..channels).map(|at| at.to_string()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let servers: BTreeSet<[u8; 32]> = servers(count).into_iter().collect();
            let servers: Vec<[u8; 32]> = servers.into_iter().collect();
            let dealt = ChannelKey::new(&[7; 32]).deal(&servers, &names, copies).unwrap();
            let with = |at: usize| dealt.values().filter(|own| own.contains(&at)).count();
            // The last ones may find too few channels with room; nobody gets one twice.
            prop_assert!((0..servers.len()).all(|at| (1..=copies).contains(&with(at))));
        }
    }

    #[test]
    fn the_key_decides() {
        let servers = servers(40);
        let deal = |key: u8| ChannelKey::new(&[key; 32]).deal(&servers, &["a", "b", "c"], 1).unwrap();
        assert_ne!(deal(1), deal(2));
        assert_ne!(ChannelKey::new(&[1; 32]).id("a"), ChannelKey::new(&[2; 32]).id("a"));
        let twice = [servers[0], servers[0]];
        assert!(ChannelKey::new(&[1; 32]).deal(&twice, &["a"], 1).is_err());
        assert!(ChannelKey::new(&[1; 32]).deal(&servers, &["a", "a"], 1).is_err());
    }
}
