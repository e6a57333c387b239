//! TCP, or something else, to a server: the addresses that its card says first, then those that its name has.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use daylight_card::Address;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::super::failure;
use super::super::way::Way;
use super::Dialler;
use crate::cause::{Cause, Stage};
use crate::direct::Direct;

/// How long one address is tried where there are others.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);
/// How long a name is looked up.
const NAME_PATIENCE: Duration = Duration::from_secs(5);

/// Servers' addresses as they were found last: where the whole machine is carried there is no other resolver while the
/// tunnel is down.
#[derive(Default)]
pub(in super::super) struct Names(Mutex<HashMap<String, Vec<IpAddr>>>);

impl Names {
    /// Looks a name up. Where that fails, what was found before is good enough.
    pub(in super::super) async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, Cause> {
        let known = self.table().get(name).cloned();
        let found = match timeout(NAME_PATIENCE, lookup_host((name, 0))).await {
            Ok(Ok(found)) => Ok(found.map(|address| address.ip()).collect::<Vec<_>>()),
            Ok(Err(_)) => Err(Cause::Name),
            Err(_) => Err(Cause::Timeout { stage: Stage::Name }),
        };
        match (found.and_then(|found| if found.is_empty() { Err(Cause::Name) } else { Ok(found) }), known) {
            (Ok(found), _) => {
                self.table().insert(name.into(), found.clone());
                Ok(found)
            }
            (Err(_), Some(known)) => Ok(known),
            (Err(cause), None) => Err(cause),
        }
    }

    fn known(&self, name: &str) -> Option<Vec<IpAddr>> {
        self.table().get(name).cloned()
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<IpAddr>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dialler {
    /// A connection to the first address that takes one.
    pub(super) async fn tcp(&self, way: &Way) -> Result<TcpStream, Cause> {
        self.first(way, |address| self.connect(address)).await
    }

    /// What can be made with the first address that it can be made with.
    pub(super) async fn first<T, F>(&self, way: &Way, make: impl Fn(SocketAddr) -> F) -> Result<T, Cause>
    where
        F: Future<Output = Result<T, Cause>>,
    {
        let mut cause = Cause::Unreachable;
        let mut tried = Vec::new();
        for address in &way.addresses {
            let found = match address {
                Address::Ip(ip) => vec![*ip],
                Address::Name(name) => match self.addresses(name).await {
                    Ok(found) => found,
                    Err(why) => {
                        cause = if tried.is_empty() { why } else { cause };
                        continue;
                    }
                },
            };
            for ip in found {
                if tried.contains(&ip) {
                    continue;
                }
                tried.push(ip);
                match make(SocketAddr::new(ip, way.port)).await {
                    Ok(made) => return Ok(made),
                    Err(why) => cause = why,
                }
            }
        }
        Err(cause)
    }

    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Cause> {
        // With a mark the whole machine is carried, its questions for names too.
        match self.mark.and_then(|_| self.names.known(name)) {
            Some(known) => Ok(known),
            None => self.names.look_up(name).await,
        }
    }

    async fn connect(&self, address: SocketAddr) -> Result<TcpStream, Cause> {
        match timeout(PATIENCE, Direct { mark: self.mark }.dial(address)).await {
            Ok(dialled) => dialled.map_err(|error| failure::of_io(&error, Stage::Connect, 0)),
            Err(_) => Err(Cause::Timeout { stage: Stage::Connect }),
        }
    }
}
