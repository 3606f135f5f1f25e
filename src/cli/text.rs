//! Plain tables for people: columns padded, nothing else.

/// Prints rows under a header, each column as wide as its widest cell.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..header.len())
        .map(|i| {
            let cells = rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.chars().count());
            cells.max().into_iter().chain([header[i].len()]).max().expect("the header is one cell")
        })
        .collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    let mut lines = vec![line(header.to_vec())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

/// A JSON object as text of its members: numbers keep every digit, whatever their size.
pub type Members = std::collections::BTreeMap<String, Box<serde_json::value::RawValue>>;

/// A member as a cell: strings bare, everything else as it came, absent and null empty.
pub fn cell(members: &Members, name: &str) -> String {
    let Some(raw) = members.get(name).map(|value| value.get()).filter(|raw| *raw != "null") else {
        return String::new();
    };
    serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.to_string())
}

/// A member that is an object; empty when it is none.
pub fn inner(members: &Members, name: &str) -> Members {
    members.get(name).and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_keeps_every_digit() {
        let members: Members = serde_json::from_str(r#"{"n":1e400,"s":"a \"b\"","none":null,"o":{"x":0.10}}"#).unwrap();
        let cells = ["n", "s", "none", "absent", "o"].map(|name| cell(&members, name));
        assert_eq!(cells, ["1e400", "a \"b\"", "", "", "{\"x\":0.10}"]);
        assert_eq!(cell(&inner(&members, "o"), "x"), "0.10");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["a".to_string(), "1".to_string()], vec!["long".to_string(), "22".to_string()]];
        assert_eq!(table(&["name", "n"], &rows), "name  n\na     1\nlong  22");
    }
}
