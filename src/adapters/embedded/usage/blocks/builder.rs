//! One block of whole events being put together, column by column.
//!
//! Rows come sorted by (namespace, type, subject, time, at). Four sections: numbers, texts (keys and envelopes, once per
//! block each), ids, data. The lengths of all texts are among the numbers, so that every other section is nothing but
//! text. [`super::block`] reads it back; both follow the same order:
//!
//! ```text
//! partition · rows
//! keys: count, per key 3 lengths and its rows · envelopes: count, per envelope flags, time form, 4 lengths
//! per row: envelope (when there are several) · at, as distance · id shape · data length + 1, or 0
//! accepted-at in the order of at · time, where there is one · length of extensions · length of a verbatim time
//! exceptions: count, then row, what, and its numbers
//! ```

use super::bytes::{put, put_instants, put_signed};
use super::frame::{Kind, Packer};
use super::id_text;
use super::time_text::{TimeForm, TimeText};
use super::zone::Key;
use crate::domain::metering::Fate;
use crate::domain::position::Position;
use crate::domain::record::EventView;
use crate::domain::time::Instant;
use std::collections::HashMap;

/// Bytes of records in one block: enough to compress well, little enough to read for one row.
pub(super) const BLOCK_BYTES: usize = 128 << 10;

/// Flags of an envelope.
pub(super) const HAS_SCHEMA: u64 = 1;
pub(super) const HAS_CONTENT_TYPE: u64 = 2;
pub(super) const HAS_EXTENSIONS: u64 = 4;

/// What an exception says about its row.
pub(super) const IS_QUARANTINED: u64 = 1;
/// Followed by the winner's partition and its distance from `at`.
pub(super) const IS_CONFLICT: u64 = 2;
/// A redriven event; followed by its own position's partition and its distance from `at`.
pub(super) const STANDS_ELSEWHERE: u64 = 3;

/// Where an event stands and what became of it: everything about it that is not in its record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub at: u64,
    pub position: Position,
    pub accepted_at: Instant,
    pub fate: Fate,
}

/// Columns of the rows so far.
#[derive(Default)]
pub(super) struct BlockBuilder {
    partition: u32,
    record_bytes: usize,
    // per row
    ats: Vec<u64>,
    accepted: Vec<i64>,
    times: Vec<i64>,
    envelopes: Vec<u32>,
    id_shapes: Vec<u64>,
    data_lengths: Vec<u64>,
    // per row that has one
    extension_lengths: Vec<u64>,
    time_lengths: Vec<u64>,
    exceptions: u64,
    exception_bytes: Vec<u8>,
    // texts
    keys: Keys,
    envelope_set: Envelopes,
    ids: Vec<u8>,
    data: String,
    extensions: String,
    time_texts: String,
    time_buffer: TimeText,
}

