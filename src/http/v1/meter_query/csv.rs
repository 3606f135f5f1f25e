//! A meter query's answer as a table: `Accept: text/csv`.
//!
//! `window_start,window_end[,subject[,subject_display_name]],<dimensions as asked>,value`. The column of display names
//! is there as soon as one subject is known by its key; that of the customer, `customer_id`, is one of the dimensions.
//! The value is exact, in plain notation.

use super::answer::Windows;
use crate::domain::metering::query::{UsageQuery, UsageRow};
use crate::http::problem::Problem;
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use std::collections::BTreeMap;

const MEDIA_TYPE: &str = "text/csv";

/// Whether the client asks for CSV: its first `Accept` names that one media type and no other.
pub fn is_asked(request: &HttpRequest) -> bool {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    let media_type = accept.split(';').next().unwrap_or("").trim();
    media_type.eq_ignore_ascii_case(MEDIA_TYPE) && !accept.contains(',')
}

/// The table. `columns`: the dimensions and the customer, in their order. `names`: what is known of the rows' subjects,
/// by key; what has no display name is blank.
pub fn table(
    query: &UsageQuery,
    columns: &[&str],
    rows: &[UsageRow],
    names: &BTreeMap<String, String>,
) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let named = query.group_by_subject && !names.is_empty();
    let subject = query.group_by_subject.then_some("subject");
    let name = named.then_some("subject_display_name");
    let dimensions = columns.iter().copied();
    writer.write_record(
        ["window_start", "window_end"].into_iter().chain(subject).chain(name).chain(dimensions).chain(["value"]),
    )?;
    let place = |column: &&str| query.group_by.iter().position(|name| name == column);
    let places: Vec<Option<usize>> = columns.iter().map(place).collect();
    let mut windows = Windows::of(query);
    for row in rows {
        let (start, end) = windows.show(row);
        let subject = query.group_by_subject.then(|| row.subject.as_deref().unwrap_or(""));
        let name = subject.filter(|_| named).map(|key| names.get(key).map_or("", String::as_str));
        let (customer, value) = (row.customer.map(|id| id.to_string()), six_decimals(row.value.to_plain()));
        let customer = customer.as_deref().unwrap_or("");
        let groups = places.iter().map(|place| place.map_or(customer, |place| &row.groups[place]));
        let cells = [&*start, &*end].into_iter().chain(subject).chain(name).chain(groups).chain([value.as_str()]);
        writer.write_record(cells)?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// The answer: a file, named after the meter.
pub fn download(
    mut response: HttpResponseBuilder,
    slug: &str,
    table: Result<Vec<u8>, csv::Error>,
) -> Result<HttpResponse, Problem> {
    let table = table.map_err(|error| {
        tracing::error!(%error, "an answer could not be written as CSV");
        Problem::bare(StatusCode::INTERNAL_SERVER_ERROR)
    })?;
    let file = format!("attachment; filename={slug}.csv");
    Ok(response.insert_header((CONTENT_TYPE, MEDIA_TYPE)).insert_header((CONTENT_DISPOSITION, file)).body(table))
}

/// `7` is `7.000000`; further decimals stay.
fn six_decimals(mut plain: String) -> String {
    let decimals = match plain.find('.') {
        Some(point) => plain.len() - point - 1,
        None => {
            plain.push('.');
            0
        }
    };
    (decimals..6).for_each(|_| plain.push('0'));
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_six_decimals_or_as_many_as_it_needs() {
        for (plain, shown) in [("7", "7.000000"), ("-0.5", "-0.500000"), ("0.1234567", "0.1234567")] {
            assert_eq!(six_decimals(plain.to_string()), shown);
        }
    }
    use actix_web::test::TestRequest;

    #[test]
    fn csv_is_asked_for_by_one_media_type_alone() {
        #[rustfmt::skip]
        let table = [
            ("text/csv", true), ("Text/CSV; charset=utf-8", true), ("", false), ("*/*", false), ("text/html", false),
            ("text/csv, */*", false), ("text/csv;q=1, application/json", false), ("application/json", false),
        ];
        for (accept, asked) in table {
            let request = TestRequest::get().insert_header((ACCEPT, accept)).to_http_request();
            assert_eq!(is_asked(&request), asked, "{accept}");
        }
        assert!(!is_asked(&TestRequest::get().to_http_request()));
    }
}
