//! Packets that a report shows, and how they differ from their supposed sender's.

use daylight_capture::PcapWriter;
use daylight_incident::packets::{Capture, read};
use daylight_packet::LinkType;

const CLIENT: [u8; 4] = [192, 0, 2, 10];
const SERVER: [u8; 4] = [203, 0, 113, 80];

/// An IPv4 packet with a TCP segment.
fn packet(
    from: [u8; 4],
    to: [u8; 4],
    ttl: u8,
    id: u16,
    ports: (u16, u16),
    flags: u8,
    data: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![0x45, 0];
    bytes.extend((40 + data.len() as u16).to_be_bytes());
    bytes.extend(id.to_be_bytes());
    bytes.extend([0x40, 0, ttl, 6, 0, 0]);
    bytes.extend(from);
    bytes.extend(to);
    bytes.extend(ports.0.to_be_bytes());
    bytes.extend(ports.1.to_be_bytes());
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0x01, 0xf6, 0, 0, 0, 0]);
    bytes.extend(data);
    bytes
}

fn capture(packets: &[Vec<u8>]) -> Capture {
    let mut writer = PcapWriter::new(Vec::new(), LinkType::RAW, 65535).unwrap();
    for packet in packets {
        writer.write(1_596_931_200_000_000_000, packet.len() as u32, packet).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pcap");
    std::fs::write(&path, writer.into_inner()).unwrap();
    read(&path, "a.pcap").unwrap()
}

#[test]
fn a_reset_from_elsewhere_shows_its_ttl_and_its_identification() {
    let found = capture(&[
        packet(CLIENT, SERVER, 64, 7, (51234, 443), 0x02, &[]),
        packet(SERVER, CLIENT, 49, 0x9001, (443, 51234), 0x12, &[]),
        packet(SERVER, CLIENT, 61, 0x3412, (443, 51234), 0x14, &[]),
    ]);
    assert_eq!((found.frames, found.shown.len()), (3, 1));
    let shown = &found.shown[0];
    assert_eq!((shown.number, shown.title.as_str()), (3, "TCP 443 → 51234, RST ACK"));
    assert_eq!(
        shown.marks[0],
        "odd, but that may be harmless: a load balancer or firewall of the server's own; another path"
    );
    assert_eq!(shown.marks[1], "ttl-gap: TTL 61, the SYN/ACK's 49");
    assert!(shown.marks[2].starts_with("as ip-id-13330: ") && shown.marks[2].contains("ip-id=0x3412"));
    assert_eq!((shown.marks.len(), shown.hot.as_slice()), (3, &["Time to Live", "Hop Limit"][..]));
    let field = |name: &str| {
        let field = shown.fields.iter().find(|field| field.name == name).unwrap();
        (field.value.clone(), shown.bytes[field.from..field.to].to_vec())
    };
    assert_eq!(field("Time to Live"), ("61".into(), vec![61]));
    assert_eq!(field("Identification"), ("0x3412".into(), vec![0x34, 0x12]));
    assert_eq!(field("Control Bits"), ("RST ACK".into(), vec![0x14]));
    assert_eq!(field("Window"), ("502".into(), vec![0x01, 0xf6]));
}

#[test]
fn a_page_from_elsewhere_is_shown_and_what_is_the_servers_is_not() {
    let found = capture(&[
        packet(CLIENT, SERVER, 64, 7, (51234, 80), 0x02, &[]),
        packet(SERVER, CLIENT, 49, 1000, (80, 51234), 0x12, &[]),
        packet(SERVER, CLIENT, 49, 1001, (80, 51234), 0x19, b"HTTP/1.1 302 Found\r\n\r\n"),
        packet(CLIENT, SERVER, 64, 8, (51235, 80), 0x02, &[]),
        packet(SERVER, CLIENT, 49, 1002, (80, 51235), 0x12, &[]),
        packet(SERVER, CLIENT, 200, 1003, (80, 51235), 0x19, b"HTTP/1.1 302 Found\r\n\r\n"),
    ]);
    assert_eq!(found.shown.iter().map(|shown| shown.number).collect::<Vec<_>>(), [6]);
}

#[test]
fn what_is_no_capture_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pcap");
    std::fs::write(&path, "hello").unwrap();
    assert!(read(&path, "a.pcap").unwrap_err().contains("text file"));
}
