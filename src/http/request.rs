//! Around every request: its id, the bound on its headers, the counters, one log line, and the problem's `instance`.
//!
//! A handler returns a [`Problem`] without knowing the request's id; this is the one place that puts it in.

use super::DoorState;
use super::contract::Dialect;
use super::problem::Problem;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse};
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tracing::Instrument;

const REQUEST_ID: &str = "x-request-id";
/// Longest request id taken over from a client, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;

const POWERED_BY: HeaderName = HeaderName::from_static("x-powered-by");

/// The request's id, for whoever needs it on the way.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// The middleware.
pub async fn around(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let id = identify(&request);
    let state = request.app_data::<Data<DoorState>>().expect("configured with the door's state").clone();
    let method = request.method().clone();
    request.extensions_mut().insert(RequestId(id.clone()));

    let mut response = if header_bytes(&request) > state.settings.header_bytes_max {
        let problem = Problem::bare(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        let dialect = Dialect::of(request.path());
        request.into_response(problem.response(&id, dialect))
    } else {
        let span = tracing::debug_span!("request", id);
        let answer = next.call(request).instrument(span);
        let response = if method == Method::GET { answer.await } else { to_the_end(answer).await };
        with_instance(response?.map_into_boxed_body(), &id)
    };
    response.headers_mut().insert(POWERED_BY, HeaderValue::from_static("weir"));

    let route = response.request().match_pattern();
    let took = started.elapsed();
    state.stats.answered(method.as_str(), route.as_deref(), response.status().as_u16(), took);
    log(&response, &id, route.as_deref(), took.as_micros() as u64);
    Ok(response)
}

/// A client that goes away takes its request along. What may write goes on all the same: after a commit there is always
/// something left to do, such as to make trackers forget.
async fn to_the_end<T: 'static>(answer: impl Future<Output = T> + 'static) -> T {
    match actix_web::rt::spawn(answer).await {
        Ok(answered) => answered,
        // Nobody aborts it, so it panicked: here as it would have without the task.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn log(response: &ServiceResponse, id: &str, route: Option<&str>, took_us: u64) {
    let status = response.status().as_u16();
    let position = response.headers().get(super::POSITION).and_then(|value| value.to_str().ok());
    let method = response.request().method().as_str();
    if status >= 500 {
        tracing::warn!(request = id, method, route, status, took_us, position, "answered");
    } else {
        tracing::debug!(request = id, method, route, status, took_us, position, "answered");
    }
}

/// A problem returned by a handler gets the request's id.
fn with_instance(response: ServiceResponse, id: &str) -> ServiceResponse {
    let problem = response.response().error().and_then(|error| error.as_error::<Problem>()).cloned();
    match problem {
        Some(problem) => {
            let dialect = Dialect::of(response.request().path());
            response.into_response(problem.response(id, dialect))
        }
        None => response,
    }
}

fn header_bytes(request: &ServiceRequest) -> usize {
    request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// The client's own id where it is short and printable; one of ours otherwise.
fn identify(request: &ServiceRequest) -> String {
    let sent = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let printable = |text: &&str| text.bytes().all(|byte| byte.is_ascii_graphic());
    match sent.filter(|text| (1..=REQUEST_ID_BYTES_MAX).contains(&text.len())).filter(printable) {
        Some(text) => text.to_string(),
        None => generate(),
    }
}

/// Unlikely to repeat across processes, and counting within one.
fn generate() -> String {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one("request ids"));
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{:016x}-{:06}", *PROCESS, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// 404 for what matches no route.
pub async fn no_such_route(request: HttpRequest) -> Result<HttpResponse, Problem> {
    Err(match Dialect::of(request.path()) {
        Dialect::V1 => Problem::bare(StatusCode::NOT_FOUND),
        Dialect::V3 => Problem::in_v3(StatusCode::NOT_FOUND, "The requested route was not found"),
    })
}

/// 405 for a route that does not answer this method; without `Allow`, as clients know it.
pub async fn no_such_method(request: HttpRequest) -> Result<HttpResponse, Problem> {
    Err(match Dialect::of(request.path()) {
        Dialect::V1 => Problem::bare(StatusCode::METHOD_NOT_ALLOWED),
        Dialect::V3 => Problem::in_v3(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
    })
}
