//! Opening a queue: one socket, one question whether it is allowed, and one message that sets everything.

use std::{fs, io};

use super::counters::{KernelCounters, kernel_counters};
use super::error::Error;
use super::options::Options;
use super::sys::Socket;
use super::wire::{MESSAGE_CONFIG, Message, Writer, parse_message};

/// The kernel's counters of the queues in the calling thread's network namespace.
const KERNEL_COUNTERS: &str = "/proc/thread-self/net/netfilter/nfnetlink_queue";

const CFG_CMD: u16 = 1;
const CFG_PARAMS: u16 = 2;
const CFG_QUEUE_MAXLEN: u16 = 3;
const CFG_MASK: u16 = 4;
const CFG_FLAGS: u16 = 5;

const COMMAND_BIND: u8 = 1;
const COMMAND_UNBIND: u8 = 2;
/// Long without effect, but answered: it tells whether one may send commands at all.
const COMMAND_PF_BIND: u8 = 3;

const COPY_PACKET: u8 = 2;

const FLAG_FAIL_OPEN: u32 = 1;
const FLAG_CONNTRACK: u32 = 2;
const FLAG_GSO: u32 = 4;

/// Opens a socket and takes queue `number` with it.
pub(super) fn open(number: u16, options: &Options) -> Result<Socket, Error> {
    let failed = |doing| move |error| Error::System { number, doing, error };
    let socket = Socket::open().map_err(|error| match error.raw_os_error() {
        Some(libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT) => Error::NoQueues,
        _ => failed("opening a netlink socket")(error),
    })?;
    // Without this, one message that finds no room makes the kernel throw away all that follow until everything is
    // read.
    socket
        .set(libc::SOL_NETLINK, libc::NETLINK_NO_ENOBUFS, 1)
        .map_err(failed("setting NETLINK_NO_ENOBUFS"))?;
    // Only shortens answers, and is younger than queues.
    let _ = socket.set(libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, 1);
    permitted(&socket, number)?;

    // The kernel counts with twice of what is set.
    let half = (options.receive_buffer_bytes / 2).max(1) as i32;
    socket
        .set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, half)
        .or_else(|_| socket.set(libc::SOL_SOCKET, libc::SO_RCVBUF, half))
        .map_err(failed("setting the receive buffer"))?;

    socket.send(&bind_message(number, options)).map_err(failed("sending the settings"))?;
    // No answer was asked for, so that only a refusal comes: a queue that was taken may have its first packets
    // already, which stay.
    match first_answer(&socket, true).map_err(failed("reading the kernel's answer"))? {
        None | Some(0) => Ok(socket),
        Some(libc::EPERM | libc::EBUSY) => Err(Error::Taken {
            number,
            holder: counters(number).ok().flatten().map(|counters| counters.port),
        }),
        Some(libc::EOPNOTSUPP) if options.connections => Err(Error::NoConnections),
        Some(libc::EOPNOTSUPP) => Err(Error::TooOld),
        Some(errno) => Err(failed("taking it")(io::Error::from_raw_os_error(errno))),
    }
}

/// The kernel refuses both a stranger and a queue that is taken with the same number; this tells them apart.
fn permitted(socket: &Socket, number: u16) -> Result<(), Error> {
    let failed = |doing| move |error| Error::System { number, doing, error };
    let mut message = Vec::new();
    Writer::new(&mut message, MESSAGE_CONFIG, number, true)
        .attribute(CFG_CMD, &[COMMAND_PF_BIND, 0, 0, 0])
        .end();
    socket.send(&message).map_err(failed("sending to the kernel"))?;
    match first_answer(socket, false).map_err(failed("reading the kernel's answer"))? {
        None | Some(0) => Ok(()),
        Some(libc::EPERM) => Err(Error::NotPermitted { number }),
        // Netfilter's netlink family is there, but nobody in it answers for queues.
        Some(libc::EINVAL) => Err(Error::NoQueues),
        Some(errno) => Err(failed("asking for permission")(io::Error::from_raw_os_error(errno))),
    }
}

/// The error in the first datagram that waits, if one does and it is an answer.
fn first_answer(socket: &Socket, peek: bool) -> io::Result<Option<i32>> {
    let mut datagram = [0; 1024];
    let len = match socket.receive_now(&mut datagram, peek) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        len => len?,
    };
    match parse_message(datagram.get(..len).unwrap_or_default()) {
        Ok((Message::Answer(errno), _)) => Ok(Some(errno)),
        _ => Ok(None),
    }
}

/// Takes the queue and sets all there is at once: a queue without a copy mode drops its packets, and one without a
/// flag treats them otherwise than was asked, were it only for a moment.
fn bind_message(number: u16, options: &Options) -> Vec<u8> {
    let mut flags = 0;
    for (on, flag) in
        [(options.fail_open, FLAG_FAIL_OPEN), (options.connections, FLAG_CONNTRACK), (options.gso, FLAG_GSO)]
    {
        flags |= if on { flag } else { 0 };
    }
    let [r0, r1, r2, r3] = options.copy_range.to_be_bytes();
    let mut message = Vec::new();
    let mut writer = Writer::new(&mut message, MESSAGE_CONFIG, number, false)
        .attribute(CFG_CMD, &[COMMAND_BIND, 0, 0, 0])
        .attribute(CFG_PARAMS, &[r0, r1, r2, r3, COPY_PACKET])
        .attribute(CFG_QUEUE_MAXLEN, &options.queue_len.to_be_bytes());
    if flags != 0 {
        writer = writer.attribute(CFG_MASK, &flags.to_be_bytes()).attribute(CFG_FLAGS, &flags.to_be_bytes());
    }
    writer.end();
    message
}

/// Gives the queue back.
pub(super) fn write_unbind(out: &mut Vec<u8>, number: u16) {
    Writer::new(out, MESSAGE_CONFIG, number, false).attribute(CFG_CMD, &[COMMAND_UNBIND, 0, 0, 0]).end();
}

/// What the kernel counts for queue `number`, in the calling thread's network namespace; `None` if there is no such queue.
///
/// # Errors
/// If its table can't be read.
pub fn counters(number: u16) -> io::Result<Option<KernelCounters>> {
    Ok(kernel_counters(&fs::read_to_string(KERNEL_COUNTERS)?, number))
}
