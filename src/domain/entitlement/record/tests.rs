use super::super::testing::{at, id, recurrence};
use super::*;

fn entitlement(kind: Kind) -> Entitlement {
    Entitlement {
        id: id("e"),
        namespace: "default".to_string(),
        customer_id: id("c"),
        feature_id: id("f"),
        feature_key: "tokens".to_string(),
        kind,
        metadata: BTreeMap::new(),
        annotations: BTreeMap::new(),
        active_from: at("01-15 10:30:50"),
        active_to: None,
        created_at: at("01-15 10:30:50"),
        updated_at: at("01-15 10:30:50"),
        deleted_at: None,
    }
}

fn metered(measure_from: &str, usage_period: Recurrence) -> Entitlement {
    entitlement(Kind::Metered(Metered {
        is_soft_limit: false,
        issue_after_reset: None,
        issue_after_reset_priority: None,
        preserve_overage_at_reset: false,
        measure_from: at(measure_from),
        usage_period,
    }))
}

fn reset(when: &str, anchor: Option<&str>) -> Reset {
    Reset { at: at(when), anchor: anchor.map(at), preserve_overage: false }
}

#[test]
fn an_entitlement_is_active_from_its_start_to_before_its_end() {
    let open = entitlement(Kind::Boolean { usage_period: None });
    let ended = Entitlement { active_to: Some(at("02-01")), ..open.clone() };
    let deleted = Entitlement { deleted_at: Some(at("02-01")), ..open.clone() };
    let never = Entitlement { active_to: Some(open.active_from), ..open.clone() };
    #[rustfmt::skip]
    let table = [
        (&open,    "01-15 10:30:49", false),
        (&open,    "01-15 10:30:50", true),
        (&open,    "2200-01-01",     true),
        (&ended,   "01-31 23:59:59", true),
        (&ended,   "02-01",          false),
        (&deleted, "01-20",          false),
        (&never,   "01-15 10:30:50", false),
    ];
    for (entitlement, when, active) in table {
        assert_eq!(entitlement.is_active_at(at(when)), active, "{when}");
    }
}

#[test]
fn the_first_period_begins_where_measuring_does_and_resets_cut_periods_short() {
    let entitlement = metered("01-15 10:30", recurrence("01-01", "P1M"));
    let table: [(&[Reset], &str, &str, &str, &str); 7] = [
        (&[], "01-10", "01-15 10:30", "01-15 10:30", "02-01"),
        (&[], "01-20", "01-15 10:30", "01-15 10:30", "02-01"),
        (&[], "02-03", "01-15 10:30", "02-01", "03-01"), // an automatic reset is no last reset
        (&[reset("02-10", None)], "02-11", "02-10", "02-10", "03-01"),
        (&[reset("02-10", Some("02-10"))], "02-11", "02-10", "02-10", "03-10"),
        (&[reset("02-10", Some("02-10"))], "02-05", "02-10", "02-01", "02-10"),
        (&[reset("02-10", Some("02-10")), reset("02-12", None)], "03-11", "02-12", "03-10", "04-10"),
    ];
    for (resets, when, last, from, to) in table {
        assert_eq!(entitlement.last_reset(resets), Some(at(last)), "{when}");
        assert_eq!(entitlement.usage_period_at(resets, at(when)), Some(at(from)..at(to)), "{when}");
    }
}

#[test]
fn periods_of_an_hour_and_of_a_century_and_leap_days_are_periods() {
    #[rustfmt::skip]
    let table = [
        ("1990-01-01 00:20", "PT1H",  "2025-03-01 12:00", "2025-03-01 11:20", "2025-03-01 12:20"),
        ("2000-01-01",       "P100Y", "2025-03-01",       "2000-01-01",       "2100-01-01"),
        ("2024-02-29",       "P1Y",   "2025-02-28 12:00", "2025-02-28",       "2026-02-28"),
        ("2024-02-29",       "P1Y",   "2028-03-01",       "2028-02-29",       "2029-02-28"),
        ("2025-01-31",       "P1M",   "2025-03-30",       "2025-02-28",       "2025-03-31"),
    ];
    for (anchor, interval, when, from, to) in table {
        let entitlement = metered("1970-01-01", recurrence(anchor, interval));
        assert_eq!(entitlement.usage_period_at(&[], at(when)), Some(at(from)..at(to)), "{anchor} {interval}");
    }
}

#[test]
fn what_is_not_metered_has_no_last_reset_and_periods_only_where_it_was_given_some() {
    let plain = entitlement(Kind::Boolean { usage_period: None });
    assert_eq!((plain.last_reset(&[]), plain.usage_period_at(&[], at("02-03"))), (None, None));
    let usage_period = Some(recurrence("01-01 00:00:30", "P1M"));
    let by_month = entitlement(Kind::Static { config: "{}".to_string(), usage_period });
    let period = at("02-01 00:00:30")..at("03-01 00:00:30");
    assert_eq!((by_month.last_reset(&[]), by_month.usage_period_at(&[], at("02-03"))), (None, Some(period)));
}

#[test]
fn a_kind_is_read_by_its_name() {
    for kind in [EntitlementType::Metered, EntitlementType::Static, EntitlementType::Boolean] {
        assert_eq!(EntitlementType::parse(kind.as_str()), Some(kind));
    }
    assert_eq!(EntitlementType::parse("Metered"), None);
}
