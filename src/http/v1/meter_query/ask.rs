//! What a meter query asks: as sent in a body or a query string, then checked against the meter.

use super::super::filters::{Filter, FilterError, FilterString, not_empty};
use crate::domain::metering::Meter;
use crate::domain::metering::query::{TextFilter, UsageQuery};
use crate::domain::metering::window::{self, Windows, zone};
use crate::http::DoorState;
use crate::http::problem::Problem;
use crate::http::query_string::{QueryString, format_fault};
use crate::http::times::DateTime;
use crate::services::attribution::{AttributionError, Deleted};
use actix_web::HttpRequest;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use ulid::Ulid;
use utoipa::{IntoParams, ToSchema};

const SUBJECT: &str = "subject";
const CUSTOMER: &str = "customer_id";
const FILTER_GROUP_BY: &str = "filterGroupBy";
const ADVANCED: &str = "advancedMeterGroupByFilters";

/// Into which windows usage is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum WindowSize {
    Minute,
    Hour,
    Day,
    Month,
}

impl From<WindowSize> for window::WindowSize {
    fn from(size: WindowSize) -> Self {
        match size {
            WindowSize::Minute => Self::Minute,
            WindowSize::Hour => Self::Hour,
            WindowSize::Day => Self::Day,
            WindowSize::Month => Self::Month,
        }
    }
}

/// A query as sent.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeterQueryRequest {
    #[schema(min_length = 1, max_length = 36)]
    pub client_id: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<DateTime>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub to: Option<DateTime>,
    pub window_size: Option<WindowSize>,
    #[schema(default = "UTC")]
    window_time_zone: Option<String>,
    /// Filters, and tells rows apart by subject, also when it is an empty list.
    #[schema(max_items = 100)]
    subject: Option<Vec<String>>,
    #[schema(max_items = 100)]
    filter_customer_id: Option<Vec<String>>,
    /// An empty list filters nothing.
    filter_group_by: Option<BTreeMap<String, Vec<String>>>,
    advanced_meter_group_by_filters: Option<BTreeMap<String, FilterString>>,
    #[schema(max_items = 100)]
    group_by: Option<Vec<String>>,
}

/// A query in a query string.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct Parameters {
    #[param(min_length = 1, max_length = 36)]
    client_id: Option<String>,
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<DateTime>,
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<DateTime>,
    window_size: Option<WindowSize>,
    #[param(default = "UTC")]
    window_time_zone: Option<String>,
    subject: Option<Vec<String>>,
    #[param(max_items = 100)]
    filter_customer_id: Option<Vec<String>>,
    #[param(style = DeepObject, explode)]
    filter_group_by: Option<BTreeMap<String, String>>,
    advanced_meter_group_by_filters: Option<BTreeMap<String, FilterString>>,
    group_by: Option<Vec<String>>,
}

impl From<Parameters> for MeterQueryRequest {
    fn from(sent: Parameters) -> Self {
        let lists =
            |filters: BTreeMap<String, String>| filters.into_iter().map(|(name, value)| (name, vec![value])).collect();
        Self {
            client_id: sent.client_id,
            from: sent.from,
            to: sent.to,
            window_size: sent.window_size,
            window_time_zone: sent.window_time_zone,
            subject: sent.subject,
            filter_customer_id: sent.filter_customer_id,
            filter_group_by: sent.filter_group_by.map(lists),
            advanced_meter_group_by_filters: sent.advanced_meter_group_by_filters,
            group_by: sent.group_by,
        }
    }
}

/// A filter that is written in the way of the other kind would be left out without a word.
pub fn refuse_misplaced_brackets(request: &HttpRequest, state: &DoorState) -> Result<(), Problem> {
    let query = QueryString::of(request, &state.settings)?;
    if query.all(FILTER_GROUP_BY).next().is_some() {
        return Err(format_fault(FILTER_GROUP_BY, "must be written filterGroupBy[name]=value"));
    }
    if query.members(ADVANCED).next().is_some() {
        return Err(format_fault(ADVANCED, "must be JSON text, such as {\"name\":{\"$eq\":\"value\"}}"));
    }
    Ok(())
}

impl MeterQueryRequest {
    /// Everything that only the meter and the customers can tell, in the order clients know.
    pub async fn check(&self, meter: Arc<Meter>, state: &DoorState) -> Result<UsageQuery, Problem> {
        let zone = zone(self.window_time_zone.as_deref().unwrap_or(""))
            .map_err(|unknown| Problem::validation(format!("invalid time zone: {unknown}")))?;
        let filters = self.filters(&meter, state.settings.filter_depth_max)?;
        let group_by = self.dimensions(&meter)?;
        let owners = self.owners(state).await?;
        check_period(self.from.as_ref(), self.to.as_ref(), "from must be before to")?;
        let query = UsageQuery {
            meter,
            from: self.from.as_ref().map(|from| from.instant),
            to: self.to.as_ref().map(|to| to.instant),
            window: self.window_size.map(|size| Windows::Calendar(size.into(), zone)),
            subjects: self.subject.clone().filter(|subjects| !subjects.is_empty()),
            customers: None,
            group_by_subject: self.subject.is_some() || self.group_by().iter().any(|name| name == SUBJECT),
            group_by,
            filters,
            progress: None,
        };
        Ok(match owners {
            Some(owners) => query.of_customers(owners),
            None => query,
        })
    }

