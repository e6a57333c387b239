//! How many files the process may have open: each connection is one, on both sides.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit as far as the system lets it. The usual one, 1024, would be reached by a few visitors.
pub(super) fn allow_many() {
    // If it can't be, connections wait for others to end.
    let _ = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
}
