//! `POST /api/v3/openmeter/events`: take usage events, durably.
//!
//! 202 durable · 400 nothing was taken, every bad event is named · 408 the body did not come · 413 too many bytes or
//! events · 415 a compression weir does not read · 503 not accepted, or unknown; both are safe to retry with the same
//! ids. As v1 takes them, but for the attributes: there are no others than the schema's, and `application/json` alone
//! may leave `specversion` out. A 202 carries `X-Weir-Position`.

use super::event_wire::MeteringEvent;
use crate::http::DoorState;
use crate::http::POSITION;
use crate::http::ingest::{Attributes, Code, Fault, Faults, Form, Refusal, Terms, take};
use crate::http::openapi::problems::V3Problems;
use crate::http::problem::{InvalidParameter, Problem};
use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use utoipa::ToSchema;

/// What a missing `specversion` is.
const SPECVERSION: &str = "1.0";

#[utoipa::path(post, path = "/openmeter/events", operation_id = "ingest-metering-events", tag = "Metering Events",
    request_body(content(
        (MeteringEvent = "application/cloudevents+json"),
        (Vec<MeteringEvent> = "application/cloudevents-batch+json"),
        (inline(OneOrMany) = "application/json"))),
    responses((status = 202), V3Problems))]
pub async fn ingest(request: HttpRequest, payload: Payload, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    state.ingest.room()?;
    let form = form(request.headers())?;
    let specversion = (form == Form::Either).then_some(SPECVERSION);
    let terms = Terms { form, attributes: Attributes::Closed { specversion }, told };
    let frontier = take(&request, payload, &state, terms).await?;
    Ok(HttpResponse::Accepted().insert_header((POSITION, frontier.to_string())).finish())
}

/// The three media types, with or without parameters.
fn form(headers: &HeaderMap) -> Result<Form, Problem> {
    let sent = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let sent = sent.as_deref().unwrap_or("");
    match sent.split(';').next().map(str::trim) {
        Some("application/cloudevents+json") => Ok(Form::One),
        Some("application/cloudevents-batch+json") => Ok(Form::Batch),
        Some("application/json") => Ok(Form::Either),
        _ => Err(whole(format!("header Content-Type has unexpected value {sent:?}"))),
    }
}

fn whole(reason: String) -> Problem {
    Problem::invalid(vec![InvalidParameter::whole_body(reason)])
}

fn told(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::BadEvents(faults) => listed(faults),
        Refusal::TooManyEvents { .. } => refusal.into(),
        Refusal::NoEvents => whole("no events found".to_string()),
        refusal => whole(refusal.to_string().trim_start_matches("request body has an error: ").to_string()),
    }
}

fn listed(faults: Faults) -> Problem {
    let parameter = |fault: &Fault| {
        let index = fault.index.filter(|_| faults.batch).map(|index| index.to_string());
        let field = (!fault.field.is_empty()).then(|| fault.field.clone());
        let field: Vec<String> = index.into_iter().chain(field).collect();
        InvalidParameter::of(field.join("."), rule(fault.code), fault.message.clone(), "")
    };
    let mut all: Vec<InvalidParameter> = faults.listed.iter().map(parameter).collect();
    match faults.total - faults.listed.len() {
        0 => {}
        omitted => all.push(InvalidParameter::whole_body(format!("and {omitted} more, in {} events", faults.events))),
    }
    Problem::invalid(all)
}

/// The schema's keyword that says what is broken, or the nearest there is.
fn rule(code: Code) -> &'static str {
    match code {
        Code::WrongType | Code::InvalidText => "type",
        Code::DuplicateField => "uniqueItems",
        Code::MissingField => "required",
        Code::EmptyField => "min_length",
        Code::TooLong => "max_length",
        Code::UnsupportedSpecversion | Code::UnsupportedContentType => "enum",
        Code::NotAUriReference | Code::InvalidTime | Code::InvalidBase64 | Code::InvalidExtension => "format",
        Code::TooDeep => "maxDepth",
        Code::UnknownAttribute => "properties",
    }
}

/// `application/json`: an event, or a list of them.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it is only described")]
enum OneOrMany<'a> {
    One(MeteringEvent<'a>),
    Many(Vec<MeteringEvent<'a>>),
}
