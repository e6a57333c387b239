//! Connections to servers, by a way's transport. A transport is a file here and a line in [`Dialler::dial`].

mod h3;
mod plain;
mod tcp;
mod visit;
mod web;

use std::sync::Arc;

use daylight_browser::{Client, QuicClient};
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

/// Makes connections to servers.
pub(super) struct Dialler {
    pub(super) browser: Client,
    pub(super) names: Names,
    /// TLS for `h3`, if a card offers that.
    pub(super) quic: Option<Arc<QuicClient>>,
    /// `SO_MARK` of its sockets.
    pub(super) mark: Option<u32>,
}

impl Dialler {
    pub(super) async fn dial(&self, server: &Server, way: &Way) -> Result<Dial, Cause> {
        match &way.by {
            By::Plain => Ok(plain::dial(self.tcp(way).await?, server)),
            By::H3 { site } => h3::dial(self, server, way, site).await,
            By::Web { site, path, mode } => {
                let site = web::Site { name: site, port: way.port, path, mode: *mode };
                web::dial(self.tcp(way).await?, server, &site, &self.browser).await
            }
        }
    }
}
