//! HTTP/3, by which visitors see the site and holders of cards come to the tunnel, as by HTTPS.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use daylight_tunnel::transports::h3::server::Visit;
use daylight_tunnel::transports::h3::{self, H3, endpoint};
use daylight_tunnel::transports::web::is_attempt;
use http::{Request, Response};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::metrics::Handshake;
use crate::site::SiteBody;

/// Listens for QUIC.
pub(super) fn listen(shared: &Arc<Shared>, address: SocketAddr) -> io::Result<endpoint::Endpoint> {
    let certificates = Arc::new(Certificates(shared.clone()));
    endpoint::listen(endpoint::bind(address)?, certificates).map_err(io::Error::other)
}

/// Serves connections, and takes no more of them once it ends; those that are there go on.
pub(super) async fn serve(shared: Arc<Shared>, endpoint: endpoint::Endpoint, ends: CancellationToken) {
    let h3 = Arc::new(H3::new(shared.door.clone(), shared.arrived.clone()));
    ends.run_until_cancelled(h3.serve(endpoint.clone(), Arc::new(Site(shared)))).await;
    endpoint.set_server_config(None);
}

/// The certificate of HTTPS, as it is now.
struct Certificates(Arc<Shared>);

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.settings().tls.as_ref()?.cert_resolver.resolve(hello)
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates")
    }
}

struct Site(Arc<Shared>);

impl h3::Site for Site {
    type Body = SiteBody;

    async fn answer(&self, request: Request<Visit>, from: IpAddr) -> Response<SiteBody> {
        let may_try = self.may_try(from);
        let outcome = if may_try { Handshake::Stranger } else { Handshake::NotTried };
        self.0.metrics.handshake("h3", outcome);
        if may_try && is_attempt(request.headers()) {
            self.0.handshakes.failed(from, Instant::now());
        }
        let settings = self.0.settings();
        settings.answer(request).await
    }

    fn may_try(&self, from: IpAddr) -> bool {
        self.0.handshakes.may_try(from, Instant::now())
    }

    fn arrived(&self, from: IpAddr) {
        self.0.metrics.handshake("h3", Handshake::Card);
        self.0.handshakes.succeeded(from);
    }
}
