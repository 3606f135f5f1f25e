//! How the documents describe problems.

// The fields are only described, never built: `super::super::problem` writes them.
#![allow(dead_code)]

use serde_json::{Map, Value};
use utoipa::{IntoResponses, ToSchema};

/// A problem in the dialect of v1 (RFC 7807).
#[derive(ToSchema)]
pub struct UnexpectedProblemResponse {
    #[schema(format = "uri", default = "about:blank")]
    r#type: String,
    title: String,
    #[schema(format = "int16", minimum = 400, maximum = 599)]
    status: Option<i32>,
    detail: String,
    #[schema(format = "uri")]
    instance: String,
    extensions: Option<Map<String, Value>>,
    /// Whatever else an answer may come to say.
    #[serde(flatten)]
    others: Map<String, Value>,
}

macro_rules! problem {
    ($($name:ident)+) => {
        $(
            #[derive(ToSchema)]
            pub struct $name {
                #[serde(flatten)]
                of: UnexpectedProblemResponse,
            }
        )+
    };
}

problem! {
    BadRequestProblemResponse
    UnauthorizedProblemResponse
    ForbiddenProblemResponse
    NotFoundProblemResponse
    ConflictProblemResponse
    PreconditionFailedProblemResponse
    InternalServerErrorProblemResponse
    ServiceUnavailableProblemResponse
}

/// What every operation of v1 may answer.
#[derive(IntoResponses)]
pub enum V1Problems {
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(BadRequestProblemResponse),
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(UnauthorizedProblemResponse),
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ForbiddenProblemResponse),
    #[response(status = 412, content_type = "application/problem+json")]
    PreconditionFailed(PreconditionFailedProblemResponse),
    #[response(status = 500, content_type = "application/problem+json")]
    InternalServerError(InternalServerErrorProblemResponse),
    #[response(status = 503, content_type = "application/problem+json")]
    ServiceUnavailable(ServiceUnavailableProblemResponse),
    #[response(status = "default", content_type = "application/problem+json")]
    Unexpected(UnexpectedProblemResponse),
}

/// 404, where something is named.
#[derive(IntoResponses)]
pub enum V1NotFound {
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(NotFoundProblemResponse),
}

/// 409, where something may be in the way.
#[derive(IntoResponses)]
pub enum V1Conflict {
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(ConflictProblemResponse),
}

/// A problem in the dialect of v3.
#[derive(ToSchema)]
pub struct BaseError {
    #[schema(read_only)]
    status: i64,
    #[schema(read_only)]
    title: String,
    #[schema(read_only)]
    r#type: Option<String>,
    #[schema(read_only)]
    instance: String,
    #[schema(read_only)]
    detail: String,
}

/// One thing that is wrong with a request.
#[derive(ToSchema)]
pub struct InvalidParameter {
    field: String,
    rule: Option<String>,
    reason: String,
    source: Option<String>,
    choices: Option<Vec<Value>>,
}

#[derive(ToSchema)]
pub struct BadRequestError {
    #[serde(flatten)]
    of: BaseError,
    #[schema(min_items = 1)]
    invalid_parameters: Vec<InvalidParameter>,
}

macro_rules! error {
    ($($name:ident)+) => {
        $(
            #[derive(ToSchema)]
            pub struct $name {
                #[serde(flatten)]
                of: BaseError,
            }
        )+
    };
}

error! { UnauthorizedError ForbiddenError NotFoundError GoneError ConflictError InternalError UnavailableError }

/// What every operation of v3 may answer.
#[derive(IntoResponses)]
pub enum V3Problems {
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(BadRequestError),
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(UnauthorizedError),
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ForbiddenError),
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(InternalError),
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(UnavailableError),
    /// A request that is too large or too slow, or compressed in a way that weir does not read.
    #[response(status = "default", content_type = "application/problem+json")]
    Unexpected(BaseError),
}

/// 404, where something is named.
#[derive(IntoResponses)]
pub enum V3NotFound {
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(NotFoundError),
}

/// 409, where something may be in the way.
#[derive(IntoResponses)]
pub enum V3Conflict {
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(ConflictError),
}

/// 410, where something may have been deleted.
#[derive(IntoResponses)]
pub enum V3Gone {
    #[response(status = 410, content_type = "application/problem+json")]
    Gone(GoneError),
}
