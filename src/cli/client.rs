//! The HTTP client of the commands: one server, JSON answers, problems turned into sentences.

use super::Server;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// Longest wait for an answer, in seconds.
const TIMEOUT_S: u64 = 120;
/// Largest answer read, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// A command could not do what it was asked to; the text says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("cannot reach {url}: {reason}. Is weir running there? Start it with `weir serve`, or name it with --url")]
    Unreachable { url: String, reason: String },
    #[error("{status} {title}{detail}")]
    Problem { status: u16, title: String, detail: String, retry_after_s: Option<u64> },
    #[error("the answer from {url} is not JSON: {reason}")]
    NotJson { url: String, reason: String },
    #[error("{0}")]
    Said(String),
}

pub struct Client {
    base: String,
    agent: ureq::Agent,
}

impl Client {
    pub fn new(server: &Server) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(TIMEOUT_S)))
            .http_status_as_error(false)
            .build();
        Self { base: server.url.trim_end_matches('/').to_string(), agent: config.into() }
    }

    /// GET with query parameters; the JSON of a 2xx answer, read into a type of the caller's.
    pub fn get_as<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, Failure> {
        self.parse(path, &self.get_text(path, query)?)
    }

    /// The text of a 2xx answer, as it came.
    pub fn get_text(&self, path: &str, query: &[(&str, &str)]) -> Result<String, Failure> {
        let url = format!("{}{path}", self.base);
        let mut request = self.agent.get(&url);
        for (name, value) in query {
            request = request.query(name, value);
        }
        read(&url, request.call())
    }

    /// POST; the text of a 2xx answer.
    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<String, Failure> {
        let url = format!("{}{path}", self.base);
        read(&url, self.agent.post(&url).content_type(content_type).send(body))
    }

    fn parse<T: DeserializeOwned>(&self, path: &str, text: &str) -> Result<T, Failure> {
        let url = format!("{}{path}", self.base);
        serde_json::from_str(text).map_err(|error| Failure::NotJson { url, reason: error.to_string() })
    }
}

/// The text of a 2xx answer; anything else is a failure that says what to do.
fn read(url: &str, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<String, Failure> {
    let unreachable = |reason: String| Failure::Unreachable { url: url.to_string(), reason };
    let mut answer = answer.map_err(|error| unreachable(error.to_string()))?;
    let status = answer.status();
    let retry_after_s =
        answer.headers().get("Retry-After").and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    let limited = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX);
    let text = limited.read_to_string().map_err(|error| unreachable(error.to_string()))?;
    if status.is_success() { Ok(text) } else { Err(problem(status.as_u16(), &text, retry_after_s)) }
}

/// RFC 7807, with what it lists below it.
fn problem(status: u16, text: &str, retry_after_s: Option<u64>) -> Failure {
    let body: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let title = body["title"].as_str().unwrap_or("error").to_string();
    let mut detail = body["detail"].as_str().map(|detail| format!(": {detail}")).unwrap_or_default();
    for error in body["extensions"]["validationErrors"].as_array().into_iter().flatten() {
        let field = error["field"].as_str().unwrap_or("");
        let message = error["message"].as_str().unwrap_or("");
        detail.push_str(&format!("\n  {field}: {message}"));
    }
    Failure::Problem { status, title, detail, retry_after_s }
}

/// A path segment, percent-encoded.
pub fn segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_a_sentence_with_its_faults_below() {
        let text = r#"{"title":"Bad Request","status":400,"detail":"2 events are bad",
            "extensions":{"validationErrors":[{"field":"[1].id","message":"is missing"}]}}"#;
        assert_eq!(problem(400, text, None).to_string(), "400 Bad Request: 2 events are bad\n  [1].id: is missing");
        assert_eq!(problem(502, "<html>", None).to_string(), "502 error");
    }

    #[test]
    fn a_segment_keeps_nothing_that_a_path_would_read() {
        assert_eq!(segment("a/b %1"), "a%2Fb%20%251");
    }
}
