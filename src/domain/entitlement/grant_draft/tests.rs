use super::super::grant::ExpirationUnit;
use super::super::interval::Interval;
use super::super::testing::{at, id, quantity, recurrence};
use super::*;

const NOW: &str = "05-20 10:30:45.123456";

fn draft() -> GrantDraft {
    GrantDraft {
        amount: quantity("100"),
        priority: 0,
        effective_at: at("05-20 10:30:59"),
        offset_s: 0,
        expiration: None,
        min_rollover: Quantity::ZERO,
        max_rollover: quantity("100"),
        recurrence: None,
        metadata: BTreeMap::new(),
        annotations: None,
    }
}

/// Of an entitlement whose current period began on May 1.
fn made(draft: GrantDraft) -> Result<GrantRecord, GrantRefusal> {
    draft.create("default", id("e"), at("05-01"), id("g"), at(NOW))
}

#[test]
fn the_first_broken_rule_is_reported() {
    let nul = BTreeMap::from([("\0".to_string(), String::new())]);
    let minus = quantity("-0.0000000000000000000000000001");
    let centuries = Some(Expiration { count: 1_000, unit: ExpirationUnit::Year });
    #[rustfmt::skip]
    let table = [
        (GrantDraft { amount: Quantity::ZERO, min_rollover: minus, ..draft() }, "amount must be positive"),
        (GrantDraft { amount: minus, ..draft() },                               "amount must be positive"),
        (GrantDraft { min_rollover: minus, max_rollover: minus, ..draft() },    "minRolloverAmount must not be negative"),
        (GrantDraft { max_rollover: minus, metadata: nul.clone(), ..draft() },  "maxRolloverAmount must not be negative"),
        (GrantDraft { metadata: nul, effective_at: at("04-30"), ..draft() },    "metadata must not contain the character U+0000"),
        (GrantDraft { effective_at: at("04-30 23:59:59"), expiration: centuries, ..draft() },
            "grant effective date 2025-04-30T23:59:00Z is before the current usage period 2025-05-01T00:00:00Z"),
        (GrantDraft { expiration: centuries, ..draft() },                       "expiration must end before the year 2262"),
    ];
    for (draft, text) in table {
        assert_eq!(made(draft).unwrap_err().to_string(), text);
    }
}

#[test]
fn a_grant_takes_effect_at_the_minute_and_may_lie_ahead() {
    for (asked, effective_at) in [("05-20 10:30:59", "05-20 10:30"), ("05-01", "05-01"), ("12-24 18:00", "12-24 18:00")]
    {
        let record = made(GrantDraft { effective_at: at(asked), ..draft() }).unwrap();
        assert_eq!(record.grant.effective_at, at(effective_at));
        assert_eq!((record.grant.created_at, record.grant.voided_at), (at(NOW), None));
    }
}

#[test]
fn a_grant_expires_as_the_clock_of_its_client_counts() {
    let month = Some(Expiration { count: 1, unit: ExpirationUnit::Month });
    // January 31 in UTC is February 1 two hours east of it.
    for (offset_s, expires_at) in [(0, "2026-03-03 23:00"), (7_200, "2026-02-28 23:00")] {
        let asked = GrantDraft { effective_at: at("2026-01-31 23:00"), offset_s, expiration: month, ..draft() };
        let record = made(asked).unwrap();
        assert_eq!((record.grant.expires_at, record.expiration), (Some(at(expires_at)), month));
    }
}

#[test]
fn a_recurrence_is_counted_from_its_anchor_or_from_where_the_grant_takes_effect() {
    let daily = |anchor: Option<&str>| {
        let interval = Interval::parse("PT24H").unwrap();
        let recurrence = Some(PeriodDraft { interval, anchor: anchor.map(at) });
        made(GrantDraft { recurrence, ..draft() }).unwrap().grant.recurrence.unwrap()
    };
    assert_eq!(daily(None), recurrence("05-20 10:30", "PT24H"));
    assert_eq!(daily(Some("01-01 06:00:30")), recurrence("01-01 06:00", "PT24H"));
}

