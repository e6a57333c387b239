//! Messages between people and between machines.

pub mod mqtt;
pub mod whatsapp;
pub mod xmpp;
