//! AF_XDP: frames from the driver's receive queues, before the kernel makes packets of them.
//!
//! What comes to an interface that is listened to so does not reach the kernel behind it: this is for ports that get a copy
//! of somebody else's traffic. A program of six instructions, attached to the interface by a link that is gone when
//! its last descriptor is closed, redirects each frame to the socket of its queue.
#![allow(unsafe_code)] // rings that are shared with the kernel, and its system call for programs

use std::fs;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use daylight_packet::{Batch, Frame, LinkType};

use super::bpf::{self, Instruction};
use super::interface::{file, link};
use super::{LiveError, Means, Options, Tap, TapCounters};
use crate::sys::{self, Mapping, Plain, check, plain};

/// A frame has a page. Longer ones are dropped by the kernel, and counted.
const CHUNK_BYTES: usize = 4096;
/// Slots of a ring, and frames on their way for each queue. A power of two.
const SLOTS_MAX: usize = 1 << 15;
/// Frames of a batch.
const BATCH_FRAMES: usize = 1024;

plain!(libc::xdp_umem_reg, libc::xdp_mmap_offsets, libc::xdp_statistics);

/// What must live as long as any socket: the program with its link and its map, and the promiscuous mode.
struct Attachment {
    map: OwnedFd,
    _program: OwnedFd,
    _link: OwnedFd,
    _promiscuous: Option<OwnedFd>,
}

/// Opens a socket for each receive queue of an interface. `generic`: also where the driver can't do it, with frames that
/// the kernel has made packets of already.
pub(super) fn open(
    interface: &str,
    options: &Options,
    generic: bool,
) -> Result<Vec<Box<dyn Tap>>, LiveError> {
    let link = link(interface)?;
    let failed = |what: &'static str| {
        move |cause: io::Error| match cause.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => LiveError::XdpNotPermitted { interface: interface.into() },
            _ => LiveError::Xdp { interface: interface.into(), what, cause },
        }
    };
    if link.link != LinkType::ETHERNET || link.loopback {
        let cause = io::Error::other("it is no Ethernet interface");
        return Err(failed("its frames can't be read")(cause));
    }
    let filter: Option<Arc<[Instruction]>> = match &options.filter {
        Some(filter) => Some(filter.compile(link.link, options.snap_len)?.into()),
        None => None,
    };
    let queues = queues(interface);
    let map = create_map(queues).map_err(failed("the kernel has no map for sockets"))?;
    let program = load_program(map.as_fd()).map_err(failed("its program can't be loaded"))?;
    let attached = attach(program.as_fd(), link.index, DRIVER_MODE).or_else(|error| {
        if generic { attach(program.as_fd(), link.index, GENERIC_MODE) } else { Err(error) }
    });
    let attached = attached.map_err(failed("its program can't be attached"))?;
    let promiscuous = if options.promiscuous {
        let socket = || {
            let fd = sys::socket(libc::AF_PACKET, libc::SOCK_RAW)?;
            let member = sys::promiscuous(link.index);
            sys::set(fd.as_fd(), libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &member)?;
            Ok(fd)
        };
        Some(socket().map_err(failed("it can't be made promiscuous"))?)
    } else {
        None
    };
    let attachment =
        Arc::new(Attachment { map, _program: program, _link: attached, _promiscuous: promiscuous });
    let mut taps: Vec<Box<dyn Tap>> = Vec::new();
    for queue in 0..queues {
        let socket = Socket::open(link.index, queue, options, Arc::clone(&attachment), filter.clone())
            .map_err(failed("no socket can be opened"))?;
        taps.push(Box::new(socket));
    }
    Ok(taps)
}

/// How many receive queues an interface has.
fn queues(interface: &str) -> u32 {
    let entries = fs::read_dir(file(interface, "queues")).into_iter().flatten().flatten();
    let receiving = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("rx-")).count();
    u32::try_from(receiving.max(1)).unwrap_or(1)
}

