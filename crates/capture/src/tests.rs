//! Captures of every kind, whole, cut and damaged.

use std::io::Write;

use daylight_packet::{Frame, FrameSource, LinkType, SourceEnd};
use proptest::prelude::*;

use super::*;

/// A packet as a test knows it.
#[derive(Clone, Debug, PartialEq)]
struct Got {
    ts_ns: i64,
    wire_len: u32,
    link: u16,
    bytes: Vec<u8>,
}

fn got(ts_ns: i64, wire_len: u32, link: u16, bytes: &[u8]) -> Got {
    Got { ts_ns, wire_len, link, bytes: bytes.to_vec() }
}

/// All packets of a source, in batches of `frames_max`.
fn drain(mut source: Box<dyn FrameSource>, frames_max: usize) -> (Vec<Got>, SourceEnd) {
    let mut all = Vec::new();
    while let Some(batch) = source.next_batch(frames_max).unwrap() {
        assert!(!batch.frames.is_empty() && batch.frames.len() <= frames_max);
        for frame in &batch.frames {
            let bytes = batch.frame_bytes(frame);
            assert_eq!(bytes.len(), frame.cap_len as usize);
            all.push(got(frame.ts_ns, frame.wire_len, frame.link.0, bytes));
        }
    }
    assert!(source.next_batch(frames_max).unwrap().is_none());
    (all, source.end())
}

fn read(bytes: &[u8]) -> (Vec<Got>, SourceEnd) {
    drain(open_bytes(bytes.to_vec()).unwrap(), 1000)
}

#[track_caller]
fn reads_as(bytes: &[u8], expected: &[Got]) {
    let (packets, end) = read(bytes);
    assert_eq!((&packets[..], end), (expected, SourceEnd::Complete));
}

/// Numbers in one of the byte orders.
#[derive(Clone, Copy)]
enum Order {
    Big,
    Little,
}

impl Order {
    fn u16(self, value: u16) -> [u8; 2] {
        match self {
            Self::Big => value.to_be_bytes(),
            Self::Little => value.to_le_bytes(),
        }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Big => value.to_be_bytes(),
            Self::Little => value.to_le_bytes(),
        }
    }

    fn u32s(self, values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|value| self.u32(*value)).collect()
    }

    fn pcap(self, magic: u32, snap_len: u32, link: u32) -> Vec<u8> {
        let version = [self.u16(2), self.u16(4)].concat();
        [self.u32(magic).to_vec(), version, self.u32s(&[0, 0, snap_len, link])].concat()
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let len = self.u32(body.len() as u32 + 12);
        [&self.u32(kind)[..], &len, &body, &len].concat()
    }

    fn section(self) -> Vec<u8> {
        let body = [&self.u32(0x1a2b_3c4d)[..], &self.u16(1), &self.u16(0), &[0xff; 8]].concat();
        self.block(0x0a0d_0d0a, &body)
    }

    fn interface(self, link: u16, snap_len: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = [&self.u16(link)[..], &[0, 0], &self.u32(snap_len)].concat();
        for (code, value) in options {
            body.extend(self.u16(*code));
            body.extend(self.u16(value.len() as u16));
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        self.block(1, &body)
    }

    fn enhanced(self, interface: u32, ts: u64, wire_len: u32, bytes: &[u8]) -> Vec<u8> {
        let numbers = self.u32s(&[interface, (ts >> 32) as u32, ts as u32, bytes.len() as u32, wire_len]);
        self.block(6, &[numbers, bytes.to_vec()].concat())
    }
}

#[test]
fn pcap_in_every_variant() {
    for order in [Order::Big, Order::Little] {
        for (magic, ts_ns) in [(0xa1b2_c3d4, 7_000_005_000), (0xa1b2_3c4d, 7_000_000_005)] {
            let mut file = order.pcap(magic, 65535, 1);
            file.extend(order.u32s(&[7, 5, 3, 60]));
            file.extend(b"abc");
            reads_as(&file, &[got(ts_ns, 60, 1, b"abc")]);
        }
        let mut file = order.pcap(0xa1b2_cd34, 65535, 113);
        file.extend(order.u32s(&[7, 5, 3, 3, 1, 0x0800_0000]));
        file.extend(b"abc");
        reads_as(&file, &[got(7_000_005_000, 3, 113, b"abc")]);
    }
}

