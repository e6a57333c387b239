//! The rule of [`Spread`] as a program for the kernel.

use daylight_packet::Spread;

use super::bpf::Instruction;

/// Offsets from here on count from the network header, wherever the link header lies.
const NET: u32 = 0u32.wrapping_sub(0x10_0000);
/// The packet's EtherType, from the kernel's own notes.
const ETHER_TYPE: u32 = 0u32.wrapping_sub(0x1000);

const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const LOAD_WORD_FROM_X: u16 = 0x40;
const LOAD_NUMBER: u16 = 0x00;
const LOAD_X_FROM_MEMORY: u16 = 0x61;
const STORE: u16 = 0x02;
const COPY_TO_X: u16 = 0x07;
const MULTIPLY: u16 = 0x24;
const AND: u16 = 0x54;
const SHIFT_LEFT: u16 = 0x64;
const SHIFT_RIGHT: u16 = 0x74;
const XOR: u16 = 0xa4;
const XOR_WITH_X: u16 = 0xac;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_ANY_BIT: u16 = 0x45;
const RETURN_NUMBER: u16 = 0x06;
const RETURN: u16 = 0x16;

/// Places in the program's memory.
const SUM: u32 = 0;
const PORTS_AT: u32 = 1;

/// Where a jump leads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    Next,
    V6,
    NotIp,
    Transport,
    Ports,
    NoPorts,
    End,
}

/// An instruction whose jumps are not yet distances.
struct Line {
    code: u16,
    k: u32,
    /// If the comparison holds, and if not.
    to: [Label; 2],
}

#[derive(Default)]
struct Assembler {
    lines: Vec<Line>,
    labels: Vec<(Label, usize)>,
}

impl Assembler {
    fn label(&mut self, label: Label) {
        self.labels.push((label, self.lines.len()));
    }

    fn op(&mut self, code: u16, k: u32) {
        self.lines.push(Line { code, k, to: [Label::Next; 2] });
    }

    fn branch(&mut self, code: u16, k: u32, yes: Label, no: Label) {
        self.lines.push(Line { code, k, to: [yes, no] });
    }

    /// The word at `at` of the network header goes into the sum.
    fn add_word(&mut self, at: u32) {
        self.op(LOAD_WORD, NET.wrapping_add(at));
        self.op(LOAD_X_FROM_MEMORY, SUM);
        self.op(XOR_WITH_X, 0);
        self.op(STORE, SUM);
    }

    fn finish(self) -> Vec<Instruction> {
        let distance = |from: usize, to: Label| {
            let found = self.labels.iter().find(|(label, _)| *label == to);
            found.map_or(0, |(_, at)| at - from - 1)
        };
        let instruction = |(at, line): (usize, &Line)| {
            let [yes, no] = line.to.map(|label| distance(at, label));
            if line.code == JUMP {
                return Instruction { code: JUMP, jt: 0, jf: 0, k: yes as u32 };
            }
            Instruction { code: line.code, jt: yes as u8, jf: no as u8, k: line.k }
        };
        self.lines.iter().enumerate().map(instruction).collect()
    }
}

