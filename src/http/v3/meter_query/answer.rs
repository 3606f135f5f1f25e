//! What a meter query answers: bounds as asked, windows on the query's clock, values to the last digit as texts.

use super::ask::MeterQueryRequest;
use crate::domain::metering::query::{UsageQuery, UsageRow};
use crate::http::times::{DateTime, echo};
use crate::http::v1::meter_query::Windows;
use crate::http::v3::meters::{CUSTOMER, SUBJECT};
use crate::http::v3::wire::Numeric;
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;
use utoipa::ToSchema;

/// The body of a 200.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MeterQueryResult<'a> {
    #[schema(value_type = Vec<MeterQueryRow>)]
    data: Rows<'a>,
    #[schema(value_type = Option<DateTime>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[schema(value_type = Option<DateTime>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

/// Written one by one: an answer may have hundreds of thousands of rows.
struct Rows<'a> {
    query: &'a UsageQuery,
    rows: Vec<UsageRow>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MeterQueryRow<'a> {
    /// Subject and customer, where rows are told apart by them, are dimensions like any other.
    #[schema(value_type = BTreeMap<String, String>)]
    dimensions: BTreeMap<&'a str, Cow<'a, str>>,
    #[schema(value_type = DateTime)]
    from: Rc<str>,
    #[schema(value_type = DateTime)]
    to: Rc<str>,
    value: Numeric,
}

impl<'a> MeterQueryResult<'a> {
    pub fn of(asked: &MeterQueryRequest, query: &'a UsageQuery, rows: Vec<UsageRow>) -> Self {
        let bound = |time: &Option<DateTime>| time.as_ref().map(|time| echo(&time.text));
        Self { data: Rows { query, rows }, from: bound(&asked.from), to: bound(&asked.to) }
    }
}

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut windows = Windows::of(self.query);
        serializer.collect_seq(self.rows.iter().map(|row| {
            let subject = row.subject.as_deref().map(|subject| (SUBJECT, Cow::Borrowed(subject)));
            let customer = row.customer.map(|id| (CUSTOMER, Cow::Owned(id.to_string())));
            let groups = self.query.group_by.iter().zip(&row.groups);
            let groups = groups.map(|(name, value)| (name.as_str(), Cow::Borrowed(value.as_str())));
            let (from, to) = windows.show(row);
            let value = Numeric(row.value.to_plain());
            MeterQueryRow { dimensions: groups.chain(subject).chain(customer).collect(), from, to, value }
        }))
    }
}
