//! The third step: which name at which address. It tells a name that is blocked from an address that is.

use std::net::SocketAddr;
use std::time::Instant;

use daylight_verdict::extras::{AddressKind, HttpCell, NameKind, TlsCell};
use daylight_verdict::ooni::Failure;
use ring::digest::{SHA256, digest};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::clock::{Clock, ms};
use crate::http::{self, Request};
use crate::net::connect;
use crate::plan::Target;
use crate::settings::Settings;
use crate::tls::{Handshake, Hello, Roots, handshake};

/// So much of a page stands in a cell.
const BODY_BYTES_MAX: usize = 8 << 10;

/// Everything a cell needs.
#[derive(Clone, Copy)]
pub(super) struct Cells<'a> {
    pub(super) target: &'a Target,
    pub(super) settings: &'a Settings,
    pub(super) roots: &'a Roots,
    pub(super) clock: Clock,
}

impl Cells<'_> {
    /// The name that a kind stands for, as it is sent.
    fn name(&self, kind: NameKind) -> Option<String> {
        match kind {
            NameKind::Control => Some(self.settings.control.host.clone()),
            NameKind::None => None,
            NameKind::TrailingDot => Some(format!("{}.", self.target.host())),
            _ => Some(self.target.host().to_owned()),
        }
    }

    /// One handshake, repeated while it leaves something open.
    pub(super) async fn tls(&self, kind: NameKind, at: AddressKind, to: SocketAddr) -> Vec<TlsCell> {
        let mut cells = Vec::new();
        while is_open(&cells) {
            cells.push(self.tls_once(kind, at, to, cells.len() as u32).await);
        }
        cells
    }

    async fn tls_once(&self, kind: NameKind, at: AddressKind, to: SocketAddr, attempt: u32) -> TlsCell {
        let name = self.name(kind);
        let mut cell = TlsCell {
            name: kind,
            server_name: name.clone().unwrap_or_default(),
            at,
            address: to.to_string(),
            attempt,
            connected: false,
            failure: None,
            alert: None,
            valid_for_target: None,
            certificate: None,
            issuer: None,
            t_ms: self.clock.ms(Instant::now()),
            connect_ms: None,
            handshake_ms: None,
        };
        let connected = connect(to, self.settings.waits.connect).await;
        cell.connect_ms = Some(ms(connected.elapsed()));
        let stream = match connected.into_stream() {
            Ok(stream) => stream,
            Err(failure) => {
                cell.failure = Some(failure);
                return cell;
            }
        };
        cell.connected = true;
        let hello = Hello {
            server_name: name.as_deref(),
            judged_for: self.target.host(),
            split: kind == NameKind::Split,
            ech_grease: kind == NameKind::EchGrease,
            alpn: &["http/1.1"],
        };
        let shaken = handshake(stream, &hello, self.roots, self.settings.waits.handshake).await;
        cell.describe(&shaken);
        cell
    }

    /// One request with this or that `Host`, without TLS.
    pub(super) async fn http(&self, kind: NameKind, at: AddressKind, to: SocketAddr) -> HttpCell {
        let begun = Instant::now();
        let mut cell = HttpCell {
            name: kind,
            at,
            address: to.to_string(),
            failure: None,
            status_code: None,
            location: None,
            body: String::new(),
            changed_headers: Vec::new(),
            took_ms: 0.0,
        };
        let host = match kind {
            NameKind::Target => http::authority(self.target.url()),
            kind => self.name(kind).unwrap_or_else(|| to.ip().to_string()),
        };
        match self.ask(&host, to).await {
            Ok(page) => cell.page(&page),
            Err(failure) => cell.failure = Some(failure),
        }
        cell.took_ms = ms(begun.elapsed());
        cell
    }

    async fn ask(&self, host: &str, to: SocketAddr) -> Result<http::Exchange, Failure> {
        let stream = connect(to, self.settings.waits.connect).await.into_stream()?;
        let request = Request::visit(self.target.url(), host, "")?;
        Ok(http::exchange(stream, &request, BODY_BYTES_MAX, self.settings.waits.http).await)
    }
}

/// Whether one more attempt is needed to know what these came to. One lost handshake is no blocking; and what is put in on the
/// way is not sent again if it gets lost, so that two attempts of the same block may fail each otherwise.
fn is_open(attempts: &[TlsCell]) -> bool {
    match attempts {
        [] => true,
        [one] => one.failure.is_some(),
        [one, other] => {
            let both_failed = one.failure.is_some() && other.failure.is_some();
            both_failed && one.connected && other.connected && one.failure != other.failure
        }
        _ => false,
    }
}

/// A page at one more of the target's addresses.
pub(super) fn other_page(address: SocketAddr, page: &http::Exchange) -> HttpCell {
    let mut cell = HttpCell {
        name: NameKind::Target,
        at: AddressKind::Target,
        address: address.to_string(),
        failure: None,
        status_code: None,
        location: None,
        body: String::new(),
        changed_headers: Vec::new(),
        took_ms: ms(page.ended - page.begun),
    };
    cell.page(page);
    cell
}

/// Fills a cell in.
trait Page {
    fn page(&mut self, page: &http::Exchange);
}

impl Page for HttpCell {
    fn page(&mut self, page: &http::Exchange) {
        self.failure.clone_from(&page.failure);
        if let Some(response) = &page.response {
            self.status_code = Some(response.status);
            self.location = response.header("Location").map(str::to_owned);
            let beginning = response.body.get(..BODY_BYTES_MAX).unwrap_or(&response.body);
            self.body = String::from_utf8_lossy(beginning).into_owned();
        }
    }
}

/// Fills a cell in.
trait Describe {
    fn describe(&mut self, shaken: &Handshake);
}

impl Describe for TlsCell {
    fn describe(&mut self, shaken: &Handshake) {
        self.failure.clone_from(&shaken.failure);
        self.alert = shaken.alert;
        self.handshake_ms = Some(ms(shaken.elapsed()));
        if let Some(leaf) = shaken.chain.first() {
            self.valid_for_target = Some(shaken.certificate_failure.is_none());
            let hash = digest(&SHA256, leaf);
            self.certificate = Some(hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect());
            self.issuer = issuer(leaf);
        }
    }
}

/// The issuer's common name, else the whole name.
fn issuer(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let issuer = certificate.issuer();
    let common = issuer.iter_common_name().next().and_then(|name| name.as_str().ok());
    Some(common.map_or_else(|| issuer.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(connected: bool, failure: Option<&str>) -> TlsCell {
        let address = "192.0.2.1:443";
        let cell = serde_json::json!({"name": "target", "at": "target", "address": address, "connected": connected, "failure": failure});
        serde_json::from_value(cell).unwrap()
    }

    #[test]
    fn a_third_attempt_only_where_two_failed_each_otherwise() {
        let reset = || attempt(true, Some("connection_reset"));
        let timeout = || attempt(true, Some("generic_timeout_error"));
        let unconnected = || attempt(false, Some("generic_timeout_error"));
        let open = attempt(true, None);
        assert!(is_open(&[]) && is_open(&[reset()]) && is_open(&[unconnected()]));
        assert!(!is_open(std::slice::from_ref(&open)) && !is_open(&[reset(), open]));
        assert!(is_open(&[reset(), timeout()]) && !is_open(&[reset(), reset()]));
        // Where a block lingers no connection comes about; waiting for a third tells nothing.
        assert!(!is_open(&[reset(), unconnected()]));
        assert!(!is_open(&[reset(), timeout(), reset()]));
    }
}
