//! The client's side of `web`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use daylight_session::ChannelBinding;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http2::client::SendRequest;
use http2::{RecvStream, SendStream};
use rand::rngs::StdRng;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};
use tokio_util::task::AbortOnDropHandle;

use super::token::{Early, Kind, Tickets, Way, cookie};
use super::{Mode, PIECE_LEN_MAX, PIECES_MAX, WAITING_LEN_MAX};
use crate::transports::door::now_s;
use crate::transports::plain::{Access, ClientHello, Suite};
use crate::transports::{Begun, Dialled, Duplex, Later, give};

/// The longest answer to a path's first message, in bytes.
pub(in crate::transports) const ANSWER_LEN_MAX: usize = 4 << 10;

/// An HTTP/2 connection to a server of a card.
pub struct Client {
    /// Sends requests on the connection; whoever made it drives it. Its window for all streams must have room for the pieces
    /// that are under way, as [browsers'](super::CONNECTION_WINDOW_LEN) have.
    pub requests: SendRequest<Bytes>,
    /// Where the tunnel is found, with `https` and the site's name.
    pub uri: Uri,
    /// What a browser's script would send with its requests: all headers but cookies.
    pub headers: HeaderMap,
    /// The server's key.
    pub server: [u8; 32],
    /// The card's.
    pub access: Access,
    /// The [exporter](super::EXPORTER_LABEL) of the TLS connection.
    pub binding: ChannelBinding,
    /// How bytes are to be carried.
    pub mode: Mode,
}

fn broken(error: http2::Error) -> io::Error {
    if error.is_io() {
        error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into())
    } else {
        io::Error::other(error)
    }
}

/// The site answered, not the tunnel.
pub(in crate::transports) fn is_site(status: StatusCode) -> io::Error {
    let why = format!(
        "the site answered ({status}) where the tunnel should have: the card is not good there any more, a clock is wrong, \
         or somebody between ends TLS"
    );
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

impl Dialled for Client {
    fn binding(&self) -> ChannelBinding {
        self.binding
    }

    fn shows_sizes(&self) -> bool {
        false
    }

    fn begin(self: Box<Self>, first: Vec<u8>) -> Later<io::Result<Begun>> {
        Box::pin(async move {
            let early = Early { kind: Kind::Web, mode: self.mode, binding: self.binding, first }.encode();
            let mut random: StdRng = rand::make_rng();
            let made =
                ClientHello::new(&self.server, &self.access, Suite::best(), now_s(), &early, &mut random);
            let no_flight = || io::Error::new(io::ErrorKind::InvalidData, "the card's key is no key");
            let (hello, flight) = made.ok_or_else(no_flight)?;
            let tickets = Tickets::new(&hello.export(b"daylight web 1").ok_or_else(no_flight)?);
            let mut requests = Requests {
                send: self.requests.ready().await.map_err(broken)?,
                uri: self.uri,
                headers: self.headers,
                tickets,
            };
            let (response, _) = requests.send(Method::GET, &flight, true)?;
            let response = response.await.map_err(broken)?;
            if response.status() != StatusCode::OK {
                return Err(is_site(response.status()));
            }
            let mut body = response.into_body();
            // An answer begins with its length.
            let mut answer = Vec::new();
            while answer.len() < 2
                || answer.len() < 2 + usize::from(u16::from_be_bytes([answer[0], answer[1]]))
            {
                let data = std::future::poll_fn(|context| body.poll_data(context)).await;
                let data = data.ok_or(io::ErrorKind::UnexpectedEof)?.map_err(broken)?;
                body.flow_control().release_capacity(data.len()).map_err(broken)?;
                answer.extend_from_slice(&data);
                if answer.len() > ANSWER_LEN_MAX {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "the server said more than it may in its answer",
                    ));
                }
            }
            let connection: Box<dyn Duplex> = match self.mode {
                Mode::Streams => Box::new(requests.streams(body)?),
                Mode::Pieces => Box::new(requests.pieces(body)),
            };
            Ok(Begun { answer, connection })
        })
    }
}

/// Makes the requests of one path.
#[derive(Clone)]
struct Requests {
    send: SendRequest<Bytes>,
    uri: Uri,
    headers: HeaderMap,
    tickets: Tickets,
}

impl Requests {
    fn send(
        &mut self,
        method: Method,
        said: &[u8],
        is_whole: bool,
    ) -> io::Result<(http2::client::ResponseFuture, SendStream<Bytes>)> {
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let cookie = cookie(said).ok_or_else(|| io::Error::other("a cookie of no characters"))?;
        request.headers_mut().append(header::COOKIE, cookie);
        self.send.send_request(request, is_whole).map_err(broken)
    }

    fn streams(mut self, down: RecvStream) -> io::Result<Streams> {
        let ticket = self.tickets.ticket(Way::Up, 0);
        let (response, up) = self.send(Method::POST, &ticket, false)?;
        Ok(Streams { down, read: Bytes::new(), up, response, has_ended: false })
    }
}

