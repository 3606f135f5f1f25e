//! What a meter query answers: bounds as asked, windows on the query's clock, values to the last digit.

use super::ask::Ask;
use crate::domain::metering::query::{UsageQuery, UsageRow};
use crate::domain::time::Instant;
use crate::http::json_number::JsonNumber;
use crate::http::times::{echo, in_zone};
use crate::services::usage::WINDOW_SIZES;
use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};
use std::rc::Rc;

/// The body of a 200.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer<'a> {
    data: Rows<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_size: Option<&'static str>,
}

/// Written one by one: an answer may have hundreds of thousands of rows.
struct Rows<'a> {
    query: &'a UsageQuery,
    rows: Vec<UsageRow>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RowWire<'a> {
    group_by: Groups<'a>,
    /// Null unless rows are told apart by it.
    subject: Option<&'a str>,
    value: JsonNumber,
    window_end: Rc<str>,
    window_start: Rc<str>,
}

struct Groups<'a> {
    names: &'a [String],
    values: &'a [String],
}

impl<'a> Answer<'a> {
    pub fn of(ask: &Ask, query: &'a UsageQuery, rows: Vec<UsageRow>) -> Self {
        Self {
            data: Rows { query, rows },
            from: ask.from.as_ref().map(|(text, _)| echo(text)),
            to: ask.to.as_ref().map(|(text, _)| echo(text)),
            window_size: ask
                .window
                .and_then(|size| WINDOW_SIZES.iter().find(|(_, known)| *known == size))
                .map(|(name, _)| *name),
        }
    }
}

/// The texts of the last window: the next row is usually of the same one.
struct Window<'a> {
    zone: Option<&'a TimeZone>,
    last: Option<(Instant, Instant, Rc<str>, Rc<str>)>,
}

impl Window<'_> {
    fn show(&mut self, start: Instant, end: Instant) -> (Rc<str>, Rc<str>) {
        match &self.last {
            Some((s, e, from, to)) if (*s, *e) == (start, end) => (from.clone(), to.clone()),
            _ => {
                let text = |at: Instant| -> Rc<str> {
                    self.zone.map_or_else(|| at.to_rfc3339(), |zone| in_zone(at, zone)).into()
                };
                let (from, to) = (text(start), text(end));
                self.last = Some((start, end, from.clone(), to.clone()));
                (from, to)
            }
        }
    }
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut window = Window { zone: self.query.window.as_ref().map(|(_, zone)| zone), last: None };
        serializer.collect_seq(self.rows.iter().map(|row| {
            let (window_start, window_end) = window.show(row.window_start, row.window_end);
            RowWire {
                group_by: Groups { names: &self.query.group_by, values: &row.groups },
                subject: row.subject.as_deref(),
                value: JsonNumber::from(row.value),
                window_end,
                window_start,
            }
        }))
    }
}

impl Serialize for Groups<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.names.iter().zip(self.values))
    }
}
