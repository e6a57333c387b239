//! What a session's streams and associations are joined to.

use std::sync::Arc;
use std::time::Instant;

use daylight_session::code;
use daylight_tunnel::census::is_report;
use daylight_tunnel::driver::{Association, Driver, NewSession, Opened};
use daylight_tunnel::relay::relay_connection;

use super::Shared;
use crate::census::Visitor;
use crate::limits::{AssociationPermit, Direction, SessionLimits};
use crate::metrics::StreamMeter;

/// A session, and what it may.
#[derive(Clone)]
struct Guest {
    shared: Arc<Shared>,
    session: Driver,
    limits: SessionLimits,
    /// Its part in the census.
    visitor: Option<Arc<Visitor>>,
}

/// Serves a session to its end.
pub(super) async fn serve(shared: Arc<Shared>, new: NewSession) {
    let _present = shared.metrics.session();
    let limits = shared.settings().limits.session();
    let visitor = shared.census.as_ref().map(|census| Arc::new(census.visitor(new.from, new.transport)));
    let guest = Guest { shared, session: new.session, limits, visitor };
    tokio::spawn(guest.clone().associations());
    while let Some(opened) = guest.session.accept().await {
        tokio::spawn(guest.clone().stream(opened));
    }
}

impl Guest {
    async fn stream(self, opened: Opened) {
        if is_report(&opened.destination) {
            return self.report(&opened).await;
        }
        let _permit = match self.limits.try_stream(Instant::now()) {
            Ok(permit) => permit,
            Err(limit) => {
                self.shared.metrics.limit_reached(limit);
                return self.session.refuse(&opened, code::BUSY);
            }
        };
        let egress = self.shared.settings().egress.clone();
        let outside = match egress.connect(&opened.destination).await {
            Ok(connection) => connection,
            Err(error) => {
                self.shared.metrics.egress_error(&error);
                return self.session.refuse(&opened, error.code());
            }
        };
        let Ok(stream) = self.session.accept_stream(&opened) else { return };
        let _present = self.shared.metrics.stream();
        let meter = StreamMeter::new(self.shared.metrics.clone(), self.limits.clone());
        // Both ends have been told.
        let _ = relay_connection(outside, stream, meter).await;
    }

    async fn report(&self, opened: &Opened) {
        let Some(visitor) = &self.visitor else {
            return self.session.refuse(opened, code::NOT_ALLOWED);
        };
        if let Ok(stream) = self.session.accept_stream(opened) {
            // Whoever was not counted this time comes again.
            let _ = visitor.serve(stream).await;
        }
    }

    async fn associations(self) {
        while let Some(association) = self.session.accept_association().await {
            match self.limits.try_association() {
                Ok(permit) => drop(tokio::spawn(self.clone().datagrams(association, permit))),
                // One too many is not answered: datagrams are lost.
                Err(limit) => self.shared.metrics.limit_reached(limit),
            }
        }
    }

    /// Carries datagrams until the client ends the association.
    async fn datagrams(self, association: Association, mut permit: AssociationPermit) {
        let metrics = &self.shared.metrics;
        let egress = self.shared.settings().egress.clone();
        let outside = match egress.associate().await {
            Ok(outside) => outside,
            Err(error) => return metrics.egress_error(&error),
        };
        let (_present, rate) = (metrics.association(), self.limits.rate());
        let out = async {
            while let Some((destination, data)) = association.receive().await {
                if let Err(limit) = permit.try_send(&destination, Instant::now()) {
                    metrics.limit_reached(limit);
                    continue;
                }
                metrics.carried(Direction::Up, data.len());
                if let Some(rate) = rate {
                    rate.take(Direction::Up, data.len()).await;
                }
                // One that can't be sent is lost, as datagrams are.
                if let Err(error) = outside.send(&destination, &data).await {
                    metrics.egress_error(&error);
                }
            }
        };
        let back = async {
            while let Ok((from, data)) = outside.receive().await {
                metrics.carried(Direction::Down, data.len());
                if let Some(rate) = rate {
                    rate.take(Direction::Down, data.len()).await;
                }
                // One that is too large, or too many, is lost.
                let _ = association.send(from.into(), data);
            }
        };
        tokio::select! {
            () = out => {}
            () = back => {}
        }
    }
}
