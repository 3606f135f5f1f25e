//! `GET /api/v1/debug/actors`: the compiled graph of the line, with each stage's snapshot.

use crate::http::{DoorState, json};
use actix_web::HttpResponse;
use actix_web::web::Data;

pub async fn actors(state: Data<DoorState>) -> HttpResponse {
    json(HttpResponse::Ok(), &state.line.snapshot())
}
