//! Remote terminals and desktops.

pub mod anydesk;
pub mod rdp;
pub mod ssh;
pub mod telnet;
pub mod vnc;
