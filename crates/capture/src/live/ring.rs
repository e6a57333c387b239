//! AF_PACKET's third ring (TPACKET_V3): the kernel fills blocks of memory that it shares with us, and hands over each when it
//! is full or has waited long enough.
#![allow(unsafe_code)] // a ring that is shared with the kernel

use std::collections::VecDeque;
use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use daylight_packet::{Batch, Frame, FrameBytes, LinkType, Spread};

use super::bpf::{self, Instruction};
use super::interface::{Link, failed, link};
use super::{LiveError, Means, Options, Tap, TapCounters, fanout};
use crate::sys::{self, Mapping};

/// Large enough for every segment that the kernel puts together (64 KiB), small enough to lie in a second-level cache with
/// what is made of it.
const BLOCK_BYTES: usize = 1 << 20;
/// Frames of a batch: few enough that what is made of them stays in a core's second-level cache.
const BATCH_FRAMES: usize = 1024;
/// The kernel wants to be told; it is used for nothing with blocks.
const FRAME_BYTES: usize = 2048;
/// A block that is not full is handed over after so many milliseconds: short for who watches, long for a busy link.
const RETIRE_MS: u32 = 20;
/// `PACKET_FANOUT_CBPF` and `PACKET_FANOUT_FLAG_UNIQUEID` of `linux/if_packet.h`.
const FANOUT_CBPF: u16 = 6;
const FANOUT_UNIQUE: u16 = 0x2000;

/// Opens a ring for each worker.
pub(super) fn open(
    interface: &str,
    options: &Options,
    spread: Spread,
    workers: usize,
) -> Result<Vec<Box<dyn Tap>>, LiveError> {
    let link = link(interface)?;
    let mut fanout_id = 0;
    let mut taps: Vec<Box<dyn Tap>> = Vec::new();
    for number in 0..workers {
        let ring = Ring::open(interface, link, options)?;
        if workers > 1 {
            let unique = if number == 0 { FANOUT_UNIQUE } else { 0 };
            let wanted = libc::fanout_args {
                id: fanout_id,
                type_flags: FANOUT_CBPF | unique,
                max_num_members: u32::try_from(workers).unwrap_or(u32::MAX),
            };
            let join = || -> io::Result<u16> {
                let fd = ring.fd.as_fd();
                sys::set(fd, libc::SOL_PACKET, libc::PACKET_FANOUT, &wanted)?;
                if number == 0 {
                    let program = fanout::program(spread);
                    sys::set_program(fd, libc::SOL_PACKET, libc::PACKET_FANOUT_DATA, &program)?;
                }
                let set: libc::c_int = sys::get(fd, libc::SOL_PACKET, libc::PACKET_FANOUT)?;
                Ok(set as u16)
            };
            fanout_id = join().map_err(failed(interface, "its packets can't be spread over workers"))?;
        }
        taps.push(Box::new(ring));
    }
    Ok(taps)
}

/// A ring, mapped. Shared by the tap and by the batches whose frames lie in it.
struct Blocks {
    memory: Mapping,
    count: usize,
}

/// A block whose frames are in use. Goes back to the kernel when the last user drops it.
struct Block {
    blocks: Arc<Blocks>,
    number: usize,
    bytes: usize,
}

/// How far the frames of a block are handed out.
struct Walk {
    /// Where the next one's header lies.
    at: usize,
    /// How many there are from there on.
    left: u32,
}

pub(super) struct Ring {
    fd: OwnedFd,
    blocks: Arc<Blocks>,
    link: Link,
    /// The block that the kernel fills next, or has filled.
    next: usize,
    /// The block that is being handed out, and how far that is.
    current: Option<(Arc<Block>, Walk)>,
    /// For each block, who still uses it.
    in_use: VecDeque<(usize, Weak<Block>)>,
    /// Run here, because the kernel has taken the tags off that it asks for.
    filter: Option<Arc<[Instruction]>>,
    counters: TapCounters,
}

