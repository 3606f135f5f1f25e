//! What counts, what does not, and how it is told.

use super::*;
use crate::domain::time::Instant;
use proptest::prelude::*;
use std::collections::BTreeMap;

const KEY: HashKey = HashKey(7, 11);

fn meter(aggregation: Aggregation, value: Option<&str>, groups: &[(&str, &str)]) -> Meter {
    Meter {
        id: ulid::Ulid::nil(),
        version: ulid::Ulid::nil(),
        namespace: "default".into(),
        slug: "m".into(),
        name: "m".into(),
        description: None,
        aggregation,
        event_type: "t".into(),
        event_from: None,
        value_property: value.map(str::to_owned),
        group_by: groups.iter().map(|(name, path)| (name.to_string(), path.to_string())).collect::<BTreeMap<_, _>>(),
        metadata: None,
        created_at: Instant::from_nanos(0),
        updated_at: Instant::from_nanos(0),
    }
}

fn read(aggregation: Aggregation, data: Option<&str>) -> Result<Reading, NotCounted> {
    let mut texts = Vec::from(*b"before");
    let value = (aggregation != Aggregation::Count).then_some("$.p");
    let reading = Extractor::of(&meter(aggregation, value, &[])).read(data, &KEY, &mut texts);
    assert_eq!(texts, b"before", "without dimensions nothing is appended");
    reading
}

fn value(text: &str) -> Result<Reading, NotCounted> {
    Ok(Reading::Value(Value::parse(text).unwrap()))
}

fn distinct(text: &str) -> Result<Reading, NotCounted> {
    Ok(Reading::Distinct(KEY.distinct_value(text)))
}

