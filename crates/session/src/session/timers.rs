//! What happens because time passes.

use std::time::Instant;

use super::{Event, Session};
use crate::error::{CloseReason, PathError};
use crate::path::{Path, PathId};

impl Session {
    /// When [`Session::handle_timeout`] is to be called next; `None` if only something else can change anything. *(B)*
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        let limits = &self.limits;
        let paths = self.paths.values().flat_map(|path| match path {
            Path::Handshake { since, .. } => [Some(*since + limits.path_timeout), None],
            Path::Live(live) => {
                let stall = live.stalls_after(limits.stall);
                let wait = if live.stalled { limits.path_timeout } else { stall };
                [live.silent_since().map(|since| since + wait), live.keep_alive_at]
            }
        });
        let orphan = self.orphan_since.map(|since| since + limits.orphan_timeout);
        paths.chain([self.ack_at, orphan]).flatten().min()
    }

    /// Does what is due. *(B)*
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        if self.ack_at.is_some_and(|at| at <= now) {
            self.ack_at = None;
            self.ack_due = true;
        }
        let (stall, timeout) = (self.limits.stall, self.limits.path_timeout);
        let (mut stalled, mut ended) = (Vec::new(), Vec::new());
        for (&id, path) in &mut self.paths {
            match path {
                Path::Handshake { since, .. } if *since + timeout <= now => ended.push(id),
                Path::Handshake { .. } => {}
                Path::Live(live) => {
                    if live.keep_alive_at.is_some_and(|at| at <= now) {
                        live.keep_alive_at = None;
                        live.keep_alive_due = true;
                        live.unpinged = true;
                    }
                    let Some(since) = live.silent_since() else { continue };
                    if since + timeout <= now {
                        ended.push(id);
                    } else if since + live.stalls_after(stall) <= now
                        && !std::mem::replace(&mut live.stalled, true)
                    {
                        stalled.push(id);
                    }
                }
            }
        }
        self.events.extend(stalled.into_iter().map(|id| Event::PathStalled(PathId(id))));
        self.requeue_stalled();
        for id in ended {
            self.end_path(id, PathError::Timeout, now);
        }
        if self.orphan_since.is_some_and(|since| since + self.limits.orphan_timeout <= now) {
            self.end(CloseReason::Timeout);
        }
    }
}
