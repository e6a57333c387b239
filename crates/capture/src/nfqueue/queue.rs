//! A queue: read in batches, answered, closed.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;
use std::{fmt, io};

use super::batch::{Batch, Entry};
use super::counters::{Counters, KernelCounters};
use super::error::Error;
use super::open::{counters, open, write_unbind};
use super::options::Options;
use super::sys::{Ring, Socket};
use super::verdict::{Action, Decided, Verdict, write_all, write_verdicts};
use super::wire::{Message, parse_message, whole_messages};

/// What a message has beside a packet's bytes: headers, some twenty attributes, and up to 300 bytes about its
/// connection.
const MESSAGE_OVERHEAD: usize = 1024;

/// Verdicts go out in datagrams of at most this many bytes: one may not be larger than the socket's send buffer.
const DATAGRAM_LEN: usize = 8 << 10;

/// One of the kernel's packet queues, for one thread. See the [module's documentation](super).
pub struct Queue {
    number: u16,
    socket: Socket,
    options: Options,
    ring: Ring,
    /// What was handed out last and is not answered yet.
    entries: Vec<Entry>,
    /// Number and mark of the packets that are held.
    held: HashMap<u32, u32>,
    /// Decided packets that go before the batch: released ones in the order of their release, and those that could
    /// not be read.
    released: Vec<Decided>,
    /// The batch's verdicts, while they are written.
    decided: Vec<Decided>,
    /// Messages to be sent.
    outgoing: Vec<u8>,
    last_id: u32,
    /// For how long the socket waits as it is set now; zero is for ever.
    waits: Duration,
    counters: Counters,
}

impl Queue {
    /// Takes queue `number` in the calling thread's network namespace, for as long as the value lives.
    ///
    /// # Errors
    /// If there is no such queue, it is taken, the process may not, the kernel can't, or an option is out of its
    /// range; each says what to do.
    pub fn open(number: u32, options: Options) -> Result<Self, Error> {
        let number = u16::try_from(number).map_err(|_| Error::Number(number))?;
        options.check()?;
        let socket = open(number, &options)?;
        Ok(Self {
            number,
            socket,
            ring: Ring::new(options.batch_len, options.copy_range as usize + MESSAGE_OVERHEAD),
            entries: Vec::with_capacity(options.batch_len),
            held: HashMap::new(),
            released: Vec::new(),
            decided: Vec::with_capacity(options.batch_len),
            outgoing: Vec::new(),
            last_id: 0,
            waits: Duration::ZERO,
            counters: Counters::default(),
            options,
        })
    }

