//! Parts of lists in v1 and v2: `page` and `pageSize`, or `offset` and `limit`.

use crate::services::page::PageAsk;
use serde::Deserialize;
use utoipa::IntoParams;

/// Rows of a part when no number is asked for.
const ROWS: u64 = 100;
/// Farthest row that a database can be asked for.
const OFFSET_MAX: u64 = i64::MAX as u64;

/// As it stands in a URL.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct PageParams {
    #[param(minimum = 1, default = 1)]
    pub page: Option<u64>,
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub page_size: Option<u64>,
}

/// As it stands in a URL.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OffsetParams {
    #[param(minimum = 0, default = 0)]
    pub offset: Option<u64>,
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<u64>,
}

/// Which part of a list is shown, and how that was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Pages are counted from 1.
    Page {
        number: u64,
        size: u64,
    },
    Rows {
        offset: u64,
        limit: u64,
    },
}

impl Part {
    /// The page that is asked for, if one is; a number that is missing has its default.
    pub fn page(sent: &PageParams) -> Option<Self> {
        (sent.page.is_some() || sent.page_size.is_some()).then(|| Self::page_or_first(sent))
    }

    /// The page that is asked for, or the first.
    pub fn page_or_first(sent: &PageParams) -> Self {
        Self::Page { number: sent.page.unwrap_or(1), size: sent.page_size.unwrap_or(ROWS) }
    }

    /// The rows that are asked for, if any are; a number that is missing has its default.
    pub fn rows(sent: &OffsetParams) -> Option<Self> {
        (sent.offset.is_some() || sent.limit.is_some()).then(|| Self::rows_or_first(sent))
    }

    /// The rows that are asked for, or the first.
    pub fn rows_or_first(sent: &OffsetParams) -> Self {
        Self::Rows { offset: sent.offset.unwrap_or(0), limit: sent.limit.unwrap_or(ROWS) }
    }

    pub fn ask(self) -> PageAsk {
        let (offset, limit) = match self {
            Self::Page { number, size } => (number.saturating_sub(1).saturating_mul(size), size),
            Self::Rows { offset, limit } => (offset, limit),
        };
        PageAsk { offset: offset.min(OFFSET_MAX), limit }
    }

    /// `page` and `pageSize` of an answer; 0 where no page was meant, as clients know it.
    pub fn numbers(self) -> (u64, u64) {
        match self {
            Self::Page { number, size } => (number, size),
            Self::Rows { .. } => (0, 0),
        }
    }
}

/// The answer to a list with pages: `paginated!(ThingPaginatedResponse of Thing)`.
macro_rules! paginated {
    ($name:ident of $item:ty) => {
        #[derive(serde::Serialize, utoipa::ToSchema)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            #[schema(value_type = i64)]
            total_count: u64,
            #[schema(value_type = i64)]
            page: u64,
            #[schema(value_type = i64)]
            page_size: u64,
            items: Vec<$item>,
        }

        impl $name {
            /// The rows of a part, of how many in all.
            pub fn of<T>(part: $crate::http::v1::paging::Part, page: &$crate::services::page::Page<T>) -> Self
            where
                $item: for<'a> From<&'a T>,
            {
                let (number, page_size) = part.numbers();
                let items = page.items.iter().map(<$item>::from).collect();
                Self { total_count: page.total, page: number, page_size, items }
            }
        }
    };
}
pub(crate) use paginated;

#[cfg(test)]
mod tests {
    use super::*;

    fn page(page: Option<u64>, page_size: Option<u64>) -> PageParams {
        PageParams { page, page_size }
    }

    #[test]
    fn a_page_is_some_rows_of_the_whole() {
        #[rustfmt::skip]
        let table = [
            (page(Some(3), Some(20)), Some((40, 20)), (3, 20)), (page(Some(2), None), Some((100, 100)), (2, 100)),
            (page(None, Some(7)), Some((0, 7)), (1, 7)), (page(None, None), None, (1, 100)),
            (page(Some(u64::MAX), Some(1000)), Some((OFFSET_MAX, 1000)), (u64::MAX, 1000)),
        ];
        for (sent, rows, numbers) in table {
            let asked = Part::page(&sent).map(Part::ask);
            assert_eq!(asked, rows.map(|(offset, limit)| PageAsk { offset, limit }), "{sent:?}");
            assert_eq!(Part::page_or_first(&sent).numbers(), numbers);
        }
    }

    #[test]
    fn rows_by_their_offset_are_no_page() {
        let some = OffsetParams { offset: Some(5), limit: None };
        assert_eq!(Part::rows(&some).unwrap().ask(), PageAsk { offset: 5, limit: 100 });
        assert_eq!(Part::rows(&some).unwrap().numbers(), (0, 0));
        assert_eq!(Part::rows(&OffsetParams::default()), None);
        assert_eq!(Part::rows_or_first(&OffsetParams::default()).ask(), PageAsk { offset: 0, limit: 100 });
    }
}
