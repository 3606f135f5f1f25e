//! Problems: every answer that is not a success, as RFC 7807, in one of two dialects.
//!
//! v1's: `type` is `about:blank`, `title` the status's reason phrase; `detail` on 500 says no more than that;
//! `extensions` is left out when empty. v3's: `type` is a URL, `detail` is always there, and `invalid_parameters` lists what is wrong. On v3 paths the
//! second is used for routes, parameters and bodies; what a service refuses is told in the first there too, as clients
//! know it. `instance` carries the request's id. The content type is exactly `application/problem+json`: clients
//! compare it.

use super::contract::{Dialect, Violation};
use crate::domain::fault::{Fault, Verdict};
use crate::ports::event_log::AppendError;
use crate::ports::usage_store::ReadError;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::{Map, Value};

/// What went wrong, told to the client.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    pub status: StatusCode,
    pub detail: Option<String>,
    pub extensions: Map<String, Value>,
    /// Seconds after which another try makes sense.
    pub retry_after_s: Option<u32>,
    /// Told in the dialect of v3, with these; `None`: in that of v1.
    pub v3: Option<Vec<InvalidParameter>>,
}

/// One thing that is wrong with a v3 request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InvalidParameter {
    /// Where, as a dotted path: `0.subject`.
    pub field: String,
    /// The schema's keyword.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'static str>,
    pub reason: String,
    /// `query`, `path`, or nothing for the body.
    pub source: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Value>,
}

impl InvalidParameter {
    pub fn of(field: impl Into<String>, rule: &'static str, reason: impl Into<String>, source: &'static str) -> Self {
        Self { field: field.into(), rule: Some(rule), reason: reason.into(), source, choices: Vec::new() }
    }

    pub fn whole_body(reason: String) -> Self {
        Self { field: String::new(), rule: None, reason, source: "", choices: Vec::new() }
    }

    /// Some keywords have other names on the wire.
    pub fn from_violation(field: String, violation: &Violation, source: &'static str) -> Self {
        let rule = match violation.rule {
            "minLength" => "min_length",
            "maxLength" => "max_length",
            "minItems" => "min_items",
            "maxItems" => "max_items",
            rule => rule,
        };
        let choices = violation.choices.clone();
        Self { field, rule: Some(rule), reason: violation.reason.clone(), source, choices }
    }

    /// `field [rule]: reason`, as the problem's detail lists it.
    fn shown(&self) -> String {
        match (self.rule, self.field.is_empty()) {
            (Some(rule), false) => format!("{} [{rule}]: {}", self.field, self.reason),
            (None, false) => format!("{}: {}", self.field, self.reason),
            (_, true) => self.reason.clone(),
        }
    }
}

/// One thing that is wrong with a request, as `extensions.validationErrors` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ValidationError {
    pub field: String,
    pub code: &'static str,
    pub message: String,
    pub component: &'static str,
    pub severity: &'static str,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    extensions: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invalid_parameters: Option<[InvalidParameter; 1]>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: Some(detail.into()), extensions: Map::new(), retry_after_s: None, v3: None }
    }

    /// A status that says everything.
    pub fn bare(status: StatusCode) -> Self {
        Self { status, detail: None, extensions: Map::new(), retry_after_s: None, v3: None }
    }

    /// 400, in the words given.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 400 by a rule of the domain.
    pub fn validation(detail: impl std::fmt::Display) -> Self {
        Self::bad_request(format!("validation error: {detail}"))
    }

    /// 400 by the shape of a query or path parameter.
    pub fn parameter(name: &str, place: &str, reason: impl std::fmt::Display) -> Self {
        Self::bad_request(format!("parameter \"{name}\" in {place} has an error: {reason}"))
    }

    pub fn not_found(detail: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("not found error: {detail}"))
    }

    pub fn conflict(detail: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::CONFLICT, format!("conflict error: {detail}"))
    }

    pub fn precondition_failed(detail: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, format!("precondition failed error: {detail}"))
    }

    /// 400 in the dialect of v3.
    pub fn invalid(parameters: Vec<InvalidParameter>) -> Self {
        let shown: Vec<String> = parameters.iter().map(InvalidParameter::shown).collect();
        let detail =
            if shown.is_empty() { "Bad Request".to_string() } else { format!("Bad Request: {}", shown.join(", ")) };
        Self { v3: Some(parameters), ..Self::bad_request(detail) }
    }

    /// 404 in the dialect of v3, for an id that nothing can have.
    pub fn no_such_entity() -> Self {
        Self::in_v3(StatusCode::NOT_FOUND, "The requested entity was not found")
    }

    /// In the dialect of v3.
    pub fn in_v3(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { v3: Some(Vec::new()), ..Self::new(status, detail) }
    }

    pub fn with_extension(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extensions.insert(name.to_string(), value.into());
        self
    }

    /// One rule of the domain that has a code, as `extensions.validationErrors` lists it; with what belongs to it.
    pub fn with_issue<const N: usize>(
        self,
        code: &str,
        field: &str,
        message: &str,
        attributes: [(&str, Value); N],
    ) -> Self {
        let mut issue = Map::new();
        for (name, text) in [("code", code), ("field", field), ("message", message), ("severity", "critical")] {
            issue.insert(name.to_string(), text.into());
        }
        issue.extend(attributes.into_iter().map(|(name, value)| (name.to_string(), value)));
        self.with_extension("validationErrors", vec![Value::Object(issue)])
    }

    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The answer, under this request's id.
    pub fn response(&self, request_id: &str, dialect: Dialect) -> HttpResponse {
        let mut text = match &self.v3 {
            Some(invalid) => self.text_in_v3(invalid, request_id),
            None => self.text_in_v1(request_id, dialect),
        };
        text.push('\n');
        let mut response = HttpResponse::build(self.status);
        if let Some(seconds) = self.retry_after_s {
            response.insert_header((RETRY_AFTER, seconds.to_string()));
        }
        response.insert_header((CONTENT_TYPE, "application/problem+json")).body(text)
    }

    fn text_in_v1(&self, request_id: &str, dialect: Dialect) -> String {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let told = self.status != StatusCode::INTERNAL_SERVER_ERROR;
        let detail = self.detail.as_deref().filter(|_| told).unwrap_or(title);
        // The document of v3 promises a list with every 400.
        let listed = dialect == Dialect::V3 && self.status == StatusCode::BAD_REQUEST;
        let body = Body {
            r#type: "about:blank",
            title,
            status: self.status.as_u16(),
            detail,
            instance: format!("urn:request:{request_id}"),
            extensions: &self.extensions,
            invalid_parameters: listed.then(|| [InvalidParameter::whole_body(detail.to_string())]),
        };
        serde_json::to_string(&body).expect("a problem is plain data")
    }

    fn text_in_v3(&self, invalid: &[InvalidParameter], request_id: &str) -> String {
        let (slug, title) = v3_type(self.status);
        let body = V3Body {
            r#type: format!("https://kongapi.info/konnect/{slug}"),
            status: self.status.as_u16(),
            title,
            instance: format!("urn:request:{request_id}"),
            detail: self.detail.as_deref().unwrap_or(title),
            invalid_parameters: invalid,
        };
        serde_json::to_string(&body).expect("a problem is plain data")
    }
}