/// A ring of descriptors, of which the kernel is at the other end.
struct Slots<T> {
    memory: Mapping,
    producer: usize,
    consumer: usize,
    descriptors: usize,
    count: u32,
    /// Up to where we have read, or written.
    ours: u32,
    kind: std::marker::PhantomData<T>,
}

impl<T: Copy> Slots<T> {
    fn map(fd: BorrowedFd<'_>, at: libc::xdp_ring_offset, page: i64, count: u32) -> io::Result<Self> {
        let descriptors = at.desc as usize;
        let memory = Mapping::of_socket(fd, descriptors + count as usize * size_of::<T>(), page)?;
        let (producer, consumer) = (at.producer as usize, at.consumer as usize);
        Ok(Self { memory, producer, consumer, descriptors, count, ours: 0, kind: std::marker::PhantomData })
    }

    fn counter(&self, at: usize) -> &AtomicU32 {
        // SAFETY: the offset is the kernel's own, into memory that it has mapped for this ring, aligned as it has it; only
        // ever accessed as an atomic.
        unsafe { AtomicU32::from_ptr(self.memory.start().add(at).cast()) }
    }

    fn descriptor(&self, number: u32) -> *mut T {
        let place = (number & (self.count - 1)) as usize;
        // SAFETY: `place` is below `count`, for which the ring was mapped.
        unsafe { self.memory.start().add(self.descriptors).cast::<T>().add(place) }
    }

    /// What the kernel has written, at most so many.
    fn read(&mut self, most: usize, mut each: impl FnMut(T)) {
        let there = self.counter(self.producer).load(Ordering::Acquire).wrapping_sub(self.ours);
        for _ in 0..there.min(most as u32) {
            // SAFETY: within the ring, and written by the kernel before it moved its producer on to here.
            each(unsafe { self.descriptor(self.ours).read() });
            self.ours = self.ours.wrapping_add(1);
        }
        self.counter(self.consumer).store(self.ours, Ordering::Release);
    }

    /// Gives descriptors to the kernel. There are never more of them than the ring has places.
    fn write(&mut self, values: impl Iterator<Item = T>) {
        for value in values {
            // SAFETY: within the ring; the kernel does not read it before the producer is moved on.
            unsafe { self.descriptor(self.ours).write(value) };
            self.ours = self.ours.wrapping_add(1);
        }
        self.counter(self.producer).store(self.ours, Ordering::Release);
    }
}

struct Socket {
    fd: OwnedFd,
    received: Slots<libc::xdp_desc>,
    free: Slots<u64>,
    /// The frames' memory, registered with the kernel: unmapped after the socket is closed.
    chunks: Mapping,
    filter: Option<Arc<[Instruction]>>,
    snap_len: u32,
    counters: TapCounters,
    _attachment: Arc<Attachment>,
}

