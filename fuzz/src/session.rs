//! A tunnel's session whose peer holds the keys and says anything. Input: a byte that says which side it is, then steps: what
//! happens (1) and what with (as below).

use std::time::{Duration, Instant};

use bytes::BytesMut;
use daylight_session::{Event, Limits, Read, Session, StreamId, fuzzing};

use crate::input::Input;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let limits = Limits {
        stream_window: 4000,
        session_window: 6000,
        stream_send_buffer: 3000,
        session_send_buffer: 5000,
        streams_max: 8,
        datagram_buffer: 2000,
        keep_alive: Some(Duration::from_secs(5)),
        ..Limits::default()
    };
    let client = input.u8() % 2 == 0;
    let mut now = Instant::now();
    let (mut side, path) = fuzzing::session(client, &limits, now);
    let mut out = BytesMut::new();
    while !input.is_empty() {
        match input.u8() % 8 {
            // A record with so many bytes of frames.
            0..=2 => {
                let len = input.u8();
                let frames = input.take(usize::from(len));
                side.handle_frames(path, now, frames);
            }
            3 => {
                let budget = usize::from(input.u16());
                out.clear();
                assert!(side.poll_transmit(path, now, budget, &mut out) <= budget);
            }
            4 => {
                now += Duration::from_millis(100 * u64::from(input.u8()));
                side.handle_timeout(now);
                assert!(side.poll_timeout().is_none_or(|at| at > now), "a timeout that does not go away");
            }
            5 => side.handle_datagram(path, now, input.take(40)),
            6 => drop(std::iter::from_fn(|| side.receive_datagram()).count()),
            _ => {
                let (what, stream) = (input.u8(), StreamId(u64::from(input.u8())));
                application(&mut side, what, stream);
            }
        }
        let mut events = 0;
        while let Some(event) = side.poll_event() {
            events += 1;
            assert!(events < 2000, "{event:?}");
            if let Event::Opened(stream, destination) = event {
                assert!(!client);
                destination.to_string();
                let _may_be_over = side.accept(stream);
            }
        }
        assert!(side.receive_buffered() <= limits.session_window + 4000, "{}", side.receive_buffered());
        assert!(side.send_buffered() <= limits.session_send_buffer);
    }
    if side.is_closed() {
        assert_eq!((side.poll_timeout(), side.poll_event()), (None, None));
        assert_eq!(side.poll_transmit(path, now, 20_000, &mut out), 0);
        assert_eq!((side.receive_buffered(), side.send_buffered()), (0, 0));
    }
}

fn application(side: &mut Session, what: u8, stream: StreamId) {
    // Whether a stream is there is for the session to know.
    match what % 6 {
        0 => drop(side.open(&std::net::SocketAddr::from(([192, 0, 2, 1], 80)).into())),
        1 => drop(side.write(stream, &[what; 1000])),
        2 => drop(side.finish(stream)),
        3 => drop(side.reset(stream, u64::from(what))),
        4 => drop(side.stop(stream, u64::from(what))),
        _ => while let Ok(Read::Data(_)) = side.read(stream, 700) {},
    }
}