#[test]
fn a_grant_is_voided_once_and_neither_ahead_nor_behind_the_period() {
    let record = made(draft()).unwrap();
    let period_from = at("05-01");
    #[rustfmt::skip]
    let table = [
        (None,                       Ok("05-20 10:30")),
        (Some("05-20 10:30:59"),     Ok("05-20 10:30")), // later than now, its minute is not
        (Some("05-01"),              Ok("05-01")),
        (Some("05-20 10:31"),        Err("grant cannot be voided in the future: 2025-05-20T10:31:00Z")),
        (Some("04-30 23:59:59"),     Err("grant cannot be voided at 2025-04-30T23:59:00Z, before the current usage period 2025-05-01T00:00:00Z")),
    ];
    for (asked, expected) in table {
        let voided = record.void(asked.map(at), period_from, at(NOW));
        let voided = voided.map(|record| record.grant.voided_at).map_err(|refusal| refusal.to_string());
        assert_eq!(voided, expected.map(|when| Some(at(when))).map_err(str::to_string));
    }
    let voided = record.void(None, period_from, at(NOW)).unwrap();
    assert_eq!(voided.updated_at, at(NOW));
    let again = voided.void(Some(at("2030-01-01")), period_from, at(NOW));
    assert_eq!(again.unwrap_err().to_string(), "grant already voided");
}

#[test]
fn a_reset_lies_between_the_last_one_and_now_and_within_the_period() {
    let metered = Metered {
        is_soft_limit: false,
        issue_after_reset: None,
        issue_after_reset_priority: None,
        preserve_overage_at_reset: true,
        measure_from: at("03-15 10:30"),
        usage_period: recurrence("01-01", "P1M"),
    };
    let first = Reset { at: at("05-10"), anchor: None, preserve_overage: false };
    let draft = |when: Option<&str>| ResetDraft { effective_at: when.map(at), ..ResetDraft::default() };
    type Row<'a> = (&'a [Reset], Option<&'a str>, Result<&'a str, &'a str>);
    #[rustfmt::skip]
    let table: [Row<'_>; 8] = [
        (&[],      None,                        Ok("05-20 10:30")),
        (&[],      Some("05-20 10:30:45.1"),    Ok("05-20 10:30")),
        (&[],      Some("05-01"),               Ok("05-01")), // on the boundary itself
        (&[],      Some("05-20 10:30:46"),      Err("reset at 2025-05-20T10:30:46Z is in the future")),
        (&[],      Some("04-30 23:59:59"),      Err("reset at 2025-04-30T23:59:00Z is before the current usage period 2025-05-01T00:00:00Z")),
        (&[],      Some("03-15 10:30:59"),      Err("reset at 2025-03-15T10:30:00Z must be after last reset at 2025-03-15T10:30:00Z")),
        (&[first], Some("05-10 00:00:59"),      Err("reset at 2025-05-10T00:00:00Z must be after last reset at 2025-05-10T00:00:00Z")),
        (&[first], Some("05-10 00:01"),         Ok("05-10 00:01")),
    ];
    for (resets, when, expected) in table {
        let made = draft(when).create(&metered, resets, at(NOW));
        assert_eq!(
            made.map(|reset| reset.at).map_err(|refusal| refusal.to_string()),
            expected.map(at).map_err(str::to_string)
        );
    }
    let plain = draft(Some("05-02")).create(&metered, &[], at(NOW)).unwrap();
    assert_eq!(plain, Reset { at: at("05-02"), anchor: Some(at("05-02")), preserve_overage: true });
    let asked = ResetDraft { retain_anchor: true, preserve_overage: Some(false), ..draft(Some("05-02")) };
    let kept = asked.create(&metered, &[], at(NOW)).unwrap();
    assert_eq!(kept, Reset { at: at("05-02"), anchor: None, preserve_overage: false });
}
