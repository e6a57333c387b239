//! A link of the lab: frames from one interface to another, delayed, lost, limited, or meddled with.
