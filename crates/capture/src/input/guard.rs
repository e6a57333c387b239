//! Keeps the process alive when pages of a mapped file are gone.
//!
//! Touching such a page raises SIGBUS in the thread that does. For an address within a guarded region the handler puts
//! zeros in place of the rest of the region, and notes it; for any other it puts back the handler that was there before,
//! which then sees the signal.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How many regions there can be at once, in all sources of the process.
const SLOTS: usize = 1024;

/// A guarded region. In a table of fixed size, since a signal handler may neither wait nor allocate.
struct Slot {
    taken: AtomicBool,
    start: AtomicUsize,
    len: AtomicUsize,
    lost: AtomicBool,
}

static TABLE: [Slot; SLOTS] = [const {
    Slot {
        taken: AtomicBool::new(false),
        start: AtomicUsize::new(0),
        len: AtomicUsize::new(0),
        lost: AtomicBool::new(false),
    }
}; SLOTS];

/// How many bytes the kernel's pages have.
static PAGE_LEN: AtomicUsize = AtomicUsize::new(0);

/// What was done on SIGBUS before.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// Guards a region until it is dropped.
pub(super) struct Guard(&'static Slot);

impl Guard {
    /// Guards `region`, which must stay mapped for as long; `None` if too many are.
    pub(super) fn new(region: &[u8]) -> Option<Self> {
        install();
        let free = |slot: &&Slot| {
            slot.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        let slot = TABLE.iter().find(free)?;
        slot.lost.store(false, Ordering::Relaxed);
        slot.start.store(region.as_ptr() as usize, Ordering::Relaxed);
        slot.len.store(region.len(), Ordering::Release);
        Some(Self(slot))
    }

    /// If a page of it was gone when it was touched.
    pub(super) fn is_lost(&self) -> bool {
        self.0.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.len.store(0, Ordering::Relaxed);
        self.0.taken.store(false, Ordering::Release);
    }
}

fn install() {
    BEFORE.get_or_init(|| {
        // SAFETY: asks the C library for a number.
        let page_len = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        PAGE_LEN.store(usize::try_from(page_len).unwrap_or(4096), Ordering::Relaxed);
        let mut before = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: both point to a `sigaction`, which is valid when all zero; and `on_bus_error` does only what a
        // signal handler may.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_bus_error as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(libc::SIGBUS, &action, before.as_mut_ptr());
            before.assume_init()
        }
    });
}

extern "C" fn on_bus_error(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel gives a valid `siginfo_t` of a SIGBUS, which has an address.
    let address = unsafe { (*info).si_addr() } as usize;
    for slot in &TABLE {
        let len = slot.len.load(Ordering::Acquire);
        let start = slot.start.load(Ordering::Relaxed);
        if len == 0 || !(start..start + len).contains(&address) {
            continue;
        }
        let page = address - address % PAGE_LEN.load(Ordering::Relaxed).max(1);
        // SAFETY: replaces pages of a mapping that its owner keeps until after the access that brought us here, and
        // that nobody writes to. `mmap` is a bare system call.
        let replaced = unsafe {
            libc::mmap(
                page as *mut libc::c_void,
                start + len - page,
                libc::PROT_READ,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                -1,
                0,
            )
        };
        if replaced != libc::MAP_FAILED {
            slot.lost.store(true, Ordering::Relaxed);
            return;
        }
    }
    // Not ours: the access is repeated when this returns, and whoever was there before is told.
    // SAFETY: `sigaction` may be called in a handler. Without what was there before (the handler came between its
    // installation and the note of it), the default ends the process as the signal would have.
    unsafe {
        match BEFORE.get() {
            Some(before) => libc::sigaction(libc::SIGBUS, before, std::ptr::null_mut()),
            None => libc::sigaction(libc::SIGBUS, &std::mem::zeroed(), std::ptr::null_mut()),
        };
    }
}
