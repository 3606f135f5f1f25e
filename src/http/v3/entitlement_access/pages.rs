//! Pages of customers in the order of their making, forward and backward.

use crate::domain::time::Instant;
use crate::http::ingest::base64;
use crate::http::problem::Problem;
use crate::http::query_string::QueryString;
use crate::http::v3::cursor_page::{Asked, CursorMeta, CursorMetaPage};
use crate::http::v3::refused;
use ulid::Ulid;

/// Rows on a page when no size is asked for.
const SIZE: usize = 100;

/// A place in the list: when a row was made, and its id.
pub type Mark = (Instant, Ulid);

/// Where a page lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    After(Mark),
    Before(Mark),
}

/// Which part of the list is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    size: usize,
    place: Place,
}

impl Page {
    pub fn read(parameters: &QueryString) -> Result<Self, Problem> {
        let Asked { size, after, before } = Asked::read(parameters, SIZE)?;
        let place = match (after, before) {
            (None, None) => Place::Start,
            (Some(after), None) => Place::After(decode(after, "page[after]")?),
            (None, Some(before)) => Place::Before(decode(before, "page[before]")?),
            (Some(_), Some(_)) => return Err(refused("page", "after and before cannot be used together")),
        };
        Ok(Self { size, place })
    }

    /// The rows of this page, out of all in ascending order.
    pub fn cut<T>(self, mut rows: Vec<T>, mark: impl Fn(&T) -> Mark) -> (Vec<T>, CursorMeta) {
        let (before, behind) = match self.place {
            Place::Before(end) => {
                rows.truncate(rows.partition_point(|row| mark(row) < end));
                let skipped = rows.len().saturating_sub(self.size);
                rows.drain(..skipped);
                // Behind is the row that the page ends before, at least.
                (skipped > 0, true)
            }
            Place::Start | Place::After(_) => {
                let begin = if let Place::After(begin) = self.place { Some(begin) } else { None };
                rows.drain(..rows.partition_point(|row| begin.is_some_and(|begin| mark(row) <= begin)));
                let more = rows.len() > self.size;
                rows.truncate(self.size);
                (begin.is_some(), more)
            }
        };
        let cursor = |row: &T| encode(mark(row));
        let (first, last) = (rows.first().map(cursor), rows.last().map(cursor));
        let page = CursorMetaPage {
            next: last.clone().filter(|_| behind),
            previous: first.clone().filter(|_| before),
            first,
            last,
            size: self.size,
        };
        (rows, CursorMeta { page })
    }
}

fn encode((made, id): Mark) -> String {
    base64::encode(format!("{},{id}", made.to_rfc3339()).as_bytes())
}

fn decode(token: &str, parameter: &str) -> Result<Mark, Problem> {
    let text = base64::decode(token).and_then(|bytes| String::from_utf8(bytes).ok());
    let mark = text
        .as_deref()
        .and_then(|text| text.split_once(','))
        .and_then(|(made, id)| Some((Instant::parse(made).ok()?, Ulid::from_string(id).ok()?)));
    mark.ok_or_else(|| refused(parameter, "is not a cursor of this list"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::settings::HttpSettings;
    use proptest::prelude::*;

    /// Made one microsecond after the other, two at a time.
    fn rows(count: u64) -> Vec<Mark> {
        (0..count).map(|n| (Instant::from_nanos((n / 2 * 1_000) as i64), Ulid(u128::from(n)))).collect()
    }

    fn page(query: &str) -> Result<Page, Problem> {
        let request = actix_web::test::TestRequest::get().uri(&format!("/x?{query}")).to_http_request();
        Page::read(&QueryString::of(&request, &HttpSettings::default()).unwrap())
    }

    fn at(size: i64, place: &str, token: &str) -> Result<Page, Problem> {
        let token: String = token.bytes().map(|byte| format!("%{byte:02x}")).collect();
        page(&format!("page[size]={size}&page[{place}]={token}"))
    }

    #[test]
    fn a_page_that_cannot_be_is_refused() {
        for query in ["page[size]=0", "page[size]=101", "page[size]=x", "page[other]=1", "page[size]=1&page[size]=2"] {
            assert_eq!(page(query).unwrap_err().status, 400, "{query}");
        }
        let token = encode((Instant::from_nanos(0), Ulid(1)));
        let both = page(&format!("page[after]={token}&page[before]={token}")).unwrap_err();
        assert_eq!(both.v3.unwrap()[0].reason, "after and before cannot be used together");
        for token in
            ["", "x", &base64::encode(b"2025-03-01T10:00:00Z"), &base64::encode(b"then,01JN8T4Q6Z0000000000000007")]
        {
            assert!(at(1, "after", token).is_err(), "{token}");
        }
        assert_eq!(page("").unwrap(), Page { size: 100, place: Place::Start });
    }

    proptest! {
        #[test]
        fn forward_and_backward_show_every_row_once_and_in_order(count in 0u64..40, size in 1i64..12) {
            let all = rows(count);
            let (mut forward, mut asked) = (Vec::new(), page(&format!("page[size]={size}")).unwrap());
            let last = loop {
                let (part, meta) = asked.cut(all.clone(), |row| *row);
                prop_assert_eq!(meta.page.previous.is_some(), !forward.is_empty());
                forward.extend(part);
                match meta.page.next {
                    Some(next) => asked = at(size, "after", &next).unwrap(),
                    None => break meta.page.last,
                }
            };
            prop_assert_eq!(&forward, &all);
            let mut backward: Vec<Mark> = all.last().copied().into_iter().collect();
            let mut before = last;
            while let Some(token) = before.take() {
                let (part, meta) = at(size, "before", &token).unwrap().cut(all.clone(), |row| *row);
                prop_assert_eq!(meta.page.next.is_some(), !part.is_empty());
                backward.splice(..0, part);
                before = meta.page.previous;
            }
            prop_assert_eq!(backward, all);
        }

        #[test]
        fn no_token_makes_reading_panic(token in ".{0,60}", plain in ".{0,40}") {
            let _ = at(1, "after", &token);
            let _ = at(1, "before", &base64::encode(plain.as_bytes()));
        }
    }
}