#[test]
fn pcap_before_version_2_4() {
    for (minor, lengths) in [(2, [60, 3]), (3, [60, 3]), (3, [3, 60])] {
        let mut file = Order::Little.pcap(0xa1b2_c3d4, 65535, 1);
        file[6] = minor;
        file.extend(Order::Little.u32s(&[7, 5, lengths[0], lengths[1]]));
        file.extend(b"abc");
        reads_as(&file, &[got(7_000_005_000, 60, 1, b"abc")]);
    }
}

#[test]
fn pcap_with_odd_numbers() {
    let order = Order::Little;
    // A frame check sequence's length above the link type; a snap length that is wrong; a length on the wire below
    // what was captured; microseconds beyond a second.
    let mut file = order.pcap(0xa1b2_c3d4, 2, 0x1400_0001);
    file.extend(order.u32s(&[1, 2_000_000, 5, 0]));
    file.extend(b"abcde");
    reads_as(&file, &[got(3_000_000_000, 5, 1, b"abcde")]);
    // A length beyond all reason.
    let first = file.len() as u64;
    file.extend(order.u32s(&[1, 0, 0x4000_0000, 5]));
    let (packets, end) = read(&file);
    assert_eq!(packets.len(), 1);
    assert_eq!(end, SourceEnd::Damaged { offset: first, reason: "packet record of 1073741824 bytes".into() });
}

#[test]
fn pcapng_blocks() {
    for order in [Order::Big, Order::Little] {
        let ts = 0x0000_0006_0000_0001_u64;
        let mut file = order.section();
        file.extend(order.interface(1, 4, &[]));
        file.extend(order.interface(101, 0, &[(9, &[9]), (0, &[])]));
        let offset = match order {
            Order::Big => 100_i64.to_be_bytes(),
            Order::Little => 100_i64.to_le_bytes(),
        };
        file.extend(order.interface(113, 0, &[(2, b"eth0"), (9, &[0x80 | 10]), (14, &offset)]));
        // Names, secrets, statistics, a custom block and one that nobody knows.
        for kind in [4, 10, 5, 0x0bad, 0x7777] {
            file.extend(order.block(kind, b"whatever"));
        }
        file.extend(order.enhanced(0, ts, 60, b"abc"));
        file.extend(order.enhanced(1, ts, 60, b"defg"));
        file.extend(order.enhanced(2, 1536, 5, b"hijkl"));
        let simple = [&order.u32(60)[..], b"mnop"].concat();
        file.extend(order.block(3, &simple));
        let obsolete = [&order.u16(1)[..], &order.u16(9), &order.u32s(&[0, 77, 1, 1]), b"q"].concat();
        file.extend(order.block(2, &obsolete));
        let expected = [
            got(ts as i64 * 1000, 60, 1, b"abc"),
            got(ts as i64, 60, 101, b"defg"),
            got(101_500_000_000, 5, 113, b"hijkl"),
            got(101_500_000_000, 60, 1, b"mnop"),
            got(77, 1, 101, b"q"),
        ];
        reads_as(&file, &expected);
    }
}

#[test]
fn pcapng_sections_differ_in_byte_order_and_interfaces() {
    let mut file = Order::Little.section();
    file.extend(Order::Little.interface(1, 0, &[]));
    file.extend(Order::Little.enhanced(0, 1, 1, b"a"));
    file.extend(Order::Big.section());
    file.extend(Order::Big.interface(101, 0, &[(9, &[3])]));
    file.extend(Order::Big.enhanced(0, 2, 1, b"b"));
    reads_as(&file, &[got(1000, 1, 1, b"a"), got(2_000_000, 1, 101, b"b")]);
    // The first section's interface is not the second's.
    file.extend(Order::Little.section());
    let place = file.len() as u64;
    file.extend(Order::Little.enhanced(0, 2, 1, b"c"));
    let (packets, end) = read(&file);
    assert_eq!(packets.len(), 2);
    let reason = "packet of interface 0, of which there are 0".into();
    assert_eq!(end, SourceEnd::Damaged { offset: place, reason });
}

