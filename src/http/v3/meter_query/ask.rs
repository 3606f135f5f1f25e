//! What a meter query asks: as sent in the body, then checked against the meter.

use super::filters::{Named, QueryFilterStringMapItem};
use crate::domain::customer::Customer;
use crate::domain::metering::Meter;
use crate::domain::metering::query::UsageQuery;
use crate::domain::metering::window::{WindowSize, Windows, zone};
use crate::http::DoorState;
use crate::http::problem::Problem;
use crate::http::times::DateTime;
use crate::http::v1::meter_query::{check_period, no_such_customer};
use crate::http::v3::meters::{CUSTOMER, SUBJECT};
use crate::services::attribution::{Attribution, AttributionError, Deleted};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa::openapi::schema::{AdditionalProperties, Schema};
use utoipa::openapi::{ObjectBuilder, Ref, RefOr, Type};

/// Most dimensions with a filter.
const FILTERS_MAX: usize = 10;

/// Into which windows usage is told apart, as ISO 8601 durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
pub enum MeterQueryGranularity {
    #[serde(rename = "PT1M")]
    Minute,
    #[serde(rename = "PT1H")]
    Hour,
    #[serde(rename = "P1D")]
    Day,
    #[serde(rename = "P1M")]
    Month,
}

impl From<MeterQueryGranularity> for WindowSize {
    fn from(granularity: MeterQueryGranularity) -> Self {
        match granularity {
            MeterQueryGranularity::Minute => Self::Minute,
            MeterQueryGranularity::Hour => Self::Hour,
            MeterQueryGranularity::Day => Self::Day,
            MeterQueryGranularity::Month => Self::Month,
        }
    }
}

/// A query as sent.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MeterQueryRequest {
    pub from: Option<DateTime>,
    pub to: Option<DateTime>,
    granularity: Option<MeterQueryGranularity>,
    #[schema(default = "UTC")]
    time_zone: Option<String>,
    #[schema(max_items = 100)]
    group_by_dimensions: Option<Vec<String>>,
    filters: Option<MeterQueryFilters>,
}

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MeterQueryFilters {
    #[schema(schema_with = dimension_filters)]
    dimensions: Option<BTreeMap<String, QueryFilterStringMapItem>>,
}

fn dimension_filters() -> RefOr<Schema> {
    let filter = Ref::from_schema_name(QueryFilterStringMapItem::name());
    let filters = ObjectBuilder::new().schema_type(Type::Object).max_properties(Some(FILTERS_MAX));
    filters.additional_properties(Some(AdditionalProperties::RefOr(filter.into()))).into()
}

/// What the store is asked, and the customers whose usage it is.
pub struct Checked {
    pub query: UsageQuery,
    /// Deleted ones, too.
    pub customers: Vec<Customer>,
}

impl MeterQueryRequest {
    /// Everything that only the meter and the customers can tell.
    pub async fn check(&self, meter: Arc<Meter>, state: &DoorState) -> Result<Checked, Problem> {
        let zone = zone(self.time_zone.as_deref().unwrap_or("")).map_err(|unknown| {
            let name = self.time_zone.clone().unwrap_or_default();
            Problem::validation(format!("invalid time zone: {unknown}")).with_issue(
                "invalid_time_zone",
                "$.time_zone",
                "invalid time zone",
                [("value", name.into())],
            )
        })?;
        let grouping = self.group_by_dimensions.as_deref().unwrap_or_default();
        let mut query = UsageQuery {
            from: self.from.as_ref().map(|from| from.instant),
            to: self.to.as_ref().map(|to| to.instant),
            window: self.granularity.map(|granularity| Windows::Calendar(granularity.into(), zone)),
            subjects: None,
            customers: None,
            group_by_subject: grouping.iter().any(|name| name == SUBJECT),
            group_by: dimensions(grouping, &meter)?,
            filters: BTreeMap::new(),
            progress: None,
            meter,
        };
        let asked = self.filter(&mut query)?;
        if asked.is_none() && grouping.iter().any(|name| name == CUSTOMER) {
            return Err(Problem::validation("customer filter is required with customer_id group by"));
        }
        let attribution = match asked {
            Some(ids) => Some(attribution(state, &ids).await?),
            None => None,
        };
        check_period(self.from.as_ref(), self.to.as_ref(), "from must be before to")?;
        Ok(match attribution {
            Some(Attribution { customers, owners }) => Checked { query: query.of_customers(owners), customers },
            None => Checked { query, customers: Vec::new() },
        })
    }

