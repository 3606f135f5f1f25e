//! Times on the wire: bounds as the client wrote them, windows on the query's own clock.

use crate::domain::time::Instant;
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, RefOr};
use utoipa::{PartialSchema, ToSchema};

const MINUTES_PER_HOUR: i32 = 60;
const SECONDS_PER_MINUTE: i32 = 60;

/// A date-time as a client wrote it, and the instant it means. RFC 3339 with a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateTime {
    pub text: String,
    pub instant: Instant,
}

impl DateTime {
    /// How far east of UTC the clock is that the client wrote it on.
    pub fn offset(&self) -> Offset {
        let sign_at = self.text.len().saturating_sub("+02:00".len());
        let (sign, clock) = self.text.get(sign_at..).map_or(("", ""), |zone| zone.split_at(1));
        let minutes = clock.split_once(':').and_then(|(hours, minutes)| {
            Some(hours.parse::<i32>().ok()? * MINUTES_PER_HOUR + minutes.parse::<i32>().ok()?)
        });
        let seconds = minutes.map_or(0, |minutes| minutes * SECONDS_PER_MINUTE);
        let offset = match sign {
            "+" => Offset::from_seconds(seconds),
            "-" => Offset::from_seconds(-seconds),
            _ => Ok(Offset::UTC),
        };
        offset.unwrap_or(Offset::UTC)
    }
}

impl PartialSchema for DateTime {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        ObjectBuilder::new().schema_type(Type::String).format(Some(format)).into()
    }
}

impl ToSchema for DateTime {}

impl<'de> Deserialize<'de> for DateTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?.into_owned();
        let instant = Instant::parse(&text).map_err(D::Error::custom)?;
        Ok(Self { text, instant })
    }
}

impl From<Instant> for DateTime {
    fn from(instant: Instant) -> Self {
        Self { text: instant.to_rfc3339(), instant }
    }
}

impl Serialize for DateTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// A date-time that [`Instant::parse`] has accepted, in the client's own offset; the fraction without trailing zeros,
/// and no offset as `Z`.
pub fn echo(text: &str) -> String {
    let (clock, rest) = text.split_at(text.len().min("2025-03-01T00:00:00".len()));
    let zone_at = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (fraction, zone) = rest.split_at(zone_at);
    let fraction = fraction.get(..fraction.len().min(".123456789".len())).unwrap_or("").trim_end_matches('0');
    let fraction = if fraction == "." { "" } else { fraction };
    let zone = if matches!(zone, "+00:00" | "-00:00") { "Z" } else { zone };
    format!("{clock}{fraction}{zone}")
}

/// RFC 3339 on the clock of `zone`; `Z` where the zone has no offset. Offsets are shown in whole minutes.
pub fn in_zone(at: Instant, zone: &TimeZone) -> String {
    let Ok(timestamp) = Timestamp::from_nanosecond(i128::from(at.nanos())) else { return at.to_rfc3339() };
    let offset_min = zone.to_offset(timestamp).seconds() / 60;
    if offset_min == 0 {
        return at.to_rfc3339();
    }
    let local = Instant::from_nanos(at.nanos().saturating_add(i64::from(offset_min) * crate::domain::time::MINUTE_NS));
    let clock = local.to_rfc3339();
    let sign = if offset_min < 0 { '-' } else { '+' };
    let minutes = offset_min.unsigned_abs();
    format!("{}{sign}{:02}:{:02}", clock.trim_end_matches('Z'), minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_shown_as_sent() {
        #[rustfmt::skip]
        let table = [
            ("2025-03-01T02:00:00+02:00", "2025-03-01T02:00:00+02:00"), ("2025-03-01T00:00:00.000Z", "2025-03-01T00:00:00Z"),
            ("2025-03-01T00:00:00.1200Z", "2025-03-01T00:00:00.12Z"), ("2025-03-01T00:00:00+00:00", "2025-03-01T00:00:00Z"),
            ("2025-03-01T00:00:00.1234567891-05:30", "2025-03-01T00:00:00.123456789-05:30"),
        ];
        for (sent, shown) in table {
            assert_eq!(echo(sent), shown);
        }
    }

    #[test]
    fn a_date_time_knows_its_clock() {
        #[rustfmt::skip]
        let table = [
            ("2025-03-01T02:00:00+02:00", 7_200), ("2025-03-01T02:00:00.5-05:30", -19_800), ("2025-03-01T02:00:00Z", 0),
            ("2025-03-01T02:00:00.123456Z", 0), ("2025-03-01T02:00:00-00:00", 0),
        ];
        for (text, offset_s) in table {
            let time: DateTime = serde_json::from_value(text.into()).unwrap();
            assert_eq!(time.offset().seconds(), offset_s, "{text}");
        }
    }

    #[test]
    fn windows_are_shown_on_their_own_clock() {
        let at = Instant::parse("2025-03-09T08:00:00Z").unwrap();
        #[rustfmt::skip]
        let table = [
            ("America/Los_Angeles", "2025-03-09T00:00:00-08:00"), ("UTC", "2025-03-09T08:00:00Z"),
            ("Asia/Kathmandu", "2025-03-09T13:45:00+05:45"), ("Europe/London", "2025-03-09T08:00:00Z"),
        ];
        for (zone, shown) in table {
            assert_eq!(in_zone(at, &TimeZone::get(zone).unwrap()), shown, "{zone}");
        }
    }
}
