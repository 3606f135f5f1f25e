//! `/api/v1/subjects`: make and change, list, look at, delete. Usage does not need them: they are what people call the
//! subjects of events.
//!
//! 200, 204 · 400 what breaks a rule, named · 404 no such subject (a key finds live ones only, an id deleted ones too) ·
//! 409 one new key twice, or the idempotency key was another request's · 503 not accepted, or unknown.

use crate::domain::subject::{Subject as Known, SubjectChanges};
use crate::domain::time::Instant;
use crate::http::caller::{self, answer, caller, kept, nothing};
use crate::http::contract::{Body, Params};
use crate::http::openapi::problems::{V1Conflict, V1NotFound, V1Problems};
use crate::http::problem::Problem;
use crate::http::times::DateTime;
use crate::http::{DoorState, json};
use crate::services::subjects::SubjectError;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

#[utoipa::path(get, path = "/api/v1/subjects", operation_id = "listSubjects", tag = "Subjects",
    responses((status = 200, body = Vec<Subject>), V1Problems))]
pub async fn list(state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let subjects = state.subjects.list(&state.namespace).await?;
    Ok(json(HttpResponse::Ok(), &rows(&subjects)))
}

#[utoipa::path(get, path = "/api/v1/subjects/{subjectIdOrKey}", operation_id = "getSubject", tag = "Subjects",
    params(SubjectPath), responses((status = 200, body = Subject), V1NotFound, V1Problems))]
pub async fn get(Params(path): Params<SubjectPath>, state: Data<DoorState>) -> Result<HttpResponse, Problem> {
    let subject = state.subjects.get(&state.namespace, &path.subject_id_or_key).await?;
    Ok(json(HttpResponse::Ok(), &Subject::from(&subject)))
}

#[utoipa::path(post, path = "/api/v1/subjects", operation_id = "upsertSubject", tag = "Subjects",
    request_body = Vec<SubjectUpsert>, responses((status = 200, body = Vec<Subject>), V1Conflict, V1Problems))]
pub async fn upsert(
    request: HttpRequest,
    body: Body<Vec<SubjectUpsert>>,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, body.hash)?;
    let changes = body.value.into_iter().map(SubjectChanges::from).collect();
    let show = |subjects: &[Known]| kept(StatusCode::OK, &rows(subjects));
    Ok(answer(state.subjects.upsert(&caller, changes, show).await?))
}

#[utoipa::path(delete, path = "/api/v1/subjects/{subjectIdOrKey}", operation_id = "deleteSubject", tag = "Subjects",
    params(SubjectPath), responses((status = 204), V1NotFound, V1Conflict, V1Problems))]
pub async fn delete(
    Params(path): Params<SubjectPath>,
    request: HttpRequest,
    state: Data<DoorState>,
) -> Result<HttpResponse, Problem> {
    let caller = caller(&request, &state, 0)?;
    Ok(answer(state.subjects.delete(&caller, &path.subject_id_or_key, nothing()).await?))
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Path)]
pub struct SubjectPath {
    subject_id_or_key: String,
}

impl From<SubjectError> for Problem {
    fn from(error: SubjectError) -> Self {
        match error {
            SubjectError::NotFound { .. } => Problem::not_found(error),
            SubjectError::KeyTaken(_) => Problem::conflict(error),
            SubjectError::Refused(refusal) => Problem::validation(refusal),
            SubjectError::Fault(fault) => fault.into(),
            SubjectError::Write(error) => caller::told(error, |never| match never {}),
        }
    }
}

/// Absent: kept; null: cleared.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubjectUpsert {
    key: String,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    display_name: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Map<String, Value>>)]
    metadata: Option<Option<Box<RawValue>>>,
    /// Has no effect.
    #[serde(rename = "currentPeriodStart")]
    #[schema(value_type = Option<String>, format = DateTime)]
    _current_period_start: Option<DateTime>,
    /// Has no effect.
    #[serde(rename = "currentPeriodEnd")]
    #[schema(value_type = Option<String>, format = DateTime)]
    _current_period_end: Option<DateTime>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    stripe_customer_id: Option<Option<String>>,
}

/// A member that is there, be it null.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl From<SubjectUpsert> for SubjectChanges {
    fn from(sent: SubjectUpsert) -> Self {
        Self {
            key: sent.key,
            display_name: sent.display_name,
            metadata: sent.metadata.map(|metadata| metadata.map(|json| json.get().to_string())),
            stripe_customer_id: sent.stripe_customer_id,
        }
    }
}

/// `metadata` is always an object; the rest is left out when unset.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subject<'a> {
    #[schema(read_only, format = DateTime)]
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only, format = DateTime)]
    deleted_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
    #[schema(read_only, pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$")]
    id: String,
    key: &'a str,
    #[schema(value_type = Option<Map<String, Value>>)]
    metadata: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stripe_customer_id: Option<&'a str>,
    #[schema(read_only, format = DateTime)]
    updated_at: String,
}

fn rows(subjects: &[Known]) -> Vec<Subject<'_>> {
    subjects.iter().map(Subject::from).collect()
}

impl<'a> From<&'a Known> for Subject<'a> {
    fn from(subject: &'a Known) -> Self {
        Self {
            created_at: subject.created_at.to_rfc3339(),
            deleted_at: subject.deleted_at.map(Instant::to_rfc3339),
            display_name: subject.display_name.as_deref(),
            id: subject.id.to_string(),
            key: &subject.key,
            // It was a JSON object when it was stored.
            metadata: serde_json::from_str(&subject.metadata).ok(),
            stripe_customer_id: subject.stripe_customer_id.as_deref(),
            updated_at: subject.updated_at.to_rfc3339(),
        }
    }
}