#[test]
fn pcapng_damage_is_said() {
    let order = Order::Little;
    let start = [order.section(), order.interface(1, 0, &[])].concat();
    let too_long = {
        let mut block = order.enhanced(0, 1, 1, b"abcd");
        block[20] = 200;
        block
    };
    let other_end = {
        let mut block = order.enhanced(0, 1, 1, b"abcd");
        let last = block.len() - 4;
        block[last] = 0;
        block
    };
    let version = {
        let mut section = order.section();
        section[12] = 2;
        section
    };
    for (bytes, reason) in [
        (too_long, "packet of 200 bytes in a block of 36"),
        (other_end, "block of 36 bytes whose end gives another length"),
        (order.u32s(&[6, 8, 8]), "block of 8 bytes"),
        (order.u32s(&[6, 0x7fff_fff0, 8]), "block of 2147483632 bytes"),
        (order.block(6, &[0; 16]), "packet block that is too short"),
        (order.block(1, &[0; 4]), "interface description that is too short"),
        (version, "section of pcapng version 2, only 1 is known"),
        (
            [[0x0a, 0x0d, 0x0d, 0x0a].as_slice(), &[9; 30]].concat(),
            "section header without a byte-order magic",
        ),
        (order.enhanced(0, 1, 1, b"abcd")[..20].to_vec(), "block cut short: 20 of 36 bytes"),
    ] {
        let (packets, end) = read(&[start.clone(), bytes].concat());
        let offset = start.len() as u64;
        assert_eq!((packets.len(), end), (0, SourceEnd::Damaged { offset, reason: reason.into() }));
    }
}

/// A small capture in both formats, and its packets.
fn small(packets: usize) -> (Vec<Got>, [Vec<u8>; 2]) {
    let mut pcap = PcapWriter::new(Vec::new(), LinkType::ETHERNET, 65535).unwrap();
    let mut pcapng = PcapngWriter::new(Vec::new(), "test", Some("a test")).unwrap();
    let interface = pcapng.interface(LinkType::ETHERNET, 0, Some("eth0")).unwrap();
    let mut expected = Vec::new();
    for index in 0..packets {
        let bytes: Vec<u8> =
            (0..index * 7 % 1400).map(|at| (((at * at * 31) >> 3) ^ (index * 77)) as u8).collect();
        let ts_ns = 1_700_000_000_000_000_000 + index as i64;
        let wire_len = bytes.len() as u32 + index as u32 % 3;
        pcap.write(ts_ns, wire_len, &bytes).unwrap();
        let comment = (index % 5 == 0).then_some("odd one");
        pcapng.write(interface, ts_ns, wire_len, &bytes, comment).unwrap();
        expected.push(got(ts_ns, wire_len, 1, &bytes));
    }
    (expected, [pcap.into_inner(), pcapng.into_inner()])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

#[test]
fn cut_anywhere_gives_the_packets_before() {
    let (expected, files) = small(12);
    for file in &files {
        for len in 0..file.len() {
            let Ok(source) = open_bytes(file[..len].to_vec()) else {
                assert!(len < 24);
                continue;
            };
            let (packets, end) = drain(source, 1000);
            assert_eq!(packets, expected[..packets.len()]);
            // What is missing is always said, unless the cut is between two packets or blocks.
            if end == SourceEnd::Complete {
                let (next, end) = read(&file[..len + 1]);
                assert_eq!(next, packets);
                assert!(
                    matches!(end, SourceEnd::Damaged { offset, .. } if offset == len as u64),
                    "{len}: {end:?}"
                );
            }
        }
        let (_, end) = read(&file[..file.len() - 1]);
        assert!(matches!(end, SourceEnd::Damaged { .. }), "{end:?}");
    }
    // The same, compressed: never more than there is, and the damage said.
    for compressed in [gzip(&files[0]), zstd(&files[0])] {
        for len in 0..compressed.len() {
            if let Ok(source) = open_bytes(compressed[..len].to_vec()) {
                let (packets, end) = drain(source, 1000);
                assert_eq!(packets, expected[..packets.len()]);
                assert!(matches!(end, SourceEnd::Damaged { .. }), "{len}: {end:?}");
            }
        }
    }
}

#[test]
fn compressed_with_concatenated_members() {
    let (expected, files) = small(200);
    for file in &files {
        let (first, second) = file.split_at(file.len() / 3);
        for compressed in [
            gzip(file),
            zstd(file),
            [gzip(first), gzip(second)].concat(),
            [zstd(first), zstd(second)].concat(),
        ] {
            reads_as(&compressed, &expected);
        }
        // A skippable frame first.
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &zstd(file)].concat();
        reads_as(&skippable, &expected);
    }
    let mut damaged = gzip(&files[0]);
    let middle = damaged.len() / 2;
    damaged[middle..middle + 20].fill(0xff);
    let (packets, end) = read(&damaged);
    assert!(matches!(end, SourceEnd::Damaged { .. }), "{end:?}");
    assert!(packets.len() > 100 && packets[..100] == expected[..100], "{}", packets.len());
}

