//! Cursors of the event lists: where a page ended, as a token that clients hand back unread.
//!
//! The token is base64 of `<RFC 3339 time>,<row id>`: the instant that the list is ordered by, to the nanosecond, and
//! the event's position in the form of a ULID: 32 bits of zeros, the partition's 32, the offset's 64.

use super::ingest::base64;
use crate::domain::metering::query::EventCursor;
use crate::domain::position::Position;
use crate::domain::time::{Instant, TimeError};
use ulid::Ulid;

/// Why a text is no cursor. Ordered: the first that applies is reported. The words are those that clients know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    #[error("text is empty")]
    Empty,
    #[error("decode cursor: it is not base64 of a text")]
    NotBase64,
    #[error("cursor is invalid: no delimiter found")]
    NoDelimiter,
    #[error("cursor is invalid: its time {0}")]
    Time(TimeError),
    #[error("cursor is invalid: its row id is not one of this list")]
    RowId,
}

/// The token of a place in a list.
pub fn encode(cursor: EventCursor) -> String {
    let Position { partition, offset } = cursor.position;
    let row = Ulid((u128::from(partition) << u64::BITS) | u128::from(offset));
    base64::encode(format!("{},{row}", cursor.at.to_rfc3339()).as_bytes())
}

/// The place that a token stands for.
pub fn decode(token: &str) -> Result<EventCursor, CursorError> {
    if token.is_empty() {
        return Err(CursorError::Empty);
    }
    let text = base64::decode(token).and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(CursorError::NotBase64)?;
    let (time, row) = text.split_once(',').ok_or(CursorError::NoDelimiter)?;
    let at = Instant::parse(time).map_err(CursorError::Time)?;
    Ok(EventCursor { at, position: position(row).ok_or(CursorError::RowId)? })
}

fn position(row: &str) -> Option<Position> {
    let Ulid(bits) = Ulid::from_string(row).ok()?;
    let partition = u32::try_from(bits >> u64::BITS).ok()?;
    // What is left of the cast are the lower 64 bits.
    Some(Position::new(partition, bits as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_is_a_time_and_a_row_id() {
        let at = Instant::parse("2025-03-01T10:00:00.000000001Z").unwrap();
        let token = encode(EventCursor { at, position: Position::new(0, 7) });
        let text = String::from_utf8(base64::decode(&token).unwrap()).unwrap();
        assert_eq!(text, "2025-03-01T10:00:00.000000001Z,00000000000000000000000007");
        let whole_seconds = base64::encode(b"2025-03-01T10:00:00Z,00000000000000000000000007");
        assert_eq!(decode(&whole_seconds).unwrap().at, Instant::parse("2025-03-01T10:00:00Z").unwrap());
    }

    #[test]
    fn what_is_no_cursor_is_told_apart() {
        let row = "00000000000000000000000007";
        #[rustfmt::skip]
        let table = [
            (String::new(),                                                   CursorError::Empty),
            ("no base64".to_string(),                                         CursorError::NotBase64),
            (base64::encode(b"\xff,x"),                                       CursorError::NotBase64),
            (base64::encode(b"2025-03-01T10:00:00Z"),                         CursorError::NoDelimiter),
            (base64::encode(format!("yesterday,{row}").as_bytes()),           CursorError::Time(TimeError::Format)),
            (base64::encode(b"2025-03-01T10:00:00Z,7"),                       CursorError::RowId),
            (base64::encode(b"2025-03-01T10:00:00Z,01JN8T4Q6Z0000000000000007"), CursorError::RowId),
        ];
        for (token, error) in table {
            assert_eq!(decode(&token), Err(error), "{token}");
        }
    }

    proptest! {
        #[test]
        fn a_token_leads_back_to_its_place(seconds in 0i64..9_000_000_000, nanos in 0i64..1_000_000_000, partition: u32, offset: u64) {
            let at = Instant::from_nanos(seconds * 1_000_000_000 + nanos);
            let cursor = EventCursor { at, position: Position::new(partition, offset) };
            prop_assert_eq!(decode(&encode(cursor)), Ok(cursor));
        }

        #[test]
        fn no_text_makes_reading_panic(token in ".{0,60}", plain in ".{0,40}") {
            let _ = decode(&token);
            let _ = decode(&base64::encode(plain.as_bytes()));
        }
    }
}
