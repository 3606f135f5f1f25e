use super::super::testing::{at, id, quantity, recurrence};
use super::*;
use crate::domain::customer::CustomerDraft;

const NOW: &str = "05-20 10:30:45.123456";

fn feature(meter_id: Option<Ulid>) -> Feature {
    Feature {
        id: id("f"),
        namespace: "default".to_string(),
        key: "tokens".to_string(),
        name: "Tokens".to_string(),
        description: None,
        metadata: BTreeMap::new(),
        meter_id,
        meter_slug: meter_id.map(|_| "tokens".to_string()),
        filters: BTreeMap::new(),
        unit_cost: None,
        created_at: at("01-01"),
        updated_at: at("01-01"),
        archived_at: None,
    }
}

fn customer(key: Option<&str>) -> Customer {
    let draft = CustomerDraft { key: key.map(str::to_string), name: "Acme".to_string(), ..CustomerDraft::default() };
    draft.create("default", id("c"), at("01-01"))
}

fn period(interval: &str, anchor: Option<&str>) -> PeriodDraft {
    PeriodDraft { interval: Interval::parse(interval).expect(interval), anchor: anchor.map(at) }
}

fn draft(kind: KindDraft) -> EntitlementDraft {
    EntitlementDraft { feature_id: None, feature_key: Some("tokens".to_string()), metadata: BTreeMap::new(), kind }
}

fn monthly() -> MeteredDraft {
    MeteredDraft {
        is_soft_limit: false,
        usage_period: period("P1M", None),
        measure_from: MeasureFrom::Now,
        issue_after_reset: None,
        issue_after_reset_priority: None,
        preserve_overage_at_reset: false,
        grants: Vec::new(),
    }
}

fn grant() -> GrantDraft {
    GrantDraft {
        amount: quantity("1"),
        priority: 0,
        effective_at: at("05-20"),
        offset_s: 0,
        expiration: None,
        min_rollover: Quantity::ZERO,
        max_rollover: quantity("1"),
        recurrence: None,
        metadata: BTreeMap::new(),
        annotations: None,
    }
}

fn made(metered: MeteredDraft) -> Metered {
    let draft = draft(KindDraft::Metered(metered));
    draft.check().unwrap();
    let made = draft.create(&feature(Some(id("m"))), &customer(Some("acme")), id("e"), at(NOW)).unwrap();
    made.metered().unwrap().clone()
}

#[test]
fn the_first_broken_rule_is_reported() {
    let metered = |metered| draft(KindDraft::Metered(metered));
    let boolean = |usage_period| draft(KindDraft::Boolean { usage_period });
    let nul = BTreeMap::from([("a".to_string(), "\0".to_string())]);
    let issue = Some(quantity("0"));
    #[rustfmt::skip]
    let table = [
        (EntitlementDraft { metadata: nul, feature_key: None, ..boolean(None) }, "metadata must not contain the character U+0000"),
        (EntitlementDraft { feature_key: None, ..boolean(Some(period("PT59M", None))) }, "either featureId or featureKey must be provided"),
        (metered(MeteredDraft { issue_after_reset: issue, grants: vec![grant()], ..monthly() }), "issueAfterReset and grants cannot be used together"),
        (metered(MeteredDraft { issue_after_reset_priority: Some(1), usage_period: period("PT1M", None), ..monthly() }), "issueAfterResetPriority needs issueAfterReset"),
        (metered(MeteredDraft { issue_after_reset: Some(quantity("-1")), ..monthly() }), "issueAfterReset must not be negative"),
        (metered(MeteredDraft { usage_period: period("PT59M", None), ..monthly() }), "UsagePeriod must be at least 1 hour"),
        (boolean(Some(period("PT59M", None))), "UsagePeriod must be at least 1 hour"),
    ];
    for (draft, text) in table {
        assert_eq!(draft.check().unwrap_err().to_string(), text);
    }
    for interval in ["PT1H", "P100Y"] {
        assert_eq!(boolean(Some(period(interval, None))).check(), Ok(()));
    }
}

