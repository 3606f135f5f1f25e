//! `filter[field][operator]=value`: which rows of a list are shown.
//!
//! Everything sent must hold. Without an operator a value is compared, and a field without a value must exist. What
//! a list can be filtered by is its own: it says the fields and their kinds, and gets conditions of the domain.

use super::refused_by;
use crate::domain::customer::query::FieldFilter;
use crate::domain::metering::query::{Pattern, TextFilter};
use crate::domain::metering::time_filter::TimeFilter;
use crate::domain::time::Instant;
use crate::http::problem::Problem;
use crate::http::query_string::QueryString;
use std::collections::BTreeSet;
use ulid::Ulid;

const PARAMETER: &str = "filter";
/// Most elements of a list in a value.
const LIST_MAX: usize = 50;
/// Longest value, in bytes of UTF-8.
const VALUE_BYTES_MAX: usize = 1_024;
/// Length of a ULID, in characters.
const ULID_CHARS: usize = 26;

/// What a field holds, and so which operators there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Time,
    Ulid,
}

/// A field that a list can be filtered by.
pub type Field = (&'static str, Kind);

/// What a field must be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Text(TextFilter),
    Time(TimeFilter),
    Exists(bool),
}

/// All conditions, by field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(Vec<(&'static str, Condition)>);

/// Why a filter is refused. Ordered: the first that applies to the first parameter it applies to is reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("unknown filter field(s): {0}")]
    UnknownFields(String),
    #[error("filter[{0}]: is there twice")]
    Repeated(String),
    #[error("filter[{0}]: value is longer than {VALUE_BYTES_MAX} bytes")]
    TooLong(String),
    #[error("filter[{0}]: unsupported operator")]
    UnknownOperator(String),
    /// An empty text cannot be asked for.
    #[error("filter is invalid: format mismatch")]
    EmptyOperand,
    #[error("filter[{0}]: more than {LIST_MAX} items")]
    TooMany(String),
    #[error("filter[{0}]: invalid datetime")]
    NoTime(String),
    #[error("filter[{0}]: invalid ULID")]
    NoUlid(String),
    #[error("filter[{0}]: must be true or false")]
    NoTruth(String),
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::EmptyOperand => Problem::validation(refusal),
            refusal => refused_by(PARAMETER, "format", refusal.to_string()),
        }
    }
}

/// One parameter: `filter[path]=value`.
struct Sent<'a> {
    path: &'a str,
    value: &'a str,
}

impl Filters {
    pub fn read(query: &QueryString, fields: &[Field]) -> Result<Self, Problem> {
        let sent = query.members(PARAMETER).map(|(path, value)| Sent { path, value });
        Ok(Self::parse(sent.collect(), fields)?)
    }

    fn parse(sent: Vec<Sent<'_>>, fields: &[Field]) -> Result<Self, Refusal> {
        let known = |sent: &Sent<'_>| fields.iter().find(|(name, _)| *name == sent.field());
        let unknown: BTreeSet<&str> = sent.iter().filter(|sent| known(sent).is_none()).map(Sent::field).collect();
        if !unknown.is_empty() {
            return Err(Refusal::UnknownFields(Vec::from_iter(unknown).join(", ")));
        }
        let (mut filters, mut paths) = (Vec::new(), BTreeSet::new());
        for (sent, (field, kind)) in sent.iter().filter_map(|sent| known(sent).map(|field| (sent, field))) {
            if !paths.insert(sent.path) {
                return Err(Refusal::Repeated(sent.path.to_string()));
            }
            filters.extend(sent.condition(*kind)?.map(|condition| (*field, condition)));
        }
        Ok(Self(filters))
    }

    fn on(&self, field: &str) -> impl Iterator<Item = &Condition> {
        self.0.iter().filter(move |(name, _)| *name == field).map(|(_, condition)| condition)
    }

    /// Whether a row whose field has this text passes as far as the field goes; `None`: the row has no such field.
    pub fn accept(&self, field: &str, text: Option<&str>) -> bool {
        self.on(field).all(|condition| match condition {
            Condition::Exists(wanted) => text.is_some() == *wanted,
            Condition::Text(filter) => text.is_some_and(|text| filter.accepts(text)),
            Condition::Time(_) => false,
        })
    }

    /// The conditions on a text that every row has.
    pub fn texts(&self, field: &str) -> Vec<TextFilter> {
        let all = self.on(field).filter_map(|condition| match condition {
            Condition::Text(filter) => Some(filter.clone()),
            // Of no conditions all hold, and none holds.
            Condition::Exists(true) => Some(TextFilter::And(Vec::new())),
            Condition::Exists(false) => Some(TextFilter::Or(Vec::new())),
            Condition::Time(_) => None,
        });
        all.collect()
    }

    /// The conditions on a text that a row need not have.
    pub fn fields(&self, field: &str) -> Vec<FieldFilter> {
        let asked = |condition: &Condition| match condition {
            Condition::Text(filter) => Some(FieldFilter::Text(filter.clone())),
            Condition::Exists(wanted) => Some(FieldFilter::Exists(*wanted)),
            Condition::Time(_) => None,
        };
        self.on(field).filter_map(asked).collect()
    }

    /// The conditions on an instant.
    pub fn times(&self, field: &str) -> Vec<TimeFilter> {
        let time = |condition: &Condition| match condition {
            Condition::Time(filter) => Some(filter.clone()),
            _ => None,
        };
        self.on(field).filter_map(time).collect()
    }
}

