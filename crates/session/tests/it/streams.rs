//! What applications see.

use std::time::Duration;

use bytes::Bytes;
use daylight_session::{Datagram, Destination, Event, Limits, Read, StreamId, UseError, code};

use crate::pair::{Pair, Shape};

pub(crate) fn destination(port: u16) -> Destination {
    Destination::Name("example.org".parse().expect("a name"), port)
}

/// Opens a stream and lets the server accept it.
pub(crate) fn open(pair: &mut Pair) -> StreamId {
    let stream = pair.client.open(&destination(443)).expect("room");
    pair.run_for(Duration::from_millis(200));
    let server = pair.server.as_mut().expect("a session");
    server.accept(stream).expect("opened");
    pair.run_for(Duration::from_millis(200));
    stream
}

#[test]
fn a_stream_both_ways() {
    let mut pair = Pair::new(1);
    pair.establish(Shape::default());
    let stream = pair.client.open(&destination(443)).expect("room");
    assert_eq!(pair.client.write(stream, b"request"), Ok(7));
    pair.client.finish(stream).expect("open");
    pair.run_for(Duration::from_millis(100));
    let opened = Event::Opened(stream, destination(443));
    assert!(pair.server_events.contains(&opened), "{:?}", pair.server_events);
    assert!(pair.server_events.contains(&Event::Readable(stream)));
    let server = pair.server.as_mut().expect("a session");
    assert_eq!(server.write(stream, b"too early"), Err(UseError::NotReady));
    server.accept(stream).expect("opened");
    assert_eq!(server.read(stream, 3), Ok(Read::Data("req".into())));
    assert_eq!(server.read(stream, 100), Ok(Read::Data("uest".into())));
    assert_eq!(server.read(stream, 100), Ok(Read::End));
    let mut answer = Bytes::from(vec![7; 100_000]);
    assert_eq!(server.write_bytes(stream, &mut answer), Ok(100_000));
    server.finish(stream).expect("open");
    assert_eq!(server.write(stream, b"x"), Err(UseError::Ended));
    pair.run_for(Duration::from_millis(500));
    assert!(pair.client_events.contains(&Event::Connected(stream)));
    let mut len = 0;
    loop {
        match pair.client.read(stream, usize::MAX).expect("open") {
            Read::Data(data) => len += data.len(),
            Read::End => break,
            Read::Blocked => panic!("all has come"),
        }
    }
    assert_eq!(len, 100_000);
    pair.run_for(Duration::from_millis(500));
    assert_eq!(pair.client.read(stream, 1), Err(UseError::NoStream), "it is forgotten");
    assert_eq!(pair.server.as_mut().map(|server| server.finish(stream)), Some(Err(UseError::NoStream)));
    let rtt = pair.client.rtt(pair.links[0].path).expect("it was measured");
    assert!(rtt >= Duration::from_millis(40) && rtt < Duration::from_millis(100), "{rtt:?}");
}

#[test]
fn refused_reset_and_stopped() {
    let mut pair = Pair::new(2);
    pair.establish(Shape::default());
    let refused = pair.client.open(&destination(25)).expect("room");
    pair.run_for(Duration::from_millis(100));
    let server = pair.server.as_mut().expect("a session");
    server.reset(refused, code::NOT_ALLOWED).expect("it is there");
    server.stop(refused, code::NOT_ALLOWED).expect("it is there");
    pair.run_for(Duration::from_millis(200));
    assert_eq!(pair.client.read(refused, 1), Err(UseError::Reset(code::NOT_ALLOWED)));
    assert_eq!(pair.client.write(refused, b"x"), Err(UseError::NoStream));

    let stream = open(&mut pair);
    assert_eq!(pair.client.write(stream, &[1; 1000]), Ok(1000));
    pair.client.reset(stream, 77).expect("it is there");
    pair.client.stop(stream, 78).expect("it is there");
    pair.run_for(Duration::from_millis(200));
    assert!(pair.server_events.contains(&Event::Stopped(stream, 78)));
    let server = pair.server.as_mut().expect("a session");
    assert_eq!(server.write(stream, b"x"), Err(UseError::Reset(78)));
    assert_eq!(server.read(stream, 1), Err(UseError::Reset(77)));
    pair.run_for(Duration::from_millis(500));
    let server = pair.server.as_mut().expect("a session");
    assert_eq!(server.read(stream, 1), Err(UseError::NoStream));
    assert_eq!(pair.client.receive_buffered() + server.receive_buffered(), 0);
}

