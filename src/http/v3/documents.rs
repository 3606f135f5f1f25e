//! `/api/v3/openapi.json` and `.yaml`: the document of v3, made from the code, written once.

use crate::http::openapi;
use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_TYPE;
use std::sync::LazyLock;

static JSON: LazyLock<String> = LazyLock::new(|| format!("{}\n", openapi::v3()));
static YAML: LazyLock<String> = LazyLock::new(|| openapi::yaml(openapi::v3()));

pub async fn json() -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(JSON.as_str())
}

pub async fn yaml() -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/yaml")).body(YAML.as_str())
}
