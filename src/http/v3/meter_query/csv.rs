//! A meter query's answer as a table: `Accept: text/csv`.
//!
//! `from,to[,subject],<dimensions as asked>,value`; the columns of customers come with customers. The value is exact,
//! in plain notation.

use crate::domain::metering::query::{UsageQuery, UsageRow};
use crate::http::v1::meter_query::Windows;
use crate::http::v3::meters::SUBJECT;

pub fn table(query: &UsageQuery, rows: &[UsageRow]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let subject = query.group_by_subject.then_some(SUBJECT);
    let dimensions = query.group_by.iter().map(String::as_str);
    writer.write_record(["from", "to"].into_iter().chain(subject).chain(dimensions).chain(["value"]))?;
    let mut windows = Windows::of(query);
    for row in rows {
        let (from, to) = windows.show(row);
        let (groups, value) = (row.groups.iter().map(String::as_str), row.value.to_plain());
        let cells = [&*from, &*to].into_iter().chain(row.subject.as_deref()).chain(groups);
        writer.write_record(cells.chain([value.as_str()]))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}
