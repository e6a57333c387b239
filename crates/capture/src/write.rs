//! Writing captures.

use std::io::{self, Write};

use daylight_packet::LinkType;

/// Writes a pcap file with nanosecond timestamps, little-endian.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use daylight_capture::PcapWriter;
/// use daylight_packet::LinkType;
///
/// let mut writer = PcapWriter::new(Vec::new(), LinkType::RAW, 65535)?;
/// writer.write(1_700_000_000_000_000_000, 20, &[0x45; 20])?;
/// let bytes = writer.into_inner();
/// assert_eq!(bytes.len(), 24 + 16 + 20);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PcapWriter<W: Write> {
    writer: W,
}

impl<W: Write> PcapWriter<W> {
    /// Writes the file's header. `snap_len` is what packets were cut to; it is written, not enforced.
    ///
    /// # Errors
    /// If `writer` fails.
    pub fn new(mut writer: W, link: LinkType, snap_len: u32) -> io::Result<Self> {
        let mut header = [0; 24];
        header[0..4].copy_from_slice(&0xa1b2_3c4d_u32.to_le_bytes());
        header[4..8].copy_from_slice(&[2, 0, 4, 0]);
        header[16..20].copy_from_slice(&snap_len.to_le_bytes());
        header[20..24].copy_from_slice(&u32::from(link.0).to_le_bytes());
        writer.write_all(&header)?;
        Ok(Self { writer })
    }

    /// Writes a packet: `bytes` were captured of the `wire_len` it had.
    ///
    /// # Errors
    /// If the writer fails; [`io::ErrorKind::InvalidInput`] for a time that pcap can't tell (before 1970, after
    /// 2106), or more bytes than it can hold.
    pub fn write(&mut self, ts_ns: i64, wire_len: u32, bytes: &[u8]) -> io::Result<()> {
        let seconds = u32::try_from(ts_ns.div_euclid(1_000_000_000)).map_err(|_| invalid("time"))?;
        let nanoseconds = ts_ns.rem_euclid(1_000_000_000) as u32;
        let cap_len = u32::try_from(bytes.len()).map_err(|_| invalid("length"))?;
        let mut header = [0; 16];
        for (place, value) in
            header.chunks_exact_mut(4).zip([seconds, nanoseconds, cap_len, wire_len.max(cap_len)])
        {
            place.copy_from_slice(&value.to_le_bytes());
        }
        self.writer.write_all(&header)?;
        self.writer.write_all(bytes)
    }

    /// Passes everything on.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    /// The writer. What it buffers may still have to be flushed.
    pub fn into_inner(self) -> W {
        self.writer
    }
}

/// Writes a pcapng file of one section with nanosecond timestamps, little-endian.
///
/// Declare an interface before the first packet that was captured on it.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use daylight_capture::PcapngWriter;
/// use daylight_packet::LinkType;
///
/// let mut writer = PcapngWriter::new(Vec::new(), "example", Some("made by hand"))?;
/// let interface = writer.interface(LinkType::RAW, 0, Some("eth0"))?;
/// writer.write(interface, 1_700_000_000_000_000_000, 20, &[0x45; 20], Some("the first"))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PcapngWriter<W: Write> {
    writer: W,
    interfaces: u32,
    block: Vec<u8>,
}

impl<W: Write> PcapngWriter<W> {
    /// Writes the section header, with the name of the writing application and a comment on the whole capture.
    ///
    /// # Errors
    /// If `writer` fails, or as [`write`](Self::write) for a comment that is too long.
    pub fn new(writer: W, application: &str, comment: Option<&str>) -> io::Result<Self> {
        let mut this = Self { writer, interfaces: 0, block: Vec::new() };
        this.block.extend(0x1a2b_3c4d_u32.to_le_bytes());
        this.block.extend([1, 0, 0, 0]);
        this.block.extend([0xff; 8]);
        this.option(1, comment.map(str::as_bytes))?;
        this.option(4, Some(application.as_bytes()))?;
        this.finish(0x0a0d_0d0a)?;
        Ok(this)
    }

    /// Declares an interface, and gives its number. A `snap_len` of 0 is no limit.
    ///
    /// # Errors
    /// If the writer fails, or the name is too long.
    pub fn interface(&mut self, link: LinkType, snap_len: u32, name: Option<&str>) -> io::Result<u32> {
        self.block.extend(link.0.to_le_bytes());
        self.block.extend([0, 0]);
        self.block.extend(snap_len.to_le_bytes());
        self.option(2, name.map(str::as_bytes))?;
        self.option(9, Some(&[9]))?;
        self.finish(1)?;
        self.interfaces += 1;
        Ok(self.interfaces - 1)
    }

    /// Writes a packet: `bytes` were captured of the `wire_len` it had.
    ///
    /// # Errors
    /// If the writer fails; [`io::ErrorKind::InvalidInput`] for an interface that was not declared, a time before
    /// 1970, a comment over 65535 bytes, or more bytes than a block can hold. Nothing is written then.
    pub fn write(
        &mut self,
        interface: u32,
        ts_ns: i64,
        wire_len: u32,
        bytes: &[u8],
        comment: Option<&str>,
    ) -> io::Result<()> {
        if interface >= self.interfaces {
            return Err(invalid("interface"));
        }
        let ts = u64::try_from(ts_ns).map_err(|_| invalid("time"))?;
        let cap_len = u32::try_from(bytes.len()).map_err(|_| invalid("length"))?;
        self.block.clear();
        for value in [interface, (ts >> 32) as u32, ts as u32, cap_len, wire_len.max(cap_len)] {
            self.block.extend(value.to_le_bytes());
        }
        self.block.extend(bytes);
        self.pad();
        if comment.is_some() {
            self.option(1, comment.map(str::as_bytes))?;
        }
        self.finish(6)
    }

    /// Passes everything on.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    /// The writer. What it buffers may still have to be flushed.
    pub fn into_inner(self) -> W {
        self.writer
    }

    /// The writer.
    pub fn get_ref(&self) -> &W {
        &self.writer
    }

    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    /// Adds an option to the block.
    fn option(&mut self, code: u16, value: Option<&[u8]>) -> io::Result<()> {
        let Some(value) = value else { return Ok(()) };
        let Ok(len) = u16::try_from(value.len()) else {
            self.block.clear();
            return Err(invalid("length of an option"));
        };
        self.block.extend(code.to_le_bytes());
        self.block.extend(len.to_le_bytes());
        self.block.extend(value);
        self.pad();
        Ok(())
    }

    /// Writes the block.
    fn finish(&mut self, kind: u32) -> io::Result<()> {
        let Ok(len) = u32::try_from(self.block.len() + 12) else {
            self.block.clear();
            return Err(invalid("length"));
        };
        let written = self.writer.write_all(&[kind.to_le_bytes(), len.to_le_bytes()].concat());
        let written = written.and_then(|()| self.writer.write_all(&self.block));
        self.block.clear();
        written.and_then(|()| self.writer.write_all(&len.to_le_bytes()))
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{what} out of range"))
}
