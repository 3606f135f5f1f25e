//! What a meter query asks: read from a query string or a body, then checked against the meter.

use super::super::events::check_client_id;
use super::super::filters;
use crate::domain::metering::Meter;
use crate::domain::metering::query::{TextFilter, UsageQuery};
use crate::domain::metering::window::{WindowSize, zone};
use crate::domain::time::Instant;
use crate::http::json_body::Members;
use crate::http::problem::Problem;
use crate::http::query_string::QueryString;
use crate::http::settings::HttpSettings;
use crate::services::usage::WINDOW_SIZES;
use actix_web::HttpRequest;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most elements of a list in a body, and most customers.
const LIST_MAX: usize = 100;
/// Longest client id, in characters.
const CLIENT_ID_CHARS_MAX: usize = 36;
const SUBJECT: &str = "subject";
const CUSTOMER: &str = "customer_id";

/// A bound as the client wrote it, and the instant it means.
pub type Bound = Option<(String, Instant)>;

/// A query as sent, its parts well-formed each by itself.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    pub from: Bound,
    pub to: Bound,
    pub window: Option<WindowSize>,
    zone: Option<String>,
    /// Filters, and tells rows apart by subject, also when it is an empty list.
    subjects: Option<Vec<String>>,
    customers: Vec<String>,
    filter_group_by: BTreeMap<String, Vec<String>>,
    advanced: Map<String, Value>,
    group_by: Vec<String>,
}

impl Ask {
    pub fn from_query(request: &HttpRequest, settings: &HttpSettings) -> Result<Self, Problem> {
        let parameters = QueryString::of(request, settings)?;
        check_client_id(&parameters)?;
        let list = |name: &str| parameters.all(name).map(str::to_string).collect::<Vec<_>>();
        let owned = |(text, instant): (&str, Instant)| (text.to_string(), instant);
        let bound = |name: &str| parameters.time(name).map(|bound| bound.map(owned));
        let subjects = list("subject");
        let customers = list("filterCustomerId");
        if customers.len() > LIST_MAX {
            let reason = format!("maximum number of items is {LIST_MAX}");
            return Err(Problem::parameter("filterCustomerId", "query", reason));
        }
        Ok(Self {
            from: bound("from")?,
            to: bound("to")?,
            window: parameters.choice("windowSize", &WINDOW_SIZES)?,
            zone: parameters.one("windowTimeZone")?.map(str::to_string),
            subjects: (!subjects.is_empty()).then_some(subjects),
            customers,
            filter_group_by: filter_group_by(&parameters)?,
            advanced: advanced(&parameters)?,
            group_by: list("groupBy"),
        })
    }

    pub fn from_body(body: &Members) -> Result<Self, Problem> {
        match body.any_text("clientId")?.map(|id| id.chars().count()) {
            Some(0) => return Err(body.fault("clientId", "minimum string length is 1")),
            Some(length) if length > CLIENT_ID_CHARS_MAX => {
                return Err(body.fault("clientId", &format!("maximum string length is {CLIENT_ID_CHARS_MAX}")));
            }
            _ => {}
        }
        let mut filter_group_by = body.list_map("filterGroupBy", LIST_MAX)?.unwrap_or_default();
        // An empty list filters nothing.
        filter_group_by.retain(|_, values| !values.is_empty());
        Ok(Self {
            from: body.time("from")?,
            to: body.time("to")?,
            window: body.choice("windowSize", &WINDOW_SIZES)?,
            zone: body.any_text("windowTimeZone")?,
            subjects: body.texts("subject", LIST_MAX)?,
            customers: body.texts("filterCustomerId", LIST_MAX)?.unwrap_or_default(),
            filter_group_by,
            advanced: body.object("advancedMeterGroupByFilters", false)?.cloned().unwrap_or_default(),
            group_by: body.texts("groupBy", LIST_MAX)?.unwrap_or_default(),
        })
    }

