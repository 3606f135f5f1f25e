//! JSON bodies of every route but ingest: read whole, then member by member against the shape the API describes. The
//! texts are those that v1 clients see.

use super::DoorState;
use super::body::{self, Bounds};
use super::problem::Problem;
use super::query_string::not_allowed;
use crate::domain::time::Instant;
use actix_web::HttpRequest;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::Payload;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// A JSON object that claims to be of a schema of the API.
#[derive(Debug)]
pub struct Members {
    schema: &'static str,
    members: Map<String, Value>,
}

/// Reads a body that must be `application/json` and an object.
pub async fn read(
    request: &HttpRequest,
    payload: Payload,
    state: &DoorState,
    schema: &'static str,
) -> Result<Members, Problem> {
    let sent = request.headers().get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let sent = sent.as_deref().unwrap_or("");
    if sent.split(';').next().map(str::trim) != Some("application/json") {
        let detail = format!("request body has an error: header Content-Type has unexpected value {sent:?}");
        return Err(Problem::bad_request(detail));
    }
    let bounds = Bounds {
        bytes_max: state.settings.small_body_bytes_max,
        timeout: Duration::from_millis(state.settings.body_timeout_ms),
        budget: &state.budget,
    };
    let body = body::read(payload, request.headers(), bounds).await?.decompress()?;
    Members::parse(&body.bytes, schema)
}

