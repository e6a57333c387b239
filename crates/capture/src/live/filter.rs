//! Filter expressions, in the language of pcap-filter(7).
//!
//! They are compiled by libpcap itself, so that an expression means here what it means to tcpdump. The library is loaded when
//! there is an expression to compile: who has none needs no libpcap.
#![allow(unsafe_code)] // calls of libpcap

use std::ffi::{CStr, CString, c_char, c_int, c_void};

use daylight_packet::LinkType;
use libloading::{Library, Symbol};

use super::LiveError;
use super::bpf::Instruction;

/// An expression, such as `tcp port 443 and not host 192.0.2.1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    expression: String,
}

/// `struct bpf_program` of `pcap/bpf.h`.
#[repr(C)]
struct Program {
    len: u32,
    instructions: *mut Instruction,
}

/// By its name of the binary interface, which has not changed since 1999.
const LIBPCAP: &str = "libpcap.so.0.8";
const LIBPCAP_ELSEWHERE: &str = "libpcap.so.1";
/// Addresses are not resolved while compiling: there is no netmask to ask for (`PCAP_NETMASK_UNKNOWN`).
const NETMASK_UNKNOWN: u32 = u32::MAX;

impl Filter {
    /// An expression, tried out.
    ///
    /// # Errors
    /// If it can't be read, or libpcap can't be loaded.
    pub fn new(expression: &str) -> Result<Self, LiveError> {
        let this = Self { expression: expression.to_owned() };
        this.compile(LinkType::ETHERNET, u32::MAX)?;
        Ok(this)
    }

    /// The program for frames of this kind. It says how many bytes of a frame are wanted: at most `snap_len`.
    ///
    /// # Errors
    /// As [`Filter::new`]: an expression may ask for what frames of this kind don't have.
    pub(super) fn compile(&self, link: LinkType, snap_len: u32) -> Result<Vec<Instruction>, LiveError> {
        let refused = |message: String| LiveError::Filter { expression: self.expression.clone(), message };
        let expression =
            CString::new(self.expression.as_str()).map_err(|_| refused("it has a NUL in it".into()))?;
        let missing = |error: libloading::Error| LiveError::NoLibpcap(error.to_string());
        // SAFETY: loading libpcap runs no initialisers that do anything.
        let library = unsafe { Library::new(LIBPCAP).or_else(|_| Library::new(LIBPCAP_ELSEWHERE)) };
        let library = library.map_err(missing)?;
        // SAFETY: the signatures are those of pcap/pcap.h, in which pcap_t is opaque.
        let (open_dead, compile, error, free, close) = unsafe {
            let open_dead: Symbol<'_, unsafe extern "C" fn(c_int, c_int) -> *mut c_void> =
                library.get(b"pcap_open_dead").map_err(missing)?;
            let compile: Symbol<
                '_,
                unsafe extern "C" fn(*mut c_void, *mut Program, *const c_char, c_int, u32) -> c_int,
            > = library.get(b"pcap_compile").map_err(missing)?;
            let error: Symbol<'_, unsafe extern "C" fn(*mut c_void) -> *const c_char> =
                library.get(b"pcap_geterr").map_err(missing)?;
            let free: Symbol<'_, unsafe extern "C" fn(*mut Program)> =
                library.get(b"pcap_freecode").map_err(missing)?;
            let close: Symbol<'_, unsafe extern "C" fn(*mut c_void)> =
                library.get(b"pcap_close").map_err(missing)?;
            (open_dead, compile, error, free, close)
        };
        // libpcap's own name for packets that begin with the IP header.
        let link = if link == LinkType::RAW { 12 } else { c_int::from(link.0) };
        let snap_len = c_int::try_from(snap_len).unwrap_or(262_144);
        // SAFETY: no pointers; what it returns is checked.
        let pcap = unsafe { open_dead(link, snap_len) };
        if pcap.is_null() {
            return Err(refused("libpcap has no memory for it".into()));
        }
        let mut program = Program { len: 0, instructions: std::ptr::null_mut() };
        // SAFETY: `pcap` is open, `program` is a structure that the call fills in, and the expression ends with NUL.
        let compiled = unsafe { compile(pcap, &raw mut program, expression.as_ptr(), 1, NETMASK_UNKNOWN) };
        let result = if compiled == 0 && !program.instructions.is_null() {
            // SAFETY: the call has set `program` to so many instructions, which are ours until they are freed below.
            let instructions =
                unsafe { std::slice::from_raw_parts(program.instructions, program.len as usize).to_vec() };
            // SAFETY: as filled in by `compile`, and not used after this.
            unsafe { free(&raw mut program) };
            Ok(instructions)
        } else {
            // SAFETY: the message belongs to `pcap`, which is open, and ends with NUL; it is copied.
            let message = unsafe { CStr::from_ptr(error(pcap)) };
            Err(refused(message.to_string_lossy().into_owned()))
        };
        // SAFETY: opened above, and not used after this.
        unsafe { close(pcap) };
        result
    }

    /// True if the expression asks for VLAN tags (or for Ethernet's own bytes): the kernel takes a tag off before its filters
    /// see the frame, and an expression for whole frames would find none.
    pub(super) fn asks_for_tags(&self) -> bool {
        let words = self.expression.split(|c: char| !c.is_ascii_alphanumeric());
        words.into_iter().any(|word| matches!(word, "vlan" | "ether" | "link" | "mpls" | "pppoes"))
    }
}
