//! Syslog (RFC 5424) with CEF in it: over UDP (RFC 5426), TCP with counted octets (RFC 6587 §3.4.1), TLS (RFC 5425), or to the
//! system's own socket.
//!
//! Syslog has no acknowledgement. What TCP had taken when the other side went away is lost without anybody being told;
//! a connection that was closed meanwhile is noticed before the next message.

use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::{Alarm, Outlet, Severity, cef};
use crate::carry::SendError;
use crate::tls::{Tls, TlsError};

/// Where the syslog server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogTo {
    /// `host:514`.
    Udp(String),
    /// `host:601`.
    Tcp(String),
    /// `host:6514`.
    Tls(String, Tls),
    /// A socket such as `/dev/log`.
    Unix(PathBuf),
}

/// How it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogOptions {
    /// Where to.
    pub to: SyslogTo,
    /// The facility: 0 to 23; 16 is `local0`.
    pub facility: u8,
}

/// Sends alarms to a syslog server.
pub struct Syslog {
    options: SyslogOptions,
    tls: Option<Arc<ClientConfig>>,
    process: u32,
    link: Option<Link>,
}

enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Unix(UnixDatagram),
}

const PATIENCE: Duration = Duration::from_secs(5);

impl Syslog {
    /// Does not connect yet.
    ///
    /// # Errors
    /// If the certificates can't be used.
    pub fn new(options: SyslogOptions) -> Result<Self, TlsError> {
        let tls = match &options.to {
            SyslogTo::Tls(_, tls) => Some(Arc::new(tls.client()?)),
            _ => None,
        };
        Ok(Self { options, tls, process: std::process::id(), link: None })
    }

    fn name(&self) -> String {
        match &self.options.to {
            SyslogTo::Udp(to) | SyslogTo::Tcp(to) | SyslogTo::Tls(to, _) => to.clone(),
            SyslogTo::Unix(path) => path.display().to_string(),
        }
    }

    fn connect(&self) -> io::Result<Link> {
        let tcp = |to: &str| {
            let mut last = io::Error::other("the name has no address");
            for address in to.to_socket_addrs()? {
                match TcpStream::connect_timeout(&address, PATIENCE) {
                    Ok(stream) => {
                        stream.set_write_timeout(Some(PATIENCE))?;
                        stream.set_read_timeout(Some(PATIENCE))?;
                        return Ok(stream);
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        };
        Ok(match &self.options.to {
            SyslogTo::Udp(to) => {
                let address = to
                    .to_socket_addrs()?
                    .next()
                    .ok_or_else(|| io::Error::other("the name has no address"))?;
                let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                Link::Udp(socket)
            }
            SyslogTo::Tcp(to) => Link::Tcp(tcp(to)?),
            SyslogTo::Tls(to, _) => {
                let host = to.rsplit_once(':').map_or(&**to, |(host, _)| host);
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(host).map_err(io::Error::other)?;
                let config = self.tls.clone().ok_or(io::ErrorKind::InvalidInput)?;
                let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
                let mut stream = StreamOwned::new(connection, tcp(to)?);
                // Whom one speaks to is known before anything is said.
                while stream.conn.is_handshaking() {
                    stream.conn.complete_io(&mut stream.sock)?;
                }
                Link::Tls(Box::new(stream))
            }
            SyslogTo::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_write_timeout(Some(PATIENCE))?;
                socket.connect(path)?;
                Link::Unix(socket)
            }
        })
    }
}

impl Link {
    fn send(&mut self, message: &str) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(message.as_bytes()).map(drop),
            Self::Unix(socket) => socket.send(message.as_bytes()).map(drop),
            Self::Tcp(stream) => {
                still_there(stream)?;
                stream.write_all(framed(message).as_bytes())
            }
            Self::Tls(stream) => {
                still_open(stream)?;
                stream.write_all(framed(message).as_bytes())?;
                stream.flush()
            }
        }
    }
}

fn framed(message: &str) -> String {
    format!("{} {message}", message.len())
}

/// The other side says nothing: if there is something to read, it is the end.
pub(crate) fn still_there(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false)?;
    match peeked {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}

/// The same over TLS, where there are tickets to read, and the end may be announced.
fn still_open(stream: &mut StreamOwned<ClientConnection, TcpStream>) -> io::Result<()> {
    stream.sock.set_nonblocking(true)?;
    let outcome = loop {
        match stream.conn.read_tls(&mut stream.sock) {
            Ok(0) => break Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => match stream.conn.process_new_packets() {
                Ok(state) if state.peer_has_closed() => break Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) => break Err(io::Error::other(error)),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    stream.sock.set_nonblocking(false)?;
    outcome
}

/// The alarm as a message of RFC 5424. The sensor is the host name, with anything but letters of ASCII left out.
pub fn message(alarm: &Alarm, facility: u8, process: u32) -> String {
    let severity = match alarm.severity {
        Severity::Low => 5,
        Severity::Medium => 4,
        Severity::High => 3,
        Severity::Severe => 2,
    };
    let host: String = alarm.sensor.chars().filter(char::is_ascii_graphic).take(255).collect();
    let host = if host.is_empty() { "-" } else { &host };
    // No more than microseconds are allowed.
    let time = alarm.time.split_at_checked(26).map_or_else(|| "-".to_owned(), |(time, _)| format!("{time}Z"));
    let priority = u32::from(facility.min(23)) * 8 + severity;
    format!("<{priority}>1 {time} {host} daylight {process} risk - {}", cef::line(alarm))
}

impl Outlet for Syslog {
    fn send(&mut self, alarms: &[Alarm]) -> Result<usize, SendError> {
        let Some(alarm) = alarms.first() else { return Ok(0) };
        let message = message(alarm, self.options.facility, self.process);
        let failed = |name: String, error: io::Error| SendError::Again(format!("{name}: {error}"));
        let was_open = self.link.is_some();
        for last in [!was_open, true] {
            let link = match &mut self.link {
                Some(link) => link,
                None => {
                    let link = self.connect().map_err(|error| failed(self.name(), error))?;
                    self.link.insert(link)
                }
            };
            let Err(error) = link.send(&message) else { return Ok(1) };
            self.link = None;
            // A connection that had gone stale is made anew once, without waiting.
            if last {
                return Err(failed(self.name(), error));
            }
        }
        Ok(1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::nasty;
    use super::*;

    #[test]
    fn a_message() {
        let mut alarm = nasty();
        let text = message(&alarm, 16, 42);
        let begin = "<131>1 2024-01-01T00:00:00.123456Z a|b=c\\deCEF:0|x[31m<script>\"'&=cmd()|'[x@1y=\"z\"] daylight 42 risk - CEF:0|Daylight|";
        assert!(text.starts_with(begin), "{text}");
        assert!(!text.chars().any(char::is_control));
        alarm.sensor = "\u{e4}\n".into();
        alarm.time = String::new();
        alarm.severity = Severity::Low;
        assert!(message(&alarm, 99, 1).starts_with("<189>1 - - daylight 1 risk - CEF:0|"));
    }
}
