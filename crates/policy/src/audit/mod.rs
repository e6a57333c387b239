//! The public log: append-only, signed, and provable offline.
