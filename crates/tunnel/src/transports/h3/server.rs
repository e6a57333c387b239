//! The server's side of `h3`.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h3::error::{Code, StreamError};
use h3::ext::Protocol;
use h3::server::{RequestResolver, RequestStream};
use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use quinn::{Connection, Endpoint};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::capsule::{Capsules, Receiver as _, broken};
use super::datagram::{Datagrams, OfRequest};
use crate::transports::door::Doorman;
use crate::transports::web::token::{Kind, carried, open};
use crate::transports::web::{Channel, EXPORTER_LABEL};
use crate::transports::{Arrived, Duplex, Later};

/// Says that a stream carries capsules (RFC 9297 §3.4).
pub(super) const CAPSULE_PROTOCOL: HeaderName = HeaderName::from_static("capsule-protocol");
pub(super) const YES: HeaderValue = HeaderValue::from_static("?1");

type SendHalf = RequestStream<h3_quinn::SendStream<Bytes>, Bytes>;
type ReceiveHalf = RequestStream<h3_quinn::RecvStream, Bytes>;

/// What answers everybody who holds no card.
pub trait Site: Send + Sync + 'static {
    /// Of an answer. An error in it ends the visitor's stream in its middle.
    type Body: Body<Data = Bytes, Error: Send> + Send + Unpin;

    /// Answers a request from this address.
    fn answer(
        &self,
        request: Request<Visit>,
        from: IpAddr,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// Whether somebody at this address may try to be a card's holder now: if not, that is not looked at.
    fn may_try(&self, from: IpAddr) -> bool {
        let _ = from;
        true
    }

    /// A path came from this address.
    fn arrived(&self, from: IpAddr) {
        let _ = from;
    }
}

/// The tunnel's part of a web server's HTTP/3.
pub struct H3 {
    door: Arc<Doorman>,
    arrived: mpsc::UnboundedSender<Arrived>,
}

/// What one QUIC connection is to its requests.
#[derive(Clone)]
struct Place {
    connection: Connection,
    exporter: [u8; 32],
    datagrams: Datagrams,
}

impl H3 {
    /// Paths that arrive go to `arrived`.
    #[must_use]
    pub fn new(door: Arc<Doorman>, arrived: mpsc::UnboundedSender<Arrived>) -> Self {
        Self { door, arrived }
    }

    /// Serves the connections of an [endpoint](super::endpoint::listen) until it is closed.
    pub async fn serve<S: Site>(self: Arc<Self>, endpoint: Endpoint, site: Arc<S>) {
        while let Some(incoming) = endpoint.accept().await {
            let (this, site) = (self.clone(), site.clone());
            tokio::spawn(async move {
                // What goes wrong with one connection is that visitor's affair.
                let connection = incoming.await.ok()?;
                this.serve_connection(connection, site).await
            });
        }
    }

    async fn serve_connection<S: Site>(self: Arc<Self>, connection: Connection, site: Arc<S>) -> Option<()> {
        let mut exporter = [0; 32];
        connection.export_keying_material(&mut exporter, EXPORTER_LABEL, b"").ok()?;
        let datagrams = Datagrams::new(connection.clone());
        let _receiving = AbortOnDropHandle::new(tokio::spawn(datagrams.clone().receive()));
        let place = Place { connection: connection.clone(), exporter, datagrams };
        let mut builder = h3::server::builder();
        builder.send_grease(false).enable_extended_connect(true).enable_datagram(true);
        let mut requests = builder.build(h3_quinn::Connection::new(connection)).await.ok()?;
        while let Some(request) = requests.accept().await.ok()? {
            let (this, place, site) = (self.clone(), place.clone(), site.clone());
            tokio::spawn(async move { this.answer(request, place, &*site).await });
        }
        Some(())
    }

    async fn answer<S: Site>(
        &self,
        request: RequestResolver<h3_quinn::Connection, Bytes>,
        place: Place,
        site: &S,
    ) -> Result<(), StreamError> {
        let (request, stream) = request.resolve_request().await?;
        let (sender, receiver) = stream.split();
        let from = place.connection.remote_address().ip().to_canonical();
        let is_connect = *request.method() == Method::CONNECT;
        let is_for_udp = request.extensions().get() == Some(&Protocol::CONNECT_UDP);
        if is_connect && is_for_udp && site.may_try(from) {
            let flight = carried(request.headers());
            let opened = open(&self.door, flight.as_deref(), Kind::H3, Channel::Tls(place.exporter));
            let card = opened.and_then(|(hello, early)| Some((self.door.card(&hello.access)?, early)));
            if let Some((card, early)) = card {
                let datagrams = place.datagrams.of(sender.send_id().into_inner());
                let arrived = Arrived {
                    first: early.first,
                    access_secret: card.session,
                    binding: early.binding,
                    shows_sizes: false,
                    answer: Box::new(|answer| begin(sender, receiver, datagrams, answer)),
                    transport: "h3",
                    from: Some(from),
                };
                // If nobody wants paths any more, the process is ending.
                let _ = self.arrived.send(arrived);
                site.arrived(from);
                return Ok(());
            }
        }
        let head = *request.method() == Method::HEAD;
        let body = Visit { receiver, is_connect };
        let response = site.answer(request.map(|()| body), from).await;
        respond(sender, response, head).await
    }
}

/// Says that the path has begun, and what the session answers.
fn begin(
    mut sender: SendHalf,
    receiver: ReceiveHalf,
    datagrams: OfRequest,
    answer: Vec<u8>,
) -> Later<io::Result<Box<dyn Duplex>>> {
    Box::pin(async move {
        let mut response = Response::new(());
        response.headers_mut().insert(CAPSULE_PROTOCOL, YES);
        sender.send_response(response).await.map_err(broken)?;
        let mut connection = Capsules::new(sender, receiver, datagrams, ());
        tokio::io::AsyncWriteExt::write_all(&mut connection, &answer).await?;
        Ok(Box::new(connection) as Box<dyn Duplex>)
    })
}

/// Sends the site's answer.
async fn respond<B>(mut sender: SendHalf, response: Response<B>, is_head: bool) -> Result<(), StreamError>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (mut head, mut body) = response.into_parts();
    // They are of HTTP/1 alone (RFC 9114 §4.2).
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE] {
        head.headers.remove(name);
    }
    sender.send_response(Response::from_parts(head, ())).await?;
    while !is_head && let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            sender.stop_stream(Code::H3_INTERNAL_ERROR);
            return Ok(());
        };
        match frame.into_data() {
            Ok(data) => sender.send_data(data).await?,
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    sender.send_trailers(trailers).await?;
                }
            }
        }
    }
    sender.finish().await
}

/// The body of a visitor's request.
pub struct Visit {
    receiver: ReceiveHalf,
    /// A tunnel's bytes are no body.
    is_connect: bool,
}

impl Body for Visit {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.is_connect {
            return Poll::Ready(None);
        }
        let data = ready!(self.receiver.poll_receive(context)).map_err(broken);
        Poll::Ready(data.transpose().map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_connect
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_connect { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}