#[test]
fn a_stream_that_ends_before_it_was_understood() {
    let mut pair = Pair::new(3);
    pair.establish(Shape::default());
    for _ in 0..5000 {
        // More in all than there may be at the same time.
        let Ok(stream) = pair.client.open(&destination(1)) else {
            pair.run_for(Duration::from_millis(100));
            continue;
        };
        pair.client.reset(stream, 0).expect("it is there");
        pair.client.stop(stream, 0).expect("it is there");
    }
    pair.run_for(Duration::from_secs(1));
    assert!(!pair.client.is_closed(), "{:?}", pair.client_events);
    assert!(!pair.server_events.iter().any(|event| matches!(event, Event::Opened(..))));
}

#[test]
fn streams_up_to_the_limit() {
    let limits = Limits { streams_max: 10, ..Limits::default() };
    let mut pair = Pair::with_limits(4, Limits::default(), limits);
    pair.establish(Shape::default());
    let streams: Vec<_> = (0..10).map(|_| pair.client.open(&destination(1)).expect("room")).collect();
    assert_eq!(pair.client.open(&destination(1)), Err(UseError::Limit));
    pair.run_for(Duration::from_millis(100));
    for stream in streams {
        let server = pair.server.as_mut().expect("a session");
        server.reset(stream, code::REFUSED).expect("it is there");
        server.stop(stream, code::REFUSED).expect("it is there");
        pair.run_for(Duration::from_millis(100));
        assert_eq!(pair.client.read(stream, 1), Err(UseError::Reset(code::REFUSED)));
        pair.run_for(Duration::from_millis(100));
    }
    assert!(pair.client_events.contains(&Event::StreamsAvailable));
    assert!(pair.client.open(&destination(1)).is_ok());
}

/// Few that end while many are open make room all the same, whether they end before the many come or after.
#[test]
fn room_for_few_is_told_too() {
    let limits = Limits { streams_max: 100, ..Limits::default() };
    let mut pair = Pair::with_limits(7, Limits::default(), limits);
    pair.establish(Shape::default());
    let end = |pair: &mut Pair| {
        let stream = open(pair);
        let server = pair.server.as_mut().expect("a session");
        server.reset(stream, code::REFUSED).expect("it is there");
        server.stop(stream, code::REFUSED).expect("it is there");
        pair.run_for(Duration::from_millis(100));
        assert_eq!(pair.client.read(stream, 1), Err(UseError::Reset(code::REFUSED)));
        pair.run_for(Duration::from_millis(100));
    };
    (0..20).for_each(|_| end(&mut pair));
    for n in 0..99 {
        assert!(pair.client.open(&destination(1)).is_ok(), "{n}");
        pair.run_for(Duration::from_millis(100));
    }
    (0..3).for_each(|_| end(&mut pair));
}

/// Nobody reads: the writer gets as far as its credit, and on when somebody does.
#[test]
fn credit_is_never_exceeded() {
    let limits = Limits { stream_window: 100_000, session_window: 150_000, ..Limits::default() };
    let mut pair = Pair::with_limits(5, limits, Limits::default());
    pair.establish(Shape::default());
    let streams = [open(&mut pair), open(&mut pair)];
    for stream in streams {
        let server = pair.server.as_mut().expect("a session");
        assert_eq!(server.write(stream, &[1; 1_000_000]), Ok(1_000_000));
        assert_eq!(server.write(stream, &[1; 2 << 20]), Ok((2 << 20) - 1_000_000));
        assert_eq!(server.write(stream, b"x"), Ok(0), "the buffer is full");
    }
    pair.run_for(Duration::from_secs(2));
    assert_eq!(pair.client.stats().data_received, 150_000);
    let mut read = 0;
    while let Ok(Read::Data(data)) = pair.client.read(streams[0], usize::MAX) {
        read += data.len();
    }
    assert!(read <= 100_000);
    pair.run_for(Duration::from_secs(2));
    assert!(pair.client.stats().data_received > 180_000);
    assert!(pair.server_events.iter().any(|event| matches!(event, Event::Writable(_))));
}

/// A large transfer does not hold small ones up, and equal ones end together.
#[test]
fn streams_take_turns() {
    let mut pair = Pair::new(6);
    let shape = Shape { rate: 1_000_000, buffer: 32 << 10, ..Shape::default() };
    pair.establish(shape);
    let streams: Vec<_> = (0..4).map(|_| open(&mut pair)).collect();
    for stream in &streams {
        let server = pair.server.as_mut().expect("a session");
        assert_eq!(server.write(*stream, &[9; 1_500_000]), Ok(1_500_000));
    }
    let mut read = [0u64; 4];
    for _ in 0..20 {
        pair.run_for(Duration::from_millis(100));
        for (read, stream) in read.iter_mut().zip(&streams) {
            while let Ok(Read::Data(data)) = pair.client.read(*stream, usize::MAX) {
                *read += data.len() as u64;
            }
        }
        let (min, max) = (read.iter().min().expect("4"), read.iter().max().expect("4"));
        assert!(max - min <= 2 * 16_384, "{read:?}");
    }
    assert!(read[0] > 250_000, "{read:?}");
    let small = open(&mut pair);
    let server = pair.server.as_mut().expect("a session");
    server.write(small, b"quick").expect("open");
    // A round of the others and what the path holds; all of theirs takes 7 seconds.
    pair.run_for(Duration::from_millis(300));
    assert_eq!(pair.client.read(small, 100), Ok(Read::Data("quick".into())));
}

