//! One block of whole events read back: numbers and texts first, ids and data only when a row is wanted.

use super::Stored;
use super::builder::{
    HAS_CONTENT_TYPE, HAS_EXTENSIONS, HAS_SCHEMA, IS_CONFLICT, IS_QUARANTINED, Place, STANDS_ELSEWHERE, order_of,
};
use super::bytes::{Damage, Instants, Reader};
use super::frame::{Kind, Section, Unpacker, sections};
use super::id_text;
use super::time_text::{TimeForm, TimeText};
use super::zone::Key;
use crate::domain::metering::Fate;
use crate::domain::position::Position;
use crate::domain::record::EventView;
use crate::domain::time::Instant;
use std::ops::Range;

/// A stretch of one of the block's texts.
type Stretch = Range<u32>;

/// One event's numbers, and where its texts are.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub place: Place,
    /// The event's time; when the client sent none, accepted-at.
    pub time: i64,
    /// Index of its key.
    pub key: u32,
    /// Index of its envelope.
    pub envelope: u32,
    id_shape: u64,
    id: Stretch,
    data: Option<Stretch>,
    extensions: Stretch,
    time_text: Stretch,
}

struct KeyAt([Stretch; 3]);

struct Envelope {
    flags: u64,
    form: TimeForm,
    texts: [Stretch; 4],
}

/// A block's memory, used for one block after the other.
pub(super) struct Block {
    unpacker: Unpacker,
    numbers: Vec<u8>,
    texts: String,
    packed_ids: Vec<u8>,
    ids: String,
    data: String,
    keys: Vec<KeyAt>,
    envelopes: Vec<Envelope>,
    pub rows: Vec<Row>,
}

