//! The probe's own packets as evidence, where the system lets it hear them (`CAP_NET_RAW`).
//!
//! A [`Recorder`] hears everything that the machine sends and receives, and keeps what belongs to ports that a measurement
//! has said are its own *before* it used them: nothing of anybody else's is kept. When a measurement is done, `find` asks
//! `daylight-injection` which packets are not the server's; they go into the measurement, and the connections they were in
//! into a capture beside it ([`File`]), without the probe's own addresses unless those are to be kept.
//!
//! Which measurement a socket is of goes by the task it is opened in: passed on by hand, it would be an argument of every
//! function from the plan down to the socket, for the sake of those who may listen.

mod file;
mod find;
mod recorder;

pub use file::File;
pub use find::Packet;
pub use recorder::Recorder;

pub(crate) use find::find;
pub(crate) use recorder::{Book, Transport};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

tokio::task_local! {
    static BOOK: Option<Arc<Book>>;
}

/// Does a measurement's work, so that its sockets' packets go into a book.
pub(crate) async fn into_book<F: Future>(book: Option<Arc<Book>>, work: F) -> F::Output {
    BOOK.scope(book, work).await
}

/// The book of the measurement that this is done for, if packets are heard at all.
pub(crate) fn book() -> Option<Arc<Book>> {
    BOOK.try_with(Clone::clone).ok().flatten()
}

/// Says that a port is the measurement's own, before anything is sent from it.
pub(crate) fn is_own(transport: Transport, local: std::io::Result<SocketAddr>) {
    if let (Some(book), Ok(local)) = (book(), local) {
        book.own(transport, local.port());
    }
}

/// Any address of the same version, and a port that the system chooses.
pub(crate) fn any(to: SocketAddr) -> SocketAddr {
    let ip: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    (ip, 0).into()
}
