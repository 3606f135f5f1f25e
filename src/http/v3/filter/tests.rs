use super::*;
use proptest::prelude::*;

const FIELDS: [Field; 3] = [("key", Kind::Text), ("time", Kind::Time), ("owner", Kind::Ulid)];
const ID: &str = "01JN8T4Q6Z0000000000000CVS";

fn parse(pairs: &[(&str, &str)]) -> Result<Filters, Refusal> {
    Filters::parse(pairs.iter().map(|(path, value)| Sent { path, value }).collect(), &FIELDS)
}

fn refusal(path: &str, value: &str) -> String {
    parse(&[(path, value)]).unwrap_err().to_string()
}

#[test]
fn every_operator_on_a_text_accepts_what_it_says() {
    #[rustfmt::skip]
    let table = [
        ("key", "jobs", "jobs", "job"),            ("key][eq", "jobs", "jobs", "Jobs"),
        ("key][neq", "jobs", "job", "jobs"),       ("key][contains", "OB", "jobs", "jabs"),
        ("key][contains", "%", "5%", "five"),      ("key][contains", "_", "a_b", "ab"),
        ("key][contains", "\\", "a\\b", "ab"),     ("key][ocontains", "x, OB,", "jobs", "jabs"),
        ("key][oeq", " a ,,jobs", "jobs", "b"),    ("key][gt", "m", "n", "m"),
        ("key][gte", "m", "m", "l"),               ("key][lt", "m", "l", "m"),
        ("key][lte", "m", "m", "n"),               ("key][lt", "a", "Z", "a"),
    ];
    for (path, value, passes, fails) in table {
        let filters = parse(&[(path, value)]).unwrap();
        assert!(filters.accept("key", Some(passes)), "{path}={value} takes {passes}");
        assert!(!filters.accept("key", Some(fails)), "{path}={value} leaves {fails}");
        assert!(!filters.accept("key", None), "{path}={value} leaves what has no key");
        assert!(filters.accept("name", Some(fails)), "{path}={value} says nothing of a name");
        assert!(filters.texts("key").iter().all(|filter| filter.accepts(passes)));
        assert!(!filters.texts("key").iter().all(|filter| filter.accepts(fails)));
    }
}

#[test]
fn a_field_can_be_asked_to_be_there_or_not() {
    #[rustfmt::skip]
    let table = [
        ("key", "", true),              ("key][exists", "", true),      ("key][exists", "true", true),
        ("key][exists", "0", false),    ("key][nexists", "", false),    ("key][nexists", "false", true),
    ];
    for (path, value, there) in table {
        let filters = parse(&[(path, value)]).unwrap();
        assert_eq!(filters.accept("key", Some("x")), there, "{path}={value}");
        assert_eq!(filters.accept("key", None), !there, "{path}={value}");
        assert_eq!(filters.texts("key").iter().all(|filter| filter.accepts("x")), there, "{path}={value}");
    }
}

#[test]
fn every_operator_on_a_time_accepts_what_it_says() {
    let times = ["09:59:59", "10:00:00", "10:00:01"];
    #[rustfmt::skip]
    let table = [
        ("time", [false, true, false]),     ("time][eq", [false, true, false]), ("time][gt", [false, false, true]),
        ("time][gte", [false, true, true]), ("time][lt", [true, false, false]), ("time][lte", [true, true, false]),
    ];
    for (path, expected) in table {
        let filters = parse(&[(path, "2025-03-01T12:00:00+02:00")]).unwrap();
        let accepted = times.map(|time| {
            let at = Instant::parse(&format!("2025-03-01T{time}Z")).unwrap();
            filters.times("time").iter().all(|filter| filter.accepts(at))
        });
        assert_eq!(accepted, expected, "{path}");
    }
}

