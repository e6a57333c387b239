//! A question over a connection: TCP (RFC 7766), TLS (RFC 7858), HTTPS (RFC 8484).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use daylight_verdict::ooni::Failure;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use url::Url;

use super::message::{query, read};
use super::{Exchange, MESSAGE_BYTES_MAX, Reply};
use crate::net::connect;
use crate::tls::{Hello, Roots, handshake};
use crate::{failure, http};

pub(super) async fn ask_tcp(mut exchange: Exchange, to: SocketAddr, timeout: Duration) -> Exchange {
    let otherwise = match connect(to, timeout).await.into_stream() {
        Ok(stream) => over(&mut exchange, stream, timeout).await.err(),
        Err(failure) => Some(failure),
    };
    exchange.conclude(otherwise.unwrap_or(Failure::DnsServerMisbehaving))
}

pub(super) async fn ask_dot(
    mut exchange: Exchange,
    to: SocketAddr,
    host: &str,
    timeout: Duration,
    roots: &Roots,
) -> Exchange {
    let hello = Hello { alpn: &["dot"], ..Hello::of(host) };
    let otherwise = match secure(to, &hello, timeout, roots).await {
        Ok(stream) => over(&mut exchange, stream, timeout).await.err(),
        Err(failure) => Some(failure),
    };
    exchange.conclude(otherwise.unwrap_or(Failure::DnsServerMisbehaving))
}

pub(super) async fn ask_doh(
    mut exchange: Exchange,
    url: &Url,
    addresses: &[IpAddr],
    timeout: Duration,
    roots: &Roots,
) -> Exchange {
    let mut otherwise = Failure::InvalidArgument;
    let port = url.port_or_known_default().unwrap_or(443);
    for address in addresses {
        match by_https(&mut exchange, url, SocketAddr::new(*address, port), timeout, roots).await {
            Ok(()) => {
                otherwise = Failure::DnsServerMisbehaving;
                break;
            }
            Err(failure) => otherwise = failure,
        }
    }
    exchange.conclude(otherwise)
}

async fn by_https(
    exchange: &mut Exchange,
    url: &Url,
    to: SocketAddr,
    timeout: Duration,
    roots: &Roots,
) -> Result<(), Failure> {
    let stream = secure(to, &Hello::of(url.host_str().unwrap_or_default()), timeout, roots).await?;
    // Identifier 0, so that caches on the way can help (RFC 8484 §4.1).
    let question = query(0, &exchange.name, exchange.kind).ok_or(Failure::InvalidArgument)?;
    let request = http::Request::post(url, "application/dns-message", question)?;
    let done = http::exchange(stream, &request, MESSAGE_BYTES_MAX, timeout).await;
    if let Some(failure) = done.failure {
        return Err(failure);
    }
    let response = done.response.ok_or(Failure::Eof)?;
    if response.status != 200 {
        return Err(Failure::DnsServerMisbehaving);
    }
    take(exchange, 0, response.body)
}

/// A resolver's certificate has to be good: whoever forges it is no resolver.
async fn secure(
    to: SocketAddr,
    hello: &Hello<'_>,
    timeout: Duration,
    roots: &Roots,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static, Failure> {
    let done = handshake(connect(to, timeout).await.into_stream()?, hello, roots, timeout).await;
    if let Some(failure) = done.strict_failure() {
        return Err(failure.clone());
    }
    done.stream.ok_or(Failure::Eof)
}

async fn over<S: AsyncRead + AsyncWrite + Unpin>(
    exchange: &mut Exchange,
    mut stream: S,
    timeout: Duration,
) -> Result<(), Failure> {
    let id = rand::random();
    let question = query(id, &exchange.name, exchange.kind).ok_or(Failure::InvalidArgument)?;
    let work = async {
        // One write, so that length and query leave in one segment (RFC 7766 §8).
        let length = u16::try_from(question.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        stream.write_all(&[&length.to_be_bytes()[..], &question].concat()).await?;
        stream.flush().await?;
        let length = stream.read_u16().await?;
        let mut bytes = vec![0; length.into()];
        stream.read_exact(&mut bytes).await?;
        Ok(bytes)
    };
    let bytes = match tokio::time::timeout(timeout, work).await {
        Ok(done) => done.map_err(|error: io::Error| failure::of_io(&error))?,
        Err(_) => return Err(Failure::GenericTimeout),
    };
    take(exchange, id, bytes)
}

fn take(exchange: &mut Exchange, id: u16, bytes: Vec<u8>) -> Result<(), Failure> {
    let message = read(&bytes, &exchange.name, exchange.kind).ok_or(Failure::DnsServerMisbehaving)?;
    if message.id != id {
        return Err(Failure::DnsReplyWithWrongQueryId);
    }
    exchange.replies.push(Reply { at: Instant::now(), ttl: None, attempt: 0, message, bytes });
    Ok(())
}
