//! `page[size]` and `page[number]`: which part of a list is shown.

use super::refused;
use crate::http::problem::Problem;
use crate::services::page::PageAsk;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{ObjectBuilder, RefOr, Type};

/// Rows on a page when no size is asked for.
const SIZE: usize = 20;

/// As it stands in a URL.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    size: Option<i64>,
    number: Option<i64>,
}

/// One page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// 0: all rows on one page, as clients know it.
    size: usize,
    /// Counted from 1.
    number: usize,
}

impl Page {
    pub fn of(sent: Option<PageQuery>) -> Result<Self, Problem> {
        let PageQuery { size, number } = sent.unwrap_or_default();
        let size = size.map_or(Ok(SIZE), usize::try_from).map_err(|_| refused("page", "size must be 0 or more"))?;
        let number = number.map_or(Ok(1), usize::try_from).ok().filter(|number| *number > 0);
        Ok(Self { size, number: number.ok_or_else(|| refused("page", "number must be 1 or more"))? })
    }

    /// Which rows are on this page.
    pub fn ask(self) -> PageAsk {
        let rows = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        match self.size {
            0 => PageAsk::ALL,
            size => PageAsk { offset: rows((self.number - 1).saturating_mul(size)), limit: rows(size) },
        }
    }

    /// Where this page of so many rows stands.
    pub fn meta(self, total: u64) -> PaginatedMeta {
        PaginatedMeta { page: PageMeta { number: self.number, size: self.size, total } }
    }

    /// What is on this page, and where it stands.
    pub fn cut<T>(self, mut rows: Vec<T>) -> (Vec<T>, PaginatedMeta) {
        let meta = self.meta(rows.len() as u64);
        if self.size > 0 {
            rows.drain(..rows.len().min((self.number - 1).saturating_mul(self.size)));
            rows.truncate(self.size);
        }
        (rows, meta)
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PaginatedMeta {
    page: PageMeta,
}

#[derive(Debug, Serialize, ToSchema)]
struct PageMeta {
    #[schema(schema_with = number)]
    number: usize,
    #[schema(schema_with = number)]
    size: usize,
    /// Rows on all pages.
    #[schema(schema_with = number)]
    total: u64,
}

/// A number, as the published contract has it; it is always a whole one.
pub fn number() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::Number).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn page(size: i64, number: i64) -> Result<Page, Problem> {
        Page::of(Some(PageQuery { size: Some(size), number: Some(number) }))
    }

    #[test]
    fn a_page_is_checked_and_has_defaults() {
        assert_eq!(Page::of(None).unwrap(), Page { size: 20, number: 1 });
        for (size, number) in [(-1, 1), (1, 0), (1, -1), (i64::MIN, 1)] {
            let problem = page(size, number).unwrap_err();
            assert_eq!(problem.v3.unwrap()[0].field, "page", "{size} {number}");
        }
    }

    proptest! {
        #[test]
        fn pages_show_every_row_once_and_in_order(rows in 0usize..50, size in 0i64..12) {
            let all: Vec<usize> = (0..rows).collect();
            let mut seen: Vec<usize> = Vec::new();
            for number in 1.. {
                let (part, meta) = page(size, number).unwrap().cut(all.clone());
                prop_assert_eq!(meta.page.total, rows as u64);
                seen.extend(&part);
                if part.is_empty() || size == 0 {
                    break;
                }
            }
            prop_assert_eq!(seen, all);
        }

        #[test]
        fn no_page_is_too_far(size in 1i64.., number in 1i64..) {
            let (part, meta) = page(size, number).unwrap().cut(vec!['a']);
            prop_assert_eq!((part.len(), meta.page.total), (usize::from(number == 1), 1));
        }
    }
}
