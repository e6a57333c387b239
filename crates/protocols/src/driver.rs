//! Runs a parser over a flow: keeps what it asked to see again, skips what it doesn't want, and hands over to another
//! parser where a protocol gives way to another.

use crate::dispatch::{Dispatcher, Outcome, Rejected};
use crate::{Dir, OFFSET_MAX, Parser, Probe, ProtocolId, Sink, Step, Transport, risk};

/// A parser may ask to see at most this many bytes again; more, and the direction is given up.
pub const PENDING_MAX: usize = 64 * 1024;
/// A parser that makes this many steps over one piece of input is stuck.
const STEPS_MAX: usize = 100_000;
/// Switches from one protocol to another within a flow.
const SWITCHES_MAX: u8 = 4;

/// What became of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// More is wanted.
    More,
    /// More datagrams are wanted, but a new driver can have them.
    Rest,
    /// Nothing more is wanted from this flow.
    Finished,
    /// The parser says that it is another protocol.
    NotMine,
}

/// One direction.
#[derive(Debug, Default)]
struct Half {
    /// Bytes the parser wants to see again, with more after them.
    pending: Vec<u8>,
    /// It is not called before so many bytes are there.
    need: usize,
    /// Bytes to leave out.
    skip: u64,
    /// Where in the stream the parser goes on, once `skip` bytes were left out.
    position: u64,
    done: bool,
}

/// A parser at work on one flow.
pub struct Driver {
    parser: Option<Box<dyn Parser>>,
    halves: [Half; 2],
    rejected: Rejected,
    switches: u8,
    /// Bytes of either direction are missing: the parser may have lost the thread.
    lost: bool,
}

impl Driver {
    /// Starts a parser for `protocol`. `None` if it has nothing to parse.
    pub fn new(protocol: ProtocolId) -> Option<Self> {
        Some(Self {
            parser: Some(protocol.get().parser?()),
            halves: [Half::default(), Half::default()],
            rejected: Rejected::default(),
            switches: 0,
            lost: false,
        })
    }

    /// True if nothing more is wanted from this direction.
    pub fn is_done(&self, dir: Dir) -> bool {
        self.halves[dir.index()].done
    }

    /// How many of the next bytes of this direction need not be shown.
    pub fn skipping(&self, dir: Dir) -> u64 {
        self.halves[dir.index()].skip
    }

    /// True once one protocol gave way to another within the flow.
    pub fn has_switched(&self) -> bool {
        self.switches > 0
    }

    /// Bytes of memory held for later.
    pub fn pending_bytes(&self) -> usize {
        self.halves.iter().map(|h| h.pending.capacity()).sum()
    }

    /// The next bytes of a stream, in order.
    pub fn stream(
        &mut self,
        dispatcher: &Dispatcher,
        dir: Dir,
        mut bytes: &[u8],
        out: &mut Sink<'_>,
    ) -> Progress {
        self.tell_loss(out);
        let half = &mut self.halves[dir.index()];
        if half.done {
            return self.progress();
        }
        let skipped = half.skip.min(bytes.len() as u64);
        half.skip -= skipped;
        bytes = &bytes[skipped as usize..];
        if bytes.is_empty() {
            return Progress::More;
        }
        if half.pending.is_empty() {
            return self.feed(dispatcher, dir, bytes, out);
        }
        half.pending.extend_from_slice(bytes);
        if half.pending.len() < half.need {
            return Progress::More;
        }
        let whole = std::mem::take(&mut half.pending);
        self.feed(dispatcher, dir, &whole, out)
    }

    /// Calls the parser until it has used the bytes or wants more.
    fn feed(&mut self, dispatcher: &Dispatcher, dir: Dir, mut bytes: &[u8], out: &mut Sink<'_>) -> Progress {
        for _ in 0..STEPS_MAX {
            let Some(parser) = &mut self.parser else {
                return self.reidentify(dispatcher, dir, bytes, out);
            };
            if bytes.is_empty() {
                return Progress::More;
            }
            let label = out.label();
            let step = parser.stream(dir, bytes, out);
            if self.switches > 0 {
                // What runs inside does not rename the flow.
                out.restore_label(label);
            }
            let half = &mut self.halves[dir.index()];
            match step {
                Step::Consumed(n) if n > 0 && n <= bytes.len() => {
                    half.position += n as u64;
                    bytes = &bytes[n..];
                }
                Step::Need(n) if n > bytes.len() && n <= PENDING_MAX => {
                    half.need = n;
                    half.pending = bytes.to_vec();
                    return Progress::More;
                }
                Step::Skip(n) if n > 0 => {
                    let here = n.min(bytes.len() as u64);
                    half.skip = n - here;
                    half.position = half.position.saturating_add(n);
                    bytes = &bytes[here as usize..];
                }
                Step::Switch(n, to) if n <= bytes.len() && self.switches < SWITCHES_MAX => {
                    self.switches += 1;
                    self.rejected = Rejected::default();
                    self.halves.iter_mut().for_each(|h| h.done = false);
                    self.parser = to.and_then(|id| id.get().parser).map(|new| new());
                    if to.is_some() && self.parser.is_none() {
                        return Progress::Finished;
                    }
                    self.halves[dir.index()].position += n as u64;
                    bytes = &bytes[n..];
                    // What the other direction kept back was for the old parser: it belongs to the new one.
                    match self.feed_kept(dispatcher, dir.other(), out) {
                        Progress::More => {}
                        ended => return ended,
                    }
                    if bytes.is_empty() {
                        return Progress::More;
                    }
                }
                Step::Finished => return Progress::Finished,
                Step::NotMine => return Progress::NotMine,
                Step::Malformed(at) => {
                    // Counted from the stream's start, so that it does not depend on how the stream was cut.
                    let at = half.position.saturating_add(at as u64);
                    out.risk(&risk::MALFORMED_PACKET, || format!("stream.offset={at}"));
                    half.done = true;
                    return self.progress();
                }
                // Done; or a step that asks for too much or goes nowhere, which ends the direction.
                _ => {
                    half.done = true;
                    return self.progress();
                }
            }
        }
        self.halves[dir.index()].done = true;
        self.progress()
    }

