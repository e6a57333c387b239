//! What the kernel knows of a TCP connection: `TCP_INFO`.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::socket::getsockopt;

use super::options::TcpInfoOption;

/// The part of `TCP_INFO` that tells a slow path from a slowed one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpInfo {
    /// The smoothed round trip time.
    pub rtt: Duration,
    /// How much it varies.
    pub rtt_variation: Duration,
    /// Segments sent again, since the beginning.
    pub retransmits: u32,
    /// Segments sent, with those sent again.
    pub sent: Option<u32>,
    /// The least round trip time of late.
    pub rtt_min: Option<Duration>,
}

impl TcpInfo {
    /// The share of segments that were sent again, in [0, 1].
    #[must_use]
    pub fn loss(&self) -> Option<f64> {
        self.sent
            .filter(|sent| *sent > 0)
            .map(|sent| (f64::from(self.retransmits) / f64::from(sent)).min(1.0))
    }
}

/// Asks the kernel. `None` where it has no such option, or the connection has gone.
pub fn tcp_info(socket: &impl AsFd) -> Option<TcpInfo> {
    let info = getsockopt(socket, TcpInfoOption).ok()?;
    Some(TcpInfo {
        rtt: Duration::from_micros(info.rtt.into()),
        rtt_variation: Duration::from_micros(info.rttvar.into()),
        retransmits: info.total_retrans,
        sent: Some(info.segs_out),
        rtt_min: Some(Duration::from_micros(info.min_rtt.into())),
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_loopback_connection_has_a_short_round_trip() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let info = tcp_info(&stream).unwrap();
        assert!(info.rtt > Duration::ZERO && info.rtt < Duration::from_secs(20), "{info:?}");
        assert_eq!(info.loss(), Some(0.0));
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(tcp_info(&udp), None);
    }
}
