//! `sort=<field>[ asc|desc]`: the order of a list, by one field.

use super::refused;
use crate::http::problem::Problem;
use serde::Deserialize;
use utoipa::ToSchema;

/// As it stands in a URL.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct SortQuery(pub String);

/// The order that is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sort<F> {
    pub by: F,
    pub descending: bool,
}

/// Reads an order by one of `fields`; `descending` is meant where neither direction is named.
pub fn read<F: Copy>(text: &str, fields: &[(&str, F)], descending: bool) -> Result<Sort<F>, Problem> {
    let (name, descending) = match text.split_once(' ') {
        None => (text, descending),
        Some((name, "asc")) => (name, false),
        Some((name, "desc")) => (name, true),
        Some((_, order)) => {
            let reason = format!("unsupported sort order {order:?}, supported orders: asc, desc");
            return Err(refused("sort", reason));
        }
    };
    let found = fields.iter().find(|(known, _)| *known == name);
    let unsupported = || {
        let known: Vec<&str> = fields.iter().map(|(known, _)| *known).collect();
        refused("sort", format!("unsupported sort field {name:?}, supported fields: {}", known.join(", ")))
    };
    found.map(|(_, by)| Sort { by: *by, descending }).ok_or_else(unsupported)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [(&str, u8); 2] = [("key", 1), ("created_at", 2)];

    #[test]
    fn an_order_is_a_field_and_a_direction() {
        for (text, by, descending) in
            [("key", 1, false), ("key asc", 1, false), ("key desc", 1, true), ("created_at desc", 2, true)]
        {
            assert_eq!(read(text, &FIELDS, false).unwrap(), Sort { by, descending }, "{text}");
        }
        assert!(read("key", &FIELDS, true).unwrap().descending);
        assert!(!read("key asc", &FIELDS, true).unwrap().descending);
    }

    #[test]
    fn what_cannot_be_sorted_by_is_told_with_what_can() {
        #[rustfmt::skip]
        let table = [
            ("size",          "unsupported sort field \"size\", supported fields: key, created_at"),
            ("",              "unsupported sort field \"\", supported fields: key, created_at"),
            ("key,created_at", "unsupported sort field \"key,created_at\", supported fields: key, created_at"),
            (" key",          "unsupported sort order \"key\", supported orders: asc, desc"),
            ("key DESC",      "unsupported sort order \"DESC\", supported orders: asc, desc"),
            ("key desc ",     "unsupported sort order \"desc \", supported orders: asc, desc"),
        ];
        for (text, reason) in table {
            let problem = read(text, &FIELDS, false).unwrap_err();
            assert_eq!(problem.detail.unwrap(), format!("Bad Request: sort: {reason}"), "{text}");
        }
    }
}