impl BlockBuilder {
    pub fn new(partition: u32) -> Self {
        Self { partition, ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.ats.is_empty()
    }

    /// Bytes of the records in it.
    pub fn record_bytes(&self) -> usize {
        self.record_bytes
    }

    pub fn is_full(&self) -> bool {
        self.record_bytes >= BLOCK_BYTES
    }

    pub fn push(&mut self, place: &Place, event: &EventView<'_>) {
        let time = event.instant(place.accepted_at).nanos();
        let form = TimeForm::of(event.time_text, time, &mut self.time_buffer);
        self.except(place);
        self.ats.push(place.at);
        self.accepted.push(place.accepted_at.nanos());
        if form != TimeForm::Absent {
            self.times.push(time);
        }
        self.keys.push(Key::of(event));
        self.envelopes.push(self.envelope_set.code(event, form));
        self.id_shapes.push(id_text::pack(event.id, &mut self.ids));
        self.data_lengths.push(event.data.map_or(0, |data| data.len() as u64 + 1));
        self.data.push_str(event.data.unwrap_or(""));
        if !event.extensions.is_empty() {
            self.extension_lengths.push(event.extensions.len() as u64);
            self.extensions.push_str(event.extensions);
        }
        if let (TimeForm::Verbatim, Some(text)) = (form, event.time_text) {
            self.time_lengths.push(text.len() as u64);
            self.time_texts.push_str(text);
        }
        self.record_bytes += record_bytes(event);
    }

    fn except(&mut self, place: &Place) {
        let row = self.ats.len() as u64;
        let out = &mut self.exception_bytes;
        let mut except = |what: u64, position: Option<Position>| {
            self.exceptions += 1;
            put(row, out);
            put(what, out);
            if let Some(position) = position {
                put(u64::from(position.partition), out);
                put_signed(place.at.wrapping_sub(position.offset) as i64, out);
            }
        };
        match place.fate {
            Fate::Counts => {}
            Fate::Quarantined => except(IS_QUARANTINED, None),
            Fate::Conflict { winner } => except(IS_CONFLICT, Some(winner)),
            Fate::Duplicate { .. } => unreachable!("duplicates are not kept whole"),
        }
        if place.position != Position::new(self.partition, place.at) {
            except(STANDS_ELSEWHERE, Some(place.position));
        }
    }

    /// Appends the block to `out`, where it will stand at `offset` of the file, and starts a new one. Answers its length.
    pub fn seal(&mut self, packer: &mut Packer, offset: u64, out: &mut Vec<u8>) -> u32 {
        let numbers = self.numbers();
        let mut texts = std::mem::take(&mut self.keys.texts);
        texts.push_str(&self.envelope_set.texts);
        self.data.push_str(&self.extensions);
        self.data.push_str(&self.time_texts);
        let sections = [&numbers[..], texts.as_bytes(), &self.ids, self.data.as_bytes()];
        let length = packer.pack(Kind::Events, &sections, offset, out);
        self.clear();
        length
    }

    fn numbers(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.ats.len() * 16);
        put(u64::from(self.partition), &mut out);
        put(self.ats.len() as u64, &mut out);
        self.keys.numbers(&mut out);
        self.envelope_set.numbers(&mut out);
        if self.envelope_set.lengths.len() > 1 {
            self.envelopes.iter().for_each(|code| put(u64::from(*code), &mut out));
        }
        let mut last = 0;
        for at in &self.ats {
            put_signed(at.wrapping_sub(last) as i64, &mut out);
            last = *at;
        }
        self.id_shapes.iter().for_each(|shape| put(*shape, &mut out));
        self.data_lengths.iter().for_each(|length| put(*length, &mut out));
        // In the order of `at` it hardly ever goes back, and all events of one request have the same.
        put_instants(order_of(&self.ats).iter().map(|row| self.accepted[*row as usize]), &mut out);
        put_instants(self.times.iter().copied(), &mut out);
        self.extension_lengths.iter().chain(&self.time_lengths).for_each(|length| put(*length, &mut out));
        put(self.exceptions, &mut out);
        out.extend_from_slice(&self.exception_bytes);
        out
    }

    /// Empties every column and keeps its memory.
    fn clear(&mut self) {
        self.record_bytes = 0;
        self.exceptions = 0;
        for numbers in [&mut self.ats, &mut self.id_shapes, &mut self.data_lengths] {
            numbers.clear();
        }
        for numbers in [&mut self.extension_lengths, &mut self.time_lengths] {
            numbers.clear();
        }
        self.accepted.clear();
        self.times.clear();
        self.envelopes.clear();
        self.exception_bytes.clear();
        self.ids.clear();
        for text in [&mut self.data, &mut self.extensions, &mut self.time_texts] {
            text.clear();
        }
        self.keys = Keys::default();
        self.envelope_set = Envelopes::default();
    }
}

/// The rows in the order of where they stand in the log.
pub(super) fn order_of(ats: &[u64]) -> Vec<u32> {
    let mut order: Vec<(u64, u32)> = ats.iter().copied().zip(0..).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, row)| row).collect()
}

