//! Rules as pure functions: no I/O, no clock, no async, no float.

pub mod catalog;
pub mod customer;
pub mod digest;
pub mod entitlement;
pub mod fault;
pub mod metering;
pub mod number;
pub mod position;
pub mod quantity;
pub mod record;
pub mod subject;
pub mod time;
pub mod varint;
