//! What becomes of packets.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use daylight_capture::nfqueue::{Bits, Checksum, Options, Verdict};

use crate::net::{Host, Net, SERVER_V4, SERVER_V6};
use crate::traffic::{Numbers, number_in, transfer};

const LEN: usize = 4 << 20;

/// Everything forwarded goes to queue 5, in the mangle table, so that rules of the filter table come after it.
const QUEUED: &str = "-t mangle -A FORWARD -j NFQUEUE --queue-num 5";

#[test]
fn accepted_packets_pass() {
    let Some(net) = Net::new() else { return };
    net.rule(QUEUED);
    for (server, ether_type) in [(SERVER_V4, 0x0800), (SERVER_V6, 0x86dd)] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&seen);
        let filter = net.filter(5, Options::default(), move |packet, verdict| {
            note.lock().unwrap().push((packet.ether_type, packet.hook, packet.input.is_some()));
            assert!(packet.output.is_some());
            assert_eq!(packet.payload[0] >> 4, if packet.ether_type == 0x0800 { 4 } else { 6 });
            *verdict = Verdict::ACCEPT;
        });
        transfer(&net, server, LEN);
        let counters = filter.stop();
        assert!(counters.bytes > LEN as u64, "all of it was queued: {counters:?}");
        assert_eq!(counters.accepted, counters.packets);
        assert_eq!((counters.dropped, counters.malformed, counters.refused), (0, 0, 0));
        assert!(seen.lock().unwrap().iter().all(|seen| *seen == (ether_type, 2, true)), "at FORWARD");
    }
}

#[test]
fn dropped_packets_do_not() {
    let Some(net) = Net::new() else { return };
    net.rule(QUEUED);
    for server in [SERVER_V4, SERVER_V6] {
        let filter = net.filter(5, Options::default(), |packet, verdict| {
            if number_in(packet.payload).is_multiple_of(3) {
                *verdict = Verdict::DROP;
            }
        });
        let numbers = Numbers::new(&net, server);
        numbers.send(0..30);
        let expected: Vec<u32> = (0..30).filter(|number| number % 3 != 0).collect();
        assert_eq!(numbers.expect(20), expected);
        numbers.expect_none();
        let counters = filter.stop();
        assert_eq!((counters.packets, counters.accepted, counters.dropped), (30, 20, 10));
    }
}

#[test]
fn marks_are_seen_by_later_rules_and_leave_others_bits_alone() {
    let Some(net) = Net::new() else { return };
    net.rule("-t mangle -A FORWARD -j MARK --set-mark 0x35");
    net.rule(QUEUED);
    net.rule("-A FORWARD -m mark --mark 0x15 -m comment --comment even -j ACCEPT");
    net.rule("-A FORWARD -m mark --mark 0x25 -m comment --comment odd -j ACCEPT");
    for server in [SERVER_V4, SERVER_V6] {
        let filter = net.filter(5, Options::default(), |packet, verdict| {
            assert_eq!(packet.mark, 0x35);
            let value = if number_in(packet.payload).is_multiple_of(2) { 0x10 } else { 0x20 };
            *verdict = Verdict::ACCEPT.marked(Bits { value, mask: 0x30 });
        });
        let numbers = Numbers::new(&net, server);
        numbers.send(0..101);
        assert_eq!(numbers.expect(101), (0..101).collect::<Vec<_>>());
        filter.stop();
    }
    assert_eq!((net.hits("even"), net.hits("odd")), (2 * 51, 2 * 50));
}

#[test]
fn order_is_kept_whatever_the_verdicts() {
    let Some(net) = Net::new() else { return };
    net.rule(QUEUED);
    let filter = net.filter(5, Options::default(), |packet, verdict| {
        // Runs of all lengths from 1 on: single verdicts and batches.
        let number = number_in(packet.payload);
        let value = number.isqrt() % 2;
        *verdict = Verdict::ACCEPT.marked(Bits { value, mask: 1 });
    });
    let numbers = Numbers::new(&net, SERVER_V4);
    for start in (0..2000).step_by(100) {
        numbers.send(start..start + 100);
        assert_eq!(numbers.expect(100), (start..start + 100).collect::<Vec<_>>());
    }
    let counters = filter.stop();
    assert_eq!(counters.packets, 2000);
    assert!(counters.verdict_messages < 2000, "{counters:?}");
}

/// How large the largest packet was, and if large ones say so.
fn largest(gso: bool) -> Option<u32> {
    let net = Net::new()?;
    net.rule(QUEUED);
    let max = Arc::new(AtomicU32::new(0));
    let note = Arc::clone(&max);
    let filter = net.filter(5, Options { gso, ..Options::default() }, move |packet, _| {
        note.fetch_max(packet.wire_len, Ordering::Relaxed);
        assert_eq!(packet.gso, packet.wire_len > 1500);
        assert!(!packet.gso || packet.checksum == Checksum::NotReady);
    });
    transfer(&net, SERVER_V4, LEN);
    filter.stop();
    Some(max.load(Ordering::Relaxed))
}