impl Members {
    fn parse(body: &[u8], schema: &'static str) -> Result<Self, Problem> {
        if body.is_empty() {
            return Err(Problem::bad_request("request body has an error: value is required but missing"));
        }
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| Problem::bad_request(format!("request body has an error: broken JSON: {error}")))?;
        match value {
            Value::Object(members) => Ok(Self { schema, members }),
            _ => Err(Self { schema, members: Map::new() }.mismatch("value must be an object")),
        }
    }

    fn mismatch(&self, reason: &str) -> Problem {
        let schema = self.schema;
        let detail = format!("request body has an error: doesn't match schema #/components/schemas/{schema}: {reason}");
        Problem::bad_request(detail)
    }

    /// What is wrong with one member; `field` as a path, such as `groupBy/region`.
    pub fn fault(&self, field: &str, reason: &str) -> Problem {
        self.mismatch(&format!("Error at \"/{field}\": {reason}"))
    }

    /// A text that must be there and not be empty.
    pub fn required_text(&self, field: &str) -> Result<String, Problem> {
        let missing = || self.fault(field, &format!("property {field:?} is missing"));
        self.text(field)?.ok_or_else(missing)
    }

    /// A text that, where it is there, must not be empty.
    pub fn text(&self, field: &str) -> Result<Option<String>, Problem> {
        match self.members.get(field) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Err(self.fault(field, "minimum string length is 1")),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Null) => Err(self.fault(field, "Value is not nullable")),
            Some(_) => Err(self.fault(field, "value must be a string")),
        }
    }

    /// A text that may be empty.
    pub fn any_text(&self, field: &str) -> Result<Option<String>, Problem> {
        match self.members.get(field) {
            Some(Value::String(text)) if text.is_empty() => Ok(Some(String::new())),
            _ => self.text(field),
        }
    }

    /// One of a list of texts.
    pub fn choice<T: Copy>(&self, field: &str, choices: &[(&str, T)]) -> Result<Option<T>, Problem> {
        let Some(text) = self.any_text(field)? else { return Ok(None) };
        let found = choices.iter().find(|(choice, _)| *choice == text);
        let fault = || self.fault(field, &not_allowed(choices.iter().map(|(choice, _)| *choice)));
        found.map(|(_, value)| Some(*value)).ok_or_else(fault)
    }

    /// A date-time, with its text as sent.
    pub fn time(&self, field: &str) -> Result<Option<(String, Instant)>, Problem> {
        let Some(text) = self.any_text(field)? else { return Ok(None) };
        let instant = Instant::parse(&text).map_err(|error| self.fault(field, &error.to_string()))?;
        Ok(Some((text, instant)))
    }

    /// A list of texts with at most `most` elements.
    pub fn texts(&self, field: &str, most: usize) -> Result<Option<Vec<String>>, Problem> {
        match self.members.get(field) {
            None => Ok(None),
            Some(value) => self.as_texts(field, value, most).map(Some),
        }
    }

    fn as_texts(&self, field: &str, value: &Value, most: usize) -> Result<Vec<String>, Problem> {
        let Value::Array(values) = value else { return Err(self.fault(field, "value must be an array")) };
        if values.len() > most {
            return Err(self.fault(field, &format!("maximum number of items is {most}")));
        }
        let text = |(i, value): (usize, &Value)| match value {
            Value::String(text) => Ok(text.clone()),
            _ => Err(self.fault(&format!("{field}/{i}"), "value must be a string")),
        };
        values.iter().enumerate().map(text).collect()
    }

    /// An object, null counting as absent where `nullable`.
    pub fn object(&self, field: &str, nullable: bool) -> Result<Option<&Map<String, Value>>, Problem> {
        match self.members.get(field) {
            None => Ok(None),
            Some(Value::Null) if nullable => Ok(None),
            Some(Value::Null) => Err(self.fault(field, "Value is not nullable")),
            Some(Value::Object(members)) => Ok(Some(members)),
            Some(_) => Err(self.fault(field, "value must be an object")),
        }
    }

    /// An object of texts.
    pub fn text_map(&self, field: &str, nullable: bool) -> Result<Option<BTreeMap<String, String>>, Problem> {
        let Some(members) = self.object(field, nullable)? else { return Ok(None) };
        let text = |(key, value): (&String, &Value)| match value {
            Value::String(text) => Ok((key.clone(), text.clone())),
            _ => Err(self.fault(&format!("{field}/{key}"), "value must be a string")),
        };
        members.iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    /// An object of lists of texts.
    pub fn list_map(&self, field: &str, most: usize) -> Result<Option<BTreeMap<String, Vec<String>>>, Problem> {
        let Some(members) = self.object(field, false)? else { return Ok(None) };
        let list =
            |(key, value): (&String, &Value)| Ok((key.clone(), self.as_texts(&format!("{field}/{key}"), value, most)?));
        members.iter().map(list).collect::<Result<_, _>>().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(problem: Problem) -> String {
        problem.detail.unwrap()
    }

    #[test]
    fn what_does_not_fit_is_said_by_its_path() {
        let body = br#"{"slug":"","name":7,"groupBy":{"a":1},"subject":["a",2],"aggregation":"sum"}"#;
        let members = Members::parse(body, "MeterCreate").unwrap();
        let start = "request body has an error: doesn't match schema #/components/schemas/MeterCreate: Error at ";
        #[rustfmt::skip]
        let table = [
            (members.required_text("eventType").unwrap_err(), r#""/eventType": property "eventType" is missing"#),
            (members.text("slug").unwrap_err(), r#""/slug": minimum string length is 1"#),
            (members.text("name").unwrap_err(), r#""/name": value must be a string"#),
            (members.text_map("groupBy", false).unwrap_err(), r#""/groupBy/a": value must be a string"#),
            (members.texts("subject", 5).unwrap_err(), r#""/subject/1": value must be a string"#),
            (members.texts("subject", 1).unwrap_err(), r#""/subject": maximum number of items is 1"#),
            (members.choice("aggregation", &[("SUM", 1)]).unwrap_err(), r#""/aggregation": value is not one of the allowed values ["SUM"]"#),
        ];
        for (problem, text) in table {
            assert_eq!(said(problem), format!("{start}{text}"));
        }
    }

    #[test]
    fn a_body_is_one_object_and_nothing_else() {
        for body in ["", "[]", "{}{}", "{", "NaN", "null"] {
            assert!(Members::parse(body.as_bytes(), "X").is_err(), "{body}");
        }
    }
}
