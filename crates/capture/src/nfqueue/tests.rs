//! Messages read and written, and verdicts against a model of the kernel's queue. What takes a kernel is in
//! `tests/nfqueue`.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::counters::kernel_counters;
use super::verdict::{Decided, write_verdicts};
use super::wire::{MESSAGE_VERDICT, MESSAGE_VERDICT_BATCH, whole_messages};
use super::*;

/// A message of type `kind` with attributes after netfilter's header.
fn message(kind: u16, attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![0; 20];
    bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
    for (kind, value) in attributes {
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(value);
    }
    let len = bytes.len() as u32;
    bytes[..4].copy_from_slice(&len.to_ne_bytes());
    bytes
}

const PACKET: u16 = 0x300;

fn header(id: u32) -> (u16, Vec<u8>) {
    (1, [&id.to_be_bytes()[..], &[0x86, 0xdd, 2]].concat())
}

fn number(kind: u16, number: u32) -> (u16, Vec<u8>) {
    (kind, number.to_be_bytes().to_vec())
}

/// A packet with everything the kernel can say about one.
fn full() -> Vec<u8> {
    let nested: Vec<u8> = [(8u16, 0x1234_5678u32), (12, 77), (99, 1)]
        .iter()
        .flat_map(|(kind, value)| {
            [&8u16.to_ne_bytes()[..], &kind.to_ne_bytes(), &value.to_be_bytes()].concat()
        })
        .collect();
    let time = [1_600_000_000u64.to_be_bytes(), 123_456u64.to_be_bytes()].concat();
    message(
        PACKET,
        &[
            header(0xdead_beef),
            number(3, 5),
            (4, time),
            number(5, 10),
            number(6, 11),
            number(7, 12),
            number(8, 0),
            (9, vec![0; 12]),
            (0x8000 | 11, nested),
            number(12, 3),
            number(13, 9000),
            number(14, 3),
            number(200, 1),
            (10, b"payload".to_vec()),
        ],
    )
}

#[test]
fn everything_is_read() {
    let bytes = full();
    let (Message::Packet(packet), used) = parse_message(&bytes).unwrap() else { panic!("a packet") };
    assert_eq!(used, bytes.len());
    assert_eq!((packet.id, packet.ether_type, packet.hook, packet.mark), (0xdead_beef, 0x86dd, 2, 5));
    let interfaces = [packet.input, packet.output, packet.physical_input, packet.physical_output];
    assert_eq!(interfaces.map(|index| index.map_or(0, |index| index.get())), [10, 11, 12, 0]);
    assert_eq!(packet.timestamp_ns, Some(1_600_000_000_123_456_000));
    assert_eq!((packet.wire_len, packet.payload, packet.is_cut()), (9000, &b"payload"[..], true));
    assert_eq!((packet.gso, packet.checksum), (true, Checksum::NotReady));
    let connection = packet.connection.unwrap();
    assert_eq!(
        (connection.id, connection.mark, connection.state),
        (77, 0x1234_5678, State::EstablishedReply)
    );
}

#[test]
fn little_is_enough() {
    let bytes = message(PACKET, &[header(1), (10, vec![1, 2, 3])]);
    let (Message::Packet(packet), _) = parse_message(&bytes).unwrap() else { panic!("a packet") };
    assert_eq!((packet.mark, packet.input, packet.timestamp_ns, packet.connection), (0, None, None, None));
    assert_eq!((packet.wire_len, packet.is_cut(), packet.gso), (3, false, false));
    // Without payload: a copy mode of another program's, or a packet with nothing in it.
    let bytes = message(PACKET, &[header(1)]);
    assert!(matches!(
        parse_message(&bytes),
        Ok((Message::Packet(Packet { wire_len: 0, payload: [], .. }), _))
    ));
}

#[test]
fn answers_and_others_are_told_apart() {
    let mut answer = message(2, &[]);
    answer[16..20].copy_from_slice(&(-libc::EPERM).to_ne_bytes());
    assert_eq!(parse_message(&answer), Ok((Message::Answer(libc::EPERM), 20)));
    answer[16..20].copy_from_slice(&i32::MIN.to_ne_bytes());
    assert_eq!(parse_message(&answer), Ok((Message::Answer(i32::MAX), 20)));
    assert_eq!(parse_message(&message(3, &[])), Ok((Message::Other, 20)));
}

