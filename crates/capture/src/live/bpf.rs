//! Classic BPF: programs that say which packets are wanted, and an interpreter for where the kernel does not run them.

/// One instruction, `struct sock_filter` of `linux/filter.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Instruction {
    /// What to do.
    pub(crate) code: u16,
    /// How many instructions to pass over if a comparison holds …
    pub(crate) jt: u8,
    /// … and if it does not.
    pub(crate) jf: u8,
    /// The constant.
    pub(crate) k: u32,
}

/// Where a frame's EtherType lies, and how the kernel calls it.
const ETHER_TYPE_AT: i64 = 12;
const ETHER_TYPE_NOTE: i64 = -0x1000;
/// What the kernel counts network headers from.
const NETWORK_HEADER: i64 = 0x10_0000;

/// Runs a program over an Ethernet frame, as the kernel does: what it returns is how many bytes of the frame are wanted, 0
/// for none. A load from beyond the frame's end gives 0.
///
/// Programs end: jumps lead forward only, and one that has no more instructions returns 0.
pub(super) fn run(program: &[Instruction], frame: &[u8]) -> u32 {
    let (mut a, mut x, mut memory) = (0u32, 0u32, [0u32; 16]);
    let mut at = 0;
    while let Some(i) = program.get(at) {
        at += 1;
        let k = i.k;
        let operand = if i.code & 0x08 == 0 { k } else { x };
        let load = |offset: u32, width: usize| -> Option<u32> {
            // Offsets far below zero are the kernel's own: of the EtherType, and from the network header on.
            let place = match i64::from(offset as i32) {
                ETHER_TYPE_NOTE => ETHER_TYPE_AT,
                place if place < ETHER_TYPE_NOTE => place + NETWORK_HEADER + ETHER_TYPE_AT + 2,
                place => place,
            };
            let place = usize::try_from(place).ok()?;
            let value = frame.get(place..place.checked_add(width)?)?;
            Some(value.iter().fold(0, |n, byte| n << 8 | u32::from(*byte)))
        };
        match i.code & 7 {
            // Loads.
            0 | 1 if matches!(i.code & 0xe0, 0x20 | 0x40 | 0xa0) => {
                let width = match i.code & 0x18 {
                    0x00 => 4,
                    0x08 => 2,
                    _ => 1,
                };
                let offset = if i.code & 0xe0 == 0x40 { k.wrapping_add(x) } else { k };
                let Some(value) = load(offset, width) else { return 0 };
                match i.code {
                    0xb1 => x = (value & 15) * 4,
                    code if code & 7 == 0 => a = value,
                    _ => x = value,
                }
            }
            class @ (0 | 1) => {
                let value = match i.code & 0xe0 {
                    0x00 => k,
                    0x60 => memory[k as usize & 15],
                    0x80 => frame.len() as u32,
                    _ => return 0,
                };
                if class == 0 { a = value } else { x = value }
            }
            2 => memory[k as usize & 15] = a,
            3 => memory[k as usize & 15] = x,
            4 => {
                a = match i.code & 0xf0 {
                    0x00 => a.wrapping_add(operand),
                    0x10 => a.wrapping_sub(operand),
                    0x20 => a.wrapping_mul(operand),
                    0x30 if operand != 0 => a / operand,
                    0x40 => a | operand,
                    0x50 => a & operand,
                    0x60 => a.checked_shl(operand).unwrap_or(0),
                    0x70 => a.checked_shr(operand).unwrap_or(0),
                    0x80 => a.wrapping_neg(),
                    0x90 if operand != 0 => a % operand,
                    0xa0 => a ^ operand,
                    _ => return 0,
                };
            }
            5 => {
                let holds = match i.code & 0xf0 {
                    0x00 => {
                        at = at.saturating_add(k as usize);
                        continue;
                    }
                    0x10 => a == operand,
                    0x20 => a > operand,
                    0x30 => a >= operand,
                    0x40 => a & operand != 0,
                    _ => return 0,
                };
                at += usize::from(if holds { i.jt } else { i.jf });
            }
            6 => {
                return match i.code & 0x18 {
                    0x00 => k,
                    0x10 => a,
                    _ => x,
                };
            }
            _ => match i.code & 0xf8 {
                0x00 => x = a,
                _ => a = x,
            },
        }
    }
    0
}
