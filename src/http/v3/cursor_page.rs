//! Pages of lists whose places are cursors: what asks for one, and what it tells of itself.

use super::page::number;
use super::{refused, refused_by};
use crate::http::problem::Problem;
use crate::http::query_string::QueryString;
use serde::Serialize;
use utoipa::ToSchema;

/// Most rows on a page.
const SIZE_MAX: usize = 100;

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it is only described")]
pub struct CursorPaginationQueryPage {
    size: Option<i64>,
    after: Option<String>,
    before: Option<String>,
}

/// `page[size]`, `page[after]` and `page[before]`.
pub struct Asked<'a> {
    pub size: usize,
    pub after: Option<&'a str>,
    pub before: Option<&'a str>,
}

impl<'a> Asked<'a> {
    /// `usual`: rows on a page when no size is asked for.
    pub fn read(parameters: &'a QueryString, usual: usize) -> Result<Self, Problem> {
        let (mut size, mut after, mut before) = (None, None, None);
        for (name, text) in parameters.members("page") {
            let slot = match name {
                "size" => &mut size,
                "after" => &mut after,
                "before" => &mut before,
                _ => return Err(refused_by("page", "format", format!("unknown member {name:?}"))),
            };
            if slot.replace(text).is_some() {
                return Err(refused_by(&format!("page.{name}"), "format", "is there twice".to_string()));
            }
        }
        Ok(Self { size: size.map_or(Ok(usual), page_size)?, after, before })
    }
}

fn page_size(text: &str) -> Result<usize, Problem> {
    let number: i64 =
        text.parse().map_err(|_| refused_by("page.size", "format", "must be a whole number".to_string()))?;
    let size = usize::try_from(number).ok().filter(|size| (1..=SIZE_MAX).contains(size));
    size.ok_or_else(|| refused("page[size]", format!("must be 1 to {SIZE_MAX}")))
}

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CursorMeta {
    pub page: CursorMetaPage,
}

/// The published contract calls them URIs; they are bare cursors, as clients know it.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CursorMetaPage {
    #[schema(format = "path")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    #[schema(format = "path")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// There while there may be more behind.
    #[schema(format = "path", required = true)]
    pub next: Option<String>,
    /// There while there is more before, where paging goes backward, too.
    #[schema(format = "path", required = true)]
    pub previous: Option<String>,
    #[schema(schema_with = number)]
    pub size: usize,
}
