//! Extraction: what one event means to one meter. One pass over `data`, no tree, no float, duplicate keys: last wins.

use super::meter::Meter;
use crate::domain::digest::HashKey;
use crate::domain::number::Value;

/// What a meter reads out of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// COUNT: the event itself.
    One,
    /// SUM, AVG, MIN, MAX, LATEST.
    Value(Value),
    /// UNIQUE_COUNT: the value's identity.
    Distinct(u128),
}

/// Why an event that matches a meter's type does not count in it. The texts are those of the events list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotCounted {
    /// `data` is absent or null.
    NoData,
    /// The value property is not in `data`.
    MissingValue,
    /// The value is JSON null.
    NullValue,
    /// A string that is not a number.
    NotANumber,
    /// A number outside what a value can hold.
    OutOfRange,
    /// A boolean, an object or an array.
    UnsupportedType,
    /// The event's time is before the meter's `eventFrom`.
    BeforeEventFrom,
}

/// A meter's paths, compiled.
#[derive(Debug)]
pub struct Extractor {}

impl Extractor {
    /// A path that does not parse (meters from a file are not checked there by the peer) reads nothing.
    pub fn of(_meter: &Meter) -> Self {
        todo!()
    }

    /// Reads the value and appends the group values to `texts` in the form of `Measure::groups`.
    pub fn read(&self, _data: Option<&str>, _key: &HashKey, _texts: &mut Vec<u8>) -> Result<Reading, NotCounted> {
        todo!()
    }

    /// The text the events list shows for this reason, with the value where it names one; `None` when it counts.
    pub fn explain(&self, _data: Option<&str>) -> Option<String> {
        todo!()
    }
}

/// Reads one group value off the front of a measure's group bytes; `None` at the end.
pub fn next_group<'a>(_groups: &mut &'a [u8]) -> Option<&'a str> {
    todo!()
}