#[test]
fn what_counts_in_a_sum_and_how_the_rest_is_explained() {
    use NotCounted::*;
    #[rustfmt::skip]
    let table = [
        (Some(r#"{"p":5}"#),              value("5"),           None),
        (Some(r#"{"p":"10"}"#),           value("10"),          None),
        (Some(r#"{"p":"\u0031\u0030"}"#), value("10"),          None),
        (Some(r#"{"p":1e2}"#),            value("100"),         None),
        (Some(r#"{"p":-0.10}"#),          value("-0.1"),        None),
        (None,                            Err(NoData),          Some("invalid event: null and missing value property")),
        (Some("null"),                    Err(NoData),          Some("invalid event: null and missing value property")),
        (Some(" null "),                  Err(NoData),          Some("invalid event: null and missing value property")),
        (Some(r#"{"p":"#),                Err(NoData),          Some("invalid event: null and missing value property")),
        (Some("{}"),                      Err(MissingValue),    Some(r#"invalid event: missing value property: "$.p""#)),
        (Some(r#"{"p":null}"#),           Err(NullValue),       Some("invalid event: value cannot be null")),
        (Some(r#"{"p":""}"#),             Err(NotANumber),      Some("invalid event: value cannot be parsed as float64: ")),
        (Some(r#"{"p":"a\tb"}"#),         Err(NotANumber),      Some("invalid event: value cannot be parsed as float64: a\tb")),
        (Some(r#"{"p":"NaN"}"#),          Err(NotANumber),      Some("invalid event: value cannot be NaN")),
        (Some(r#"{"p":"-Inf"}"#),         Err(NotANumber),      Some("invalid event: value cannot be infinity")),
        (Some(r#"{"p":"infinity"}"#),     Err(NotANumber),      Some("invalid event: value cannot be infinity")),
        (Some(r#"{"p":"infinite"}"#),     Err(NotANumber),      Some("invalid event: value cannot be parsed as float64: infinite")),
        (Some(r#"{"p":1e400}"#),          Err(OutOfRange),      Some("invalid event: value out of range: 1e400")),
        (Some(r#"{"p":"1e-30"}"#),        Err(OutOfRange),      Some("invalid event: value out of range: 1e-30")),
        (Some(r#"{"p":true}"#),           Err(UnsupportedType), Some("invalid event: unsupported value property type: bool")),
        (Some(r#"{"p":{"a":1}}"#),        Err(UnsupportedType), Some("invalid event: unsupported value property type: map[string]interface {}")),
        (Some(r#"{"p":[1]}"#),            Err(UnsupportedType), Some("invalid event: unsupported value property type: []interface {}")),
    ];
    for aggregation in [Aggregation::Sum, Aggregation::Avg, Aggregation::Min, Aggregation::Max, Aggregation::Latest] {
        let extractor = Extractor::of(&meter(aggregation, Some("$.p"), &[]));
        for (data, reading, explanation) in &table {
            assert_eq!(read(aggregation, *data), *reading, "{aggregation:?} of {data:?}");
            assert_eq!(extractor.explain(*data).as_deref(), *explanation, "{aggregation:?} of {data:?}");
        }
    }
}

#[test]
fn a_unique_count_tells_values_apart_by_their_text() {
    #[rustfmt::skip]
    let table = [
        (Some(r#"{"p":7}"#),                    distinct("7")),
        (Some(r#"{"p":7.00}"#),                 distinct("7")),
        (Some(r#"{"p":70e-1}"#),                distinct("7")),
        (Some(r#"{"p":"7"}"#),                  distinct("7")),
        (Some(r#"{"p":"\u0037"}"#),             distinct("7")),
        (Some(r#"{"p":"7.00"}"#),               distinct("7.00")),
        (Some(r#"{"p":-0}"#),                   distinct("0")),
        (Some(r#"{"p":0.50}"#),                 distinct("0.5")),
        (Some(r#"{"p":-12}"#),                  distinct("-12")),
        (Some(r#"{"p":1e400}"#),                distinct("1e400")),
        (Some(r#"{"p":1.0e400}"#),              distinct("1.0e400")),
        (Some(r#"{"p":79228162514264337593543950336}"#), distinct("79228162514264337593543950336")),
        (Some(r#"{"p":true}"#),                 distinct("true")),
        (Some(r#"{"p":false}"#),                distinct("false")),
        (Some(r#"{"p":""}"#),                   distinct("")),
        (Some(r#"{"p":{}}"#),                   distinct("")),
        (Some(r#"{"p":[7]}"#),                  distinct("")),
        (Some("{}"),                            distinct("")),
        (Some("null"),                          distinct("")),
        (None,                                  distinct("")),
        (Some(r#"{"p":null}"#),                 Err(NotCounted::NullValue)),
        (Some(r#"{"p":"null"}"#),               Err(NotCounted::NullValue)),
    ];
    for (data, reading) in table {
        assert_eq!(read(Aggregation::UniqueCount, data), reading, "{data:?}");
    }
    let extractor = Extractor::of(&meter(Aggregation::UniqueCount, Some("$.p"), &[]));
    assert_eq!(extractor.explain(None), None);
    assert_eq!(extractor.explain(Some(r#"{"p":null}"#)).as_deref(), Some("invalid event: value cannot be null"));
}

#[test]
fn two_events_without_the_property_one_with_null_and_one_a_are_two_distinct_values() {
    let data = ["{}", "{}", r#"{"p":null}"#, r#"{"p":"a"}"#];
    let seen = data.map(|data| read(Aggregation::UniqueCount, Some(data)));
    let distinct: std::collections::HashSet<_> = seen.iter().flatten().map(|reading| format!("{reading:?}")).collect();
    assert_eq!(distinct.len(), 2);
}

#[test]
fn every_event_counts_in_a_count() {
    for data in [None, Some("null"), Some("{}"), Some("broken")] {
        assert_eq!(read(Aggregation::Count, data), Ok(Reading::One));
    }
}

fn groups_of(texts: &[u8]) -> Vec<&str> {
    let mut rest = texts;
    let groups = std::iter::from_fn(|| next_group(&mut rest)).collect();
    assert!(rest.is_empty(), "all of it reads back");
    groups
}

#[test]
fn group_values_are_texts_in_the_order_of_their_names() {
    let long = format!("{}é", "x".repeat(200));
    let data = format!(
        r#"{{"p":1,"text":"eu","long":"{}\u00e9","number":1.50e2,"yes":true,"nothing":null,"parts":{{"a":[3]}}}}"#,
        "x".repeat(200)
    );
    #[rustfmt::skip]
    let groups = [
        ("a", "$.text"), ("b", "$.long"), ("c", "$.number"), ("d", "$.yes"), ("e", "$.nothing"), ("f", "$.parts"),
        ("g", "$.parts.a"), ("h", "$.parts.a[0]"), ("i", "$.none"), ("j", "no path"), ("k", "$.text"),
    ];
    let mut texts = Vec::new();
    let extractor = Extractor::of(&meter(Aggregation::Sum, Some("$.p"), &groups));
    assert_eq!(extractor.read(Some(&data), &KEY, &mut texts), value("1"));
    assert_eq!(groups_of(&texts), ["eu", &long, "1.50e2", "true", "null", "", "", "3", "", "", "eu"]);
    texts.clear();
    assert_eq!(extractor.read(None, &KEY, &mut texts), Err(NotCounted::NoData));
    assert_eq!(groups_of(&texts), [""; 11]);
}

#[test]
fn a_path_that_does_not_parse_reads_nothing() {
    let extractor = Extractor::of(&meter(Aggregation::Sum, Some("p"), &[]));
    assert_eq!(extractor.read(Some(r#"{"p":1}"#), &KEY, &mut Vec::new()), Err(NotCounted::MissingValue));
    assert_eq!(extractor.explain(Some("{}")).as_deref(), Some(r#"invalid event: missing value property: "p""#));
}

#[test]
fn a_meter_may_have_more_places_than_fit_inline() {
    let names: Vec<(String, String)> = (0..SLOTS_INLINE * 4).map(|i| (format!("d{i:03}"), format!("$.k{i}"))).collect();
    let groups: Vec<(&str, &str)> = names.iter().map(|(name, path)| (name.as_str(), path.as_str())).collect();
    let mut texts = Vec::new();
    let extractor = Extractor::of(&meter(Aggregation::Count, None, &groups));
    assert_eq!(extractor.read(Some(r#"{"k63":"last","k0":"first"}"#), &KEY, &mut texts), Ok(Reading::One));
    let groups = groups_of(&texts);
    assert_eq!((groups.len(), groups[0], groups[63]), (64, "first", "last"));
}

proptest! {
    #[test]
    fn one_pass_for_many_meters_reads_what_each_reads_alone(
        p in "[0-9]{1,4}|\"[0-9a\\\\]{0,3}\"|null|true|\\{\\}|\\[1\\]",
        q in "\"[a-zé]{0,150}\"|\"\\\\u0041[a-z]{120,140}\"|[0-9]{1,3}",
        r in "\\{\"s\":[0-9]\\}|[0-9]|\"x\"",
        absent in any::<bool>(),
    ) {
        let data = format!(r#"{{"p":{p},"q":{q},"r":{r}}}"#);
        let data = (!absent).then_some(data.as_str());
        let meters = [
            meter(Aggregation::Sum, Some("$.p"), &[("q", "$.q"), ("s", "$.r.s")]),
            meter(Aggregation::Count, None, &[]),
            meter(Aggregation::UniqueCount, Some("$.q"), &[("r", "$.r"), ("again", "$.q")]),
        ];
        let mut alone = Vec::new();
        let mut texts_alone = Vec::new();
        for meter in &meters {
            let start = texts_alone.len();
            let reading = Extractor::of(meter).read(data, &KEY, &mut texts_alone);
            alone.push((reading, start..texts_alone.len()));
        }
        let mut together = Vec::new();
        let mut texts_together = Vec::new();
        MultiExtractor::of(&meters.each_ref()).read(data, &KEY, &mut texts_together, |index, reading, groups| {
            assert_eq!(index, together.len());
            together.push((reading, groups));
        });
        prop_assert_eq!(together, alone);
        prop_assert_eq!(texts_together, texts_alone);
    }

    #[test]
    fn no_data_makes_reading_panic(text in "[\"\\\\\\]\\[{}:, 0pnul-]{0,30}|.{0,20}", groups in proptest::collection::vec(any::<u8>(), 0..20)) {
        for aggregation in Aggregation::ALL {
            let extractor = Extractor::of(&meter(aggregation, Some("$.p"), &[("g", "$.p[0]")]));
            for data in [text.clone(), format!("{{\"p\":{text}}}"), format!("{{\"p\":\"{text}\"}}")] {
                let mut texts = Vec::new();
                let reading = extractor.read(Some(&data), &KEY, &mut texts);
                prop_assert_eq!(groups_of(&texts).len(), 1);
                prop_assert_eq!(extractor.explain(Some(&data)).is_some(), reading.is_err());
            }
        }
        let mut rest = &groups[..];
        while next_group(&mut rest).is_some() {}
    }
}
