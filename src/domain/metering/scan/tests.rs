//! The scan against a naive model: a JSON value written out with duplicate keys, escapes and spaces, and looked up
//! step by step.

use super::*;
use proptest::prelude::*;

/// JSON as a client might send it: members in order, names repeated, numbers as text.
#[derive(Debug, Clone, PartialEq)]
enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// What the model finds: strings unescaped.
#[derive(Debug, PartialEq)]
enum Seen {
    Missing,
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Object,
    Array,
}

impl Json {
    fn at(&self, steps: &[Step]) -> Seen {
        let Some((step, rest)) = steps.split_first() else { return self.seen() };
        let below = match (self, step) {
            (Json::Object(members), Step::Key(key)) => members.iter().rfind(|(name, _)| name == key).map(|(_, v)| v),
            (Json::Array(elements), Step::Index(index)) => elements.get(*index),
            _ => None,
        };
        below.map_or(Seen::Missing, |below| below.at(rest))
    }

    fn seen(&self) -> Seen {
        match self {
            Json::Null => Seen::Null,
            Json::Bool(bool) => Seen::Bool(*bool),
            Json::Number(text) => Seen::Number(text.clone()),
            Json::Text(text) => Seen::Text(text.clone()),
            Json::Array(_) => Seen::Array,
            Json::Object(_) => Seen::Object,
        }
    }

    /// Writes the value; `style` decides, turn by turn, about spaces and escapes.
    fn write(&self, style: &mut impl Iterator<Item = u8>, out: &mut String) {
        space(style, out);
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(bool) => out.push_str(if *bool { "true" } else { "false" }),
            Json::Number(text) => out.push_str(text),
            Json::Text(text) => write_text(text, style, out),
            Json::Array(elements) => {
                out.push('[');
                for (i, element) in elements.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { "," });
                    element.write(style, out);
                }
                space(style, out);
                out.push(']');
            }
            Json::Object(members) => {
                out.push('{');
                for (i, (name, value)) in members.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { "," });
                    space(style, out);
                    write_text(name, style, out);
                    space(style, out);
                    out.push(':');
                    value.write(style, out);
                }
                space(style, out);
                out.push('}');
            }
        }
        space(style, out);
    }
}

fn space(style: &mut impl Iterator<Item = u8>, out: &mut String) {
    out.push_str(["", "", "", " ", "\n\t\r "][style.next().unwrap() as usize % 5]);
}

fn write_text(text: &str, style: &mut impl Iterator<Item = u8>, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' | '/' if style.next().unwrap().is_multiple_of(2) => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '"' | '\\' | '\0'..'\x20' => write_escaped(c, out),
            c if style.next().unwrap().is_multiple_of(4) => write_escaped(c, out),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn write_escaped(c: char, out: &mut String) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        out.push_str(&format!("\\u{unit:04x}"));
    }
}

fn seen(found: Found) -> Seen {
    match found {
        Found::Missing => Seen::Missing,
        Found::Null => Seen::Null,
        Found::Bool(bool) => Seen::Bool(bool),
        Found::Number(text) => Seen::Number(text.to_owned()),
        Found::Object => Seen::Object,
        Found::Array => Seen::Array,
        Found::Text(text) => {
            let mut out = Vec::new();
            text.unescape_into(&mut out);
            Seen::Text(String::from_utf8(out).unwrap())
        }
    }
}

fn scan(paths: &[Path], data: &str) -> Result<Vec<Seen>, Broken> {
    let tree = PathTree::of(paths.iter());
    let mut found = vec![Found::Missing; tree.slots()];
    tree.scan(data, &mut found)?;
    Ok(paths.iter().map(|path| seen(found[tree.slot(path).expect("of this tree")])).collect())
}

fn find(path: &str, data: &str) -> Seen {
    scan(&[Path::parse(path).expect(path)], data).expect(data).remove(0)
}

