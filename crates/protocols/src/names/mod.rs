//! Names and what they stand for.

pub mod dns;
pub mod doh;
pub mod doq;
pub mod dot;
pub mod llmnr;
pub mod mdns;
pub mod netbios_dgm;
pub mod netbios_ns;
pub mod netbios_ssn;
