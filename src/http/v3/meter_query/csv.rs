//! A meter query's answer as a table: `Accept: text/csv`.
//!
//! `from,to[,subject][,customer_id,customer_key,customer_name],<dimensions as asked>,value`. Key and name of a deleted
//! customer are blank, as clients know it. The value is exact, in plain notation.

use crate::domain::customer::Customer;
use crate::domain::metering::query::{UsageQuery, UsageRow};
use crate::http::v1::meter_query::Windows;
use crate::http::v3::meters::{CUSTOMER, SUBJECT};
use std::collections::BTreeMap;
use ulid::Ulid;

/// The table. `customers`: those that are asked for.
pub fn table(query: &UsageQuery, customers: &[Customer], rows: &[UsageRow]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let subject = query.group_by_subject.then_some(SUBJECT);
    let customer = query.customers.as_ref().map(|_| [CUSTOMER, "customer_key", "customer_name"]);
    let dimensions = query.group_by.iter().map(String::as_str);
    let heads = ["from", "to"].into_iter().chain(subject).chain(customer.into_iter().flatten());
    writer.write_record(heads.chain(dimensions).chain(["value"]))?;
    let live = customers.iter().filter(|customer| customer.deleted_at.is_none());
    let live: BTreeMap<Ulid, &Customer> = live.map(|customer| (customer.id, customer)).collect();
    let mut windows = Windows::of(query);
    for row in rows {
        let (from, to) = windows.show(row);
        let shown = row.customer.map(|id| id.to_string());
        let known = row.customer.and_then(|id| live.get(&id));
        let (key, name) = known.map_or(("", ""), |known| (known.key.as_deref().unwrap_or(""), known.name.as_str()));
        let customer = shown.iter().flat_map(|id| [id.as_str(), key, name]);
        let (groups, value) = (row.groups.iter().map(String::as_str), row.value.to_plain());
        let cells = [&*from, &*to].into_iter().chain(row.subject.as_deref()).chain(customer).chain(groups);
        writer.write_record(cells.chain([value.as_str()]))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}