impl Block {
    pub fn new() -> Self {
        Self {
            unpacker: Unpacker::new(),
            numbers: Vec::new(),
            texts: String::new(),
            packed_ids: Vec::new(),
            ids: String::new(),
            data: String::new(),
            keys: Vec::new(),
            envelopes: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Reads a checked block wholly.
    pub fn read(&mut self, block: &[u8]) -> Result<(), Damage> {
        self.read_numbers(block)?;
        self.read_ids(block)?;
        self.read_data(block)
    }

    /// Reads what filters ask for: keys, times, places.
    pub fn read_numbers(&mut self, block: &[u8]) -> Result<(), Damage> {
        let [numbers, texts, ..] = sections(block, Kind::Events)?;
        let mut bytes = std::mem::take(&mut self.numbers);
        self.unpacker.unpack(numbers, &mut bytes)?;
        unpack_text(&mut self.unpacker, texts, &mut self.texts)?;
        let read = self.decode(&mut Reader::new(&bytes));
        self.numbers = bytes;
        read
    }

    /// Reads the ids of the block whose numbers were read.
    pub fn read_ids(&mut self, block: &[u8]) -> Result<(), Damage> {
        self.unpacker.unpack(sections(block, Kind::Events)?[2], &mut self.packed_ids)?;
        self.unpack_ids()
    }

    /// Reads the data of the block whose numbers were read.
    pub fn read_data(&mut self, block: &[u8]) -> Result<(), Damage> {
        unpack_text(&mut self.unpacker, sections(block, Kind::Events)?[3], &mut self.data)
    }

    fn unpack_ids(&mut self) -> Result<(), Damage> {
        let mut text = std::mem::take(&mut self.ids).into_bytes();
        text.clear();
        let mut packed = Reader::new(&self.packed_ids);
        for row in &self.rows {
            let bytes = packed.take(id_text::packed_bytes(row.id_shape)?)?;
            id_text::unpack(row.id_shape, bytes, &mut text);
        }
        packed.end()?;
        self.ids = String::from_utf8(text).map_err(|_| Damage("ids are not UTF-8"))?;
        Ok(())
    }

    fn decode(&mut self, numbers: &mut Reader<'_>) -> Result<(), Damage> {
        self.rows.clear();
        let partition = numbers.count()?;
        let count: u32 = numbers.count()?;
        let mut texts = Walk::default();
        let key_rows = self.decode_keys(numbers, &mut texts)?;
        self.decode_envelopes(numbers, &mut texts)?;
        self.decode_rows(numbers, partition, count)?;
        self.give_keys(&key_rows)?;
        self.decode_columns(numbers)?;
        self.decode_exceptions(numbers)?;
        numbers.end()
    }

    fn decode_keys(&mut self, numbers: &mut Reader<'_>, texts: &mut Walk) -> Result<Vec<u32>, Damage> {
        self.keys.clear();
        let count: u32 = numbers.count()?;
        let mut rows = Vec::new();
        for _ in 0..count {
            let key = KeyAt([texts.next(numbers)?, texts.next(numbers)?, texts.next(numbers)?]);
            self.keys.push(key);
            rows.push(numbers.count()?);
        }
        Ok(rows)
    }

    fn decode_envelopes(&mut self, numbers: &mut Reader<'_>, texts: &mut Walk) -> Result<(), Damage> {
        self.envelopes.clear();
        let count: u32 = numbers.count()?;
        for _ in 0..count {
            let (flags, form) = (numbers.number()?, TimeForm::from_code(numbers.number()?)?);
            let texts = [texts.next(numbers)?, texts.next(numbers)?, texts.next(numbers)?, texts.next(numbers)?];
            self.envelopes.push(Envelope { flags, form, texts });
        }
        Ok(())
    }

    /// The columns that every row has, up to the length of data.
    fn decode_rows(&mut self, numbers: &mut Reader<'_>, partition: u32, count: u32) -> Result<(), Damage> {
        if count as usize > numbers.rest.len() {
            return Err(Damage("there are fewer numbers than rows"));
        }
        for _ in 0..count {
            let envelope = if self.envelopes.len() > 1 { numbers.count()? } else { 0 };
            self.rows.push(Row {
                place: Place {
                    at: 0,
                    position: Position::new(partition, 0),
                    accepted_at: Instant::from_nanos(0),
                    fate: Fate::Counts,
                },
                time: 0,
                key: 0,
                envelope,
                id_shape: 0,
                id: 0..0,
                data: None,
                extensions: 0..0,
                time_text: 0..0,
            });
        }
        let mut at = 0u64;
        for row in &mut self.rows {
            at = at.wrapping_add(numbers.signed()? as u64);
            row.place.at = at;
            row.place.position.offset = at;
        }
        let mut ids = Walk::default();
        for row in &mut self.rows {
            row.id_shape = numbers.number()?;
            row.id = ids.step(id_text::text_bytes(row.id_shape))?;
        }
        Ok(())
    }

    fn give_keys(&mut self, key_rows: &[u32]) -> Result<(), Damage> {
        let mut rows = self.rows.iter_mut();
        for (key, count) in (0..).zip(key_rows) {
            for _ in 0..*count {
                rows.next().ok_or(Damage("keys have more rows than the block"))?.key = key;
            }
        }
        if rows.next().is_some() { Err(Damage("a row has no key")) } else { Ok(()) }
    }

    /// Lengths of data, instants, and the texts that only some rows have.
    fn decode_columns(&mut self, numbers: &mut Reader<'_>) -> Result<(), Damage> {
        let mut data = Walk::default();
        for row in &mut self.rows {
            let length = numbers.number()?;
            row.data = if length == 0 { None } else { Some(data.step(length - 1)?) };
        }
        let ats: Vec<u64> = self.rows.iter().map(|row| row.place.at).collect();
        let mut accepted = Instants::begin(numbers)?;
        for row in order_of(&ats) {
            self.rows[row as usize].place.accepted_at = Instant::from_nanos(accepted.next(numbers)?);
        }
        let mut times = Instants::begin(numbers)?;
        let unknown = Damage("an envelope is unknown");
        for row in &mut self.rows {
            let envelope = self.envelopes.get(row.envelope as usize).ok_or(unknown)?;
            let sent = envelope.form != TimeForm::Absent;
            row.time = if sent { times.next(numbers)? } else { row.place.accepted_at.nanos() };
        }
        for row in &mut self.rows {
            if self.envelopes[row.envelope as usize].flags & HAS_EXTENSIONS != 0 {
                row.extensions = data.next(numbers)?;
            }
        }
        for row in &mut self.rows {
            if self.envelopes[row.envelope as usize].form == TimeForm::Verbatim {
                row.time_text = data.next(numbers)?;
            }
        }
        Ok(())
    }

    fn decode_exceptions(&mut self, numbers: &mut Reader<'_>) -> Result<(), Damage> {
        for _ in 0..numbers.number()? {
            let row: usize = numbers.count()?;
            let place = &mut self.rows.get_mut(row).ok_or(Damage("an exception has no row"))?.place;
            let what = numbers.number()?;
            if what == IS_QUARANTINED {
                place.fate = Fate::Quarantined;
                continue;
            }
            let partition = numbers.count()?;
            let other = Position::new(partition, place.at.wrapping_sub(numbers.signed()? as u64));
            match what {
                IS_CONFLICT => place.fate = Fate::Conflict { winner: other },
                STANDS_ELSEWHERE => place.position = other,
                _ => return Err(Damage("an exception is unknown")),
            }
        }
        Ok(())
    }

    /// How many keys the block has.
    pub fn keys(&self) -> u32 {
        self.keys.len() as u32
    }

    pub fn key(&self, key: u32) -> Result<Key<'_>, Damage> {
        let KeyAt([namespace, event_type, subject]) = self.keys.get(key as usize).ok_or(Damage("a key is unknown"))?;
        Ok(Key {
            namespace: text_at(&self.texts, namespace)?,
            event_type: text_at(&self.texts, event_type)?,
            subject: text_at(&self.texts, subject)?,
        })
    }

    /// How many envelopes the block has.
    pub fn envelopes(&self) -> u32 {
        self.envelopes.len() as u32
    }

    /// The source of the events with this envelope.
    pub fn source(&self, envelope: u32) -> Result<&str, Damage> {
        let envelope = self.envelopes.get(envelope as usize).ok_or(Damage("an envelope is unknown"))?;
        text_at(&self.texts, &envelope.texts[0])
    }

    /// The event's id; ids have been read.
    pub fn id(&self, row: &Row) -> Result<&str, Damage> {
        text_at(&self.ids, &row.id)
    }

    /// The event; ids and data have been read. `buffer` holds the text of its time.
    pub fn event<'a>(&'a self, row: &'a Row, buffer: &'a mut TimeText) -> Result<EventView<'a>, Damage> {
        let envelope = self.envelopes.get(row.envelope as usize).ok_or(Damage("an envelope is unknown"))?;
        let key = self.key(row.key)?;
        let text = |part: usize| text_at(&self.texts, &envelope.texts[part]);
        let given = |flag: u64, part: usize| if envelope.flags & flag != 0 { text(part).map(Some) } else { Ok(None) };
        let time_text = match envelope.form {
            TimeForm::Absent => None,
            TimeForm::Verbatim => Some(text_at(&self.data, &row.time_text)?),
            form => Some(form.render(row.time, buffer)?),
        };
        Ok(EventView {
            namespace: key.namespace,
            id: self.id(row)?,
            source: text(0)?,
            event_type: key.event_type,
            subject: key.subject,
            specversion: text(1)?,
            time_text,
            time: time_text.map(|_| Instant::from_nanos(row.time)),
            dataschema: given(HAS_SCHEMA, 2)?,
            datacontenttype: given(HAS_CONTENT_TYPE, 3)?,
            extensions: text_at(&self.data, &row.extensions)?,
            data: row.data.as_ref().map(|data| text_at(&self.data, data)).transpose()?,
        })
    }

    /// The row as a scan shows it.
    pub fn stored<'a>(&'a self, row: &'a Row, buffer: &'a mut TimeText) -> Result<Stored<'a>, Damage> {
        let Place { at, position, accepted_at, fate } = row.place;
        Ok(Stored { at, position, accepted_at, fate, event: Some(self.event(row, buffer)?) })
    }
}

fn text_at<'a>(text: &'a str, stretch: &Stretch) -> Result<&'a str, Damage> {
    text.get(stretch.start as usize..stretch.end as usize).ok_or(Damage("a text is not where it should be"))
}

fn unpack_text(unpacker: &mut Unpacker, section: Section<'_>, out: &mut String) -> Result<(), Damage> {
    let mut bytes = std::mem::take(out).into_bytes();
    unpacker.unpack(section, &mut bytes)?;
    *out = String::from_utf8(bytes).map_err(|_| Damage("a text is not UTF-8"))?;
    Ok(())
}

/// Walks along a text by the lengths of its parts.
#[derive(Default)]
struct Walk(u32);

impl Walk {
    fn step(&mut self, length: u64) -> Result<Stretch, Damage> {
        let start = self.0;
        let end = u32::try_from(length).ok().and_then(|length| start.checked_add(length));
        self.0 = end.ok_or(Damage("a text is too long"))?;
        Ok(start..self.0)
    }

    fn next(&mut self, numbers: &mut Reader<'_>) -> Result<Stretch, Damage> {
        self.step(numbers.number()?)
    }
}