/// About the bytes of the event's record.
fn record_bytes(event: &EventView<'_>) -> usize {
    const HEAD: usize = 40;
    let optional = [event.time_text, event.dataschema, event.datacontenttype, event.data];
    let texts = [event.namespace, event.id, event.source, event.event_type, event.subject, event.specversion];
    HEAD + event.extensions.len()
        + texts.iter().map(|text| text.len()).sum::<usize>()
        + optional.iter().flatten().map(|text| text.len()).sum::<usize>()
}

/// (namespace, type, subject) of runs of rows.
#[derive(Default)]
struct Keys {
    /// Of the three texts of each key.
    lengths: Vec<[usize; 3]>,
    rows: Vec<u64>,
    texts: String,
    last_at: usize,
}

impl Keys {
    fn push(&mut self, key: Key<'_>) {
        let parts = [key.namespace, key.event_type, key.subject];
        if let (Some(lengths), Some(rows)) = (self.lengths.last(), self.rows.last_mut())
            && *lengths == parts.map(str::len)
            && self.texts.as_bytes()[self.last_at..].chunk_eq(&parts)
        {
            *rows += 1;
            return;
        }
        self.last_at = self.texts.len();
        self.lengths.push(parts.map(str::len));
        self.rows.push(1);
        parts.iter().for_each(|part| self.texts.push_str(part));
    }

    fn numbers(&self, out: &mut Vec<u8>) {
        put(self.lengths.len() as u64, out);
        for (lengths, rows) in self.lengths.iter().zip(&self.rows) {
            lengths.iter().for_each(|length| put(*length as u64, out));
            put(*rows, out);
        }
    }
}

/// Whether bytes are these texts, one after the other.
trait ChunkEq {
    fn chunk_eq(&self, parts: &[&str]) -> bool;
}

impl ChunkEq for [u8] {
    fn chunk_eq(&self, parts: &[&str]) -> bool {
        let mut rest = self;
        parts.iter().all(|part| match rest.split_at_checked(part.len()) {
            Some((head, tail)) => {
                rest = tail;
                head == part.as_bytes()
            }
            None => false,
        }) && rest.is_empty()
    }
}

/// What hardly changes from event to event: source, specversion, schema, content type, and how the time was written.
#[derive(Default)]
struct Envelopes {
    known: HashMap<Vec<u8>, u32>,
    /// The envelope of the last row, in the form of the map's keys.
    last: Vec<u8>,
    last_code: u32,
    wanted: Vec<u8>,
    /// Flags, time form, lengths.
    lengths: Vec<[u64; 6]>,
    texts: String,
}

impl Envelopes {
    fn code(&mut self, event: &EventView<'_>, form: TimeForm) -> u32 {
        let flags = (u64::from(event.dataschema.is_some()) * HAS_SCHEMA)
            | (u64::from(event.datacontenttype.is_some()) * HAS_CONTENT_TYPE)
            | (u64::from(!event.extensions.is_empty()) * HAS_EXTENSIONS);
        let texts =
            [event.source, event.specversion, event.dataschema.unwrap_or(""), event.datacontenttype.unwrap_or("")];
        self.wanted.clear();
        put(flags, &mut self.wanted);
        put(form.code(), &mut self.wanted);
        texts.iter().for_each(|text| put(text.len() as u64, &mut self.wanted));
        texts.iter().for_each(|text| self.wanted.extend_from_slice(text.as_bytes()));
        if self.wanted == self.last {
            return self.last_code;
        }
        let next = u32::try_from(self.known.len()).expect("a block has fewer rows");
        let code = match self.known.get(&self.wanted) {
            Some(code) => *code,
            None => {
                self.known.insert(self.wanted.clone(), next);
                let length = |i: usize| texts[i].len() as u64;
                self.lengths.push([flags, form.code(), length(0), length(1), length(2), length(3)]);
                texts.iter().for_each(|text| self.texts.push_str(text));
                next
            }
        };
        std::mem::swap(&mut self.last, &mut self.wanted);
        self.last_code = code;
        code
    }

    fn numbers(&self, out: &mut Vec<u8>) {
        put(self.lengths.len() as u64, out);
        self.lengths.iter().flatten().for_each(|number| put(*number, out));
    }
}