#[test]
fn what_the_feature_and_the_customer_must_have() {
    let without_meter = draft(KindDraft::Metered(monthly())).create(&feature(None), &customer(None), id("e"), at(NOW));
    let text = format!("invalid feature {}: Feature has no meter", id("f"));
    assert_eq!(without_meter.unwrap_err().to_string(), text);
    let boolean = draft(KindDraft::Boolean { usage_period: None });
    let unnamed = boolean.clone().create(&feature(None), &customer(None), id("e"), at(NOW));
    assert_eq!(unnamed, Err(EntitlementRefusal::CustomerUnnamed(id("c"))));
    let by_subject = Customer { subject_keys: vec!["a".to_string()], ..customer(None) };
    assert!(boolean.create(&feature(None), &by_subject, id("e"), at(NOW)).is_ok());
}

#[test]
fn an_id_names_the_feature_before_a_key() {
    let both =
        EntitlementDraft { feature_id: Some("01".to_string()), ..draft(KindDraft::Boolean { usage_period: None }) };
    assert_eq!(both.feature(), Ok(FeatureName::Id("01")));
    assert_eq!(EntitlementDraft { feature_id: None, ..both }.feature(), Ok(FeatureName::Key("tokens")));
}

#[test]
fn what_was_not_said_is_now_cut_to_the_minute() {
    let metered = made(monthly());
    assert_eq!(metered.usage_period, recurrence("05-20 10:30", "P1M"));
    assert_eq!(metered.measure_from, at("05-20 10:30"));
    let anchored = made(MeteredDraft { usage_period: period("P1M", Some("01-31 08:00:59")), ..monthly() });
    assert_eq!(anchored.usage_period, recurrence("01-31 08:00", "P1M"));
    let plain = draft(KindDraft::Boolean { usage_period: Some(period("P1M", None)) });
    let plain = plain.create(&feature(None), &customer(Some("acme")), id("e"), at(NOW)).unwrap();
    assert_eq!(plain.kind.usage_period(), Some(&recurrence(NOW, "P1M")), "without a meter the seconds stay");
    assert_eq!((plain.active_from, plain.active_to, plain.created_at), (at(NOW), None, at(NOW)));
}

#[test]
fn measuring_begins_where_it_was_asked_for() {
    let anchor = Some("01-31 08:00");
    #[rustfmt::skip]
    let table = [
        (MeasureFrom::Now,                           "05-20 10:30"),
        (MeasureFrom::CurrentPeriodStart,            "04-30 08:00"),
        (MeasureFrom::At(at("2024-02-29 12:00:59")), "2024-02-29 12:00"),
        (MeasureFrom::At(at("12-01")),               "12-01"),
    ];
    for (measure_from, expected) in table {
        let metered = made(MeteredDraft { measure_from, usage_period: period("P1M", anchor), ..monthly() });
        assert_eq!(metered.measure_from, at(expected));
    }
}

#[test]
fn a_default_grant_is_filled_up_by_every_reset() {
    let issue = |amount, priority| MeteredDraft {
        issue_after_reset: Some(quantity(amount)),
        issue_after_reset_priority: priority,
        usage_period: period("P1M", Some("01-01")),
        ..monthly()
    };
    // Digits that no float holds.
    let amount = "0.1234567890123456789012345678";
    let grant = made(issue(amount, None)).default_grant(at(NOW)).unwrap();
    assert_eq!([grant.amount, grant.min_rollover, grant.max_rollover], [quantity(amount); 3]);
    assert_eq!((grant.priority, grant.effective_at, grant.expiration), (1, at("05-20 10:30"), None));
    assert_eq!(grant.annotations.as_deref(), Some(r#"{"issueAfterReset":true}"#));
    assert_eq!(made(issue("5", Some(7))).default_grant(at(NOW)).unwrap().priority, 7);
    assert_eq!(made(issue("0", None)).default_grant(at(NOW)), None);
    assert_eq!(made(monthly()).default_grant(at(NOW)), None);
    // Measured for months already: from the start of the running period, not from the first.
    let long = MeteredDraft { measure_from: MeasureFrom::At(at("01-15")), ..issue("5", None) };
    assert_eq!(made(long).default_grant(at(NOW)).unwrap().effective_at, at("05-01"));
}