#[test]
fn datagrams() {
    let mut pair = Pair::new(7);
    pair.establish(Shape::default());
    let datagram =
        |n: u8| Datagram { association: 3, destination: destination(53), data: vec![n; 1200].into() };
    for n in 0..10 {
        pair.client.send_datagram(datagram(n)).expect("it fits");
    }
    let large = Datagram { data: vec![0; 16_300].into(), ..datagram(0) };
    assert_eq!(pair.client.send_datagram(large), Err(UseError::Limit));
    pair.client.end_association(9);
    pair.run_for(Duration::from_millis(100));
    let server = pair.server.as_mut().expect("a session");
    for n in 0..10 {
        assert_eq!(server.receive_datagram(), Some(datagram(n)));
    }
    assert_eq!(server.receive_datagram(), None);
    assert!(pair.server_events.contains(&Event::AssociationEnded(9)));

    // Beside the path: in any order, some lost, some twice.
    let path = pair.links[0].path;
    for n in 0..20 {
        pair.client.send_datagram(datagram(n)).expect("it fits");
    }
    assert_eq!(pair.client.poll_datagram(path, 1200), None, "too large");
    let mut sent: Vec<_> = std::iter::from_fn(|| pair.client.poll_datagram(path, 1300)).collect();
    assert_eq!(sent.len(), 20);
    assert!(sent.iter().all(|bytes| bytes.len() <= 1300));
    sent.reverse();
    sent.extend(sent.clone());
    let mut damaged = sent[0].to_vec();
    damaged[100] ^= 1;
    let server = pair.server.as_mut().expect("a session");
    server.handle_datagram(path, pair.now, &damaged);
    for bytes in sent.iter().skip(1) {
        server.handle_datagram(path, pair.now, bytes);
    }
    let received: Vec<_> = std::iter::from_fn(|| server.receive_datagram()).collect();
    let expected: Vec<_> = (0..19).rev().chain([19]).map(datagram).collect();
    assert_eq!(received, expected);
    assert!(!server.is_closed());

    // Nobody takes them: a bounded number waits.
    for n in 0..250 {
        pair.client.send_datagram(datagram(n)).expect("it fits");
    }
    assert!(pair.client.stats().datagrams_dropped > 30);
}

#[test]
fn keep_alives_have_no_period() {
    let limits = Limits { keep_alive: Some(Duration::from_secs(30)), ..Limits::default() };
    let mut pair = Pair::with_limits(8, limits, Limits::default());
    pair.establish(Shape::default());
    let mut times = Vec::new();
    let mut sent = pair.wire_bytes;
    let mut sizes = std::collections::BTreeSet::new();
    for _ in 0..40_000 {
        pair.run_for(Duration::from_millis(500));
        if pair.wire_bytes > sent {
            times.push(pair.now);
            sizes.insert(pair.wire_bytes - sent);
            sent = pair.wire_bytes;
        }
    }
    let waits: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).skip(1).collect();
    let mean = waits.iter().sum::<f64>() / waits.len() as f64;
    let deviation = (waits.iter().map(|wait| (wait - mean).powi(2)).sum::<f64>() / waits.len() as f64).sqrt();
    // An exponential distribution's deviation is its mean; this one is cut at both ends.
    assert!((25.0..36.0).contains(&mean) && deviation > 0.7 * mean, "mean {mean}, deviation {deviation}");
    assert!(sizes.len() > 50, "{sizes:?}");
}

#[test]
fn padding_has_the_length_that_was_asked_for() {
    let mut pair = Pair::new(9);
    pair.establish(Shape::default());
    let path = pair.links[0].path;
    for len in (19..100).chain([16_383, 16_384, 16_385, 16_390, 16_402, 16_403, 32_768, 100_000]) {
        let mut out = bytes::BytesMut::new();
        assert_eq!(pair.client.poll_padding(path, len, &mut out), len);
        assert_eq!(out.len(), len);
        pair.server.as_mut().expect("a session").handle_bytes(path, pair.now, &out);
    }
    let mut out = bytes::BytesMut::new();
    assert_eq!(pair.client.poll_padding(path, 18, &mut out), 0);
    let stream = open(&mut pair);
    assert_eq!(pair.client.write(stream, b"goes on"), Ok(7));
}