/// How much can be sent now, of so much that is to be: more than nothing.
fn poll_room(up: &mut SendStream<Bytes>, context: &mut Context<'_>, len: usize) -> Poll<io::Result<usize>> {
    up.reserve_capacity(len.min(WAITING_LEN_MAX));
    while up.capacity() == 0 {
        // Tells of changes alone, also of those that came to nothing.
        if ready!(up.poll_capacity(context)).transpose().map_err(broken)?.is_none() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
    }
    Poll::Ready(Ok(up.capacity()))
}

/// A path by one request in each direction.
struct Streams {
    down: RecvStream,
    read: Bytes,
    up: SendStream<Bytes>,
    /// Comes when the server has all; dropped before, it would end the request.
    response: http2::client::ResponseFuture,
    has_ended: bool,
}

impl Duplex for Streams {}

impl AsyncRead for Streams {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.read.is_empty() {
            match ready!(this.down.poll_data(context)).transpose().map_err(broken)? {
                Some(data) => this.read = data,
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = give(&mut this.read, buffer);
        this.down.flow_control().release_capacity(length).map_err(broken)?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Streams {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let room = ready!(poll_room(&mut this.up, context, data.len()))?;
        let length = data.len().min(room);
        this.up.send_data(Bytes::copy_from_slice(&data[..length]), false).map_err(broken)?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.has_ended, true) {
            self.up.send_data(Bytes::new(), true).map_err(broken)?;
        }
        Pin::new(&mut self.response).poll(context).map_ok(drop).map_err(broken)
    }
}

/// A path by many requests: two tasks make them, until it is dropped.
struct Pieces {
    near: DuplexStream,
    bringing: AbortOnDropHandle<()>,
    _fetching: AbortOnDropHandle<()>,
}

impl Requests {
    fn pieces(self, rest: RecvStream) -> Pieces {
        let (near, far) = tokio::io::duplex(WAITING_LEN_MAX);
        let (from, to) = tokio::io::split(far);
        let down = self.clone();
        let fetching = tokio::spawn(async move {
            // Both sides see the end, whatever it is.
            let _ = down.fetch(rest, to).await;
        });
        let bringing = tokio::spawn(async move {
            let _ = self.bring(from).await;
        });
        let [bringing, fetching] = [bringing, fetching].map(AbortOnDropHandle::new);
        Pieces { near, bringing, _fetching: fetching }
    }

    /// Asks for the server's pieces, several at once, and writes them in order.
    async fn fetch(mut self, rest: RecvStream, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
        copy(rest, &mut to).await?;
        let mut asked = std::collections::VecDeque::new();
        let mut number = 1;
        loop {
            while asked.len() < PIECES_MAX as usize / 2 {
                let ticket = self.tickets.ticket(Way::Down, number);
                asked.push_back(self.send(Method::GET, &ticket, true)?.0);
                number += 1;
            }
            let Some(next) = asked.pop_front() else { return Ok(()) };
            let response: Response<RecvStream> = next.await.map_err(broken)?;
            match response.status() {
                StatusCode::OK => copy(response.into_body(), &mut to).await?,
                StatusCode::GONE => return to.shutdown().await,
                status => return Err(is_site(status)),
            }
        }
    }

    /// Sends what there is in pieces, several at once.
    async fn bring(mut self, mut from: impl AsyncRead + Unpin) -> io::Result<()> {
        let mut brought = std::collections::VecDeque::new();
        let mut buffer = vec![0; PIECE_LEN_MAX];
        for number in 0.. {
            let len = from.read(&mut buffer).await?;
            let ticket = self.tickets.ticket(Way::Up, number);
            self.headers.insert(header::CONTENT_LENGTH, len.into());
            let (response, mut up) = self.send(Method::POST, &ticket, len == 0)?;
            let mut left = Bytes::copy_from_slice(&buffer[..len]);
            while !left.is_empty() {
                let room = std::future::poll_fn(|context| poll_room(&mut up, context, left.len())).await?;
                let piece = left.split_to(room.min(left.len()));
                up.send_data(piece, left.is_empty()).map_err(broken)?;
            }
            brought.push_back(response);
            while brought.len() >= PIECES_MAX as usize || len == 0 {
                let Some(oldest) = brought.pop_front() else { return Ok(()) };
                let status = oldest.await.map_err(broken)?.status();
                if status != StatusCode::NO_CONTENT {
                    return Err(is_site(status));
                }
            }
        }
        Ok(())
    }
}

async fn copy(mut from: RecvStream, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    while let Some(data) = std::future::poll_fn(|context| from.poll_data(context)).await {
        let data = data.map_err(broken)?;
        to.write_all(&data).await?;
        from.flow_control().release_capacity(data.len()).map_err(broken)?;
    }
    Ok(())
}

impl Duplex for Pieces {}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.near).poll_read(context, buffer)
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.near).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.near).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.near).poll_shutdown(context))?;
        // Until all was brought.
        Pin::new(&mut self.bringing).poll(context).map_err(io::Error::other)
    }
}