/// With packets across the ends of windows.
#[test]
fn plain_and_compressed_agree() {
    let mut writer = PcapWriter::new(Vec::new(), LinkType::RAW, 65535).unwrap();
    let mut expected = Vec::new();
    for index in 0..5_000_u32 {
        let len = if index % 700 == 650 { 200_000 } else { 1 + index as usize * 37 % 3000 };
        let bytes: Vec<u8> = (0..len).map(|at| (at as u32 ^ index) as u8).collect();
        writer.write(i64::from(index), len as u32, &bytes).unwrap();
        expected.push(got(i64::from(index), len as u32, LinkType::RAW.0, &bytes));
    }
    let bytes = writer.into_inner();
    assert!(bytes.len() > 8 << 20);
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in [("plain", bytes.clone()), ("gz", gzip(&bytes)), ("zst", zstd(&bytes))] {
        let path = directory.path().join(name);
        std::fs::write(&path, &content).unwrap();
        for frames_max in [7, 1 << 20] {
            let (packets, end) = drain(open(&path).unwrap(), frames_max);
            assert_eq!(end, SourceEnd::Complete);
            assert!(packets == expected, "{name} {frames_max}");
        }
    }
    // Cut in the middle of a packet: what is before is there.
    let path = directory.path().join("cut");
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let (packets, end) = drain(open(&path).unwrap(), 4096);
    assert!(packets == expected[..4999]);
    let SourceEnd::Damaged { offset, reason } = end else { panic!("{end:?}") };
    let last = expected[4999].bytes.len();
    assert_eq!(offset, (bytes.len() - last - 16) as u64);
    assert_eq!(reason, format!("packet record cut short: {} of {} bytes", last + 15, last + 16));
}

/// A reader that gives a few bytes at a time: batches must not depend on it.
struct Dripping(std::io::Cursor<Vec<u8>>, usize);

impl std::io::Read for Dripping {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.1 = self.1 * 31 % 1009 + 1;
        let len = buffer.len().min(self.1);
        std::io::Read::read(&mut self.0, &mut buffer[..len])
    }
}

/// A capture of at least `len` bytes, in packets of odd lengths.
fn large(len: usize) -> Vec<u8> {
    let mut file = Order::Little.pcap(0xa1b2_c3d4, 65_535, 1);
    for number in 0_u32.. {
        if file.len() >= len {
            break;
        }
        let cap_len = number % 1499 + 1;
        file.extend(Order::Little.u32s(&[number / 1000, number % 1000, cap_len, cap_len]));
        file.extend((0..cap_len).map(|at| (at ^ number) as u8));
    }
    file
}

