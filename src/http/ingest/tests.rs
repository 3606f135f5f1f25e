//! The ingest parser by table and by property: what is taken, what is refused and in which words.

use super::*;
use crate::domain::record::{EventView, decode_event};
use proptest::prelude::*;
use serde_json::json;

const LIMITS: Limits = Limits {
    attributes: Attributes::Open,
    batch_events_max: 1_000,
    attribute_bytes_max: 8_192,
    extensions_max: 4,
    json_depth_max: 128,
    faults_listed_max: 100,
};

fn taken(body: &str, form: Form) -> Append {
    parse(body.as_bytes(), form, "default", LIMITS).unwrap_or_else(|refusal| panic!("{body}: {refusal:?}"))
}

fn records(append: &Append) -> Vec<EventView<'_>> {
    let mut at = 0;
    let mut views = Vec::new();
    for length in &append.lengths {
        let end = at + *length as usize;
        views.push(decode_event(&append.records[at..end]).unwrap());
        at = end;
    }
    assert_eq!(at, append.records.len(), "the lengths cover the records");
    views
}

/// An event with one member set (or, with null text, taken away).
fn with(member: &str, value: serde_json::Value) -> String {
    let mut event = json!({"specversion": "1.0", "id": "e-1", "source": "edge", "type": "job", "subject": "acme"});
    event[member] = value;
    event.to_string()
}

fn without(member: &str) -> String {
    let mut event: serde_json::Value = serde_json::from_str(&with("data", json!({}))).unwrap();
    event.as_object_mut().unwrap().remove(member);
    event.to_string()
}