#[test]
fn an_id_is_compared_whole() {
    let other = ID.replace('V', "W");
    let list = format!("{other},{ID}");
    for (path, value, passes) in [("owner", ID, true), ("owner][oeq", &list, true), ("owner][neq", ID, false)] {
        assert_eq!(parse(&[(path, value)]).unwrap().accept("owner", Some(ID)), passes, "{path}");
    }
    for value in ["", "x", &ID.to_lowercase(), &ID.replace('V', "U"), &format!("8{}", &ID[1..])] {
        assert_eq!(refusal("owner", value), "filter[owner]: invalid ULID", "{value}");
    }
    assert_eq!(refusal("owner][gt", ID), "filter[owner][gt]: unsupported operator");
}

#[test]
fn all_operators_on_a_field_must_hold() {
    let filters = parse(&[("key][gte", "a"), ("key][lt", "m"), ("key][ocontains", "b,c")]).unwrap();
    let passing: Vec<&str> =
        ["ab", "ad", "mb", "c"].into_iter().filter(|key| filters.accept("key", Some(key))).collect();
    assert_eq!(passing, ["ab", "c"]);
}

#[test]
fn an_empty_list_filters_nothing() {
    for value in ["", ",", " , "] {
        assert_eq!(
            parse(&[("key][oeq", value), ("key][ocontains", value), ("owner][oeq", value)]),
            Ok(Filters::default())
        );
    }
}

#[test]
fn what_cannot_be_asked_is_refused_in_the_words_that_clients_know() {
    let many = vec!["a"; LIST_MAX + 1].join(",");
    let long = "x".repeat(VALUE_BYTES_MAX + 1);
    #[rustfmt::skip]
    let table = [
        ("size", "1",              "unknown filter field(s): size"),
        ("labels][env][eq", "x",   "unknown filter field(s): labels"),
        ("key][zz", "x",           "filter[key][zz]: unsupported operator"),
        ("key][a][b", "x",         "filter[key][a][b]: unsupported operator"),
        ("key][", "x",             "filter[key][]: unsupported operator"),
        ("time][gte", "2025-03-01", "filter[time][gte]: invalid datetime"),
        ("time", "",               "filter[time]: invalid datetime"),
        ("time][exists", "true",   "filter[time][exists]: unsupported operator"),
        ("key][exists", "yes",     "filter[key][exists]: must be true or false"),
        ("key][eq", "",            "filter is invalid: format mismatch"),
        ("key][contains", "",      "filter is invalid: format mismatch"),
        ("key][oeq", many.as_str(), "filter[key][oeq]: more than 50 items"),
        ("key", long.as_str(),     "filter[key]: value is longer than 1024 bytes"),
    ];
    for (path, value, text) in table {
        assert_eq!(refusal(path, value), text);
    }
    let several = parse(&[("b", "1"), ("key", "x"), ("a][eq", "1"), ("b][neq", "1")]).unwrap_err();
    assert_eq!(several.to_string(), "unknown filter field(s): a, b");
    let twice = parse(&[("key][eq", "x"), ("key][eq", "x")]).unwrap_err();
    assert_eq!(twice.to_string(), "filter[key][eq]: is there twice");
    assert!(parse(&[("key", &long[1..])]).is_ok());
}

#[test]
fn only_a_refused_empty_text_is_told_in_the_dialect_of_v1() {
    assert_eq!(Problem::from(Refusal::EmptyOperand).v3, None);
    let told = Problem::from(Refusal::NoTime("time".to_string())).v3.unwrap();
    assert_eq!((told[0].field.as_str(), told[0].rule, told[0].source), ("filter", Some("format"), "query"));
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(path in "[a-z\\[\\]]{0,12}", value in ".{0,30}") {
        let _ = parse(&[(&path, &value)]);
    }

    #[test]
    fn what_contains_a_part_is_found_by_it(before in ".{0,5}", part in "[ab%_\\\\]{1,5}", after in ".{0,5}") {
        let text = format!("{before}{part}{after}");
        prop_assert!(containing(&part, false).matches(&text));
        prop_assert_eq!(containing(&part, false).matches(&before), before.contains(&part));
    }
}
