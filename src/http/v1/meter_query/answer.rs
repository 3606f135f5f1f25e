//! What a meter query answers: bounds as asked, windows on the query's clock, values to the last digit.

use super::ask::{MeterQueryRequest, WindowSize};
use crate::domain::metering::query::{UsageQuery, UsageRow};
use crate::domain::metering::window;
use crate::domain::time::Instant;
use crate::http::json_number::JsonNumber;
use crate::http::times::{DateTime, echo, in_zone};
use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};
use std::rc::Rc;
use utoipa::ToSchema;

/// The body of a 200.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeterQueryResult<'a> {
    #[schema(value_type = Vec<MeterQueryRow>)]
    data: Rows<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_size: Option<WindowSize>,
}

/// Written one by one: an answer may have hundreds of thousands of rows.
struct Rows<'a> {
    query: &'a UsageQuery,
    rows: Vec<UsageRow>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeterQueryRow<'a> {
    /// Whose usage it is; there where customers are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_id: Option<String>,
    #[schema(value_type = BTreeMap<String, Option<String>>)]
    group_by: Groups<'a>,
    /// Null unless rows are told apart by it.
    #[schema(required)]
    subject: Option<&'a str>,
    #[schema(value_type = f64)]
    value: JsonNumber,
    #[schema(value_type = String, format = DateTime)]
    window_end: Rc<str>,
    #[schema(value_type = String, format = DateTime)]
    window_start: Rc<str>,
}

struct Groups<'a> {
    names: &'a [String],
    values: &'a [String],
}

impl<'a> MeterQueryResult<'a> {
    pub fn of(asked: &MeterQueryRequest, query: &'a UsageQuery, rows: Vec<UsageRow>) -> Self {
        let bound = |time: &Option<DateTime>| time.as_ref().map(|time| echo(&time.text));
        Self {
            data: Rows { query, rows },
            from: bound(&asked.from),
            to: bound(&asked.to),
            window_size: asked.window_size,
        }
    }
}

/// Windows as texts. Keeps those of the last window: the next row is usually of the same one.
pub struct Windows<'a> {
    zone: Option<&'a TimeZone>,
    last: Option<(Instant, Instant, Rc<str>, Rc<str>)>,
}

impl<'a> Windows<'a> {
    /// On the clock of this query.
    pub fn of(query: &'a UsageQuery) -> Self {
        Self { zone: query.window.as_ref().and_then(window::Windows::zone), last: None }
    }

    /// Start and end of a row's window.
    pub fn show(&mut self, row: &UsageRow) -> (Rc<str>, Rc<str>) {
        let (start, end) = (row.window_start, row.window_end);
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
        let mut windows = Windows::of(self.query);
        serializer.collect_seq(self.rows.iter().map(|row| {
            let (window_start, window_end) = windows.show(row);
            MeterQueryRow {
                customer_id: row.customer.map(|id| id.to_string()),
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