fn faults(body: &str, form: Form) -> Vec<(String, Code)> {
    match parse(body.as_bytes(), form, "default", LIMITS) {
        Err(Refusal::BadEvents(faults)) => faults.listed.iter().map(|fault| (fault.path(), fault.code)).collect(),
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn every_attribute_is_kept_byte_for_byte() {
    let body = r#" {"specversion":"1.0","id":"e\u00e9-1","source":"my source","type":"job","subject":" acme ",
        "time":"2025-03-01T10:00:00.5+02:00","dataschema":"https://x/y","datacontenttype":"application/json",
        "traceparent":"00-ab","attempt":3,"final":true,"nothing":null,
        "data":{ "b":1.00 , "a":1e400,"a":"\u00e9" }} "#;
    let append = taken(body, Form::One);
    let view = records(&append)[0];
    assert_eq!((view.namespace, view.id, view.source), ("default", "eé-1", "my source"));
    assert_eq!((view.event_type, view.subject, view.specversion), ("job", " acme ", "1.0"));
    assert_eq!(view.time_text, Some("2025-03-01T10:00:00.5+02:00"));
    assert_eq!(view.time.unwrap().to_rfc3339(), "2025-03-01T08:00:00.5Z");
    assert_eq!(view.dataschema, Some("https://x/y"));
    assert_eq!(view.datacontenttype, Some("application/json"));
    assert_eq!(view.extensions, r#"{"traceparent":"00-ab","attempt":3,"final":true}"#);
    assert_eq!(view.data, Some(r#"{ "b":1.00 , "a":1e400,"a":"\u00e9" }"#));
}

#[test]
fn what_may_be_absent_may_be_null() {
    let body = r#"{"specversion":"0.3","id":"1","source":"s","type":"t","subject":"u","time":null,"dataschema":null,
        "datacontenttype":null,"data":null}"#;
    let append = taken(body, Form::One);
    let view = records(&append)[0];
    assert_eq!((view.time_text, view.time, view.dataschema, view.datacontenttype), (None, None, None, None));
    assert_eq!((view.data, view.extensions), (Some("null"), ""));
    let append = taken(&without("data"), Form::One);
    assert_eq!(records(&append)[0].data, None);
}

#[test]
fn the_peers_zero_time_is_an_absent_one() {
    let append = taken(&with("time", json!("0001-01-01T00:00:00Z")), Form::One);
    assert_eq!(records(&append)[0].time_text, None);
}

#[test]
fn base64_data_is_decoded() {
    let append = taken(&with("data_base64", json!("eyJhIjoxfQ==")), Form::One);
    assert_eq!(records(&append)[0].data, Some(r#"{"a":1}"#));
    let both = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","subject":"u","data":{},"data_base64":"e30="}"#;
    assert_eq!(faults(both, Form::One), [("[0].data_base64".to_string(), Code::DuplicateField)]);
}

#[test]
fn a_closed_event_has_no_attributes_but_its_own_and_may_have_its_version_from_the_contract() {
    let closed = |body: &str, specversion| {
        let limits = Limits { attributes: Attributes::Closed { specversion }, ..LIMITS };
        parse(body.as_bytes(), Form::One, "default", limits)
    };
    let named = |body: &str, specversion| match closed(body, specversion) {
        Err(Refusal::BadEvents(faults)) => Vec::from_iter(faults.listed.iter().map(|fault| (fault.path(), fault.code))),
        other => panic!("{body}: {other:?}"),
    };
    let unknown = |name: &str| vec![(format!("[0].{name}"), Code::UnknownAttribute)];
    for name in ["traceparent", "trace_id", "data_base64"] {
        assert_eq!(named(&with(name, json!("e30=")), Some("1.0")), unknown(name));
    }
    let without = without("specversion");
    assert_eq!(named(&without, None), vec![("[0].specversion".to_string(), Code::MissingField)]);
    assert_eq!(records(&closed(&without, Some("1.0")).unwrap())[0].specversion, "1.0");
    assert_eq!(records(&closed(&with("specversion", json!("0.3")), Some("1.0")).unwrap())[0].specversion, "0.3");
    let null = vec![("[0].specversion".to_string(), Code::WrongType)];
    assert_eq!(named(&with("specversion", json!(null)), Some("1.0")), null);
}

#[test]
fn a_media_type_says_what_the_body_is() {
    let one = with("data", json!({}));
    let batch = format!("[{one},{one}]");
    assert_eq!(taken(&one, Form::One).lengths.len(), 1);
    assert_eq!(taken(&one, Form::Either).lengths.len(), 1);
    assert_eq!(taken(&batch, Form::Batch).lengths.len(), 2);
    assert_eq!(taken(&batch, Form::Either).lengths.len(), 2);
    assert_eq!(taken("[]", Form::Batch).lengths.len(), 0);
    assert_eq!(parse(b"[]", Form::Either, "default", LIMITS).unwrap_err(), Refusal::NoEvents);
    assert_eq!(faults(&batch, Form::One), [(String::new(), Code::WrongType)]);
    assert_eq!(faults(&one, Form::Batch), [(String::new(), Code::WrongType)]);
    assert_eq!(faults("7", Form::Either), [(String::new(), Code::WrongType)]);
}

#[test]
fn every_fault_is_named_by_index_and_field() {
    #[rustfmt::skip]
    let table = [
        (without("id"), "[0].id", Code::MissingField), (without("source"), "[0].source", Code::MissingField),
        (without("type"), "[0].type", Code::MissingField), (without("subject"), "[0].subject", Code::MissingField),
        (without("specversion"), "[0].specversion", Code::MissingField),
        (with("id", json!("")), "[0].id", Code::EmptyField), (with("subject", json!("")), "[0].subject", Code::EmptyField),
        (with("id", json!(7)), "[0].id", Code::WrongType), (with("id", json!(null)), "[0].id", Code::WrongType),
        (with("type", json!(["t"])), "[0].type", Code::WrongType), (with("id", json!("x".repeat(8_193))), "[0].id", Code::TooLong),
        (with("source", json!("1:2")), "[0].source", Code::NotAUriReference),
        (with("source", json!("100%")), "[0].source", Code::NotAUriReference),
        (with("specversion", json!("2.0")), "[0].specversion", Code::UnsupportedSpecversion),
        (with("time", json!("2025-03-01")), "[0].time", Code::InvalidTime), (with("time", json!("")), "[0].time", Code::EmptyField),
        (with("time", json!("1899-12-31T23:59:59Z")), "[0].time", Code::InvalidTime),
        (with("time", json!("2262-01-01T00:00:00Z")), "[0].time", Code::InvalidTime),
        (with("time", json!("2025-02-30T00:00:00Z")), "[0].time", Code::InvalidTime), (with("time", json!(1)), "[0].time", Code::WrongType),
        (with("datacontenttype", json!("text/xml")), "[0].datacontenttype", Code::UnsupportedContentType),
        (with("datacontenttype", json!("application/json; charset=utf-8")), "[0].datacontenttype", Code::UnsupportedContentType),
        (with("dataschema", json!("%")), "[0].dataschema", Code::NotAUriReference),
        (with("data", json!("text")), "[0].data", Code::WrongType), (with("data", json!([1])), "[0].data", Code::WrongType),
        (with("data_base64", json!("e30")), "[0].data_base64", Code::InvalidBase64),
        (with("data_base64", json!("bm8=")), "[0].data_base64", Code::InvalidBase64),
        (with("data_base64", json!("WzFd")), "[0].data_base64", Code::WrongType), (with("data_base64", json!(1)), "[0].data_base64", Code::WrongType),
        (with("trace_id", json!("x")), "[0].trace_id", Code::InvalidExtension), (with("trace", json!({})), "[0].trace", Code::InvalidExtension),
        (with("trace", json!(2_147_483_648u64)), "[0].trace", Code::InvalidExtension),
        (with("trace", json!("x".repeat(8_193))), "[0].trace", Code::TooLong), (with("", json!("x")), "[0].", Code::InvalidExtension),
        ("[1]".to_string(), "[0]", Code::WrongType), ("[[{}]]".to_string(), "[0]", Code::WrongType), ("[null]".to_string(), "[0]", Code::WrongType),
    ];
    for (body, path, code) in table {
        let path = path.trim_end_matches('.');
        assert_eq!(faults(&body, Form::Either), [(path.to_string(), code)], "{body:.80}");
    }
}

#[test]
fn extensions_are_strings_booleans_and_32_bit_numbers() {
    for value in [json!("x"), json!(true), json!(-2_147_483_648i64), json!(2_147_483_647), json!(1.5), json!(null)] {
        taken(&with("trace", value), Form::One);
    }
    let many: String = (0..5).map(|i| format!(r#","x{i}":1"#)).collect();
    let body = format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t","subject":"u"{many}}}"#);
    assert_eq!(faults(&body, Form::One), [("[0].x4".to_string(), Code::InvalidExtension)]);
}

#[test]
fn duplicate_members_are_refused_in_the_envelope_and_kept_in_data() {
    let duplicate = r#"{"specversion":"1.0","id":"1","i\u0064":"2","source":"s","type":"t","subject":"u","x":1,"x":2}"#;
    let found = faults(duplicate, Form::One);
    assert_eq!(found, [("[0].id".to_string(), Code::DuplicateField), ("[0].x".to_string(), Code::DuplicateField)]);
    let in_data = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","subject":"u","data":{"a":1,"a":2}}"#;
    assert_eq!(records(&taken(in_data, Form::One))[0].data, Some(r#"{"a":1,"a":2}"#));
}

#[test]
fn all_bad_events_of_a_batch_are_listed() {
    let body = format!("[{},{},{},{{}}]", without("id"), with("data", json!({})), without("type"));
    let found = faults(&body, Form::Batch);
    assert_eq!(found[0], ("[0].id".to_string(), Code::MissingField));
    assert_eq!(found[1], ("[2].type".to_string(), Code::MissingField));
    assert_eq!(found.len(), 2 + 5);
}

#[test]
fn broken_json_is_named_by_line_and_column() {
    #[rustfmt::skip]
    let table = [
        ("[{\"id\":\n  NaN}]", 2, 3), ("{\"id\": 1", 1, 8), ("{}{}", 1, 3), ("[{}],", 1, 5), ("NaN", 1, 1),
        ("[1e400]", 1, 6), ("{\"id\":\"\u{1}\"}", 1, 7), ("[{},]", 1, 5),
    ];
    for (body, line, column) in table {
        match parse(body.as_bytes(), Form::Either, "default", LIMITS) {
            Err(Refusal::BrokenJson { line: l, column: c, .. }) => assert_eq!((l, c), (line, column), "{body}"),
            other => panic!("{body}: {other:?}"),
        }
    }
    // Every event of a stream of lines counts, or none does: the peer takes the first and answers 204.
    let lines = format!("{}\n{}\n", with("data", json!({})), with("data", json!({})));
    assert!(matches!(
        parse(lines.as_bytes(), Form::Either, "default", LIMITS),
        Err(Refusal::BrokenJson { line: 2, .. })
    ));
}

#[test]
fn nothing_and_bytes_that_are_not_utf_8_are_refused() {
    assert_eq!(parse(b" \n", Form::Batch, "default", LIMITS).unwrap_err(), Refusal::Empty);
    assert_eq!(parse(b"[\"\xff\"]", Form::Batch, "default", LIMITS).unwrap_err(), Refusal::NotUtf8 { at: 2 });
}

#[test]
fn half_a_surrogate_pair_is_refused_in_an_attribute_and_kept_in_data() {
    let body = r#"{"specversion":"1.0","id":"\ud800","source":"s","type":"t","subject":"u"}"#;
    assert_eq!(faults(body, Form::One), [("[0].id".to_string(), Code::InvalidText)]);
    let body = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","subject":"u","data":{"a":"\ud800"}}"#;
    assert_eq!(records(&taken(body, Form::One))[0].data, Some(r#"{"a":"\ud800"}"#));
}

#[test]
fn nesting_is_bounded_in_data_and_harmless_elsewhere() {
    let nested = |depth: usize| {
        let (open, close) = ("{\"a\":".repeat(depth - 1), "}".repeat(depth - 1));
        format!(
            r#"{{"specversion":"1.0","id":"1","source":"s","type":"t","subject":"u","data":{open}{{"b":"[{{"}}{close}}}"#
        )
    };
    taken(&nested(128), Form::One);
    assert_eq!(faults(&nested(129), Form::One), [("[0].data".to_string(), Code::TooDeep)]);
    let many = format!("{{\"a\":[{}]}}", vec!["[]"; 500].join(","));
    taken(&with("data", serde_json::from_str(&many).unwrap()), Form::One);
    // A million brackets where a text belongs: no recursion, one fault.
    let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    let body = format!(r#"{{"specversion":"1.0","id":{deep},"source":"s","type":"t","subject":"u"}}"#);
    assert_eq!(faults(&body, Form::One), [("[0].id".to_string(), Code::WrongType)]);
    assert_eq!(faults(&format!("[{deep}]"), Form::Batch), [("[0]".to_string(), Code::WrongType)]);
}

#[test]
fn a_batch_is_bounded_and_its_faults_are_counted() {
    let one = with("data", json!({}));
    let batch = |count: usize| format!("[{}]", vec![one.as_str(); count].join(","));
    assert_eq!(taken(&batch(1_000), Form::Batch).lengths.len(), 1_000);
    let refusal = parse(batch(1_001).as_bytes(), Form::Batch, "default", LIMITS).unwrap_err();
    assert_eq!(refusal, Refusal::TooManyEvents { events_max: 1_000 });
    let bad = format!("[{}]", vec!["{}"; 300].join(","));
    match parse(bad.as_bytes(), Form::Batch, "default", LIMITS).unwrap_err() {
        Refusal::BadEvents(faults) => assert_eq!((faults.listed.len(), faults.total, faults.events), (100, 1_500, 300)),
        other => panic!("{other:?}"),
    }
}

/// Bodies that are nearly right: good events, some with members changed or taken away, some cut or with one byte
/// changed.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let names = prop::sample::select(NAMES.to_vec());
    let values = prop_oneof![
        Just(None),
        Just(Some(json!("1.0"))),
        Just(Some(json!("2025-03-01T00:00:00Z"))),
        Just(Some(json!(null))),
        Just(Some(json!({"a": [1, "b\"]"]}))),
        any::<i32>().prop_map(|n| Some(json!(n))),
        "[a-z:/%é\\\\\"]{0,8}".prop_map(|text| Some(json!(text))),
    ];
    let changes = prop::collection::vec((names, values), 0..3);
    let event = changes.prop_map(|changes| {
        let mut event: serde_json::Value = serde_json::from_str(&with("data", json!({"n": 1}))).unwrap();
        let members = event.as_object_mut().unwrap();
        for (name, value) in changes {
            match value {
                Some(value) => drop(members.insert(name.to_string(), value)),
                None => drop(members.remove(name)),
            }
        }
        event.to_string()
    });
    let body = prop::collection::vec(event, 0..3).prop_map(|events| format!("[{}]", events.join(",")).into_bytes());
    (body, any::<prop::sample::Index>(), any::<u8>(), 0..8u8).prop_map(|(mut body, at, byte, damage)| {
        let at = at.index(body.len());
        match damage {
            0 => body[at] = byte,
            1 => body.truncate(at),
            _ => {}
        }
        body
    })
}

const NAMES: [&str; 9] = ["id", "source", "type", "subject", "specversion", "time", "data", "x", "data_base64"];

/// What an acceptable event is, said once more over a tree. Holds for bodies without duplicate names.
fn acceptable(event: &serde_json::Value) -> bool {
    let Some(members) = event.as_object() else { return false };
    let filled = |name: &str| members.get(name).and_then(|v| v.as_str()).is_some_and(|text| !text.is_empty());
    ["id", "type", "subject", "source"].into_iter().all(filled)
        && uri::is_uri_reference(members["source"].as_str().unwrap())
        && matches!(members.get("specversion").and_then(|v| v.as_str()), Some("1.0" | "0.3"))
        && members.get("time").is_none_or(|time| time.is_null() || time == "2025-03-01T00:00:00Z")
        && members.get("data").is_none_or(|data| data.is_null() || data.is_object())
        && members.iter().filter(|(name, _)| *name == "x" || !NAMES.contains(&name.as_str())).all(is_extension)
        && members.get("data_base64").is_none_or(|data| data.is_null() && !members.contains_key("data"))
}

fn is_extension((name, value): (&String, &serde_json::Value)) -> bool {
    let small = value.as_i64().is_none_or(|n| i32::try_from(n).is_ok());
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric())
        && small
        && !value.is_object()
        && !value.is_array()
}

/// `"name":` twice in one event.
fn has_duplicates(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    text.split("},{").any(|event| NAMES.iter().any(|name| event.matches(&format!("\"{name}\":")).count() > 1))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn no_bytes_make_the_parser_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for form in [Form::One, Form::Batch, Form::Either] {
            let _ = parse(&body, form, "default", LIMITS);
        }
    }

    #[test]
    fn what_is_taken_is_what_a_tree_parser_finds_acceptable(body in nearly()) {
        prop_assume!(!has_duplicates(&body));
        let taken = parse(&body, Form::Batch, "default", LIMITS);
        let tree: Option<Vec<serde_json::Value>> = serde_json::from_slice(&body).ok();
        let acceptable = tree.as_ref().is_some_and(|events| events.iter().all(acceptable));
        prop_assert_eq!(taken.is_ok(), acceptable, "{} {:?}", String::from_utf8_lossy(&body), taken);
        if let (Ok(append), Some(tree)) = (taken, tree) {
            for (view, event) in records(&append).iter().zip(&tree) {
                prop_assert_eq!(view.id, event["id"].as_str().unwrap());
                let data = view.data.map(|data| serde_json::from_str::<serde_json::Value>(data).unwrap());
                prop_assert_eq!(data.as_ref(), event.get("data"));
            }
        }
    }
}
