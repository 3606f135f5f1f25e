//! Records: what the event log holds, in the binary form it has from format version 1 on.
//!
//! Whatever changes what the line does is a record, so a replay decides the same. A record is
//! `length u32 · kind u8 · body`, little-endian; the length counts kind and body. An event's body is fixed-width
//! lengths followed by the bytes as the client sent them, so that reading one costs no allocation and no parsing.
//! A control record's body is JSON: there are few, and people read them.
//! An unknown kind is an error: an older binary stops rather than skip what it cannot understand.

use super::position::Position;
use super::time::Instant;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The format of frames and records that this binary writes. A higher one on disk is refused.
pub const FORMAT_VERSION: u16 = 1;

/// The kinds, numbered for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    Event = 1,
    MeterLive = 2,
    MeterGone = 3,
    Quarantined = 4,
    Redriven = 5,
    Dropped = 6,
    Void = 7,
    Reserved = 8,
    Settled = 9,
    Released = 10,
    Settings = 11,
}

impl Kind {
    pub fn from_byte(byte: u8) -> Option<Self> {
        use Kind::*;
        [Event, MeterLive, MeterGone, Quarantined, Redriven, Dropped, Void, Reserved, Settled, Released, Settings]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// Why bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("the record ends after {have} bytes, {want} were announced")]
    Short { have: usize, want: usize },
    #[error("record kind {0} is unknown to this version of weir; start the newer version that wrote it")]
    UnknownKind(u8),
    #[error("the record's text is not UTF-8")]
    NotUtf8,
    #[error("the record's lengths do not add up to its size")]
    Lengths,
    #[error("the control record cannot be read: {0}")]
    Control(String),
}

/// A usage event as it lies in a record: borrowed, byte for byte as the client sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventView<'a> {
    pub namespace: &'a str,
    pub id: &'a str,
    pub source: &'a str,
    pub event_type: &'a str,
    pub subject: &'a str,
    pub specversion: &'a str,
    /// RFC 3339 as sent; absent when the client sent none.
    pub time_text: Option<&'a str>,
    /// The same as an instant. Absent with `time_text`: then the event's time is the moment it was accepted.
    pub time: Option<Instant>,
    pub dataschema: Option<&'a str>,
    pub datacontenttype: Option<&'a str>,
    /// Further CloudEvents attributes as one JSON object, or empty when there are none.
    pub extensions: &'a str,
    /// The bytes of `data` as sent: a JSON object or `null`; absent when the member was absent.
    pub data: Option<&'a str>,
}

impl EventView<'_> {
    /// The instant that windows, ranges and LATEST use.
    pub fn instant(&self, accepted_at: Instant) -> Instant {
        self.time.unwrap_or(accepted_at)
    }
}

const HAS_TIME: u8 = 1;
const HAS_SCHEMA: u8 = 2;
const HAS_CONTENT_TYPE: u8 = 4;
const HAS_DATA: u8 = 8;
/// flags u8, time i64, nine u16 lengths, two u32 lengths.
const EVENT_HEAD: usize = 1 + 8 + 9 * 2 + 2 * 4;
const RECORD_HEAD: usize = 4 + 1;

/// Longest text of one envelope attribute that a record can hold, in bytes. The door's own limit is lower.
pub const ATTRIBUTE_BYTES_CAP: usize = u16::MAX as usize;

/// Appends one event record. The caller has checked every attribute against [`ATTRIBUTE_BYTES_CAP`].
pub fn encode_event(event: &EventView<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(Kind::Event as u8);
    let present = [
        (event.time_text.is_some(), HAS_TIME),
        (event.dataschema.is_some(), HAS_SCHEMA),
        (event.datacontenttype.is_some(), HAS_CONTENT_TYPE),
        (event.data.is_some(), HAS_DATA),
    ];
    let flags = present.into_iter().filter(|(given, _)| *given).fold(0, |flags, (_, flag)| flags | flag);
    out.push(flags);
    out.extend_from_slice(&event.time.map_or(0, Instant::nanos).to_le_bytes());
    let short = [
        event.namespace,
        event.id,
        event.source,
        event.event_type,
        event.subject,
        event.specversion,
        event.time_text.unwrap_or(""),
        event.dataschema.unwrap_or(""),
        event.datacontenttype.unwrap_or(""),
    ];
    for text in short {
        let length = u16::try_from(text.len()).expect("the door bounds every attribute");
        out.extend_from_slice(&length.to_le_bytes());
    }
    let long = [event.extensions, event.data.unwrap_or("")];
    for text in long {
        let length = u32::try_from(text.len()).expect("the door bounds every body");
        out.extend_from_slice(&length.to_le_bytes());
    }
    for text in short.into_iter().chain(long) {
        out.extend_from_slice(text.as_bytes());
    }
    close(start, out);
}