/// The last part of the type's URL, and the title.
fn v3_type(status: StatusCode) -> (&'static str, &'static str) {
    match status {
        StatusCode::BAD_REQUEST => ("bad-request", "Bad Request"),
        StatusCode::UNAUTHORIZED => ("unauthenticated", "Unauthenticated"),
        StatusCode::FORBIDDEN => ("unauthorized", "Forbidden"),
        StatusCode::NOT_FOUND => ("not-found", "Not Found"),
        StatusCode::METHOD_NOT_ALLOWED => ("method-not-allowed", "Method Not Allowed"),
        StatusCode::CONFLICT => ("resource-conflict", "Conflict"),
        StatusCode::GONE => ("gone", "Gone"),
        StatusCode::PRECONDITION_FAILED => ("precondition-failed", "Precondition Failed"),
        StatusCode::NOT_IMPLEMENTED => ("not-implemented", "Not Implemented"),
        StatusCode::SERVICE_UNAVAILABLE => ("unavailable", "Service Unavailable"),
        _ => ("internal", "Internal"),
    }
}

#[derive(Serialize)]
struct V3Body<'a> {
    r#type: String,
    status: u16,
    title: &'static str,
    instance: String,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    invalid_parameters: &'a [InvalidParameter],
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.status)?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}

/// The request's id is put in by the middleware, which knows it ([`super::request`]).
impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        self.response("", Dialect::V1)
    }
}

/// Both outcomes are 503 and safe to retry; `extensions.outcome` tells them apart.
impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        let (outcome, seconds) = match &error {
            AppendError::Refused { retry_after_s, .. } => ("not_accepted", *retry_after_s),
            AppendError::Unknown { .. } => ("unknown", 1),
        };
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            .with_extension("outcome", outcome)
            .retry_after(seconds.max(1))
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let status = match fault.verdict {
            Verdict::Retry => StatusCode::SERVICE_UNAVAILABLE,
            Verdict::GiveUp => StatusCode::INTERNAL_SERVER_ERROR,
        };
        match fault.verdict {
            Verdict::Retry => tracing::debug!(system = fault.system, fault = %fault.message, "a request must wait"),
            Verdict::GiveUp => tracing::error!(system = fault.system, fault = %fault.message, "a request failed"),
        }
        let problem = Problem::new(status, fault.to_string());
        if status == StatusCode::SERVICE_UNAVAILABLE { problem.retry_after(1) } else { problem }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Refused(refusal) => Problem::validation(refusal),
            ReadError::Fault(fault) => fault.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(problem: &Problem) -> String {
        let bytes = actix_web::body::to_bytes(problem.response("r-1", Dialect::V1).into_body()).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[actix_web::test]
    async fn a_problem_has_the_shape_that_clients_know() {
        let problem = Problem::not_found("meter not found: cpu_secs");
        assert_eq!(
            body(&problem).await,
            "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,\
             \"detail\":\"not found error: meter not found: cpu_secs\",\"instance\":\"urn:request:r-1\"}\n"
        );
        assert_eq!(problem.response("r", Dialect::V1).headers().get(CONTENT_TYPE).unwrap(), "application/problem+json");
    }

    #[actix_web::test]
    async fn a_500_says_nothing_of_what_happened_inside() {
        let problem = Problem::from(Fault::give_up("usage store", "block 3 is corrupt"));
        assert_eq!(
            body(&problem).await,
            "{\"type\":\"about:blank\",\"title\":\"Internal Server Error\",\"status\":500,\"detail\":\"Internal Server Error\",\"instance\":\"urn:request:r-1\"}\n"
        );
    }

    #[test]
    fn refused_and_unknown_are_told_apart() {
        let refused = Problem::from(AppendError::Refused { reason: "full".into(), retry_after_s: 7 });
        assert_eq!((refused.retry_after_s, refused.extensions["outcome"].as_str()), (Some(7), Some("not_accepted")));
        let unknown = Problem::from(AppendError::Unknown { reason: "sync failed".into() });
        assert_eq!(unknown.extensions["outcome"], "unknown");
        assert_eq!(unknown.response("r", Dialect::V1).headers().get(RETRY_AFTER).unwrap(), "1");
    }
}
