//! A peer that holds the keys and does what it should not.

use std::time::{Duration, Instant};

use super::{Event, Session};
use crate::frame::Frame;
use crate::fuzzing::session;
use crate::{CloseReason, Limits, Violation};

fn small() -> Limits {
    Limits { stream_window: 1000, session_window: 1500, streams_max: 4, ..Limits::default() }
}

/// What a session ends with after these records.
fn ends(client: bool, prepare: impl FnOnce(&mut Session), records: &[&[Frame<'_>]]) -> Option<Violation> {
    let now = Instant::now();
    let (mut side, path) = session(client, &small(), now);
    prepare(&mut side);
    for frames in records {
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        side.handle_frames(path, now, &bytes);
    }
    // The peer is told.
    let mut out = bytes::BytesMut::new();
    side.poll_transmit(path, now, 10_000, &mut out);
    side.poll_transmit(path, now, 10_000, &mut out);
    std::iter::from_fn(|| side.poll_event()).find_map(|event| match event {
        Event::Closed(CloseReason::Violation(violation)) => Some(violation),
        _ => None,
    })
}

/// A destination, and data up to `offset`.
const OPEN: &[u8] = &[1, 192, 0, 2, 1, 0, 80];

fn stream(stream: u64, offset: u64, fin: bool, data: &[u8]) -> Frame<'_> {
    Frame::Stream { stream, offset, fin, data }
}

#[test]
fn violations_end_the_session() {
    let data = [0; 1000];
    let cases: &[(&[&[Frame<'_>]], Option<Violation>)] = &[
        (&[&[stream(0, 0, false, OPEN)]], None),
        (&[&[stream(0, 0, false, OPEN), stream(0, 7, false, &data[..993])]], None),
        (&[&[stream(0, 0, false, OPEN), stream(0, 7, false, &data[..994])]], Some(Violation::FlowControl)),
        (
            &[
                &[stream(0, 0, false, OPEN)],
                &[stream(0, 500, false, &data[..500])],
                &[stream(1, 499, false, &data[..2])],
            ],
            Some(Violation::FlowControl),
        ),
        (&[&[stream(0, 1 << 61, false, &data)]], Some(Violation::FlowControl)),
        (&[&[stream(4, 0, false, OPEN)]], Some(Violation::StreamLimit)),
        (&[&[stream(3, 0, false, OPEN)]], None),
        (&[&[stream(0, 0, true, OPEN)], &[stream(0, 7, false, b"x")]], Some(Violation::FinalSize)),
        (&[&[stream(0, 10, false, b"x")], &[stream(0, 0, true, OPEN)]], Some(Violation::FinalSize)),
        (&[&[stream(0, 0, true, OPEN)], &[stream(0, 0, true, b"")]], Some(Violation::FinalSize)),
        (&[&[stream(0, 0, true, OPEN)], &[stream(0, 7, true, b"")]], None),
        (&[&[Frame::Reset { stream: 0, code: 0, final_offset: 1001 }]], Some(Violation::FlowControl)),
        (&[&[stream(0, 0, false, &[9])]], Some(Violation::Preamble)),
        (&[&[stream(0, 0, true, &OPEN[..6])]], Some(Violation::Preamble)),
        (&[&[stream(0, 0, true, b"")]], Some(Violation::Preamble)),
        (
            &[&[stream(0, 0, false, OPEN), Frame::Ack { stream: 0, offset: 1 }]],
            Some(Violation::Acknowledgement),
        ),
        (&[&[stream(0, 0, false, OPEN), Frame::Gone { stream: 0 }]], Some(Violation::Acknowledgement)),
        (&[&[Frame::MaxStreams(7)]], Some(Violation::StreamUnknown)),
        (&[&[Frame::Extension { kind: 0x20, data: b"?" }, Frame::Padding(30)]], None),
        (&[&[Frame::Ping(1), Frame::Pong(77), Frame::PathGone(5), Frame::MaxData(3)]], None),
    ];
    for (records, expected) in cases {
        assert_eq!(ends(false, |_| {}, records), *expected, "{records:?}");
    }
}

#[test]
fn a_server_must_keep_to_what_was_opened() {
    let cases: &[(&[&[Frame<'_>]], Option<Violation>)] = &[
        (&[&[stream(0, 0, false, &[0])]], None),
        (&[&[stream(0, 0, false, &[1])]], Some(Violation::Preamble)),
        (&[&[stream(1, 0, false, &[0])]], Some(Violation::StreamUnknown)),
        (&[&[Frame::Stop { stream: 1, code: 0 }]], Some(Violation::StreamUnknown)),
        (&[&[Frame::Reset { stream: 0, code: 3, final_offset: 0 }]], None),
        (&[&[Frame::Ack { stream: 0, offset: 8 }]], Some(Violation::Acknowledgement)),
    ];
    for (records, expected) in cases {
        let open = |side: &mut Session| {
            let address = std::net::SocketAddr::from(([192, 0, 2, 1], 80));
            side.open(&address.into()).expect("room");
        };
        assert_eq!(ends(true, open, records), *expected, "{records:?}");
    }
}

#[test]
fn types_that_are_not_of_this_version() {
    let now = Instant::now();
    for bytes in [&[0x0f][..], &[0x1f, 0], &[0x08, 0, 0, 5, 1], &[0x20], &[0x40]] {
        let (mut side, path) = session(false, &small(), now);
        side.handle_frames(path, now, bytes);
        assert!(side.closing.is_some(), "{bytes:?}");
    }
}

/// Every second byte and nothing between: more than is kept track of.
#[test]
fn gaps_are_bounded() {
    let now = Instant::now();
    let (mut side, path) = session(false, &Limits::default(), now);
    let mut frames = Vec::new();
    for at in 0..5000 {
        frames.clear();
        stream(0, 2 * at + 10, false, b"x").encode(&mut frames);
        side.handle_frames(path, now, &frames);
        assert!(side.pieces <= super::PIECES_MAX + 1);
    }
    assert!(matches!(side.closing, Some((_, CloseReason::Violation(Violation::Gaps)))));
}

/// What is asked again and again about streams that are over is answered once.
#[test]
fn answers_about_the_past_are_bounded() {
    let now = Instant::now();
    let (mut side, path) = session(false, &Limits { streams_max: 10, ..Limits::default() }, now);
    let mut frames = Vec::new();
    for id in 0..10 {
        Frame::Reset { stream: id, code: 0, final_offset: 0 }.encode(&mut frames);
        side.handle_frames(path, now, &std::mem::take(&mut frames));
        Frame::Ack { stream: id, offset: 1 }.encode(&mut frames);
        let mut out = bytes::BytesMut::new();
        side.poll_transmit(path, now, 10_000, &mut out);
        side.handle_frames(path, now, &std::mem::take(&mut frames));
    }
    assert!(side.streams.is_empty() && side.closing.is_none(), "{:?}", side.closing);
    for _ in 0..1000 {
        for id in 0..10 {
            stream(id, 0, true, b"").encode(&mut frames);
        }
        side.handle_frames(path, now, &std::mem::take(&mut frames));
    }
    assert!(side.gone.len() <= 10 && side.closing.is_none());
}

/// Events, timers and queues don't grow with what a peer repeats.
#[test]
fn repetition_is_free() {
    let now = Instant::now();
    let (mut side, path) = session(false, &small(), now);
    let mut frames = Vec::new();
    stream(0, 0, false, OPEN).encode(&mut frames);
    Frame::Stop { stream: 0, code: 5 }.encode(&mut frames);
    Frame::Ping(9).encode(&mut frames);
    Frame::PathGone(77).encode(&mut frames);
    for turn in 0..10_000 {
        side.handle_frames(path, now + Duration::from_millis(turn), &frames);
    }
    assert!(side.events.len() < 10, "{:?}", side.events);
    assert!(side.owing.len() <= 1 && side.acks.len() <= 1 && side.ready.len() <= 1);
}