fn close(start: usize, out: &mut [u8]) {
    let length = u32::try_from(out.len() - start - 4).expect("a record is smaller than 4 GiB");
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Length of the record that starts at `bytes`, its four length bytes included, and its kind.
pub fn peek(bytes: &[u8]) -> Result<(usize, Kind), RecordError> {
    let head: [u8; RECORD_HEAD] = bytes
        .get(..RECORD_HEAD)
        .and_then(|head| head.try_into().ok())
        .ok_or(RecordError::Short { have: bytes.len(), want: RECORD_HEAD })?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    if length == 0 || length > bytes.len() - 4 {
        return Err(RecordError::Short { have: bytes.len(), want: length.saturating_add(4) });
    }
    let kind = Kind::from_byte(head[4]).ok_or(RecordError::UnknownKind(head[4]))?;
    Ok((length + 4, kind))
}

/// Reads an event record (length and kind included).
pub fn decode_event(record: &[u8]) -> Result<EventView<'_>, RecordError> {
    let body = record.get(RECORD_HEAD..).ok_or(RecordError::Lengths)?;
    if body.len() < EVENT_HEAD {
        return Err(RecordError::Short { have: body.len(), want: EVENT_HEAD });
    }
    let flags = body[0];
    let time = i64::from_le_bytes(body[1..9].try_into().expect("eight bytes"));
    let mut lengths = [0usize; 11];
    for (i, length) in lengths.iter_mut().enumerate().take(9) {
        let at = 9 + i * 2;
        *length = u16::from_le_bytes([body[at], body[at + 1]]) as usize;
    }
    for (i, length) in lengths.iter_mut().skip(9).enumerate() {
        let at = 27 + i * 4;
        *length = u32::from_le_bytes(body[at..at + 4].try_into().expect("four bytes")) as usize;
    }
    if EVENT_HEAD as u64 + lengths.iter().map(|length| *length as u64).sum::<u64>() != body.len() as u64 {
        return Err(RecordError::Lengths);
    }
    let text = std::str::from_utf8(&body[EVENT_HEAD..]).map_err(|_| RecordError::NotUtf8)?;
    let mut at = 0;
    let mut parts = [""; 11];
    for (part, length) in parts.iter_mut().zip(lengths) {
        *part = text.get(at..at + length).ok_or(RecordError::NotUtf8)?;
        at += length;
    }
    let given = |flag: u8, part: usize| (flags & flag != 0).then_some(parts[part]);
    Ok(EventView {
        namespace: parts[0],
        id: parts[1],
        source: parts[2],
        event_type: parts[3],
        subject: parts[4],
        specversion: parts[5],
        time_text: given(HAS_TIME, 6),
        time: (flags & HAS_TIME != 0).then_some(Instant::from_nanos(time)),
        dataschema: given(HAS_SCHEMA, 7),
        datacontenttype: given(HAS_CONTENT_TYPE, 8),
        extensions: parts[9],
        data: given(HAS_DATA, 10),
    })
}

/// An event record's time, without reading the rest; `None` when it has none (then it is the moment it was accepted).
/// Bytes that are no event record have none either.
pub fn event_time(record: &[u8]) -> Option<Instant> {
    let (flags, rest) = record.get(RECORD_HEAD..)?.split_first()?;
    let nanos = i64::from_le_bytes(rest.get(..8)?.try_into().ok()?);
    (flags & HAS_TIME != 0).then_some(Instant::from_nanos(nanos))
}

/// A record that is not an event. Kept for ever in the control file, with its position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// From here on this version of the meter counts; everything before by backfill.
    MeterLive(Arc<super::metering::Meter>),
    /// From here on this version counts nothing any more.
    MeterGone {
        namespace: String,
        version: ulid::Ulid,
        at: Instant,
    },
    /// The event at this position made a stage panic. It is passed over, on every replay, until it is redriven.
    Quarantined(Quarantined),
    /// The event that was quarantined at `position` is taken up again, here, under its old position.
    Redriven {
        position: Position,
        accepted_at: Instant,
        record: RecordBytes,
    },
    /// An operator decided that the quarantined event at `position` shall never count.
    Dropped {
        position: Position,
        reason: String,
    },
    /// An event counts no longer; another one may count instead.
    Void(Arc<Void>),
    /// Reservations: units of a feature held, used or given back.
    Reserved(serde_json::Value),
    Settled(serde_json::Value),
    Released(serde_json::Value),
    /// From here on ids are remembered this long.
    Settings {
        dedupe_window_days: u32,
    },
}

/// A voided event. What it was is said again, so that the rows it is counted in are known without reading it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Void {
    /// The event's own position.
    pub position: Position,
    pub namespace: String,
    pub source: String,
    pub id: String,
    pub event_type: String,
    pub subject: String,
    /// When it happened.
    pub time: Instant,
    pub reason: String,
    /// The event record that counts instead, from this record on and under its position: one append, one record, so
    /// that nobody ever sees one without the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement: Option<RecordBytes>,
}