    /// The columns of a table, after those of the subject: dimensions as asked for, each once, and the customer, last
    /// where only the filter asks for it.
    pub fn columns(&self) -> Vec<&str> {
        let mut columns: Vec<&str> = Vec::new();
        let filtered = (!self.customers().is_empty()).then_some(CUSTOMER);
        for name in self.group_by().iter().map(String::as_str).chain(filtered) {
            if name != SUBJECT && !columns.contains(&name) {
                columns.push(name);
            }
        }
        columns
    }

    fn group_by(&self) -> &[String] {
        self.group_by.as_deref().unwrap_or_default()
    }

    fn customers(&self) -> &[String] {
        self.filter_customer_id.as_deref().unwrap_or_default()
    }

    /// Dimensions of the meter that rows are told apart by, each once.
    fn dimensions(&self, meter: &Meter) -> Result<Vec<String>, Problem> {
        let mut dimensions: Vec<String> = Vec::new();
        for name in self.group_by() {
            match name.as_str() {
                SUBJECT => {}
                CUSTOMER if self.customers().is_empty() => {
                    return Err(Problem::validation("customer filter is required with customer_id group by"));
                }
                CUSTOMER => {}
                _ if !meter.group_by.contains_key(name) => {
                    return Err(Problem::validation(format!("invalid group by: {name}")));
                }
                _ if dimensions.contains(name) => {}
                _ => dimensions.push(name.clone()),
            }
        }
        Ok(dimensions)
    }

    fn filters(&self, meter: &Meter, depth_max: usize) -> Result<BTreeMap<String, TextFilter>, Problem> {
        let plain = self.filter_group_by.iter().flatten().filter(|(_, values)| !values.is_empty());
        let advanced = self.advanced_meter_group_by_filters.iter().flatten();
        if plain.clone().next().is_some() && advanced.clone().next().is_some() {
            let reason = "advanced meter group by filters and filter group by cannot be used together";
            return Err(Problem::validation(reason));
        }
        let mut found = BTreeMap::new();
        for (name, values) in plain {
            if !meter.group_by.contains_key(name) {
                return Err(Problem::validation(format!("invalid group by filter: {name}")));
            }
            let values: Result<_, FilterError> = values.iter().cloned().map(not_empty).collect();
            found.insert(name.clone(), TextFilter::In(values?));
        }
        for (name, filter) in advanced {
            if !meter.group_by.contains_key(name) {
                return Err(Problem::validation(format!("meter does not have group by: {name}")));
            }
            found.extend(filter.clone().read(depth_max)?.map(|filter| (name.clone(), filter)));
        }
        Ok(found)
    }

    /// Whose the subjects of the customers are; `None` where no customer is asked for.
    async fn owners(&self, state: &DoorState) -> Result<Option<Arc<BTreeMap<String, Ulid>>>, Problem> {
        if self.customers().is_empty() {
            return Ok(None);
        }
        match state.attributions.of(&state.namespace, self.customers(), Deleted::Unknown).await {
            Ok(attribution) => Ok(Some(attribution.owners)),
            Err(AttributionError::Unknown { ids, .. }) => Err(no_such_customer(&ids)),
            Err(AttributionError::Fault(fault)) => Err(fault.into()),
        }
    }
}

/// 404, for the first of the ids that are nobody's.
pub fn no_such_customer(ids: &[String]) -> Problem {
    Problem::not_found(format!("customer with id {} not found", ids.first().map_or("", String::as_str)))
}

/// A period that has an extent; `backwards` says what is wrong with one that runs the other way.
pub fn check_period(from: Option<&DateTime>, to: Option<&DateTime>, backwards: &str) -> Result<(), Problem> {
    let (Some(from), Some(to)) = (from, to) else { return Ok(()) };
    match from.instant.cmp(&to.instant) {
        Ordering::Less => Ok(()),
        Ordering::Equal => Err(Problem::validation("from and to cannot be equal")),
        Ordering::Greater => Err(Problem::validation(backwards)),
    }
}

impl From<FilterError> for Problem {
    fn from(error: FilterError) -> Self {
        Problem::validation(format!("validation error: {error}"))
    }
}
