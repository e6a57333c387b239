//! The capture beside the measurements.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use daylight_capture::PcapngWriter;
use daylight_packet::{LinkType, SourceEnd, mend, replace_address};

use super::find::Packet;

/// What stands in place of the probe's own addresses: those that documentation uses (RFC 5737, RFC 3849).
fn stand_in(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    }
}

/// A pcapng file that packets are added to; made when there are some. Every run begins a section of its own.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    writer: Option<PcapngWriter<BufWriter<fs::File>>>,
    packets: u64,
}

impl File {
    /// The capture that belongs to a file of measurements: the same name, ending in `.pcapng`.
    #[must_use]
    pub fn beside(measurements: &Path) -> Self {
        let mut path = measurements.with_extension("pcapng");
        if path == measurements {
            // Whoever calls measurements a capture shall have both.
            path = measurements.with_extension("packets.pcapng");
        }
        Self { path, writer: None, packets: 0 }
    }

    /// Where it is, once there are packets.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many packets were added.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Adds packets, and waits until they are on the disk. The probe's own addresses are replaced unless they are to be
    /// kept, and checksums mended.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn add(&mut self, packets: &[Packet], keep_own: bool) -> io::Result<()> {
        if packets.is_empty() {
            return Ok(());
        }
        // A loopback address is everybody's, and a forged answer may hold it.
        let own = packets.iter().map(|packet| packet.own).filter(|own| !own.is_loopback());
        let mut own: Vec<IpAddr> = own.collect();
        own.sort_unstable();
        own.dedup();
        if self.writer.is_none() {
            self.writer = Some(begin(&self.path, keep_own)?);
        }
        let Some(writer) = self.writer.as_mut() else { return Ok(()) };
        for packet in packets {
            let mut bytes = packet.bytes.clone();
            if !keep_own {
                for address in &own {
                    replace_address(&mut bytes, *address, stand_in(*address));
                }
                mend(&packet.bytes, &mut bytes);
            }
            let wire_len = packet.wire_len;
            writer.write(0, packet.ts_ns.max(0), wire_len, &bytes, packet.comment.as_deref())?;
            self.packets += 1;
        }
        writer.flush()?;
        writer.get_ref().get_ref().sync_data()
    }
}

/// Begins a section at the end of the file. What was cut short there, by a power failure or a full disk, is taken off.
fn begin(path: &Path, keep_own: bool) -> io::Result<PcapngWriter<BufWriter<fs::File>>> {
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    if file.metadata()?.len() > 0 {
        let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
        let mut source = daylight_capture::open(path).map_err(|error| invalid(error.message))?;
        while source.next_batch(256).map_err(|error| invalid(error.message))?.is_some() {}
        if let SourceEnd::Damaged { offset, .. } = source.end() {
            file.set_len(offset)?;
        }
    }
    let comment = "connections of the probe in which something was not the server's; \
                   the probe's own addresses were replaced, and checksums mended";
    let comment = (!keep_own).then_some(comment);
    let mut writer = PcapngWriter::new(BufWriter::new(file), "Daylight", comment)?;
    writer.interface(LinkType::RAW, 0, Some("any"))?;
    Ok(writer)
}

#[cfg(test)]
mod tests {
    use daylight_packet::build::{Tcp, tcp};
    use daylight_packet::is_damaged;

    use super::*;

    fn packet(own: &str, comment: Option<&str>) -> Packet {
        let own: IpAddr = own.parse().unwrap();
        let far = if own.is_ipv4() { "203.0.113.80" } else { "2001:db8:80::1" }.parse().unwrap();
        let bytes = tcp(&Tcp { source: far, destination: own, payload: b"hello", ..Tcp::default() });
        Packet {
            ts_ns: 1_600_000_000_000_000_000,
            wire_len: bytes.len() as u32,
            bytes,
            own,
            comment: comment.map(str::to_owned),
        }
    }

    fn read(path: &Path) -> Vec<Vec<u8>> {
        let mut source = daylight_capture::open(path).unwrap();
        let mut all = Vec::new();
        while let Some(batch) = source.next_batch(256).unwrap() {
            all.extend(batch.frames.iter().map(|frame| batch.frame_bytes(frame).to_vec()));
        }
        assert_eq!(source.end(), SourceEnd::Complete);
        all
    }

    #[test]
    fn own_addresses_are_replaced_and_a_broken_end_is_taken_off() {
        let folder = tempfile::tempdir().unwrap();
        let measurements = folder.path().join("m.jsonl");
        let mut file = File::beside(&measurements);
        file.add(&[], false).unwrap();
        assert!(!file.path().exists(), "nothing found, nothing written");
        file.add(&[packet("100.64.7.9", Some("injected: x")), packet("2001:470:1::9", None)], false).unwrap();
        drop(file);
        let path = folder.path().join("m.pcapng");
        let text = fs::read(&path).unwrap();
        assert!(text.windows(11).any(|w| w == b"injected: x"));
        for own in ["100.64.7.9", "2001:470:1::9"] {
            let octets = match own.parse().unwrap() {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            assert!(!text.windows(octets.len()).any(|window| window == octets), "{own}");
        }
        let found = read(&path);
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|bytes| !is_damaged(bytes)));

        // As after a power failure, and then the run is taken up.
        fs::write(&path, &text[..text.len() - 7]).unwrap();
        let mut file = File::beside(&measurements);
        file.add(&[packet("100.64.7.9", None)], true).unwrap();
        assert_eq!((file.packets(), read(&path).len()), (1, 2));
        assert_eq!(read(&path)[1], packet("100.64.7.9", None).bytes);
    }

    #[test]
    fn a_loopback_address_is_nobodys_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = File::beside(&folder.path().join("m.jsonl"));
        file.add(&[packet("127.0.0.1", None)], false).unwrap();
        assert_eq!(read(file.path())[0], packet("127.0.0.1", None).bytes);
    }
}