/// A poisoned event, with all that is needed to look at it and to take it up again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quarantined {
    pub position: Position,
    pub accepted_at: Instant,
    /// The stage that panicked, as the topology names it.
    pub stage: String,
    pub reason: String,
    /// The event record as it lies in the log.
    pub record: RecordBytes,
}

/// Bytes of a record inside a control record, as base-16 text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordBytes(pub Vec<u8>);

impl Serialize for RecordBytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use std::fmt::Write;
        let mut text = String::with_capacity(self.0.len() * 2);
        for byte in &self.0 {
            write!(text, "{byte:02x}").expect("writing to a string");
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for RecordBytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let digits = text.as_bytes().chunks(2);
        let byte = |pair: &[u8]| {
            std::str::from_utf8(pair).ok().filter(|p| p.len() == 2).and_then(|p| u8::from_str_radix(p, 16).ok())
        };
        let bytes: Option<Vec<u8>> = digits.map(byte).collect();
        bytes.map(RecordBytes).ok_or_else(|| serde::de::Error::custom("not base-16 text"))
    }
}

impl Control {
    pub fn kind(&self) -> Kind {
        match self {
            Self::MeterLive(_) => Kind::MeterLive,
            Self::MeterGone { .. } => Kind::MeterGone,
            Self::Quarantined(_) => Kind::Quarantined,
            Self::Redriven { .. } => Kind::Redriven,
            Self::Dropped { .. } => Kind::Dropped,
            Self::Void(_) => Kind::Void,
            Self::Reserved(_) => Kind::Reserved,
            Self::Settled(_) => Kind::Settled,
            Self::Released(_) => Kind::Released,
            Self::Settings { .. } => Kind::Settings,
        }
    }
}

/// Appends one control record.
pub fn encode_control(control: &Control, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(control.kind() as u8);
    serde_json::to_writer(&mut *out, control).expect("a control record is plain data");
    close(start, out);
}

/// Reads a control record (length and kind included).
pub fn decode_control(record: &[u8]) -> Result<Control, RecordError> {
    let body = record.get(RECORD_HEAD..).ok_or(RecordError::Lengths)?;
    let control: Control = serde_json::from_slice(body).map_err(|e| RecordError::Control(e.to_string()))?;
    if control.kind() as u8 != record[4] {
        return Err(RecordError::Control(format!(
            "kind {} holds a record of kind {}",
            record[4],
            control.kind() as u8
        )));
    }
    Ok(control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event<'a>(texts: &'a [String], time: Option<i64>, data: Option<&'a str>) -> EventView<'a> {
        EventView {
            namespace: &texts[0],
            id: &texts[1],
            source: &texts[2],
            event_type: &texts[3],
            subject: &texts[4],
            specversion: "1.0",
            time_text: time.map(|_| texts[5].as_str()),
            time: time.map(Instant::from_nanos),
            dataschema: data.map(|_| texts[6].as_str()),
            datacontenttype: time.map(|_| texts[7].as_str()),
            extensions: &texts[8],
            data,
        }
    }

    proptest! {
        #[test]
        fn an_event_reads_back_byte_for_byte(
            texts in proptest::collection::vec(".{0,40}", 9),
            time in proptest::option::of(any::<i64>()),
            data in proptest::option::of(".{0,200}"),
        ) {
            let view = event(&texts, time, data.as_deref());
            let mut bytes = vec![7u8; 3];
            encode_event(&view, &mut bytes);
            let (length, kind) = peek(&bytes[3..]).unwrap();
            prop_assert_eq!((length, kind), (bytes.len() - 3, Kind::Event));
            prop_assert_eq!(decode_event(&bytes[3..]).unwrap(), view);
            prop_assert_eq!(event_time(&bytes[3..]), view.time);
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = peek(&bytes);
            let _ = decode_event(&bytes);
            let _ = event_time(&bytes);
            let _ = decode_control(&bytes);
        }
    }

    #[test]
    fn an_unknown_kind_is_refused_by_name() {
        let mut bytes = Vec::new();
        encode_control(&Control::Settings { dedupe_window_days: 35 }, &mut bytes);
        assert!(matches!(decode_control(&bytes), Ok(Control::Settings { dedupe_window_days: 35 })));
        bytes[4] = 200;
        assert_eq!(peek(&bytes), Err(RecordError::UnknownKind(200)));
    }

    #[test]
    fn a_cut_record_is_short() {
        let mut bytes = Vec::new();
        encode_control(&Control::Settings { dedupe_window_days: 1 }, &mut bytes);
        assert!(matches!(peek(&bytes[..bytes.len() - 1]), Err(RecordError::Short { .. })));
    }
}