#[test]
fn large_segments_come_whole_if_asked_for() {
    let (Some(with), Some(without)) = (largest(true), largest(false)) else { return };
    assert!(with > 1500, "{with}");
    assert_eq!(without, 1500);
}

#[test]
fn the_copy_range_is_kept_and_the_rest_goes_on() {
    let Some(net) = Net::new() else { return };
    net.rule(QUEUED);
    let filter = net.filter(5, Options { copy_range: 100, ..Options::default() }, |packet, _| {
        assert_eq!(packet.payload.len() as u32, packet.wire_len.min(100));
        assert_eq!(packet.is_cut(), packet.wire_len > 100);
    });
    transfer(&net, SERVER_V4, LEN);
    transfer(&net, SERVER_V6, LEN);
    assert!(filter.stop().bytes > 2 * LEN as u64);
}

#[test]
fn held_packets_wait_for_their_verdicts() {
    let Some(net) = Net::new() else { return };
    net.rule(QUEUED);
    let mut queue = net.queue(5, Options { held_max: 4, ..Options::default() });
    let numbers = Numbers::new(&net, SERVER_V4);
    numbers.send(0..10);
    let mut held = Vec::new();
    let mut packets = 0;
    while packets < 10 {
        let mut batch = queue.receive(Some(Duration::from_secs(5))).unwrap();
        assert!(!batch.is_empty());
        packets += batch.len();
        for (packet, verdict) in batch.iter_mut() {
            if number_in(packet.payload).is_multiple_of(2) {
                held.push(packet.id);
                *verdict = Verdict::HOLD;
            }
        }
    }
    queue.send().unwrap();
    // The fifth found no room.
    assert_eq!(numbers.expect(6), [1, 3, 5, 7, 8, 9]);
    numbers.expect_none();
    assert_eq!((queue.held(), queue.counters().not_held), (4, 1));

    queue.release(held[2], Verdict::ACCEPT).unwrap();
    queue.release(held[1], Verdict::DROP).unwrap();
    queue.release(held[0], Verdict::ACCEPT).unwrap();
    queue.send().unwrap();
    assert_eq!(numbers.expect(2), [4, 0], "in the order of their release");
    let error = queue.release(held[0], Verdict::ACCEPT).unwrap_err();
    assert!(error.to_string().contains("isn't held"), "{error}");
    assert!(queue.release(held[3], Verdict::HOLD).is_err());
    // A run of packets behind it, which one message could answer, doesn't take it along.
    numbers.send(20..25);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(queue.receive(Some(Duration::from_secs(5))).unwrap().len(), 5);
    queue.send().unwrap();
    assert_eq!(numbers.expect(5), [20, 21, 22, 23, 24]);
    // What is held when the queue is closed goes on.
    drop(queue);
    assert_eq!(numbers.expect(1), [6]);
}

#[test]
fn many_are_released_at_once() {
    let Some(net) = Net::new() else { return };
    net.rule(QUEUED);
    let mut queue = net.queue(5, Options::default());
    let numbers = Numbers::new(&net, SERVER_V6);
    let mut held = Vec::new();
    for start in (0..1000).step_by(100) {
        numbers.send(start..start + 100);
        while held.len() < start as usize + 100 {
            let mut batch = queue.receive(Some(Duration::from_secs(5))).unwrap();
            assert!(!batch.is_empty());
            for (packet, verdict) in batch.iter_mut() {
                *verdict = Verdict::HOLD;
                held.push(packet.id);
            }
        }
    }
    queue.send().unwrap();
    assert_eq!(queue.held(), 1000);
    // Their verdicts fill several datagrams; the receiver's buffer would not hold all of the packets.
    for (number, id) in held.iter().enumerate() {
        queue.release(*id, if number % 5 == 0 { Verdict::ACCEPT } else { Verdict::DROP }).unwrap();
    }
    queue.send().unwrap();
    assert_eq!(numbers.expect(200), (0..1000).step_by(5).collect::<Vec<_>>());
    numbers.expect_none();
    assert_eq!(queue.receive(Some(Duration::ZERO)).unwrap().len(), 0);
    assert_eq!((queue.held(), queue.counters().refused), (0, 0));
}

#[test]
fn packets_wait_no_longer_than_the_queue_lives() {
    let Some(net) = Net::new() else { return };
    net.rule(QUEUED);
    for (accept_undecided, arrive) in [(true, 20), (false, 0)] {
        let mut queue = net.queue(5, Options { accept_undecided, batch_len: 8, ..Options::default() });
        let numbers = Numbers::new(&net, SERVER_V6);
        numbers.send(0..20);
        // Some were read, some not.
        assert!(!queue.receive(None).unwrap().is_empty());
        drop(queue);
        assert_eq!(numbers.expect(arrive), (0..arrive as u32).collect::<Vec<_>>());
        numbers.expect_none();
    }
}

