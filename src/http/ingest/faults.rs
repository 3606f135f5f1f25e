//! What is wrong with the events of a request: every fault by index and field, up to a bound; the rest are counted.

use crate::http::problem::{Problem, ValidationError};
use serde_json::Value;

/// What an event can be refused for. Ordered as the envelope is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    WrongType,
    DuplicateField,
    MissingField,
    EmptyField,
    TooLong,
    InvalidText,
    UnsupportedSpecversion,
    NotAUriReference,
    InvalidTime,
    UnsupportedContentType,
    TooDeep,
    InvalidBase64,
    InvalidExtension,
    UnknownAttribute,
}

impl Code {
    /// As `extensions.validationErrors[].code` shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WrongType => "wrong_type",
            Self::DuplicateField => "duplicate_field",
            Self::MissingField => "missing_field",
            Self::EmptyField => "empty_field",
            Self::TooLong => "too_long",
            Self::InvalidText => "invalid_text",
            Self::UnsupportedSpecversion => "unsupported_specversion",
            Self::NotAUriReference => "not_a_uri_reference",
            Self::InvalidTime => "invalid_time",
            Self::UnsupportedContentType => "unsupported_content_type",
            Self::TooDeep => "too_deep",
            Self::InvalidBase64 => "invalid_base64",
            Self::InvalidExtension => "invalid_extension",
            Self::UnknownAttribute => "unknown_attribute",
        }
    }
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The event's index in the batch; `None`: the body itself.
    pub index: Option<usize>,
    pub field: String,
    pub code: Code,
    pub message: String,
}

impl Fault {
    /// `[3].id`, `[3]`, or nothing for the body.
    pub fn path(&self) -> String {
        let index = self.index.map(|index| format!("[{index}]")).unwrap_or_default();
        if self.field.is_empty() { index } else { format!("{index}.{}", self.field) }
    }
}

/// All of them, as far as they are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    pub listed: Vec<Fault>,
    /// Faults in all, listed or not.
    pub total: usize,
    /// Events with at least one fault.
    pub events: usize,
    /// The body is a list of events.
    pub batch: bool,
    last: Option<usize>,
}

/// Longest field name repeated back to the client, in characters.
const FIELD_CHARS_MAX: usize = 64;

impl Faults {
    /// None yet; `batch`: of a list of events.
    pub fn new(batch: bool) -> Self {
        Self { batch, ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    pub fn add(&mut self, listed_max: usize, index: Option<usize>, field: &str, code: Code, message: String) {
        self.total += 1;
        if index.is_some() && index != self.last {
            self.events += 1;
            self.last = index;
        }
        if self.listed.len() < listed_max {
            let field = field.chars().take(FIELD_CHARS_MAX).collect();
            self.listed.push(Fault { index, field, code, message });
        }
    }
}

/// 400: the first fault in words, all of them as data.
impl From<Faults> for Problem {
    fn from(faults: Faults) -> Self {
        let first = faults.listed.first().expect("a refusal names at least one fault");
        let path = first.path();
        let place = if path.is_empty() { "the body" } else { &path };
        let more = match faults.total {
            1 => String::new(),
            total => format!(" (and {} more, in {} events)", total - 1, faults.events),
        };
        let errors: Vec<Value> = faults.listed.iter().map(as_value).collect();
        let omitted = faults.total - faults.listed.len();
        let problem = Problem::bad_request(format!("invalid event: {place} {}{more}", first.message))
            .with_extension("validationErrors", errors);
        if omitted == 0 { problem } else { problem.with_extension("validationErrorsOmitted", omitted) }
    }
}

fn as_value(fault: &Fault) -> Value {
    let error = ValidationError {
        field: fault.path(),
        code: fault.code.as_str(),
        message: fault.message.clone(),
        component: "ingest",
        severity: "critical",
    };
    serde_json::to_value(error).expect("a validation error is plain data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_listed_up_to_the_bound_and_counted_beyond() {
        let mut faults = Faults::default();
        for index in 0..5 {
            faults.add(2, Some(index), "id", Code::MissingField, "is missing".into());
            faults.add(2, Some(index), "type", Code::MissingField, "is missing".into());
        }
        assert_eq!((faults.listed.len(), faults.total, faults.events), (2, 10, 5));
        let problem = Problem::from(faults);
        assert_eq!(problem.detail.unwrap(), "invalid event: [0].id is missing (and 9 more, in 5 events)");
        assert_eq!(problem.extensions["validationErrorsOmitted"], 8);
        assert_eq!(
            problem.extensions["validationErrors"][1],
            serde_json::json!({"field": "[0].type", "code": "missing_field", "message": "is missing",
                "component": "ingest", "severity": "critical"})
        );
    }
}