#[test]
fn the_last_of_duplicate_keys_counts_with_all_below_it() {
    let number = |text: &str| Seen::Number(text.to_owned());
    #[rustfmt::skip]
    let table = [
        ("$.a",    r#"{"a":1,"a":2}"#,                       number("2")),
        ("$.a.b",  r#"{"a":{"b":1},"a":{"b":2}}"#,           number("2")),
        ("$.a.b",  r#"{"a":{"b":1},"a":{"c":2}}"#,           Seen::Missing),
        ("$.a.b",  r#"{"a":{"b":1},"a":null}"#,              Seen::Missing),
        ("$.a",    r#"{"a":1,"\u0061":2}"#,                  number("2")), // the same key, escaped
        ("$.a[0]", r#"{"a":[1],"a":[]}"#,                    Seen::Missing),
        ("$.a.b",  r#"{"a":{"b":{"b":1},"b":7},"b":9}"#,     number("7")),
    ];
    for (path, data, expected) in table {
        assert_eq!(find(path, data), expected, "{path} in {data}");
    }
}

#[test]
fn a_value_is_taken_as_sent() {
    let text = |text: &str| Seen::Text(text.to_owned());
    #[rustfmt::skip]
    let table = [
        ("$",          "{}",                              Seen::Object),
        ("$.a",        r#" { "a" : 1.50e+3 } "#,          Seen::Number("1.50e+3".into())),
        ("$.a",        r#"{"a":"x\"y\\"}"#,               text(r#"x"y\"#)),
        ("$.a",        r#"{"a":"\ud83d\ude00\u00e9\/\b"}"#, text("😀é/\u{8}")),
        ("$.a",        r#"{"a":"\ud83dx\ude00"}"#,        text("\u{fffd}x\u{fffd}")), // halves of a pair
        ("$.a",        r#"{"a":{}}"#,                     Seen::Object),
        ("$.a",        r#"{"a":[]}"#,                     Seen::Array),
        ("$.a",        r#"{"b":"}","a":true}"#,           Seen::Bool(true)),
        ("$.a[1].b",   r#"{"a":[{"b":1},{"b":false}]}"#,  Seen::Bool(false)),
        ("$.a[2]",     r#"{"a":[1,2]}"#,                  Seen::Missing),
        ("$.a[0]",     r#"{"a":{"0":1}}"#,                Seen::Missing),
        ("$.a.b",      r#"{"a":"{\"b\":1}"}"#,            Seen::Missing), // a string is not looked into
        ("$['']",      r#"{"":null}"#,                    Seen::Null),
        ("$.a",        r#"{"A":1}"#,                      Seen::Missing),
    ];
    for (path, data, expected) in table {
        assert_eq!(find(path, data), expected, "{path} in {data}");
    }
}

#[test]
fn broken_text_is_reported() {
    #[rustfmt::skip]
    let table = [
        "", " ", "{", "[", "{\"", "{\"a", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{a:1}", "{\"a\" 1}",
        "{\"a\":x}", "{} {}", "{\"a\":\"\\", "{\"a\":\"\\\"", "{\"b\":[}", "{\"b\":{\"c\":\"",
    ];
    for data in table {
        assert_eq!(scan(&[Path::parse("$.a").unwrap()], data), Err(Broken), "{data}");
    }
}

#[test]
fn depth_costs_no_stack() {
    let deep =
        |open: &str, close: &str| format!("{{\"b\":{}0{},\"a\":1}}", open.repeat(1 << 20), close.repeat(1 << 20));
    assert_eq!(find("$.a", &deep("[", "]")), Seen::Number("1".into()));
    assert_eq!(find("$.a", &deep("{\"a\":", "}")), Seen::Number("1".into()));
    let longest = format!("$.b{}", "[0]".repeat(super::super::path::STEPS_MAX - 1));
    assert_eq!(find(&longest, &deep("[", "]")), Seen::Array);
    assert_eq!(scan(&[Path::parse(&longest).unwrap()], &"[".repeat(1 << 20)), Err(Broken));
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[abc]", 1 => Just(String::new()), 1 => "[a\"\\\\é/😀\n]{1,3}"]
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        "-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?".prop_map(Json::Number),
        prop_oneof!["[ -~]{0,12}", ".{0,6}", "[\"\\\\\\]\\[{},:]{0,5}"].prop_map(Json::Text),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            proptest::collection::vec((name(), inner), 0..5).prop_map(Json::Object),
        ]
    })
}

fn path() -> impl Strategy<Value = Path> {
    let step = prop_oneof![3 => name().prop_map(Step::Key), 1 => (0usize..3).prop_map(Step::Index)];
    proptest::collection::vec(step, 0..4).prop_map(|steps| {
        let quoted = |name: &String| name.replace('\\', "\\\\").replace('\'', "\\'");
        let write = |step: &Step| match step {
            Step::Key(name) => format!("['{}']", quoted(name)),
            Step::Index(index) => format!("[{index}]"),
        };
        Path::parse(&format!("${}", steps.iter().map(write).collect::<String>())).unwrap()
    })
}

proptest! {
    #[test]
    fn the_scan_agrees_with_a_look_up_in_the_tree(
        json in json(),
        paths in proptest::collection::vec(path(), 1..6),
        style in proptest::collection::vec(any::<u8>(), 1..40),
    ) {
        let mut data = String::new();
        json.write(&mut style.iter().copied().cycle(), &mut data);
        let expected = paths.iter().map(|path| json.at(path.steps())).collect();
        prop_assert_eq!(scan(&paths, &data), Ok(expected), "{}", data);
    }

    #[test]
    fn what_a_json_parser_takes_is_never_broken(
        json in json(),
        paths in proptest::collection::vec(path(), 1..4),
        cut in any::<prop::sample::Index>(),
        put in "[\"\\\\\\]\\[{}:, 0ä]?",
    ) {
        let mut data = String::new();
        json.write(&mut std::iter::repeat(1), &mut data);
        let cut = (0..=cut.index(data.len())).rfind(|at| data.is_char_boundary(*at)).unwrap();
        let next = data[cut..].chars().next().map_or(0, char::len_utf8);
        data.replace_range(cut..cut + next, &put);
        let valid = serde_json::from_str::<serde::de::IgnoredAny>(&data).is_ok();
        let scanned = scan(&paths, &data);
        prop_assert!(scanned.is_ok() || !valid, "{}", data);
    }

    #[test]
    fn no_text_makes_scanning_panic(
        text in "[\"\\\\\\]\\[{}:, 0abun-ä]{0,40}|.{0,20}",
        paths in proptest::collection::vec(path(), 1..4),
    ) {
        let _ = scan(&paths, &text);
        let _ = scan(&paths, &format!("{{\"a\":{text}}}"));
        let raw = RawText { raw: &text, escaped: true };
        raw.unescape_into(&mut Vec::new());
        let _ = raw.equals("a");
    }
}