    /// A filter on subjects tells rows apart by them, too. Returns the customers that are asked for, if any are.
    fn filter(&self, query: &mut UsageQuery) -> Result<Option<Vec<String>>, Problem> {
        let mut customers = None;
        for (name, filter) in self.filters.iter().flat_map(|filters| &filters.dimensions).flatten() {
            match name.as_str() {
                SUBJECT => {
                    query.subjects = named(SUBJECT, filter)?;
                    query.group_by_subject |= query.subjects.is_some();
                }
                CUSTOMER => customers = named(CUSTOMER, filter)?,
                _ => {
                    if !query.meter.group_by.contains_key(name) {
                        return Err(no_such_dimension(name));
                    }
                    let told =
                        |error| Problem::validation(format!("dimension filter {name:?}: validation error: {error}"));
                    let condition = filter.clone().condition().map_err(told)?;
                    query.filters.extend(condition.map(|condition| (name.clone(), condition)));
                }
            }
        }
        Ok(customers)
    }
}

/// Dimensions of the meter that rows are told apart by, each once.
fn dimensions(grouping: &[String], meter: &Meter) -> Result<Vec<String>, Problem> {
    let mut seen = BTreeSet::new();
    let own = grouping.iter().filter(|name| *name != SUBJECT && *name != CUSTOMER && seen.insert(name.as_str()));
    let known = |name: &String| match meter.group_by.contains_key(name) {
        true => Ok(name.clone()),
        false => {
            let message = "invalid group by dimension";
            let problem = Problem::validation(format!("{message}: {name}"));
            Err(problem.with_issue(
                "invalid_group_by",
                "$.group_by_dimensions",
                message,
                [("value", name.clone().into())],
            ))
        }
    };
    own.map(known).collect()
}

fn named(dimension: &str, filter: &QueryFilterStringMapItem) -> Result<Option<Vec<String>>, Problem> {
    match filter.clone().named() {
        Named::Values(values) => Ok(Some(values)),
        Named::Nothing => Ok(None),
        Named::Unsupported => {
            let message = "only one of eq and in is supported";
            let problem = Problem::validation(format!("dimension filter {dimension:?}: {message}"));
            let field = format!("$.filters.dimensions.{dimension}");
            Err(problem.with_issue("unsupported_filter_operator", &field, message, []))
        }
    }
}

/// The customers with these ids, deleted ones too.
async fn attribution(state: &DoorState, ids: &[String]) -> Result<Attribution, Problem> {
    match state.attributions.of(&state.namespace, ids, Deleted::Found).await {
        Ok(attribution) => Ok(attribution),
        Err(AttributionError::Fault(fault)) => Err(fault.into()),
        Err(AttributionError::Unknown { ids, .. }) => {
            let (field, id) = (format!("$.filters.dimensions.{CUSTOMER}"), ids.first().cloned());
            let message = "customer not found";
            Err(no_such_customer(&ids).with_issue("customer_not_found", &field, message, [(CUSTOMER, id.into())]))
        }
    }
}

fn no_such_dimension(name: &str) -> Problem {
    let message = "the meter has no such dimension";
    let problem = Problem::validation(format!("dimension filter {name:?}: {message}"));
    problem.with_issue("invalid_dimension_filter", &format!("$.filters.dimensions.{name}"), message, [])
}