    /// The queue's number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// How it was set up.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Sends what was decided, then waits for packets, at most for `timeout` (in whole microseconds; `None`: for ever),
    /// and hands out all that are there, up to `batch_len`. No packets come back if time ran out or a signal came.
    ///
    /// # Errors
    /// As [`send`](Self::send), and if the socket can't be read.
    pub fn receive(&mut self, timeout: Option<Duration>) -> Result<Batch<'_>, Error> {
        self.send()?;
        let wait = timeout != Some(Duration::ZERO);
        if wait {
            self.set_timeout(timeout)?;
        }
        let datagrams = match self.socket.receive(&mut self.ring, wait) {
            Ok(datagrams) => datagrams,
            Err(error) => match error.raw_os_error() {
                // ENOBUFS tells of an overrun where it could not be turned off; the counter has it anyway.
                Some(libc::EAGAIN | libc::EINTR | libc::ENOBUFS) => 0,
                _ => return Err(self.failed("reading", error)),
            },
        };
        for datagram in 0..datagrams {
            self.read(datagram);
        }
        self.counters.batches += u64::from(!self.entries.is_empty());
        Ok(Batch { ring: &self.ring, entries: &mut self.entries })
    }

    /// Notes the packets in a datagram (as a rule one).
    fn read(&mut self, datagram: usize) {
        let bytes = self.ring.datagram(datagram);
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match parse_message(rest) {
                Ok((Message::Packet(packet), used)) => {
                    self.counters.packets += 1;
                    self.counters.bytes += u64::from(packet.wire_len);
                    self.last_id = packet.id;
                    // The payload is a part of `bytes`.
                    let start = packet.payload.as_ptr().addr().saturating_sub(bytes.as_ptr().addr());
                    self.entries.push(Entry::new(packet, datagram, start, undecided(&self.options)));
                    at += used;
                }
                Ok((Message::Answer(errno), used)) => {
                    self.counters.refused += u64::from(errno != 0);
                    at += used;
                }
                Ok((Message::Other, used)) => at += used,
                Err(error) => {
                    self.counters.malformed += 1;
                    if let Some(id) = error.id() {
                        self.released.push(Decided { id, mark: 0, verdict: undecided(&self.options) });
                    }
                    return;
                }
            }
        }
    }

    /// Gives the verdict of a packet that was held. It goes out with the next [`send`](Self::send) or
    /// [`receive`](Self::receive), before the verdicts of the batch.
    ///
    /// # Errors
    /// If it isn't held, or the verdict holds it again.
    pub fn release(&mut self, id: u32, verdict: Verdict) -> Result<(), Error> {
        if verdict.action == Action::Hold {
            return Err(Error::HeldAlready { number: self.number, id });
        }
        let mark = self.held.remove(&id).ok_or(Error::NotHeld { number: self.number, id })?;
        self.released.push(Decided { id, mark, verdict });
        Ok(())
    }

    /// How many packets are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Sends the verdicts of the last batch and of released packets. When it returns, the kernel has sent the packets
    /// on.
    ///
    /// # Errors
    /// If the kernel doesn't take them, which then go out with the next call; or if a verdict set a connection's mark
    /// and the queue can't, in which case everything else was done.
    pub fn send(&mut self) -> Result<(), Error> {
        if self.released.is_empty() && self.entries.is_empty() && self.outgoing.is_empty() {
            return Ok(());
        }
        let mut decided = std::mem::take(&mut self.decided);
        let mut released = std::mem::take(&mut self.released);
        let mut marks = true;
        for packet in &mut released {
            marks &= self.settle(packet);
        }
        // Whether older packets wait further is asked before this batch's are added: those count from where they
        // stand.
        let held = !self.held.is_empty();
        for entry in self.entries.drain(..) {
            decided.push(Decided { id: entry.id(), mark: entry.mark(), verdict: entry.verdict });
        }
        for packet in &mut decided {
            marks &= self.settle(packet);
        }
        // Released ones are told one by one: they come in any order.
        let messages = write_verdicts(&mut self.outgoing, self.number, &released, true)
            + write_verdicts(&mut self.outgoing, self.number, &decided, held);
        self.counters.verdict_messages += u64::from(messages);
        decided.clear();
        released.clear();
        (self.decided, self.released) = (decided, released);
        self.flush()?;
        if marks { Ok(()) } else { Err(Error::ConnectionMark { number: self.number }) }
    }

    /// Counts a verdict and makes it one that can be done; says if it is as it was asked for.
    fn settle(&mut self, packet: &mut Decided) -> bool {
        let verdict = &mut packet.verdict;
        if verdict.action == Action::Hold {
            if self.held.len() < self.options.held_max {
                self.held.insert(packet.id, packet.mark);
                return true;
            }
            self.counters.not_held += 1;
            verdict.action = undecided(&self.options).action;
        }
        match verdict.action {
            Action::Accept => self.counters.accepted += 1,
            Action::Drop => self.counters.dropped += 1,
            Action::Repeat => self.counters.repeated += 1,
            Action::Hold => {}
        }
        let possible = self.options.connections || verdict.connection_mark.is_none();
        if !possible {
            verdict.connection_mark = None;
        }
        possible
    }

    /// Sends what is written, in datagrams of whole messages; what was not taken stays.
    fn flush(&mut self) -> Result<(), Error> {
        let mut sent = 0;
        while let Some(rest) = self.outgoing.get(sent..).filter(|rest| !rest.is_empty()) {
            let datagram = rest.get(..whole_messages(rest, DATAGRAM_LEN)).unwrap_or(rest);
            if let Err(error) = self.socket.send(datagram) {
                self.outgoing.drain(..sent);
                return Err(self.failed("sending verdicts", error));
            }
            sent += datagram.len();
        }
        self.outgoing.clear();
        Ok(())
    }

    fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        let timeout = timeout.map_or(Duration::ZERO, |timeout| timeout.max(Duration::from_micros(1)));
        if self.waits != timeout {
            self.socket
                .set_receive_timeout(timeout)
                .map_err(|error| self.failed("setting its timeout", error))?;
            self.waits = timeout;
        }
        Ok(())
    }

    /// What it did since it was opened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let overruns = self.socket.memory().map_or(0, |memory| memory.overruns);
        Counters { overruns, ..self.counters }
    }

    /// What the kernel counts for this queue, read in the calling thread's network namespace; `None` if that has no
    /// such queue.
    ///
    /// # Errors
    /// If the kernel's table can't be read.
    pub fn kernel_counters(&self) -> Result<Option<KernelCounters>, Error> {
        counters(self.number).map_err(|error| self.failed("reading the kernel's counters", error))
    }

    /// How many bytes the kernel keeps of messages that were not read yet: what was asked for, or less if it did not
    /// permit that.
    ///
    /// # Errors
    /// If the kernel doesn't say.
    pub fn receive_buffer_bytes(&self) -> Result<u32, Error> {
        let memory =
            self.socket.memory().map_err(|error| self.failed("reading the socket's memory", error))?;
        Ok(memory.receive_buffer_bytes)
    }

    fn failed(&self, doing: &'static str, error: io::Error) -> Error {
        Error::System { number: self.number, doing, error }
    }
}

/// The verdict of packets that nobody decided.
fn undecided(options: &Options) -> Verdict {
    if options.accept_undecided { Verdict::ACCEPT } else { Verdict::DROP }
}

impl fmt::Debug for Queue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, options, counters, .. } = self;
        formatter
            .debug_struct("Queue")
            .field("number", number)
            .field("options", options)
            .field("counters", counters)
            .finish_non_exhaustive()
    }
}

/// Readable when packets wait. For waiting on several things at once; `receive` with a timeout of zero then takes
/// them.
impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Queue {
    /// Answers the packets that wait as `accept_undecided` says, also those that were never read, and gives the queue
    /// back. Both in one datagram: left to itself the kernel drops what waits.
    fn drop(&mut self) {
        // Nobody is left to be told of errors. If the kernel takes nothing any more, it closes the queue in its own
        // way.
        let _ = self.send();
        self.outgoing.clear();
        // A number that all of them come before, in the kernel's arithmetic modulo 2³².
        write_all(
            &mut self.outgoing,
            self.number,
            self.last_id.wrapping_add(1 << 30),
            self.options.accept_undecided,
        );
        write_unbind(&mut self.outgoing, self.number);
        let _ = self.socket.send(&self.outgoing);
    }
}