    /// Everything that only the meter can tell, in the order clients know.
    pub fn check(&self, meter: Arc<Meter>, filter_depth_max: usize) -> Result<UsageQuery, Problem> {
        let zone = zone(self.zone.as_deref().unwrap_or(""))
            .map_err(|unknown| Problem::validation(format!("invalid time zone: {unknown}")))?;
        let filters = self.filters(&meter, filter_depth_max)?;
        let group_by = self.dimensions(&meter)?;
        self.check_customers()?;
        self.check_period()?;
        let subjects = self.subjects.clone().filter(|subjects| !subjects.is_empty());
        Ok(UsageQuery {
            meter,
            from: self.from.as_ref().map(|(_, instant)| *instant),
            to: self.to.as_ref().map(|(_, instant)| *instant),
            window: self.window.map(|size| (size, zone)),
            subjects,
            group_by_subject: self.subjects.is_some() || self.group_by.iter().any(|name| name == SUBJECT),
            group_by,
            filters,
            progress: None,
        })
    }

    /// Dimensions of the meter that rows are told apart by, each once.
    fn dimensions(&self, meter: &Meter) -> Result<Vec<String>, Problem> {
        let mut dimensions: Vec<String> = Vec::new();
        for name in &self.group_by {
            match name.as_str() {
                SUBJECT => {}
                CUSTOMER if self.customers.is_empty() => {
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
        if !self.filter_group_by.is_empty() && !self.advanced.is_empty() {
            let reason = "advanced meter group by filters and filter group by cannot be used together";
            return Err(Problem::validation(reason));
        }
        let mut found = BTreeMap::new();
        for (name, values) in &self.filter_group_by {
            if !meter.group_by.contains_key(name) {
                return Err(Problem::validation(format!("invalid group by filter: {name}")));
            }
            if values.iter().any(String::is_empty) {
                return Err(invalid_filter(&filters::FilterError::EmptyOperand));
            }
            found.insert(name.clone(), TextFilter::In(values.clone()));
        }
        for (name, filter) in &self.advanced {
            if !meter.group_by.contains_key(name) {
                return Err(Problem::validation(format!("meter does not have group by: {name}")));
            }
            let filter = filters::read(filter, depth_max).map_err(|error| invalid_filter(&error))?;
            found.extend(filter.map(|filter| (name.clone(), filter)));
        }
        Ok(found)
    }

    /// There are no customers yet: the first that is asked for is unknown.
    fn check_customers(&self) -> Result<(), Problem> {
        match self.customers.first() {
            Some(id) => Err(Problem::not_found(format!("customer with id {id} not found"))),
            None => Ok(()),
        }
    }

    fn check_period(&self) -> Result<(), Problem> {
        let (Some((_, from)), Some((_, to))) = (&self.from, &self.to) else { return Ok(()) };
        match from.cmp(to) {
            std::cmp::Ordering::Less => Ok(()),
            std::cmp::Ordering::Equal => Err(Problem::validation("from and to cannot be equal")),
            std::cmp::Ordering::Greater => Err(Problem::validation("from must be before to")),
        }
    }
}

fn invalid_filter(error: &filters::FilterError) -> Problem {
    match error {
        filters::FilterError::Shape { .. } => {
            Problem::bad_request(format!("unmarshaling param advancedMeterGroupByFilters: {error}"))
        }
        _ => Problem::validation(format!("validation error: {error}")),
    }
}

/// `filterGroupBy[name]=value`, each name once.
fn filter_group_by(parameters: &QueryString) -> Result<BTreeMap<String, Vec<String>>, Problem> {
    let mut filters = BTreeMap::new();
    for (name, value) in parameters.members("filterGroupBy") {
        if filters.insert(name.to_string(), vec![value.to_string()]).is_some() {
            let reason = format!("multiple values for the member {name:?}");
            return Err(crate::http::query_string::format_fault("filterGroupBy", &reason));
        }
    }
    Ok(filters)
}

/// JSON in one parameter.
fn advanced(parameters: &QueryString) -> Result<Map<String, Value>, Problem> {
    const NAME: &str = "advancedMeterGroupByFilters";
    let Some(text) = parameters.one(NAME)? else { return Ok(Map::new()) };
    let fault = |error: serde_json::Error| Problem::bad_request(format!("unmarshaling param {NAME}: {error}"));
    serde_json::from_str(text).map_err(fault)
}
