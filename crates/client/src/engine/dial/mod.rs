//! Connections to servers, by a way's transport. A transport is a file here and a line in [`Dialler::dial`].

mod h3;
mod plain;
mod tcp;
mod visit;
mod web;

use std::sync::Arc;

use daylight_browser::{Client, Profile, QuicClient, Trust};
use daylight_tunnel::transports::Dialled;
use tokio_util::task::AbortOnDropHandle;

pub(super) use self::tcp::Names;
use super::way::{By, Server, Way};
use crate::cause::Cause;

/// A connection on which nothing was said of the tunnel.
pub(super) struct Dial {
    pub(super) dialled: Box<dyn Dialled>,
    /// What moves its bytes, if that is not whoever reads and writes.
    pub(super) driving: Option<AbortOnDropHandle<()>>,
}

/// The browser's TLS.
pub(super) struct Tls {
    browser: Client,
    /// That of `h3`, if a card offers it.
    quic: Option<Arc<QuicClient>>,
}

impl Tls {
    /// What these ways need of it: nothing, if no site is in any. Certificate authorities that were named are looked at
    /// nevertheless: who named them wrongly is told.
    pub(super) fn of(
        ways: &[Way],
        profile: Profile,
        trust: &Trust,
    ) -> Result<Option<Self>, daylight_browser::Error> {
        if matches!(trust, Trust::System) && ways.iter().all(|way| matches!(way.by, By::Plain)) {
            return Ok(None);
        }
        let has_h3 = ways.iter().any(|way| matches!(way.by, By::H3 { .. }));
        let quic = has_h3.then(|| QuicClient::new(&profile, trust)).transpose()?.map(Arc::new);
        Ok(Some(Self { browser: Client::new(profile, trust)?, quic }))
    }
}

/// Makes connections to servers.
pub(super) struct Dialler {
    pub(super) names: Names,
    /// If a way needs it.
    pub(super) tls: Option<Tls>,
    /// `SO_MARK` of its sockets.
    pub(super) mark: Option<u32>,
}

impl Dialler {
    pub(super) async fn dial(&self, server: &Server, way: &Way) -> Result<Dial, Cause> {
        let tls = || self.tls.as_ref().ok_or(Cause::Unsupported);
        match &way.by {
            By::Plain => Ok(plain::dial(self.tcp(way).await?, server)),
            By::H3 { site } => h3::dial(self, tls()?, server, way, site).await,
            By::Web { site, path, mode } => {
                let site = web::Site { name: site, port: way.port, path, mode: *mode };
                web::dial(self.tcp(way).await?, server, &site, &tls()?.browser).await
            }
        }
    }
}