/// The program. What it returns, modulo the number of sockets, is the number of the socket that a packet goes to.
pub(super) fn program(spread: Spread) -> Vec<Instruction> {
    use Label::{End, Next, NoPorts, NotIp, Ports, Transport, V6};
    let mut a = Assembler::default();
    a.op(LOAD_NUMBER, 0);
    a.op(STORE, SUM);
    a.op(LOAD_HALF, ETHER_TYPE);
    a.branch(JUMP_IF_EQUAL, 0x86dd, V6, Next);
    a.branch(JUMP_IF_EQUAL, 0x0800, Next, NotIp);
    [12, 16].into_iter().for_each(|at| a.add_word(at));
    a.op(LOAD_BYTE, NET);
    a.op(AND, 15);
    a.op(SHIFT_LEFT, 2);
    a.op(STORE, PORTS_AT);
    // Fragments have no ports, or the first one only.
    a.op(LOAD_HALF, NET.wrapping_add(6));
    a.branch(JUMP_IF_ANY_BIT, 0x3fff, NoPorts, Next);
    a.op(LOAD_BYTE, NET.wrapping_add(9));
    a.branch(JUMP, 0, Transport, Next);
    a.label(V6);
    (8..40).step_by(4).for_each(|at| a.add_word(at));
    a.op(LOAD_NUMBER, 40);
    a.op(STORE, PORTS_AT);
    a.op(LOAD_BYTE, NET.wrapping_add(6));
    a.label(Transport);
    for protocol in [6, 17, 132] {
        a.branch(JUMP_IF_EQUAL, protocol, Ports, Next);
    }
    a.branch(JUMP_IF_EQUAL, 136, Ports, NoPorts);
    a.label(Ports);
    a.op(LOAD_X_FROM_MEMORY, PORTS_AT);
    a.op(LOAD_WORD_FROM_X, NET);
    a.op(COPY_TO_X, 0);
    a.op(SHIFT_RIGHT, 16);
    a.op(XOR_WITH_X, 0);
    a.op(AND, 0xffff);
    a.branch(JUMP, 0, End, Next);
    a.label(NoPorts);
    a.op(LOAD_NUMBER, 0);
    a.label(End);
    a.op(LOAD_X_FROM_MEMORY, SUM);
    a.op(XOR_WITH_X, 0);
    a.op(XOR, spread.seed);
    a.op(MULTIPLY, spread.factor);
    a.op(SHIFT_RIGHT, 16);
    a.op(RETURN, 0);
    a.label(NotIp);
    a.op(RETURN_NUMBER, 0);
    a.finish()
}

#[cfg(test)]
mod tests {
    use daylight_packet::{Decoded, Decoder, LinkType};

    use super::*;
    use crate::live::bpf::run;

    /// An IPv4 or IPv6 packet from its IP header on.
    fn packet(v6: bool, transport: u8, ports: [u16; 2], salt: u8, fragment: bool) -> Vec<u8> {
        let mut bytes = if v6 {
            let mut ip = vec![0x60, 0, 0, 0, 0, 28, transport, 64];
            ip.extend((0..32).map(|n| n ^ salt));
            ip
        } else {
            let flags = if fragment { 0x20 } else { 0x40 };
            let ip = vec![0x45, 0, 0, 48, 0, 1, flags, 0, 64, transport, 0, 0, 10, 0, salt, 1, 192, 0, 2, 7];
            ip
        };
        ports.into_iter().for_each(|port| bytes.extend(port.to_be_bytes()));
        let rest: [u8; 24] =
            [0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        if transport == 17 {
            bytes.extend([0, 28, 0, 0]);
            bytes.extend([0; 20]);
        } else {
            bytes.extend(rest);
        }
        bytes
    }

    fn frame(ip: &[u8]) -> Vec<u8> {
        let ether_type = if ip[0] >> 4 == 6 { [0x86, 0xdd] } else { [8, 0] };
        [&[0; 12][..], &ether_type, ip].concat()
    }

    #[test]
    fn the_kernels_program_says_what_the_rule_says() {
        let decoder = Decoder::default();
        let mut tried = 0;
        for random in [3, 0xfedc_ba98_7654_3210] {
            let spread = Spread::new(random);
            let program = program(spread);
            for v6 in [false, true] {
                for transport in [6, 17, 1] {
                    for n in 0..100u16 {
                        let bytes = packet(v6, transport, [1024 + n * 7, 443], n as u8, false);
                        let Decoded::Packet(packet) = decoder.decode(LinkType::RAW, &bytes, 0, 60) else {
                            continue;
                        };
                        let said = run(&program, &frame(&bytes));
                        for workers in [1, 2, 5, 16] {
                            assert_eq!(said as usize % workers, spread.share(&packet.key, workers));
                        }
                        tried += 1;
                    }
                }
            }
            let whole = packet(false, 17, [1, 2], 3, false);
            let fragments = [[1, 2], [3, 4]].map(|ports| packet(false, 17, ports, 3, true));
            let shares = fragments.map(|bytes| run(&program, &frame(&bytes)));
            assert_eq!(shares[0], shares[1], "fragments stay together");
            assert_ne!(shares[0], run(&program, &frame(&whole)));
            assert_eq!(run(&program, &[0; 60]), 0);
        }
        assert!(tried > 900, "{tried}");
    }
}