    /// Gives a new parser what one direction kept back for it.
    fn feed_kept(&mut self, dispatcher: &Dispatcher, dir: Dir, out: &mut Sink<'_>) -> Progress {
        let kept = std::mem::take(&mut self.halves[dir.index()].pending);
        if kept.is_empty() { Progress::More } else { self.feed(dispatcher, dir, &kept, out) }
    }

    /// After a switch to an unknown protocol: asks the dispatcher.
    fn reidentify(
        &mut self,
        dispatcher: &Dispatcher,
        dir: Dir,
        bytes: &[u8],
        out: &mut Sink<'_>,
    ) -> Progress {
        let probe = Probe {
            transport: Transport::Tcp,
            dir,
            payload: bytes,
            other: &[],
            earlier: &[],
            client_port: out.port(Dir::Client),
            server_port: out.port(Dir::Server),
            whole: true,
        };
        match dispatcher.identify(&probe, &mut self.rejected) {
            Outcome::Found { protocol, .. } => match protocol.get().parser {
                Some(new) => {
                    self.parser = Some(new());
                    // The other direction may have waited to be known.
                    match self.feed_kept(dispatcher, dir.other(), out) {
                        Progress::More => self.feed(dispatcher, dir, bytes, out),
                        ended => ended,
                    }
                }
                None => Progress::Finished,
            },
            Outcome::Need(n) if n <= PENDING_MAX => self.keep(dir, bytes, n),
            // Patterns look at so many bytes: with fewer, nothing is settled.
            _ if bytes.len() < OFFSET_MAX => self.keep(dir, bytes, bytes.len() + 1),
            _ => {
                self.halves[dir.index()].done = true;
                self.progress()
            }
        }
    }

    /// Waits for `need` bytes.
    fn keep(&mut self, dir: Dir, bytes: &[u8], need: usize) -> Progress {
        let half = &mut self.halves[dir.index()];
        half.need = need;
        half.pending = bytes.to_vec();
        Progress::More
    }

    /// A datagram.
    pub fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Progress {
        let (Some(parser), false) = (&mut self.parser, self.halves[dir.index()].done) else {
            return self.progress();
        };
        match parser.datagram(dir, bytes, out) {
            // A new driver would begin with the flow's label, and not with what that gave way to.
            Step::Rest if self.switches == 0 => return Progress::Rest,
            Step::Consumed(_) | Step::Need(_) | Step::Skip(_) | Step::Rest => return Progress::More,
            Step::Switch(_, Some(to)) if self.switches < SWITCHES_MAX => {
                self.switches += 1;
                match to.get().parser {
                    Some(new) => self.parser = Some(new()),
                    None => return Progress::Finished,
                }
                return Progress::More;
            }
            Step::Finished => return Progress::Finished,
            Step::NotMine => return Progress::NotMine,
            // It was cut; the next may be whole.
            Step::Malformed(_) if out.is_incomplete() => return Progress::More,
            Step::Malformed(at) => {
                out.risk(&risk::MALFORMED_PACKET, || format!("datagram.offset={at}"));
            }
            Step::Done | Step::Switch(..) => {}
        }
        self.halves[dir.index()].done = true;
        self.progress()
    }

    /// Bytes of a stream that will never come.
    pub fn gap(&mut self, dir: Dir, missing: u64, out: &mut Sink<'_>) -> Progress {
        let half = &mut self.halves[dir.index()];
        if half.done {
            return self.progress();
        }
        let skipped = half.skip.min(missing);
        half.skip -= skipped;
        if skipped == missing {
            return Progress::More;
        }
        half.position = half.position.saturating_add(half.pending.len() as u64 + missing - skipped);
        half.pending = Vec::new();
        self.lost = true;
        self.tell_loss(out);
        let step = match &mut self.parser {
            Some(parser) => parser.gap(dir, missing - skipped, out),
            None => Step::Done,
        };
        match step {
            Step::Consumed(_) | Step::Need(_) => Progress::More,
            Step::Skip(n) => {
                let half = &mut self.halves[dir.index()];
                half.skip = n;
                half.position = half.position.saturating_add(n);
                Progress::More
            }
            Step::Finished => Progress::Finished,
            _ => {
                self.halves[dir.index()].done = true;
                self.progress()
            }
        }
    }

    fn tell_loss(&self, out: &mut Sink<'_>) {
        if self.lost {
            out.set_incomplete(true);
        }
    }

    /// The flow has ended.
    pub fn finish(&mut self, out: &mut Sink<'_>) {
        self.tell_loss(out);
        if let Some(parser) = &mut self.parser {
            parser.finish(out);
        }
    }

    fn progress(&self) -> Progress {
        if self.halves.iter().all(|h| h.done) { Progress::Finished } else { Progress::More }
    }
}
