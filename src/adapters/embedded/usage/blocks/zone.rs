//! Zones: what a block says about itself in the index, and a page of the index in its root. Skipping is decided here.

use super::block::Block;
use super::bytes::{Damage, Reader, put, put_signed, put_text};
use super::duplicates::Duplicate;
use super::filter::Filter;
use super::proof::Proof;
use crate::domain::metering::Fate;
use crate::domain::metering::query::EventInstant;
use crate::domain::record::EventView;

/// What blocks are sorted by, before time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Key<'a> {
    pub namespace: &'a str,
    pub event_type: &'a str,
    pub subject: &'a str,
}

impl<'a> Key<'a> {
    pub fn of(event: &EventView<'a>) -> Self {
        Self { namespace: event.namespace, event_type: event.event_type, subject: event.subject }
    }
}

/// The first or last row of a zone, in file order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Edge<'a> {
    pub key: Key<'a>,
    pub time: i64,
}

/// Least and greatest of something, both inclusive.
pub(super) type Span<T> = (T, T);

/// A stretch of the file and what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Zone<'a> {
    /// Where the block, or the page, begins, and its length in bytes.
    pub offset: u64,
    pub length: u32,
    pub rows: u64,
    pub conflicts: u64,
    /// First and last row; empty for duplicates.
    pub first: Edge<'a>,
    pub last: Edge<'a>,
    /// Event times; meaningless for duplicates.
    pub times: Span<i64>,
    pub ats: Span<u64>,
    pub accepted: Span<i64>,
    /// Of all rows.
    pub hash: u128,
}

impl<'a> Zone<'a> {
    /// The zone of a block that was read; `proof` is that of its rows. `None` when it has no rows.
    pub fn of_block(block: &'a Block, offset: u64, length: u32, proof: Proof) -> Result<Option<Self>, Damage> {
        let (Some(first), Some(last)) = (block.rows.first(), block.rows.last()) else { return Ok(None) };
        let is_conflict = |fate| matches!(fate, Fate::Conflict { .. });
        Ok(Some(Self {
            offset,
            length,
            rows: proof.events,
            conflicts: block.rows.iter().filter(|row| is_conflict(row.place.fate)).count() as u64,
            first: Edge { key: block.key(first.key)?, time: first.time },
            last: Edge { key: block.key(last.key)?, time: last.time },
            times: span(block.rows.iter().map(|row| row.time), first.time),
            ats: span(block.rows.iter().map(|row| row.place.at), first.place.at),
            accepted: span(block.rows.iter().map(|row| row.place.accepted_at.nanos()), first.place.accepted_at.nanos()),
            hash: proof.hash,
        }))
    }

    /// The zone of a block of duplicates.
    pub fn of_duplicates(rows: &[Duplicate], offset: u64, length: u32, proof: Proof) -> Option<Self> {
        let first = rows.first()?;
        Some(Self {
            offset,
            length,
            rows: proof.events,
            conflicts: 0,
            first: Edge::default(),
            last: Edge::default(),
            times: (0, 0),
            ats: span(rows.iter().map(|row| row.at), first.at),
            accepted: span(rows.iter().map(|row| row.accepted_at.nanos()), first.accepted_at.nanos()),
            hash: proof.hash,
        })
    }

    /// This zone and the one after it, as one.
    pub fn and(self, next: Zone<'a>) -> Self {
        Self {
            rows: self.rows + next.rows,
            conflicts: self.conflicts + next.conflicts,
            last: next.last,
            times: join(self.times, next.times),
            ats: join(self.ats, next.ats),
            accepted: join(self.accepted, next.accepted),
            hash: self.hash.wrapping_add(next.hash),
            ..self
        }
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        put(self.offset, out);
        put(u64::from(self.length), out);
        put(self.rows, out);
        put(self.conflicts, out);
        for edge in [&self.first, &self.last] {
            [edge.key.namespace, edge.key.event_type, edge.key.subject]
                .into_iter()
                .for_each(|text| put_text(text, out));
            put_signed(edge.time, out);
        }
        for (least, greatest) in [self.times, self.accepted] {
            put_signed(least, out);
            put(greatest.wrapping_sub(least) as u64, out);
        }
        put(self.ats.0, out);
        put(self.ats.1.wrapping_sub(self.ats.0), out);
        out.extend_from_slice(&self.hash.to_le_bytes());
    }

