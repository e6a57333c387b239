//! The client's side of `h3`.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use daylight_session::ChannelBinding;
use h3::client::SendRequest;
use h3::ext::Protocol;
use http::{Method, Request, StatusCode, Uri, header};
use quinn::{Connection, ConnectionError, Endpoint};
use rand::rngs::StdRng;
use tokio::io::AsyncReadExt as _;
use tokio_util::task::AbortOnDropHandle;

use super::capsule::{Capsules, broken};
use super::datagram::Datagrams;
use super::server::{CAPSULE_PROTOCOL, YES};
use crate::transports::door::now_s;
use crate::transports::plain::{Access, ClientHello, Suite};
use crate::transports::web::client::{ANSWER_LEN_MAX, is_site};
use crate::transports::web::token::{Early, Kind, cookie};
use crate::transports::web::{EXPORTER_LABEL, Mode};
use crate::transports::{Begun, Dialled, Later};

/// The server of a card.
#[derive(Clone)]
pub struct Server {
    /// Where it is.
    pub address: SocketAddr,
    /// The site's name, which its certificate has.
    pub name: String,
    /// Its key.
    pub key: [u8; 32],
    /// The card's.
    pub access: Access,
}

/// A connection to a server of a card.
pub struct Client {
    server: Server,
    exporter: [u8; 32],
    requests: SendRequest<h3_quinn::OpenStreams, Bytes>,
    connection: Connection,
    datagrams: Datagrams,
    open: Open,
}

fn of_connection(error: ConnectionError) -> io::Error {
    match &error {
        // What TLS says of certificates (RFC 9001 §4.8, RFC 8446 §6): somebody else answers.
        ConnectionError::TransportError(why) if (0x12a..0x131).contains(&u64::from(why.code)) => {
            io::Error::new(io::ErrorKind::PermissionDenied, error)
        }
        _ => error.into(),
    }
}

/// Keeps a connection open.
struct Open {
    _tasks: [AbortOnDropHandle<()>; 2],
    _endpoint: Endpoint,
}

impl Client {
    /// Makes a connection, at an [endpoint](super::endpoint::dial) of the server's address family.
    ///
    /// # Errors
    /// If there is no server, or its certificate isn't good for the name.
    pub async fn connect(endpoint: &Endpoint, server: Server) -> io::Result<Self> {
        let connecting = endpoint.connect(server.address, &server.name).map_err(io::Error::other)?;
        let connection = connecting.await.map_err(of_connection)?;
        let mut exporter = [0; 32];
        let exported = connection.export_keying_material(&mut exporter, EXPORTER_LABEL, b"");
        exported.map_err(|_| io::Error::other("TLS has no exporter"))?;
        let mut builder = h3::client::builder();
        builder.enable_extended_connect(true).enable_datagram(true);
        let (mut driving, requests) =
            builder.build(h3_quinn::Connection::new(connection.clone())).await.map_err(io::Error::other)?;
        let driving = tokio::spawn(async move {
            // Whoever uses the connection sees its end too.
            driving.wait_idle().await;
        });
        let datagrams = Datagrams::new(connection.clone());
        let tasks = [driving, tokio::spawn(datagrams.clone().receive())].map(AbortOnDropHandle::new);
        let open = Open { _tasks: tasks, _endpoint: endpoint.clone() };
        Ok(Self { server, exporter, requests, connection, datagrams, open })
    }

    /// What is below HTTP: for figures, and to close it at once.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What takes requests, of the site too.
    #[must_use]
    pub fn requests(&self) -> &SendRequest<h3_quinn::OpenStreams, Bytes> {
        &self.requests
    }

    /// The site's name, with its port if that is not 443.
    #[must_use]
    pub fn authority(&self) -> String {
        let (name, port) = (&self.server.name, self.server.address.port());
        if port == 443 { name.clone() } else { format!("{name}:{port}") }
    }

    fn request(&self, flight: &[u8]) -> Option<Request<()>> {
        let (name, port, authority) = (&self.server.name, self.server.address.port(), self.authority());
        let uri = format!("https://{authority}/.well-known/masque/udp/{name}/{port}/");
        let mut request = Request::new(());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = Uri::try_from(uri).ok()?;
        request.headers_mut().insert(CAPSULE_PROTOCOL, YES);
        request.headers_mut().insert(header::COOKIE, cookie(flight)?);
        request.extensions_mut().insert(Protocol::CONNECT_UDP);
        Some(request)
    }
}

impl Dialled for Client {
    fn binding(&self) -> ChannelBinding {
        Some(self.exporter)
    }

    fn shows_sizes(&self) -> bool {
        false
    }

    fn begin(mut self: Box<Self>, first: Vec<u8>) -> Later<io::Result<Begun>> {
        Box::pin(async move {
            let early =
                Early { kind: Kind::H3, mode: Mode::Streams, binding: self.binding(), first }.encode();
            let mut random: StdRng = rand::make_rng();
            let (key, access) = (&self.server.key, &self.server.access);
            let made = ClientHello::new(key, access, Suite::best(), now_s(), &early, &mut random);
            let no_flight = || io::Error::new(io::ErrorKind::InvalidData, "the card's key is no key");
            let (_, flight) = made.ok_or_else(no_flight)?;
            let no_request = || io::Error::new(io::ErrorKind::InvalidInput, "the site's name is none");
            let request = self.request(&flight).ok_or_else(no_request)?;
            let mut stream = self.requests.send_request(request).await.map_err(broken)?;
            let datagrams = self.datagrams.of(stream.id().into_inner());
            let response = stream.recv_response().await.map_err(broken)?;
            if response.status() != StatusCode::OK {
                return Err(is_site(response.status()));
            }
            let (sender, receiver) = stream.split();
            let mut connection = Capsules::new(sender, receiver, datagrams, (self.open, self.requests));
            // An answer begins with its length.
            let len = connection.read_u16().await?;
            if usize::from(len) > ANSWER_LEN_MAX {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the server said more than it may in its answer",
                ));
            }
            let mut answer = [&len.to_be_bytes()[..], &vec![0; usize::from(len)]].concat();
            connection.read_exact(&mut answer[2..]).await?;
            Ok(Begun { answer, connection: Box::new(connection) })
        })
    }
}
