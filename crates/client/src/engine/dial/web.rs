//! `web`: TLS and HTTP/2 as a browser does them.

use daylight_browser::{Client, Error, Fill, Kind, http2};
use daylight_tunnel::transports::web::client::Client as Web;
use daylight_tunnel::transports::web::{EXPORTER_LABEL, Mode};
use http::Uri;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::super::failure;
use super::super::way::Server;
use super::Dial;
use super::visit::visit;
use crate::cause::Cause;

/// The port that a URL need not say.
const HTTPS: u16 = 443;

/// Where the tunnel is on a site.
pub(super) struct Site<'a> {
    pub(super) name: &'a str,
    pub(super) port: u16,
    pub(super) path: &'a str,
    pub(super) mode: Mode,
}

pub(super) async fn dial(
    connection: TcpStream,
    server: &Server,
    site: &Site<'_>,
    browser: &Client,
) -> Result<Dial, Cause> {
    let tls = browser.connect(connection, site.name.trim_matches(['[', ']'])).await;
    let tls = tls.map_err(|error| failure::of_tls(&error))?;
    let label = std::str::from_utf8(EXPORTER_LABEL).map_err(|_| Cause::Unsupported)?;
    let binding = tls.exporter(label, &[]).map_err(|error| failure::of_tls(&error))?;
    let (requests, connection) =
        http2::<TcpStream>(tls, browser.profile()).await.map_err(|error| match error {
            // Somebody else answers in the site's place, or it is not the card's.
            Error::NotHttp2(_) => Cause::Handshake,
            other => failure::of_tls(&other),
        })?;
    let driving = tokio::spawn(async move {
        // Whoever has a stream on it is told.
        let _ = connection.await;
    });
    let driving = Some(AbortOnDropHandle::new(driving));
    let authority = match site.port {
        HTTPS => site.name.to_owned(),
        port => format!("{}:{port}", site.name),
    };
    visit(&requests, browser.profile(), &authority).await;
    let uri = Uri::builder().scheme("https").authority(authority.as_str()).path_and_query(site.path).build();
    let referer = format!("https://{authority}/");
    let headers =
        browser.profile().headers(Kind::Fetch, &Fill { referer: Some(&referer), ..Fill::default() });
    let client = Web {
        requests,
        uri: uri.map_err(|_| Cause::Unsupported)?,
        headers,
        server: server.key,
        access: server.keys.access.clone(),
        binding: Some(binding),
        mode: site.mode,
    };
    Ok(Dial { dialled: Box::new(client), driving })
}
