//! Messages to a collector, or into a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use daylight_inspect::{FlowRecord, RecordSink};

use super::{Encoder, IpfixOptions, IpfixTo};
use crate::carry::{Carrier, SendError};
use crate::record::{self, Entry};

/// The longest message there is.
const MESSAGE_BYTES_MAX: usize = 65_535;
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends records to a collector.
///
/// IPFIX has no acknowledgement: what was handed to the network counts as arrived. Over TCP, a collector that goes away takes
/// with it what was on the way; the records that are handed over while it is away wait in the spool.
pub struct Ipfix {
    options: IpfixOptions,
    encoder: Encoder,
    link: Option<Link>,
    templates_at: Instant,
}

enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream),
    File(File),
}

impl Ipfix {
    /// Does not connect yet.
    pub fn new(options: IpfixOptions) -> Self {
        let bytes_max = match options.to {
            IpfixTo::Udp(_) => options.message_bytes_max,
            _ => MESSAGE_BYTES_MAX,
        };
        let encoder = Encoder::new(options.pen, options.domain, bytes_max);
        Self { options, encoder, link: None, templates_at: Instant::now() }
    }

    fn name(&self) -> String {
        match &self.options.to {
            IpfixTo::Udp(to) | IpfixTo::Tcp(to) => to.clone(),
            IpfixTo::File(path) => path.display().to_string(),
        }
    }

    fn connect(&self) -> io::Result<Link> {
        let nowhere = || io::Error::other("the name has no address");
        Ok(match &self.options.to {
            IpfixTo::Udp(to) => {
                let address = to.to_socket_addrs()?.next().ok_or_else(nowhere)?;
                let socket = UdpSocket::bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
                socket.connect(address)?;
                Link::Udp(socket)
            }
            IpfixTo::Tcp(to) => {
                let address = to.to_socket_addrs()?.next().ok_or_else(nowhere)?;
                let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Link::Tcp(stream)
            }
            IpfixTo::File(path) => Link::File(OpenOptions::new().append(true).create(true).open(path)?),
        })
    }

    fn try_send(&mut self, entries: &[Entry]) -> io::Result<()> {
        if let Some(Link::Tcp(stream)) = &self.link {
            crate::alarm::syslog::still_there(stream)?;
        }
        if self.link.is_none() {
            self.link = Some(self.connect()?);
            self.encoder.restart();
            self.templates_at = Instant::now();
        }
        let mut messages = Vec::new();
        let is_udp = matches!(self.link, Some(Link::Udp(_)));
        if is_udp && self.templates_at.elapsed() >= self.options.template_interval {
            self.templates_at = Instant::now();
            messages = self.encoder.templates(now_s());
        }
        messages.extend(self.encoder.encode(entries, now_s()));
        let Some(link) = &mut self.link else { return Ok(()) };
        for message in messages {
            match link {
                Link::Udp(socket) => drop(socket.send(&message)?),
                Link::Tcp(stream) => stream.write_all(&message)?,
                Link::File(file) => file.write_all(&message)?,
            }
        }
        Ok(())
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Carrier for Ipfix {
    fn send(&mut self, entries: &[Entry], _: &str) -> Result<(), SendError> {
        let was_open = self.link.is_some();
        for last in [!was_open, true] {
            let Err(error) = self.try_send(entries) else { return Ok(()) };
            // Whatever the collector was told in this session, it is told again.
            self.link = None;
            if last {
                return Err(SendError::Again(format!("{}: {error}", self.name())));
            }
        }
        Ok(())
    }
}

/// Writes records into a file as RFC 5655 has it.
pub struct IpfixFile {
    form: record::Encoder,
    encoder: Encoder,
    file: File,
    waiting: Vec<Entry>,
    written: u64,
    error: Option<io::Error>,
}

impl IpfixFile {
    /// Begins a file.
    ///
    /// # Errors
    /// If it can't be created.
    pub fn create(path: &Path, sensor: &str, options: &IpfixOptions) -> io::Result<Self> {
        Ok(Self {
            form: record::Encoder::new(sensor),
            encoder: Encoder::new(options.pen, options.domain, MESSAGE_BYTES_MAX),
            file: File::create(path)?,
            waiting: Vec::new(),
            written: 0,
            error: None,
        })
    }

    /// Writes what is still held, and says how many records there are.
    ///
    /// # Errors
    /// What went wrong at any time.
    pub fn finish(mut self) -> io::Result<u64> {
        self.write();
        match self.error.take() {
            Some(error) => Err(error),
            None => Ok(self.written),
        }
    }

    fn write(&mut self) {
        let entries = std::mem::take(&mut self.waiting);
        for message in self.encoder.encode(&entries, now_s()) {
            if self.error.is_none() {
                self.error = self.file.write_all(&message).err();
            }
        }
        self.written += entries.len() as u64;
    }
}

impl RecordSink for IpfixFile {
    fn flow(&mut self, record: Box<FlowRecord>) {
        if self.error.is_some() {
            return;
        }
        let entry = self.form.entry(&record);
        self.waiting.push(entry);
        if self.waiting.len() >= 500 {
            self.write();
        }
    }

    fn is_closed(&self) -> bool {
        self.error.is_some()
    }
}