    pub fn read(bytes: &mut Reader<'a>) -> Result<Self, Damage> {
        let (offset, length, rows, conflicts) = (bytes.number()?, bytes.count()?, bytes.number()?, bytes.number()?);
        let mut edge = || {
            let key = Key { namespace: bytes.text()?, event_type: bytes.text()?, subject: bytes.text()? };
            Ok(Edge { key, time: bytes.signed()? })
        };
        let (first, last) = (edge()?, edge()?);
        let mut span = || {
            let least = bytes.signed()?;
            Ok((least, least.wrapping_add(bytes.number()? as i64)))
        };
        let (times, accepted) = (span()?, span()?);
        let least = bytes.number()?;
        let ats = (least, least.wrapping_add(bytes.number()?));
        Ok(Self { offset, length, rows, conflicts, first, last, times, ats, accepted, hash: bytes.wide()? })
    }

    /// Whether any row of a block of whole events could pass.
    pub fn may_hold(&self, filter: &Filter<'_>) -> bool {
        self.may_hold_places(filter)
            && (!filter.conflicts_only || self.conflicts > 0)
            && filter.any_time_in(self.times)
            && self.may_hold_key(filter)
    }

    /// Whether any row's place could pass: all that duplicates are asked.
    pub fn may_hold_places(&self, filter: &Filter<'_>) -> bool {
        let offsets = filter.offsets.as_ref();
        offsets.is_none_or(|wanted| wanted.start <= self.ats.1 && self.ats.0 < wanted.end)
            && filter.any_accepted_in(self.accepted)
    }

    /// Where this instant of its events lies.
    pub fn span(&self, of: EventInstant) -> Span<i64> {
        match of {
            EventInstant::Time => self.times,
            EventInstant::IngestedAt => self.accepted,
        }
    }

    /// The subject of all its events, when they have one key.
    pub fn only_subject(&self) -> Option<&'a str> {
        (self.first.key == self.last.key).then_some(self.first.key.subject)
    }

    /// Each part of the key bounds the zone only where the parts before it are the same at its edge.
    fn may_hold_key(&self, filter: &Filter<'_>) -> bool {
        let (first, last) = (&self.first.key, &self.last.key);
        let one_namespace = (first.namespace == last.namespace).then_some(first.namespace);
        let Some(namespace) = filter.namespace.or(one_namespace) else { return true };
        if namespace < first.namespace || namespace > last.namespace {
            return false;
        }
        let one_type = (one_namespace.is_some() && first.event_type == last.event_type).then_some(first.event_type);
        let Some(event_type) = filter.event_type.or(one_type) else { return true };
        let (at_first, at_last) = (namespace == first.namespace, namespace == last.namespace);
        if (at_first && event_type < first.event_type) || (at_last && event_type > last.event_type) {
            return false;
        }
        let Some(subjects) = &filter.subjects else { return true };
        let from = (at_first && event_type == first.event_type).then_some(first.subject);
        let to = (at_last && event_type == last.event_type).then_some(last.subject);
        let next = from.map_or(0, |from| subjects.partition_point(|subject| *subject < from));
        subjects.get(next).is_some_and(|subject| to.is_none_or(|to| *subject <= to))
    }
}

fn span<T: Ord + Copy>(values: impl Iterator<Item = T>, first: T) -> Span<T> {
    values.fold((first, first), |(least, greatest), value| (least.min(value), greatest.max(value)))
}

/// The span over both.
pub(super) fn join<T: Ord>(a: Span<T>, b: Span<T>) -> Span<T> {
    (a.0.min(b.0), a.1.max(b.1))
}

/// All zones of an index block's content.
pub(super) fn read_all(bytes: &[u8]) -> Result<Vec<Zone<'_>>, Damage> {
    let mut bytes = Reader::new(bytes);
    let mut zones = Vec::new();
    while !bytes.rest.is_empty() {
        zones.push(Zone::read(&mut bytes)?);
    }
    Ok(zones)
}

/// Where each zone of an index block's content begins.
pub(super) fn begins(bytes: &[u8]) -> Result<Vec<usize>, Damage> {
    let mut rest = Reader::new(bytes);
    let mut begins = Vec::new();
    while !rest.rest.is_empty() {
        begins.push(bytes.len() - rest.rest.len());
        Zone::read(&mut rest)?;
    }
    Ok(begins)
}