#[test]
fn mapped_and_read_agree() {
    let path = tempfile::NamedTempFile::new().unwrap();
    // Also a file that ends exactly where a region would begin, in the middle of a packet.
    let bytes = large(21 << 20);
    for len in [bytes.len(), bytes.len() - 100, 20 << 20] {
        std::fs::write(path.path(), &bytes[..len]).unwrap();
        let (mapped, mapped_end) = drain(open(path.path()).unwrap(), 1000);
        let (read, read_end) = read(&bytes[..len]);
        assert!(mapped == read && mapped.len() > 20_000);
        assert_eq!(mapped_end, read_end);
    }
}

/// A file that is cut while it is being read ends as damaged, and the process lives on.
#[test]
fn a_file_that_shrinks() {
    for keep in [0, 3 << 20, 12 << 20] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), large(20 << 20)).unwrap();
        let mut source = open(file.path()).unwrap();
        let before = source.next_batch(1000).unwrap().unwrap();
        file.as_file().set_len(keep).unwrap();
        let (_, end) = drain(source, 1000);
        let SourceEnd::Damaged { offset, reason } = end else { panic!("{keep}: {end:?}") };
        assert!(reason.contains("cut short") && offset <= keep.max(2 << 20), "{keep}: {offset} {reason}");
        // What was handed out can still be looked at.
        assert_eq!(before.frame_bytes(&before.frames[999]).len(), 1000);
    }
}

#[test]
fn batches_depend_on_the_bytes_only() {
    let (_, files) = small(3000);
    for file in files {
        let batches = |mut source: Box<dyn FrameSource>| {
            let mut all: Vec<Vec<Frame>> = Vec::new();
            while let Some(batch) = source.next_batch(256).unwrap() {
                all.push(batch.frames);
            }
            all
        };
        let dripping = Dripping(std::io::Cursor::new(file.clone()), 1);
        let dripped = batches(open_reader("dripping", dripping, None).unwrap());
        assert_eq!(dripped, batches(open_bytes(file).unwrap()));
        assert!(dripped.len() > 10);
    }
}

#[test]
fn batches_outlive_the_source_and_memory_is_used_again() {
    let (expected, [file, _]) = small(3000);
    let mut source = open_bytes(file).unwrap();
    let first = source.next_batch(100).unwrap().unwrap();
    while source.next_batch(100).unwrap().is_some() {}
    drop(source);
    for (frame, expected) in first.frames.iter().zip(&expected) {
        assert_eq!(first.frame_bytes(frame), expected.bytes);
    }
}

#[test]
fn what_is_no_capture_is_described() {
    let message = |bytes: &[u8]| match open_bytes(bytes.to_vec()) {
        Ok(_) => panic!("opened"),
        Err(error) => error.message,
    };
    assert_eq!(message(b""), "the input is empty");
    assert_eq!(
        message(b"hello, I am not a capture"),
        "the input is a text file; daylight reads pcap and pcapng, also under gzip and zstd"
    );
    assert!(message(&[0x0f, 0x10, 0, 1, 2, 3, 4, 5, 6]).contains("it begins with 0f 10 00 01 02 03 04 05"));
    assert!(message(b"BZh91AY&SY").contains("bzip2 -dc"));
    assert!(message(&[0xfd, b'7', b'z', b'X', b'Z', 0]).contains("xz -dc"));
    assert!(message(&gzip(&gzip(b"x"))).contains("gzip twice"));
    assert!(message(&gzip(b"some text")).contains("text file"));
    assert!(message(&gzip(b"some text")[..9]).contains("compressed data is damaged"));
    assert!(message(&Order::Big.pcap(0xa1b2_c3d4, 0, 1)[..20]).contains("ends within the capture's header"));
    let mut other_version = Order::Big.pcap(0xa1b2_c3d4, 0, 1);
    other_version[5] = 3;
    assert!(message(&other_version).contains("version"));

    let directory = tempfile::tempdir().unwrap();
    let open_error = |path: &std::path::Path| open(path).err().unwrap();
    let missing = open_error(&directory.path().join("missing.pcap"));
    assert!(missing.message.ends_with("missing.pcap: no such file") && missing.cause.is_some());
    assert!(open_error(directory.path()).message.contains("is a directory"));
    let empty = directory.path().join("empty.pcap");
    std::fs::write(&empty, b"").unwrap();
    assert!(open_error(&empty).message.ends_with("empty.pcap is empty"));
}