impl Socket {
    fn open(
        index: libc::c_int,
        queue: u32,
        options: &Options,
        attachment: Arc<Attachment>,
        filter: Option<Arc<[Instruction]>>,
    ) -> io::Result<Self> {
        let slots = (options.ring_bytes / CHUNK_BYTES).clamp(64, SLOTS_MAX);
        // Rounded down to a power of two.
        let slots = 1u32 << slots.ilog2();
        let fd = sys::socket(libc::AF_XDP, libc::SOCK_RAW)?;
        let chunks = Mapping::anonymous(slots as usize * CHUNK_BYTES)?;
        let registered = libc::xdp_umem_reg {
            addr: chunks.start() as u64,
            len: chunks.len() as u64,
            chunk_size: CHUNK_BYTES as u32,
            headroom: 0,
            flags: 0,
            tx_metadata_len: 0,
        };
        sys::set(fd.as_fd(), libc::SOL_XDP, libc::XDP_UMEM_REG, &registered)?;
        for ring in [libc::XDP_UMEM_FILL_RING, libc::XDP_UMEM_COMPLETION_RING, libc::XDP_RX_RING] {
            sys::set(fd.as_fd(), libc::SOL_XDP, ring, &slots)?;
        }
        let at: libc::xdp_mmap_offsets = sys::get(fd.as_fd(), libc::SOL_XDP, libc::XDP_MMAP_OFFSETS)?;
        let received = Slots::map(fd.as_fd(), at.rx, libc::XDP_PGOFF_RX_RING, slots)?;
        let mut free = Slots::map(fd.as_fd(), at.fr, libc::XDP_UMEM_PGOFF_FILL_RING as i64, slots)?;
        free.write((0..u64::from(slots)).map(|n| n * CHUNK_BYTES as u64));
        // SAFETY: all-zero bytes are a valid `sockaddr_xdp`.
        let mut address: libc::sockaddr_xdp = unsafe { zeroed() };
        address.sxdp_family = libc::AF_XDP as u16;
        address.sxdp_ifindex = index as u32;
        address.sxdp_queue_id = queue;
        // SAFETY: the pointer is to a `sockaddr_xdp` of that size, which lives through the call.
        check(unsafe {
            libc::bind(fd.as_raw_fd(), (&raw const address).cast(), sys::length::<libc::sockaddr_xdp>())
        })?;
        update_map(attachment.map.as_fd(), queue, fd.as_fd())?;
        Ok(Self {
            fd,
            received,
            free,
            chunks,
            filter,
            snap_len: options.snap_len,
            counters: TapCounters::default(),
            _attachment: attachment,
        })
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Tap for Socket {
    fn take(&mut self) -> io::Result<Option<Batch>> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let ts_ns = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
        let (mut data, mut frames, mut used) = (Vec::new(), Vec::new(), Vec::new());
        let Self { received, chunks, filter, snap_len, .. } = self;
        received.read(BATCH_FRAMES, |descriptor| {
            used.push(descriptor.addr - descriptor.addr % CHUNK_BYTES as u64);
            let (start, len) = (descriptor.addr as usize, descriptor.len as usize);
            if start.checked_add(len).is_none_or(|end| end > chunks.len()) {
                return;
            }
            // SAFETY: within the frames' memory, as was checked; the kernel has given the frame to us and does not touch it
            // until its place is written to the ring of free ones, below.
            let frame = unsafe { std::slice::from_raw_parts(chunks.start().add(start), len) };
            if filter.as_ref().is_some_and(|filter| bpf::run(filter, frame) == 0) {
                return;
            }
            let kept = frame.get(..(*snap_len as usize).min(len)).unwrap_or(frame);
            frames.push(Frame {
                // All were there by then; in this order.
                ts_ns: ts_ns + frames.len() as i64,
                offset: data.len() as u32,
                cap_len: kept.len() as u32,
                wire_len: len as u32,
                link: LinkType::ETHERNET,
            });
            data.extend_from_slice(kept);
        });
        let any = !used.is_empty();
        self.free.write(used.into_iter());
        if !any {
            let code: libc::c_int = sys::get(self.fd.as_fd(), libc::SOL_SOCKET, libc::SO_ERROR)?;
            return if code == 0 { Ok(None) } else { Err(io::Error::from_raw_os_error(code)) };
        }
        self.counters.received += frames.len() as u64;
        self.counters.bytes += frames.iter().map(|frame| u64::from(frame.wire_len)).sum::<u64>();
        Ok(Some(Batch { data: Arc::new(data), frames }))
    }

    fn counters(&mut self) -> TapCounters {
        let asked = sys::get::<libc::xdp_statistics>(self.fd.as_fd(), libc::SOL_XDP, libc::XDP_STATISTICS);
        if let Ok(all) = asked {
            // Frames that found no free memory are counted twice by the kernel, also under a name of their own.
            self.counters.dropped = all.rx_dropped + all.rx_ring_full;
        }
        self.counters
    }

    fn means(&self) -> Means {
        Means::Xdp
    }
}

const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE: libc::c_int = 2;
const PROGRAM_LOAD: libc::c_int = 5;
const LINK_CREATE: libc::c_int = 28;
const MAP_OF_SOCKETS: u32 = 17;
const PROGRAM_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
const GENERIC_MODE: u32 = 1 << 1;
const DRIVER_MODE: u32 = 1 << 2;

/// The beginnings of `union bpf_attr` of `linux/bpf.h`, for four of its commands.
#[repr(C)]
struct CreateMap {
    kind: u32,
    key_bytes: u32,
    value_bytes: u32,
    entries: u32,
    flags: u32,
}

#[repr(C)]
struct UpdateMap {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct LoadProgram {
    kind: u32,
    count: u32,
    instructions: u64,
    licence: u64,
    log_level: u32,
    log_bytes: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

#[repr(C)]
struct CreateLink {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
}

// SAFETY: integers without padding between them.
unsafe impl Plain for CreateMap {}
// SAFETY: as above.
unsafe impl Plain for UpdateMap {}
// SAFETY: as above.
unsafe impl Plain for LoadProgram {}
// SAFETY: as above.
unsafe impl Plain for CreateLink {}

/// # Safety
/// Pointers in `attributes` must be to what the command takes them for, and live through the call.
unsafe fn call<T: Plain>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_int> {
    // SAFETY: the pointer is to a structure of that size, which lives through the call; the rest is the caller's.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    check(libc::c_int::try_from(result).unwrap_or(-1))
}

/// # Safety
/// As [`call`]; and the command gives a descriptor.
unsafe fn descriptor<T: Plain>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the caller's; the descriptor is new and ours alone.
    unsafe { call(command, attributes).map(|fd| OwnedFd::from_raw_fd(fd)) }
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd() as u32
}

fn create_map(queues: u32) -> io::Result<OwnedFd> {
    let map = CreateMap { kind: MAP_OF_SOCKETS, key_bytes: 4, value_bytes: 4, entries: queues, flags: 0 };
    // SAFETY: no pointers; the command gives a descriptor.
    unsafe { descriptor(MAP_CREATE, &map) }
}

fn update_map(map: BorrowedFd<'_>, queue: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
    let value = number(socket);
    let (key, value) = ((&raw const queue) as u64, (&raw const value) as u64);
    let update = UpdateMap { map: number(map), padding: 0, key, value, flags: 0 };
    // SAFETY: key and value are of the map's four bytes and live through the call.
    unsafe { call(MAP_UPDATE, &update) }.map(drop)
}

/// `return bpf_redirect_map(&sockets, context->rx_queue_index, XDP_PASS)`: queues without a socket are the kernel's.
fn load_program(map: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    const fn instruction(code: u8, registers: u8, offset: u16, k: u32) -> u64 {
        code as u64 | (registers as u64) << 8 | (offset as u64) << 16 | (k as u64) << 32
    }
    let program = [
        // r2 = *(u32 *)(r1 + 16), the number of the queue
        instruction(0x61, 0x12, 16, 0),
        // r1 = the map, in two places
        instruction(0x18, 0x11, 0, number(map)),
        instruction(0, 0, 0, 0),
        // r3 = XDP_PASS
        instruction(0xb7, 0x03, 0, 2),
        // call bpf_redirect_map
        instruction(0x85, 0, 0, 51),
        // exit
        instruction(0x95, 0, 0, 0),
    ];
    let mut name = [0; 16];
    name[..8].copy_from_slice(b"daylight");
    let load = LoadProgram {
        kind: PROGRAM_XDP,
        count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        licence: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_bytes: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name,
        interface: 0,
        attach_type: ATTACH_XDP,
    };
    // SAFETY: `count` instructions and a licence that ends with NUL, which live through the call; the command gives a
    // descriptor.
    unsafe { descriptor(PROGRAM_LOAD, &load) }
}

fn attach(program: BorrowedFd<'_>, index: libc::c_int, mode: u32) -> io::Result<OwnedFd> {
    let link =
        CreateLink { program: number(program), target: index as u32, attach_type: ATTACH_XDP, flags: mode };
    // SAFETY: no pointers; the command gives a descriptor.
    unsafe { descriptor(LINK_CREATE, &link) }
}