impl Sent<'_> {
    fn field(&self) -> &str {
        self.path.split("][").next().unwrap_or_default()
    }

    fn operator(&self) -> Option<&str> {
        self.path.split_once("][").map(|(_, operator)| operator)
    }

    /// `None` where nothing is asked: a list without elements.
    fn condition(&self, kind: Kind) -> Result<Option<Condition>, Refusal> {
        if self.value.len() > VALUE_BYTES_MAX {
            return Err(Refusal::TooLong(self.path.to_string()));
        }
        match kind {
            Kind::Text => self.text(),
            Kind::Time => self.time().map(|filter| Some(Condition::Time(filter))),
            Kind::Ulid => self.ulid(),
        }
    }

    fn text(&self) -> Result<Option<Condition>, Refusal> {
        let filter = match self.operator() {
            None if self.value.is_empty() => return Ok(Some(Condition::Exists(true))),
            Some("exists") => return Ok(Some(Condition::Exists(self.truth()?))),
            Some("nexists") => return Ok(Some(Condition::Exists(!self.truth()?))),
            Some("oeq") => return Ok(self.list()?.map(TextFilter::In).map(Condition::Text)),
            Some("ocontains") => {
                let any =
                    |parts: Vec<String>| parts.iter().map(|part| TextFilter::Like(containing(part, true))).collect();
                return Ok(self.list()?.map(any).map(TextFilter::Or).map(Condition::Text));
            }
            None | Some("eq") => TextFilter::In(vec![self.value.to_string()]),
            Some("neq") => TextFilter::NotIn(vec![self.value.to_string()]),
            Some("contains") => TextFilter::Like(containing(self.value, true)),
            Some("gt") => TextFilter::Above { bound: self.value.to_string(), inclusive: false },
            Some("gte") => TextFilter::Above { bound: self.value.to_string(), inclusive: true },
            Some("lt") => TextFilter::Below { bound: self.value.to_string(), inclusive: false },
            Some("lte") => TextFilter::Below { bound: self.value.to_string(), inclusive: true },
            Some(_) => return Err(self.unknown_operator()),
        };
        if self.value.is_empty() { Err(Refusal::EmptyOperand) } else { Ok(Some(Condition::Text(filter))) }
    }

    fn time(&self) -> Result<TimeFilter, Refusal> {
        let bound = || Instant::parse(self.value).map_err(|_| Refusal::NoTime(self.path.to_string()));
        let above = |inclusive| bound().map(|bound| TimeFilter::Above { bound, inclusive });
        let below = |inclusive| bound().map(|bound| TimeFilter::Below { bound, inclusive });
        match self.operator() {
            None | Some("eq") => Ok(TimeFilter::And(vec![above(true)?, below(true)?])),
            Some("gt") => above(false),
            Some("gte") => above(true),
            Some("lt") => below(false),
            Some("lte") => below(true),
            Some(_) => Err(self.unknown_operator()),
        }
    }

    fn ulid(&self) -> Result<Option<Condition>, Refusal> {
        let is_ulid =
            |text: &str| text.len() == ULID_CHARS && Ulid::from_string(text).is_ok_and(|id| id.to_string() == text);
        let checked = |ids: Vec<String>| match ids.iter().all(|id| is_ulid(id)) {
            true => Ok(ids),
            false => Err(Refusal::NoUlid(self.path.to_string())),
        };
        let one = || checked(vec![self.value.to_string()]);
        let filter = match self.operator() {
            None | Some("eq") => Some(TextFilter::In(one()?)),
            Some("neq") => Some(TextFilter::NotIn(one()?)),
            Some("oeq") => self.list()?.map(checked).transpose()?.map(TextFilter::In),
            Some(_) => return Err(self.unknown_operator()),
        };
        Ok(filter.map(Condition::Text))
    }

    /// The elements between commas, without the space around them; `None` when there are none.
    fn list(&self) -> Result<Option<Vec<String>>, Refusal> {
        let items = self.value.split(',').map(str::trim).filter(|item| !item.is_empty());
        let items: Vec<String> = items.map(str::to_string).collect();
        if items.len() > LIST_MAX {
            return Err(Refusal::TooMany(self.path.to_string()));
        }
        Ok((!items.is_empty()).then_some(items))
    }

    fn truth(&self) -> Result<bool, Refusal> {
        match self.value {
            "" | "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
            _ => Err(Refusal::NoTruth(self.path.to_string())),
        }
    }

    fn unknown_operator(&self) -> Refusal {
        Refusal::UnknownOperator(self.path.to_string())
    }
}

/// Matches what holds `part` somewhere; nothing in `part` is a wildcard.
pub fn containing(part: &str, ignore_case: bool) -> Pattern {
    Pattern::new(&pattern_containing(part), ignore_case)
}

/// The text of that pattern: `%` on both sides, and what would be a wildcard in between escaped.
pub fn pattern_containing(part: &str) -> String {
    let mut pattern = String::with_capacity(part.len() + 2);
    pattern.push('%');
    for c in part.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// What [`pattern_containing`] was made of; `None`: it is another pattern.
pub fn contained(pattern: &str) -> Option<String> {
    let mut rest = pattern.strip_prefix('%')?.chars();
    let mut part = String::with_capacity(pattern.len());
    loop {
        match rest.next()? {
            '%' => return rest.next().is_none().then_some(part),
            '_' => return None,
            '\\' => part.push(rest.next()?),
            c => part.push(c),
        }
    }
}

#[cfg(test)]
#[path = "filter/tests.rs"]
mod tests;
