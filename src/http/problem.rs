//! Problems: every answer that is not a success, as RFC 7807 in the dialect of v1 clients.
//!
//! `type` is `about:blank`, `title` the status's reason phrase; `detail` is left out on 500, `extensions` when empty.
//! `instance` carries the request's id. The content type is exactly `application/problem+json`: clients compare it.

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
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    instance: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    extensions: &'a Map<String, Value>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: Some(detail.into()), extensions: Map::new(), retry_after_s: None }
    }

    /// A status that says everything.
    pub fn bare(status: StatusCode) -> Self {
        Self { status, detail: None, extensions: Map::new(), retry_after_s: None }
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

    pub fn with_extension(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extensions.insert(name.to_string(), value.into());
        self
    }

    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The answer, under this request's id.
    pub fn response(&self, request_id: &str) -> HttpResponse {
        let shown = self.status != StatusCode::INTERNAL_SERVER_ERROR;
        let body = Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: self.detail.as_deref().filter(|_| shown),
            instance: format!("urn:request:{request_id}"),
            extensions: &self.extensions,
        };
        let mut text = serde_json::to_string(&body).expect("a problem is plain data");
        text.push('\n');
        let mut response = HttpResponse::build(self.status);
        if let Some(seconds) = self.retry_after_s {
            response.insert_header((RETRY_AFTER, seconds.to_string()));
        }
        response.insert_header((CONTENT_TYPE, "application/problem+json")).body(text)
    }
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
        self.response("")
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
        tracing::error!(system = fault.system, fault = %fault.message, "a request failed");
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
        let bytes = actix_web::body::to_bytes(problem.response("r-1").into_body()).await.unwrap();
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
        assert_eq!(problem.response("r").headers().get(CONTENT_TYPE).unwrap(), "application/problem+json");
    }

    #[actix_web::test]
    async fn a_500_says_nothing_of_what_happened_inside() {
        let problem = Problem::from(Fault::give_up("usage store", "block 3 is corrupt"));
        assert_eq!(
            body(&problem).await,
            "{\"type\":\"about:blank\",\"title\":\"Internal Server Error\",\"status\":500,\"instance\":\"urn:request:r-1\"}\n"
        );
    }

    #[test]
    fn refused_and_unknown_are_told_apart() {
        let refused = Problem::from(AppendError::Refused { reason: "full".into(), retry_after_s: 7 });
        assert_eq!((refused.retry_after_s, refused.extensions["outcome"].as_str()), (Some(7), Some("not_accepted")));
        let unknown = Problem::from(AppendError::Unknown { reason: "sync failed".into() });
        assert_eq!(unknown.extensions["outcome"], "unknown");
        assert_eq!(unknown.response("r").headers().get(RETRY_AFTER).unwrap(), "1");
    }
}