#[test]
fn an_empty_capture_is_complete() {
    let (_, files) = small(0);
    for file in files {
        reads_as(&file, &[]);
    }
}

#[test]
fn progress_reaches_the_end() {
    let (_, [file, _]) = small(100);
    let len = file.len() as u64;
    let mut source = open_bytes(file).unwrap();
    while source.next_batch(10).unwrap().is_some() {}
    assert_eq!(source.progress(), (len, Some(len)));
}

#[test]
fn writers_refuse_what_cannot_be_written() {
    let mut pcap = PcapWriter::new(Vec::new(), LinkType::RAW, 0).unwrap();
    assert!(pcap.write(-1, 1, b"a").is_err());
    assert!(pcap.write(i64::MAX, 1, b"a").is_err());
    let mut pcapng = PcapngWriter::new(Vec::new(), "test", None).unwrap();
    assert!(pcapng.write(0, 1, 1, b"a", None).is_err());
    let interface = pcapng.interface(LinkType::RAW, 0, None).unwrap();
    assert!(pcapng.write(interface, -1, 1, b"a", None).is_err());
    assert!(pcapng.write(interface, 1, 1, b"a", Some(&"x".repeat(70_000))).is_err());
    pcapng.write(interface, 1, 1, b"a", Some("kept")).unwrap();
    reads_as(&pcapng.into_inner(), &[got(1, 1, 12, b"a").with_link(LinkType::RAW)]);
}

impl Got {
    fn with_link(mut self, link: LinkType) -> Self {
        self.link = link.0;
        self
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        packets in prop::collection::vec(
            (0_i64..4_294_967_295_000_000_000, 0_u32..2000, prop::collection::vec(any::<u8>(), 0..300)), 0..20),
        link in any::<u16>(),
        snap_len in any::<u32>(),
        frames_max in 1_usize..30,
    ) {
        let mut pcap = PcapWriter::new(Vec::new(), LinkType(link), snap_len).unwrap();
        let mut pcapng = PcapngWriter::new(Vec::new(), "test", None).unwrap();
        let interface = pcapng.interface(LinkType(link), snap_len, Some("x")).unwrap();
        let mut expected = Vec::new();
        for (ts_ns, more, bytes) in &packets {
            let wire_len = bytes.len() as u32 + more;
            pcap.write(*ts_ns, wire_len, bytes).unwrap();
            pcapng.write(interface, *ts_ns, wire_len, bytes, (more % 2 == 0).then_some("even")).unwrap();
            expected.push(got(*ts_ns, wire_len, link, bytes));
        }
        for file in [pcap.into_inner(), pcapng.into_inner()] {
            let (packets, end) = drain(open_bytes(file).unwrap(), frames_max);
            prop_assert_eq!(end, SourceEnd::Complete);
            prop_assert_eq!(&packets, &expected);
        }
    }

    /// Whatever the bytes, frames lie within them, and the walk ends.
    #[test]
    fn damaged_files(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        which in 0_usize..2,
        compress in 0_usize..3,
    ) {
        let (_, files) = small(20);
        let mut file = match compress {
            0 => files[which].clone(),
            1 => gzip(&files[which]),
            _ => zstd(&files[which]),
        };
        for (index, value) in damage {
            let index = index.index(file.len());
            file[index] = value;
        }
        if let Ok(source) = open_bytes(file) {
            drain(source, 7);
        }
    }

    #[test]
    fn any_bytes_as_a_format(start in 0_usize..2, rest in prop::collection::vec(any::<u8>(), 0..200)) {
        let (_, files) = small(0);
        let bytes = [&files[start][..], &rest].concat();
        let (mut format, at) = Format::detect(&bytes).unwrap();
        let mut frames = Vec::new();
        let walked = format.walk(&bytes, at, &mut frames, usize::MAX);
        prop_assert!(walked.at <= bytes.len());
        for frame in frames {
            prop_assert!(frame.offset as usize + frame.cap_len as usize <= bytes.len());
            prop_assert!(frame.wire_len >= frame.cap_len);
        }
    }
}
