//! This client in the browser's place: it asks for what the recorder's page would have it ask for.

use std::time::Duration;

use bytes::Bytes;
use daylight_browser::{Client, DATA_BYTES_MAX, Fill, Kind, SendRequest, http2};
use http::{Method, Request, StatusCode};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::recorder::{COOKIE, NAME, Recorder};

pub(crate) const UPLOAD_BYTES: usize = 100_000;

/// Loads the page and its parts over one connection, until the server sends it away.
pub(crate) async fn visit(client: &Client, recorder: &Recorder) {
    let mut visitor = Visitor::connect(client, recorder).await;
    for (kind, path) in [
        (Kind::Navigation, "/"),
        (Kind::Style, "/style.css"),
        (Kind::Script, "/script.js"),
        (Kind::Image, "/picture.png"),
        (Kind::Fetch, "/fetch"),
    ] {
        visitor.get(kind, path).await;
    }
    visitor.upload("/upload").await;
    visitor.get(Kind::Fetch, "/leave").await;
    visitor.closed().await;
}

/// Asks for one path as a script does, over a connection of its own.
pub(crate) async fn fetch(client: &Client, recorder: &Recorder, path: &str) {
    Visitor::connect(client, recorder).await.get(Kind::Fetch, path).await;
}

struct Visitor<'a> {
    client: &'a Client,
    requests: SendRequest,
    connection: JoinHandle<Result<(), http2::Error>>,
    origin: String,
}

impl<'a> Visitor<'a> {
    async fn connect(client: &'a Client, recorder: &Recorder) -> Self {
        let socket = TcpStream::connect(recorder.address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let tls = client.connect(socket, NAME).await.unwrap();
        let (requests, connection) = http2(tls, client.profile()).await.unwrap();
        let connection = tokio::spawn(connection);
        Self { client, requests, connection, origin: format!("https://{NAME}:{}", recorder.address.port()) }
    }

    async fn closed(self) {
        timeout(Duration::from_secs(20), self.connection)
            .await
            .expect("the connection ends")
            .unwrap()
            .unwrap();
    }

    async fn get(&mut self, kind: Kind, path: &str) {
        let referer = format!("{}/", self.origin);
        let cookie = (path != "/").then_some(COOKIE);
        let fill = Fill { referer: Some(&referer), cookie, ..Fill::default() };
        let response = self.ready().await.send_request(self.request(Method::GET, kind, path, &fill), true);
        read(response.unwrap().0).await;
    }

    async fn upload(&mut self, path: &str) {
        let referer = format!("{}/", self.origin);
        let fill = Fill {
            referer: Some(&referer),
            origin: Some(&self.origin),
            cookie: Some(COOKIE),
            content_type: Some("application/octet-stream"),
            content_length: Some(UPLOAD_BYTES as u64),
        };
        let request = self.request(Method::POST, Kind::Fetch, path, &fill);
        let (response, mut body) = self.ready().await.send_request(request, false).unwrap();
        let mut left = UPLOAD_BYTES;
        while left > 0 {
            body.reserve_capacity(left.min(DATA_BYTES_MAX));
            let window = std::future::poll_fn(|cx| body.poll_capacity(cx)).await.unwrap().unwrap();
            let piece = window.min(left).min(DATA_BYTES_MAX);
            left -= piece;
            body.send_data(Bytes::from(vec![b'x'; piece]), left == 0).unwrap();
        }
        read(response).await;
    }

    async fn ready(&self) -> SendRequest {
        self.requests.clone().ready().await.unwrap()
    }

    fn request(&self, method: Method, kind: Kind, path: &str, fill: &Fill<'_>) -> Request<()> {
        let mut request =
            Request::builder().method(method).uri(format!("{}{path}", self.origin)).body(()).unwrap();
        *request.headers_mut() = self.client.profile().headers(kind, fill);
        request
    }
}

async fn read(response: http2::client::ResponseFuture) {
    let response = response.await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    while let Some(piece) = body.data().await {
        body.flow_control().release_capacity(piece.unwrap().len()).unwrap();
    }
}