impl Ring {
    fn open(interface: &str, link: Link, options: &Options) -> Result<Self, LiveError> {
        let failed = |what| failed(interface, what);
        let kind = if link.cooked { libc::SOCK_DGRAM } else { libc::SOCK_RAW };
        let fd = sys::socket(libc::AF_PACKET, kind).map_err(failed("no packet socket can be opened"))?;
        let version = libc::tpacket_versions::TPACKET_V3 as libc::c_int;
        sys::set(fd.as_fd(), libc::SOL_PACKET, libc::PACKET_VERSION, &version)
            .map_err(failed("the kernel has no third version of the packet ring"))?;
        let count = (options.ring_bytes / BLOCK_BYTES).max(2);
        let request = libc::tpacket_req3 {
            tp_block_size: BLOCK_BYTES as u32,
            tp_block_nr: u32::try_from(count).unwrap_or(u32::MAX),
            tp_frame_size: FRAME_BYTES as u32,
            tp_frame_nr: u32::try_from(count * (BLOCK_BYTES / FRAME_BYTES)).unwrap_or(u32::MAX),
            tp_retire_blk_tov: RETIRE_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        let bytes = count * BLOCK_BYTES;
        let memory = sys::set(fd.as_fd(), libc::SOL_PACKET, libc::PACKET_RX_RING, &request)
            .and_then(|()| Mapping::of_socket(fd.as_fd(), bytes, 0))
            .map_err(|cause| LiveError::Ring { interface: interface.into(), bytes, cause })?;
        let mut filter = None;
        if let Some(wanted) = &options.filter {
            let program = wanted.compile(link.link, options.snap_len)?;
            if wanted.asks_for_tags() {
                filter = Some(program.into());
            } else {
                sys::set_program(fd.as_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
                    .map_err(failed("the filter can't be attached"))?;
            }
        } else if options.snap_len < u32::MAX {
            // A program of one instruction: so many bytes of everything.
            let cut = [Instruction { code: 0x06, jt: 0, jf: 0, k: options.snap_len }];
            sys::set_program(fd.as_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &cut)
                .map_err(failed("frames can't be cut"))?;
        }
        sys::bind_packet(fd.as_fd(), link.index).map_err(failed("it can't be bound to"))?;
        if options.promiscuous && !link.loopback {
            let member = sys::promiscuous(link.index);
            sys::set(fd.as_fd(), libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &member)
                .map_err(failed("it can't be made promiscuous"))?;
        }
        let blocks = Arc::new(Blocks { memory, count });
        let in_use = VecDeque::new();
        Ok(Self {
            fd,
            blocks,
            link,
            next: 0,
            current: None,
            in_use,
            filter,
            counters: TapCounters::default(),
        })
    }

    /// What came wrong since the last call.
    fn error(&self) -> io::Result<()> {
        let code: libc::c_int = sys::get(self.fd.as_fd(), libc::SOL_SOCKET, libc::SO_ERROR)?;
        // One that is taken down says so once, and goes on when it is up again.
        if code == 0 || code == libc::ENETDOWN && sys::index_is_there(self.link.index) {
            return Ok(());
        }
        Err(io::Error::from_raw_os_error(code))
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Tap for Ring {
    fn take(&mut self) -> io::Result<Option<Batch>> {
        loop {
            if let Some((block, walk)) = &mut self.current {
                let frames = block.frames(walk, self.link, self.filter.as_deref());
                if frames.is_empty() {
                    self.current = None;
                    continue;
                }
                self.counters.received += frames.len() as u64;
                self.counters.bytes += frames.iter().map(|frame| u64::from(frame.wire_len)).sum::<u64>();
                return Ok(Some(Batch { data: Arc::clone(block) as Arc<dyn FrameBytes>, frames }));
            }
            // The kernel comes round to a block again; until its last batch was dropped, it is still ours.
            while self.in_use.front().is_some_and(|(_, block)| block.strong_count() == 0) {
                self.in_use.pop_front();
            }
            if self.in_use.iter().any(|(number, block)| *number == self.next && block.strong_count() > 0) {
                return Ok(None);
            }
            let number = self.next;
            let Some(block) = self.blocks.open(number) else {
                self.error()?;
                return Ok(None);
            };
            self.next = (number + 1) % self.blocks.count;
            let walk = Walk { at: block.word(BLOCK_FIRST) as usize, left: block.word(BLOCK_PACKETS) };
            let block = Arc::new(block);
            self.in_use.push_back((number, Arc::downgrade(&block)));
            self.current = Some((block, walk));
        }
    }

    fn counters(&mut self) -> TapCounters {
        // The kernel counts from the last time it was asked.
        let asked =
            sys::get::<libc::tpacket_stats_v3>(self.fd.as_fd(), libc::SOL_PACKET, libc::PACKET_STATISTICS);
        if let Ok(since) = asked {
            self.counters.dropped += u64::from(since.tp_drops);
        }
        self.counters
    }

    fn means(&self) -> Means {
        Means::Packet
    }
}

/// `struct tpacket_block_desc`: what of it is looked at.
const BLOCK_STATUS: usize = 8;
const BLOCK_PACKETS: usize = 12;
const BLOCK_FIRST: usize = 16;
const BLOCK_LENGTH: usize = 20;
/// A frame's header is followed by the address it came from, of which the byte at this place says where it was going.
const PACKET_TYPE: usize =
    size_of::<libc::tpacket3_hdr>().next_multiple_of(16) + offset_of!(libc::sockaddr_ll, sll_pkttype);

impl Blocks {
    /// The status of a block, which says whose it is.
    fn status(&self, number: usize) -> &AtomicU32 {
        let place = number % self.count * BLOCK_BYTES + BLOCK_STATUS;
        // SAFETY: within the mapping, aligned (blocks begin on pages), and only ever accessed as an atomic by us.
        unsafe { AtomicU32::from_ptr(self.memory.start().add(place).cast()) }
    }

    /// Takes a block that the kernel has handed over.
    fn open(self: &Arc<Self>, number: usize) -> Option<Block> {
        if self.status(number).load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        let mut block = Block { blocks: Arc::clone(self), number, bytes: BLOCK_BYTES };
        block.bytes = (block.word(BLOCK_LENGTH) as usize).min(BLOCK_BYTES);
        Some(block)
    }
}

impl Block {
    /// Its bytes, from its header on.
    fn slice(&self) -> &[u8] {
        let start = self.number % self.blocks.count * BLOCK_BYTES;
        // SAFETY: within the mapping. The kernel has handed the block over (see `Blocks::open`) and does not touch it until
        // its status says that it may, which happens when this value is dropped. Nobody writes to it meanwhile but
        // `frames`, before anybody else has the value. The status itself lies in it and is read atomically, by us alone.
        unsafe { std::slice::from_raw_parts(self.blocks.memory.start().add(start), self.bytes) }
    }

    fn word(&self, at: usize) -> u32 {
        word(self.slice(), at)
    }

    /// Notes where the next of its frames lie; VLAN tags that the kernel took off are put back. Empty at its end.
    fn frames(&self, walk: &mut Walk, link: Link, filter: Option<&[Instruction]>) -> Vec<Frame> {
        let mut frames = Vec::with_capacity(BATCH_FRAMES.min(walk.left as usize));
        while walk.left > 0 && frames.len() < BATCH_FRAMES {
            let at = walk.at;
            let bytes = self.slice();
            // A copy: a tag is put into the block below.
            let header: Option<[u8; size_of::<libc::tpacket3_hdr>()]> =
                bytes.get(at..).and_then(|bytes| bytes.first_chunk()).copied();
            let Some(header) = &header else {
                walk.left = 0;
                break;
            };
            let field = |place| word(header, place);
            let next = field(offset_of!(libc::tpacket3_hdr, tp_next_offset)) as usize;
            let status = field(offset_of!(libc::tpacket3_hdr, tp_status));
            let mut cap_len = field(offset_of!(libc::tpacket3_hdr, tp_snaplen));
            let mut wire_len = field(offset_of!(libc::tpacket3_hdr, tp_len));
            let mac = half(header, offset_of!(libc::tpacket3_hdr, tp_mac));
            let mut start = at + usize::from(mac);
            let outgoing = bytes.get(at + PACKET_TYPE) == Some(&libc::PACKET_OUTGOING);
            if status & libc::TP_STATUS_VLAN_VALID != 0 && link.link == LinkType::ETHERNET && cap_len >= 12 {
                let room = usize::from(mac) >= PACKET_TYPE + 16;
                let tci = field(offset_of!(libc::tpacket3_hdr, hv1) + 4) as u16;
                let tpid = match status & libc::TP_STATUS_VLAN_TPID_VALID {
                    0 => libc::ETH_P_8021Q as u16,
                    _ => half(header, offset_of!(libc::tpacket3_hdr, hv1) + 8),
                };
                if room && self.put_tag(start, tpid, tci) {
                    (start, cap_len, wire_len) = (start - 4, cap_len + 4, wire_len + 4);
                }
            }
            // What goes out on the loopback interface comes in there again.
            let twice = link.loopback && outgoing;
            let wanted = !twice
                && filter.is_none_or(|filter| {
                    let frame = self.slice().get(start..start + cap_len as usize);
                    frame.is_some_and(|frame| bpf::run(filter, frame) > 0)
                });
            if wanted && start + cap_len as usize <= self.bytes {
                let seconds = field(offset_of!(libc::tpacket3_hdr, tp_sec));
                let nanoseconds = field(offset_of!(libc::tpacket3_hdr, tp_nsec));
                frames.push(Frame {
                    ts_ns: i64::from(seconds) * 1_000_000_000 + i64::from(nanoseconds),
                    offset: start as u32,
                    cap_len,
                    wire_len: wire_len.max(cap_len),
                    link: link.link,
                });
            }
            walk.at += next;
            walk.left = if next == 0 { 0 } else { walk.left - 1 };
        }
        frames
    }

    /// Moves the addresses of the frame at `start` four bytes forward and puts a tag behind them.
    fn put_tag(&self, start: usize, tpid: u16, tci: u16) -> bool {
        if start < 4 || start + 12 > self.bytes {
            return false;
        }
        let place = self.number % self.blocks.count * BLOCK_BYTES + start;
        // SAFETY: `start - 4 .. start + 12` lies within the block (checked above), which is ours; nobody else has a reference
        // into it yet, since this is called before the batch is handed out, and no slice of it is held across the call.
        unsafe {
            let to = self.blocks.memory.start().add(place - 4);
            std::ptr::copy(to.add(4), to, 12);
            std::ptr::copy_nonoverlapping(tpid.to_be_bytes().as_ptr(), to.add(12), 2);
            std::ptr::copy_nonoverlapping(tci.to_be_bytes().as_ptr(), to.add(14), 2);
        }
        true
    }
}

impl FrameBytes for Block {
    fn bytes(&self) -> &[u8] {
        self.slice()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.blocks.status(self.number).store(libc::TP_STATUS_KERNEL, Ordering::Release);
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_ne_bytes(*word))
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |half| u16::from_ne_bytes(*half))
}