#[test]
fn errors_say_where_and_keep_the_number() {
    assert_eq!(parse_message(&[]), Err(MessageError::Header { len: 0 }));
    let bytes = full();
    let len = bytes.len();
    assert_eq!(
        parse_message(&bytes[..len - 1]),
        Err(MessageError::Length { says: len as u32, len: len - 1 })
    );
    let short = message(PACKET, &[header(9), (3, vec![1, 2])]);
    let error = parse_message(&short).unwrap_err();
    assert_eq!(error, MessageError::Value { offset: 32, kind: 3, id: Some(9) });
    assert_eq!(error.id(), Some(9));
    let mut long = message(PACKET, &[header(9), number(3, 1)]);
    long[32] = 200;
    assert_eq!(parse_message(&long), Err(MessageError::Attribute { offset: 32, says: 200, id: Some(9) }));
    // An attribute shorter than its own header would never end.
    long[32] = 0;
    assert_eq!(parse_message(&long), Err(MessageError::Attribute { offset: 32, says: 0, id: Some(9) }));
    assert_eq!(parse_message(&message(PACKET, &[number(3, 1)])), Err(MessageError::NoId));
    // Nested attributes end with the one they are in.
    let nested = message(PACKET, &[header(9), (11, vec![8, 0, 8, 0]), number(3, 1)]);
    assert_eq!(parse_message(&nested), Err(MessageError::Attribute { offset: 36, says: 8, id: Some(9) }));
}

#[test]
fn datagrams_have_whole_messages() {
    let one = message(PACKET, &[number(3, 1)]);
    let (len, many) = (one.len(), one.repeat(10));
    assert_eq!(whole_messages(&many, len * 3), len * 3);
    assert_eq!(whole_messages(&many, len * 4 - 1), len * 3);
    assert_eq!(whole_messages(&many, len * 11), len * 10);
    assert_eq!(whole_messages(&many, 1), len, "one that is too large goes alone");
    assert_eq!(whole_messages(&[], 1), 0);
}

#[test]
fn the_kernels_table_is_read() {
    let table =
        "    5  12345     3 2 65531     0     0       17  1\n    7 4242 12 2 2048 1 2 4294967295  1\n";
    let counters = kernel_counters(table, 7).unwrap();
    assert_eq!((counters.port, counters.waiting, counters.copy_range), (4242, 12, 2048));
    assert_eq!((counters.dropped_full, counters.dropped_overrun, counters.last_id), (1, 2, u32::MAX));
    assert_eq!(kernel_counters(table, 6), None);
    assert_eq!(kernel_counters("7 x", 7), None);
}

/// A verdict for the kernel: a batch or one, its number, the packet's, the mark to set, the bytes of what is nested.
type Told = (bool, u32, u32, Option<u32>, Vec<u8>);

/// Reads messages with verdicts as the kernel does, with code of its own.
fn told(mut bytes: &[u8]) -> Vec<Told> {
    let word = |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let short = |bytes: &[u8], at: usize| u16::from_ne_bytes(bytes[at..at + 2].try_into().unwrap());
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (message, rest) = bytes.split_at(u32::from_ne_bytes(bytes[..4].try_into().unwrap()) as usize);
        let kind = short(message, 4);
        assert!([MESSAGE_VERDICT, MESSAGE_VERDICT_BATCH].contains(&kind));
        assert_eq!((short(message, 6), &message[8..20]), (1, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 42][..]));
        let mut verdict = (kind == MESSAGE_VERDICT_BATCH, 9, 0, None, vec![]);
        let mut attributes = &message[20..];
        while !attributes.is_empty() {
            let (len, kind) = (usize::from(short(attributes, 0)), short(attributes, 2));
            match kind {
                2 => (verdict.1, verdict.2) = (word(attributes, 4), word(attributes, 8)),
                3 => verdict.3 = Some(word(attributes, 4)),
                0x800b => verdict.4 = attributes[4..len].to_vec(),
                _ => panic!("attribute {kind}"),
            }
            attributes = &attributes[len.next_multiple_of(4)..];
        }
        all.push(verdict);
        bytes = rest;
    }
    all
}

#[test]
fn runs_become_batches() {
    let decided = |id, verdict| Decided { id, mark: 0, verdict };
    let mark = Bits { value: 1, mask: 1 };
    let all = [
        decided(1, Verdict::ACCEPT),
        decided(2, Verdict::ACCEPT),
        decided(4, Verdict::ACCEPT),
        decided(5, Verdict::DROP),
        decided(6, Verdict::ACCEPT.marked(mark)),
        decided(7, Verdict::ACCEPT.marked(mark)),
        decided(8, Verdict::ACCEPT.connection_marked(Bits { value: 0xff, mask: 0x0f })),
    ];
    let mut bytes = Vec::new();
    assert_eq!(write_verdicts(&mut bytes, 42, &all, false), 4);
    let nested = vec![8, 0, 8, 0, 0, 0, 0, 0x0f, 8, 0, 21, 0, 0, 0, 0, 0x0f];
    let expected = [
        (true, 1, 4, None, vec![]),
        (false, 0, 5, None, vec![]),
        (true, 1, 7, Some(1), vec![]),
        (false, 1, 8, None, nested),
    ];
    if cfg!(target_endian = "little") {
        assert_eq!(told(&bytes), expected);
    }
    // With an older packet that is held, a batch would take that along.
    bytes.clear();
    assert_eq!(write_verdicts(&mut bytes, 42, &all, true), 7);
    assert!(told(&bytes).iter().all(|told| !told.0));
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let action = prop_oneof![
        6 => Just(Action::Accept),
        2 => Just(Action::Drop),
        2 => Just(Action::Repeat),
        1 => Just(Action::Hold),
    ];
    (action, proptest::option::of((0u32..4, 0u32..4))).prop_map(|(action, mark)| Verdict {
        action,
        mark: mark.map(|(value, mask)| Bits { value, mask }),
        connection_mark: None,
    })
}

