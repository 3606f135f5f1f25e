//! `/version` and `/api/swagger.json`: what answers here, and what it answers.

use crate::http::openapi;
use crate::http::openapi::problems::V1Problems;
use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_TYPE;
use serde::Serialize;
use std::sync::LazyLock;
use utoipa::ToSchema;

/// JSON as plain text: clients know this content type.
#[utoipa::path(get, path = "/version", operation_id = "getVersion", tag = "weir",
    responses((status = 200, body = Version, content_type = "text/plain; charset=utf-8"), V1Problems))]
pub async fn version() -> HttpResponse {
    let mut text = serde_json::to_string(&Version::of_this_binary()).expect("a version is plain data");
    text.push('\n');
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/plain; charset=utf-8")).body(text)
}

/// The document of v1, its keys in alphabetical order.
#[utoipa::path(get, path = "/api/swagger.json", operation_id = "getSwagger", tag = "weir",
    responses((status = 200, body = Object), V1Problems))]
pub async fn swagger() -> HttpResponse {
    static TEXT: LazyLock<String> = LazyLock::new(|| format!("{}\n", openapi::v1()));
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(TEXT.as_str())
}

#[derive(Serialize, ToSchema)]
pub struct Version {
    arch: &'static str,
    os: &'static str,
    version: &'static str,
}

impl Version {
    /// Architectures under the names that clients know.
    fn of_this_binary() -> Self {
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            arch => arch,
        };
        Self { arch, os: std::env::consts::OS, version: env!("CARGO_PKG_VERSION") }
    }
}
