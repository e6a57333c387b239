//! A server by HTTP/3: the site is the same, and so is who gets through.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use daylight_server::run::Server;
use daylight_session::public_key;
use daylight_tunnel::transports::door::CardKeys;
use daylight_tunnel::transports::h3::client::{Client, Server as Card};
use daylight_tunnel::transports::h3::endpoint::{self, Endpoint};
use h3::client::SendRequest;
use http::{HeaderMap, Method, Request, StatusCode, header};
use quinn::crypto::rustls::QuicClientConfig;

use crate::net::PATIENCE;
use crate::run::{Files, KEY, SECRETS, address, client, comes_back, echo};

const NAME: &str = "site.example";

fn endpoint(place: &Files) -> Endpoint {
    let socket = endpoint::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let mut tls =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(place.roots.clone())
            .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    endpoint::dial(socket, Arc::new(QuicClientConfig::try_from(tls).unwrap())).unwrap()
}

async fn by_card(place: &Files, server: &Server, secret: &[u8]) -> Box<Client> {
    let access = CardKeys::of(secret).unwrap().access;
    let card = Card { address: address(server, "h3"), name: NAME.to_owned(), key: public_key(&KEY), access };
    Box::new(Client::connect(&endpoint(place), card).await.unwrap())
}

type Answer = (StatusCode, HeaderMap, Vec<u8>);

/// What the site says by HTTP/3.
async fn ask(requests: &mut SendRequest<h3_quinn::OpenStreams, Bytes>, request: Request<()>) -> Answer {
    let mut stream = requests.send_request(request).await.unwrap();
    stream.finish().await.unwrap();
    let (mut head, ()) = stream.recv_response().await.unwrap().into_parts();
    head.headers.remove(header::DATE);
    let mut body = Vec::new();
    while let Some(data) = stream.recv_data().await.unwrap() {
        body.extend_from_slice(data.chunk());
    }
    (head.status, head.headers, body)
}

/// What it says by HTTP/2.
async fn ask_http2(place: &Files, server: &Server, request: Request<()>) -> Answer {
    let (requests, _) = place.requests(address(server, "web")).await;
    let (response, _) = requests.ready().await.unwrap().send_request(request, true).unwrap();
    let (mut head, mut came) = response.await.unwrap().into_parts();
    head.headers.remove(header::DATE);
    let mut body = Vec::new();
    while let Some(data) = std::future::poll_fn(|context| came.poll_data(context)).await {
        body.extend_from_slice(&data.unwrap());
    }
    (head.status, head.headers, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_open_it_and_visitors_see_the_site() {
    let place = Files::new();
    let server = Server::start(&place.config(), Arc::new(|_| {})).await.unwrap();
    let connecting = endpoint(&place).connect(address(&server, "h3"), NAME).unwrap();
    let connection = h3_quinn::Connection::new(connecting.await.unwrap());
    let (mut driving, mut requests) = h3::client::new(connection).await.unwrap();
    tokio::spawn(async move { driving.wait_idle().await });
    for (method, path) in [
        (Method::GET, "/"),
        (Method::HEAD, "/"),
        (Method::GET, "/nothing"),
        (Method::POST, "/"),
        (Method::OPTIONS, "/"),
        (Method::GET, "/.well-known/masque/udp/site.example/443/"),
    ] {
        let mut request = Request::new(());
        *request.method_mut() = method.clone();
        *request.uri_mut() = format!("https://{NAME}{path}").parse().unwrap();
        let expected = ask_http2(&place, &server, request.clone()).await;
        let answer = ask(&mut requests, request).await;
        assert_eq!(answer, expected, "{method} {path}");
        assert_eq!(answer.1.contains_key(header::ALT_SVC), answer.0 == StatusCode::OK, "{answer:?}");
    }
    // As it answers CONNECT by HTTP/2, where it never has a tunnel.
    let mut request = Request::new(());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = format!("https://{NAME}/.well-known/masque/udp/{NAME}/443/").parse().unwrap();
    request.extensions_mut().insert(h3::ext::Protocol::CONNECT_UDP);
    let answer = ask(&mut requests, request).await;
    assert_eq!((answer.0, answer.1["server"].as_bytes()), (StatusCode::BAD_REQUEST, &b"nginx"[..]));

    let (driver, _) = client(by_card(&place, &server, &SECRETS[0]).await, &SECRETS[0]);
    comes_back(&driver, echo().await).await;
    driver.close(0);
    let (_, end) = client(by_card(&place, &server, &SECRETS[1]).await, &SECRETS[1]);
    let end = tokio::time::timeout(PATIENCE, end).await.unwrap().unwrap();
    assert!(end.contains("the site answered (400"), "{end}");
}