proptest! {
    /// The kernel, told of verdicts in few messages, does what each of them says, in order, and nothing to packets
    /// that are held or that nobody has read yet.
    #[test]
    fn few_messages_say_the_same(
        first in any::<u32>(),
        held in proptest::collection::vec(any::<bool>(), 0..4),
        verdicts in proptest::collection::vec((1u32..3, 0u32..8, verdict()), 0..60),
        unread in 0u32..4,
    ) {
        // What waits, by age; numbers wrap.
        let mut waiting = BTreeMap::new();
        let mut age = 0;
        for held in held {
            age += 1;
            if held { waiting.insert(age, 0); }
        }
        let older = !waiting.is_empty();
        let (mut decided, mut expected) = (Vec::new(), Vec::new());
        let mut stay: Vec<u32> = waiting.keys().copied().collect();
        for (step, mark, verdict) in verdicts {
            age += step;
            waiting.insert(age, mark);
            decided.push(Decided { id: first.wrapping_add(age), mark, verdict });
            let after = verdict.mark.map_or(mark, |bits| (mark & !bits.mask) | (bits.value & bits.mask));
            match verdict.action {
                Action::Hold => stay.push(age),
                Action::Drop => expected.push((age, 0, after)),
                Action::Accept => expected.push((age, 1, after)),
                Action::Repeat => expected.push((age, 4, after)),
            }
        }
        for _ in 0..unread {
            age += 1;
            waiting.insert(age, 0);
            stay.push(age);
        }

        let mut bytes = Vec::new();
        let count = write_verdicts(&mut bytes, 42, &decided, older);
        let told = told(&bytes);
        prop_assert_eq!(told.len(), count as usize);
        let mut gone = Vec::new();
        for (batch, number, id, mark, nested) in told {
            prop_assert!(nested.is_empty());
            let last = id.wrapping_sub(first);
            let answered: Vec<u32> =
                waiting.keys().copied().filter(|age| *age == last || batch && *age < last).collect();
            prop_assert!(!answered.is_empty());
            for age in answered {
                let before = waiting.remove(&age).unwrap();
                gone.push((age, number, mark.unwrap_or(before)));
            }
        }
        prop_assert_eq!(gone, expected);
        prop_assert_eq!(waiting.into_keys().collect::<Vec<_>>(), stay);
    }

    /// Whatever the bytes are, they are a message within their bounds or an error.
    #[test]
    fn odd_bytes_are_no_danger(
        mut bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            Just(full()),
            Just(message(PACKET, &[header(1), (10, vec![9; 50])])),
        ],
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        true_len in any::<bool>(),
    ) {
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        if true_len && bytes.len() >= 6 {
            let len = bytes.len() as u32;
            bytes[..4].copy_from_slice(&len.to_ne_bytes());
            bytes[4..6].copy_from_slice(&PACKET.to_ne_bytes());
        }
        match parse_message(&bytes) {
            Ok((message, used)) => {
                prop_assert!(used >= 16 && used <= bytes.len());
                if let Message::Packet(packet) = message {
                    prop_assert!(bytes.as_ptr_range().contains(&packet.payload.as_ptr()) || packet.payload.is_empty());
                    prop_assert!(packet.wire_len as usize >= packet.payload.len());
                    // A copy of it alone reads the same.
                    prop_assert_eq!(parse_message(&bytes[..used]).unwrap().0, message);
                }
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    /// A packet as the kernel writes it, in any order of attributes, reads as what it is; cut anywhere, it is an
    /// error.
    #[test]
    fn packets_read_as_written(
        id in any::<u32>(),
        mark in any::<u32>(),
        more in 0u32..100_000,
        payload in proptest::collection::vec(any::<u8>(), 0..2000),
        payload_first in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut attributes = vec![header(id), number(3, mark), number(13, payload.len() as u32 + more)];
        attributes.insert(if payload_first { 0 } else { 3 }, (10, payload.clone()));
        let bytes = message(PACKET, &attributes);
        let (read, used) = parse_message(&bytes).unwrap();
        prop_assert_eq!(used, bytes.len());
        let Message::Packet(packet) = read else { panic!("a packet") };
        prop_assert_eq!((packet.id, packet.mark, packet.payload), (id, mark, &payload[..]));
        prop_assert_eq!(packet.wire_len, payload.len() as u32 + more);
        prop_assert_eq!(packet.is_cut(), more > 0);
        prop_assert!(parse_message(&bytes[..cut.index(bytes.len())]).is_err());
    }
}
