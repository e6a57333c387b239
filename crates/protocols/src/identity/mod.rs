//! Who is who.

pub mod dcerpc;
pub mod kerberos;
pub mod ldap;
pub mod ldaps;
pub mod radius;
