//! Machines and plants.

pub mod modbus;
