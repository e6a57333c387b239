//! Remote Authentication Dial-In User Service.

use crate::{Family, Protocol};

/// Remote Authentication Dial-In User Service.
pub const PROTOCOL: Protocol = Protocol {
    name: "radius",
    title: "Remote Authentication Dial-In User Service",
    family: Family::Identity,
    source: "",
    ..Protocol::BASE
};