#[test]
fn a_reader_that_stalls_opens_or_closes_the_way_as_was_asked() {
    let Some(net) = Net::new() else { return };
    net.rule(QUEUED);
    for (fail_open, pass) in [(true, 26), (false, 0)] {
        let mut queue = net.queue(5, Options { fail_open, queue_len: 4, ..Options::default() });
        let numbers = Numbers::new(&net, SERVER_V4);
        numbers.send(0..30);
        assert_eq!(numbers.expect(pass), (4..4 + pass as u32).collect::<Vec<_>>());
        numbers.expect_none();
        let mut batch = queue.receive(None).unwrap();
        assert_eq!((batch.len(), batch.packets().count()), (4, 4));
        assert!(batch.packet(4).is_none() && batch.verdict_mut(4).is_none());
        let last = batch.packet(3).unwrap();
        *batch.verdict_mut(3).unwrap() = Verdict::DROP;
        assert_eq!(number_in(last.payload), 3);
        queue.send().unwrap();
        assert_eq!(numbers.expect(3), [0, 1, 2]);
        numbers.expect_none();
    }
}

#[test]
fn overruns_of_the_sockets_memory_are_counted() {
    let Some(net) = Net::new() else { return };
    net.rule(QUEUED);
    let mut queue = net.queue(5, Options { receive_buffer_bytes: 8192, ..Options::default() });
    let numbers = Numbers::new(&net, SERVER_V4);
    numbers.send(0..50);
    let mut waiting = 0;
    loop {
        match queue.receive(Some(Duration::ZERO)).unwrap().len() {
            0 => break,
            more => waiting += more,
        }
    }
    queue.send().unwrap();
    let counters = queue.counters();
    assert!(counters.overruns > 0, "{counters:?}");
    assert_eq!(waiting as u64 + u64::from(counters.overruns), 50);
    // Those went on without us.
    let mut all = numbers.expect(50);
    all.sort_unstable();
    assert_eq!(all, (0..50).collect::<Vec<_>>());
}

#[test]
fn packets_that_went_with_their_interface_are_no_trouble() {
    let Some(net) = Net::new() else { return };
    net.rule(QUEUED);
    let mut queue = net.queue(5, Options::default());
    let numbers = Numbers::new(&net, SERVER_V4);
    numbers.send(0..3);
    let mut packets = 0;
    while packets < 3 {
        let mut batch = queue.receive(Some(Duration::from_secs(5))).unwrap();
        batch.iter_mut().for_each(|(_, verdict)| *verdict = Verdict::HOLD);
        packets += batch.len();
    }
    queue.send().unwrap();
    net.router("ip link set west down");
    for id in 1..=3 {
        queue.release(id, Verdict::ACCEPT).unwrap();
    }
    assert!(queue.receive(Some(Duration::ZERO)).unwrap().is_empty(), "answers are no packets");
    assert_eq!(queue.counters().refused, 3);
    numbers.expect_none();
}

#[test]
fn without_a_reader_the_rule_decides() {
    let Some(net) = Net::new() else { return };
    net.rule("-t mangle -A FORWARD -j NFQUEUE --queue-num 5 --queue-bypass");
    drop(net.queue(5, Options::default()));
    let numbers = Numbers::new(&net, SERVER_V4);
    numbers.send(0..5);
    assert_eq!(numbers.expect(5), [0, 1, 2, 3, 4]);
    net.rule("-t mangle -F");
    net.rule(QUEUED);
    numbers.send(5..10);
    numbers.expect_none();
}

#[test]
fn queues_share_connections_between_them() {
    let Some(net) = Net::new() else { return };
    net.rule("-t mangle -A FORWARD -j NFQUEUE --queue-balance 5:6 --queue-bypass");
    let counts = [5, 6].map(|number| (number, Arc::new(AtomicU32::new(0))));
    let filters = counts.clone().map(|(number, count)| {
        net.filter(number, Options::default(), move |_, _| {
            count.fetch_add(1, Ordering::Relaxed);
        })
    });
    // The kernel hashes addresses, not ports. These packets go nowhere, but they are queued.
    for host in 10..42 {
        net.within(Host::Client, move || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.send_to(b"hello", format!("192.0.2.{host}:9")).unwrap();
        });
    }
    let count = || counts.clone().map(|(_, count)| count.load(Ordering::Relaxed));
    let start = Instant::now();
    while count().iter().sum::<u32>() < 32 && start.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(count().iter().sum::<u32>(), 32);
    assert!(count().iter().all(|packets| *packets > 0), "{:?}", count());
    let stopped = filters.map(|filter| filter.stop().packets);
    assert_eq!(stopped, count().map(u64::from));
}
