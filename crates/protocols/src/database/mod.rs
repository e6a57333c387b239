//! Databases.

pub mod mongodb;
pub mod mysql;
pub mod postgresql;
pub mod redis;
pub mod tds;
