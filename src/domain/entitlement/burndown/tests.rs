use super::*;
use crate::domain::entitlement::interval::Interval;
use crate::domain::entitlement::recurrence::Recurrence;
use crate::domain::entitlement::terms::Reset;
use crate::domain::entitlement::testing::*;
use Aggregation::{Latest, Sum, UniqueCount};

#[test]
fn what_expires_first_burns_first_among_equals_and_priority_goes_before() {
    let b = Grant { expires_at: Some(at("01-11")), ..grant("B", "50", 1) };
    let terms = terms(Sum, vec![grant("A", "100", 10), b]);
    let usage = events(&[("01-03", "30"), ("01-12", "40"), ("01-20", "80")]);
    assert_reads(
        &terms,
        &usage,
        &[("01-10", "120/30/0/150 {B 20, A 100}"), ("01-11", "100/30/0/130 {A 100}"), ("01-31", "0/150/20/130 {A 0}")],
    );
}

#[test]
fn grants_burn_by_priority_then_expiry_then_age_then_id() {
    let later = |name| Grant { created_at: at("01-02"), ..grant(name, "1", 2) };
    let expiring = |name, end| Grant { expires_at: Some(at(end)), created_at: at("01-03"), ..grant(name, "1", 2) };
    let grants = vec![
        later("H"),
        later("G"),
        grant("Z", "1", 2),
        expiring("Y", "03-01"),
        expiring("X", "02-01"),
        grant("W", "1", 1),
        Grant { voided_at: Some(at("01-20")), ..later("A") },
    ];
    assert_reads(
        &terms(Sum, grants),
        &events(&[("01-03", "3.5")]),
        &[("01-10", "3.5/3.5/0/7 {W 0, X 0, Y 0, Z 0.5, A 1, G 1, H 1}")],
    );
}

#[test]
fn a_recurrence_refills_and_never_adds() {
    let daily = Grant { recurrence: Some(recurrence("01-01", "P1D")), ..grant("D", "10", 1) };
    let used = events(&[("01-01 12:00", "6")]);
    assert_reads(&terms(Sum, vec![daily]), &used, &[("01-01 23:00", "4/6/0/10 {D 4}"), ("01-02", "10/6/0/16 {D 10}")]);

    let weekly = Grant { recurrence: Some(recurrence("01-01", "P1W")), ..grant("R", "40", 1) };
    let usage = events(&[("01-02", "25"), ("01-09", "55"), ("01-16", "5")]);
    assert_reads(
        &terms(Sum, vec![weekly]),
        &usage,
        &[
            ("01-08", "40/25/0/65 {R 40}"),
            ("01-14 23:00", "0/80/15/65 {R 0}"),
            ("01-15", "25/80/0/105 {R 25}"),
            ("01-20", "20/85/0/105 {R 20}"),
        ],
    );
}

#[test]
fn a_reset_rolls_over_between_the_minimum_and_the_maximum() {
    for (left, rolled) in [("70", "50"), ("30", "30"), ("0", "10")] {
        let g = Grant { min_rollover: quantity("10"), max_rollover: quantity("50"), ..grant("G", "100", 1) };
        let used = quantity("100").checked_sub(quantity(left)).unwrap().to_plain();
        let terms = terms(Sum, vec![g]);
        assert_reads(
            &terms,
            &events(&[("01-05", &used)]),
            &[("02-01", &format!("{rolled}/0/0/{rolled} {{G {rolled}}}"))],
        );
    }
    // Without rollover fields v1's maximum is 0 and v2's the amount.
    let v1 = Grant { max_rollover: Quantity::ZERO, ..grant("A", "100", 1) };
    let usage = events(&[("01-05", "120")]);
    assert_reads(&terms(Sum, vec![v1, grant("B", "60", 2)]), &usage, &[("02-01", "40/0/0/40 {A 0, B 40}")]);

    let g1 = Grant { min_rollover: quantity("20"), max_rollover: quantity("60"), ..grant("G1", "100", 1) };
    let g2 = Grant { max_rollover: Quantity::ZERO, ..grant("G2", "50", 2) };
    assert_reads(
        &terms(Sum, vec![issue("I", "30", 3), g1, g2]),
        &events(&[("01-15", "90"), ("02-10 01:00", "25")]),
        &[
            ("01-31", "90/90/0/180 {G1 10, G2 50, I 30}"),
            ("02-01", "50/0/0/50 {G1 20, G2 0, I 30}"),
            ("02-11", "25/25/0/50 {G1 0, G2 0, I 25}"),
            ("03-01", "50/0/0/50 {G1 20, G2 0, I 30}"),
        ],
    );
}

#[test]
fn a_new_grant_pays_the_overage_of_its_period() {
    let second = Grant { effective_at: at("01-10"), ..grant("B", "50", 1) };
    assert_reads(
        &terms(Sum, vec![grant("A", "100", 1), second]),
        &events(&[("01-05", "130")]),
        &[("01-09", "0/130/30/100 {A 0}"), ("01-10 00:01", "20/130/0/150 {A 0, B 20}")],
    );

    let g2 = Grant { effective_at: at("01-10 12:00"), ..grant("G2", "25", 1) };
    let g3 = Grant { effective_at: at("01-20"), ..grant("G3", "40", 1) };
    assert_reads(
        &terms(Sum, vec![grant("G1", "20", 1), g2, g3]),
        &events(&[("01-02", "50"), ("01-15", "3")]),
        &[
            ("01-09", "0/50/30/20 {G1 0}"),
            ("01-10 12:00", "0/50/30/20 {G1 0, G2 0}"),
            ("01-10 12:00:01", "0/50/5/45 {G1 0, G2 0}"),
            ("01-10 12:01", "0/50/5/45 {G1 0, G2 0}"),
            ("01-16", "0/53/8/45 {G1 0, G2 0}"),
            ("01-21", "32/53/0/85 {G1 0, G2 0, G3 32}"),
        ],
    );
}

#[test]
fn preserved_overage_is_paid_by_the_new_period() {
    let hundred = |preserve_overage| Terms {
        resets: vec![reset("01-10", preserve_overage)],
        ..terms(Sum, vec![issue("I", "100", 1)])
    };
    let usage = events(&[("01-05", "130")]);
    assert_reads(&hundred(true), &usage, &[("01-10", "70/0/0/100 {I 70}")]);
    assert_reads(&hundred(false), &usage, &[("01-10", "100/0/0/100 {I 100}")]);

    let g2 = Grant { effective_at: at("01-11"), max_rollover: quantity("30"), ..grant("G2", "50", 0) };
    let mut terms = terms(Sum, vec![issue("I", "60", 1), g2]);
    terms.resets = vec![reset("01-10", true)];
    let usage = events(&[("01-05", "140")]);
    assert_reads(
        &terms,
        &usage,
        &[
            ("01-09", "0/140/80/60 {I 0}"),
            ("01-10", "0/0/20/60 {I 0}"),
            ("01-12", "30/0/0/110 {G2 30, I 0}"),
            ("02-01", "90/0/0/90 {G2 30, I 60}"),
        ],
    );
    terms.resets = vec![reset("01-10", false)];
    assert_reads(&terms, &usage, &[("01-10", "60/0/0/60 {I 60}")]);
}

#[test]
fn a_backdated_grant_pays_for_what_was_used_since() {
    let g1 = grant("G1", "10", 5);
    let usage = events(&[("01-03", "10"), ("01-05", "6")]);
    assert_reads(&terms(Sum, vec![g1.clone()]), &usage, &[("01-08", "0/16/6/10 {G1 0}")]);
    let g2 = Grant { effective_at: at("01-02"), created_at: at("01-08"), ..grant("G2", "20", 1) };
    assert_reads(&terms(Sum, vec![g1, g2]), &usage, &[("01-09", "14/16/0/30 {G2 4, G1 10}")]);
}

#[test]
fn a_voided_grant_keeps_what_was_taken_from_it() {
    let voided = |when| Grant { voided_at: Some(at(when)), ..grant("G1", "100", 1) };
    let usage = events(&[("01-04", "30"), ("01-12", "60")]);
    for (when, expected) in
        [("01-10", "0/90/10/80 {G2 0}"), ("01-02", "0/90/40/50 {G2 0}"), ("01-01", "0/90/40/50 {G2 0}")]
    {
        assert_reads(&terms(Sum, vec![voided(when), grant("G2", "50", 2)]), &usage, &[("01-13", expected)]);
    }
}

#[test]
fn a_read_in_the_last_minute_of_a_period_is_of_that_period() {
    let from = at("01-15 10:30");
    let i = Grant { effective_at: from, ..issue("I", "100", 1) };
    let mut terms = Terms { measure_from: from, ..terms(Sum, vec![i]) };
    let usage = events(&[("01-15 10:29:59", "7"), ("01-15 10:30", "3"), ("01-31 08:00", "20"), ("02-02", "5")]);
    assert_reads(
        &terms,
        &usage,
        &[
            ("01-15 10:30", "100/0/0/100 {I 100}"),
            ("01-15 10:30:01", "97/3/0/100 {I 97}"),
            ("01-31 23:00", "77/23/0/100 {I 77}"),
            ("01-31 23:59", "77/23/0/100 {I 77}"),
            ("01-31 23:59:30", "77/23/0/100 {I 77}"),
            ("02-01", "100/0/0/100 {I 100}"),
            ("02-03", "95/5/0/100 {I 95}"),
        ],
    );
    let last = read(&terms, &usage, at("01-31 23:59:30"));
    assert_eq!((last.at, last.period), (at("02-01"), from..at("02-01")));
    assert_eq!(read(&terms, &usage, at("02-01")).period, at("02-01")..at("03-01"));
    terms.period.anchor = at("01-20");
    assert_eq!(read(&terms, &usage, at("01-16")).period, from..at("01-20"));
}

#[test]
fn what_happens_when_a_period_ends_is_not_seen_in_its_last_minute() {
    let begins = Grant { effective_at: at("02-01"), ..grant("B", "50", 1) };
    let ends = Grant { expires_at: Some(at("02-01")), ..grant("E", "10", 0) };
    let refills = Grant { recurrence: Some(recurrence("01-01", "P1M")), ..grant("R", "20", 2) };
    assert_reads(
        &terms(Sum, vec![begins, ends, refills]),
        &events(&[("01-05", "15"), ("01-31 23:59:50", "1")]),
        &[
            ("01-31 23:59", "15/15/0/30 {E 0, R 15}"),
            ("01-31 23:59:59.999999999", "14/16/0/30 {E 0, R 14}"),
            ("02-01", "70/0/0/70 {B 50, R 20}"),
        ],
    );
}

#[test]
fn before_measuring_begins_there_is_nothing() {
    for aggregation in [Sum, UniqueCount, Latest] {
        let terms = terms(aggregation, vec![Grant { effective_at: at("2024-12-01"), ..grant("A", "10", 1) }]);
        let usage = events(&[("2024-12-31 23:00", "3"), ("01-01", "4")]);
        for when in ["2024-12-31 12:00", "2024-12-31 23:59:59"] {
            assert_eq!(needs(&terms, at(when)), Ok(vec![]));
            assert_reads(&terms, &usage, &[(when, "0/0/0/0 {}")]);
        }
        assert_eq!(read(&terms, &usage, at("2024-12-01")).period, at("01-01")..at("02-01"));
        assert_reads(&terms, &usage, &[("01-01", "10/0/0/10 {A 10}")]);
    }
}

#[test]
fn unique_values_are_counted_once_in_a_period() {
    let at_noon = Grant { effective_at: at("01-01 12:00"), ..grant("N", "5", 2) };
    let morning = [("01-01 08:00", "x"), ("01-01 09:00", "y"), ("01-01 13:00", "y"), ("01-01 14:00", "z")];
    let terms_of_a_day = terms(UniqueCount, vec![grant("A", "2", 1), at_noon]);
    assert_reads(
        &terms_of_a_day,
        &events(&morning),
        &[("01-01 12:00", "0/2/0/2 {A 0, N 0}"), ("01-01 15:00", "4/3/0/7 {A 0, N 4}")],
    );

    let g2 = Grant { effective_at: at("01-10"), ..grant("G2", "5", 2) };
    let mut terms = terms(UniqueCount, vec![grant("G1", "10", 1), g2]);
    let usage =
        events(&[("01-03", "a"), ("01-04", "b"), ("01-12", "b"), ("01-13", "c"), ("02-02", "a"), ("02-03", "d")]);
    assert_reads(
        &terms,
        &usage,
        &[
            ("01-15", "12/3/0/15 {G1 7, G2 5}"),
            ("02-01", "12/0/0/12 {G1 7, G2 5}"),
            ("02-05", "10/2/0/12 {G1 5, G2 5}"),
        ],
    );
    let february = [(at("01-10"), at("02-01")), (at("02-01"), at("02-05"))];
    let needed: Vec<_> = needs(&terms, at("02-05")).unwrap()[1..].iter().map(|need| (need.from, need.to)).collect();
    assert_eq!(needed, [(at("01-01"), february[0].1), february[1]]);

    // A cut between the two values: one new value on each side.
    terms.grants.push(Grant { effective_at: at("02-02 12:00"), ..grant("G3", "1", 3) });
    let needs = needs(&terms, at("02-05")).unwrap();
    let seen: Vec<_> = needs[2..].iter().map(|need| measure(UniqueCount, &usage, need).to_plain()).collect();
    assert_eq!(seen, ["1", "2"]);
    assert_reads(&terms, &usage, &[("02-05", "11/2/0/13 {G1 5, G2 5, G3 1}")]);
}

#[test]
fn the_latest_value_is_a_level() {
    let g2 = Grant { effective_at: at("01-10"), ..grant("G2", "50", 2) };
    let terms = terms(Latest, vec![grant("G1", "100", 1), g2]);
    let usage = events(&[("01-03", "80"), ("01-05", "120"), ("01-12", "30")]);
    assert_reads(
        &terms,
        &usage,
        &[
            ("01-02", "100/0/0/100 {G1 100}"),
            ("01-04", "20/80/0/100 {G1 20}"),
            ("01-06", "0/120/20/100 {G1 0}"),
            ("01-11", "30/120/0/150 {G1 0, G2 30}"),
            ("01-13", "120/30/0/150 {G1 70, G2 50}"),
            ("01-31 23:59:30", "120/30/0/150 {G1 70, G2 50}"),
            ("02-01", "150/0/0/150 {G1 100, G2 50}"),
        ],
    );
    assert_eq!(needs(&terms, at("01-13")), Ok(vec![Need { from: at("01-01"), to: at("01-13") }]));
}

#[test]
fn negative_usage_goes_to_the_first_grant_that_holds_something() {
    let later = Grant { effective_at: at("01-10"), ..grant("B", "10", 2) };
    let terms = terms(Sum, vec![grant("A", "10", 1), later]);
    let returned = events(&[("01-02", "4"), ("01-03", "-6.5")]);
    assert_reads(&terms, &returned, &[("01-05", "12.5/-2.5/0/10 {A 12.5}")]);
    let spent_then_returned = events(&[("01-02", "10"), ("01-10 01:00", "-3")]);
    assert_reads(&terms, &spent_then_returned, &[("01-11", "13/7/0/20 {A 0, B 13}")]);

    let none = Terms { grants: Vec::new(), ..terms };
    assert_reads(&none, &events(&[("01-02", "-3")]), &[("01-05", "0/-3/-3/0 {}")]);
}

#[test]
fn a_reset_by_hand_on_the_end_of_a_period_is_one_reset() {
    let g = Grant { min_rollover: quantity("10"), ..grant("G", "100", 1) };
    let mut terms = terms(Sum, vec![g]);
    terms.resets = vec![reset("02-01", true)];
    let usage = events(&[("01-05", "103")]);
    assert_reads(&terms, &usage, &[("02-01", "7/0/0/10 {G 7}"), ("02-02", "7/0/0/10 {G 7}")]);
}

#[test]
fn a_reset_moves_the_anchor_or_keeps_it() {
    let mut terms = terms(Sum, vec![issue("I", "10", 1)]);
    let january = at("01-01")..at("01-10");
    for (anchor, after, later) in [
        (None, at("01-10")..at("02-01"), at("02-01")..at("03-01")),
        (Some(at("01-10")), at("01-10")..at("02-10"), at("02-10")..at("03-10")),
    ] {
        terms.resets = vec![Reset { anchor, ..reset("01-10", false) }];
        assert_eq!(read(&terms, &[], at("01-09 23:59:30")).period, january);
        assert_eq!(read(&terms, &[], at("01-10")).period, after);
        assert_eq!(read(&terms, &[], at("02-15")).period.start, later.start);
        assert_eq!(read(&terms, &[], later.start).period, later);
    }
}

#[test]
fn overage_kept_over_a_boundary_is_paid_by_what_begins_there() {
    // Measured from long before the entitlement was made: its first grant begins with the period that was running.
    let i = Grant { effective_at: at("03-01"), ..issue("I", "100", 1) };
    let terms = Terms { preserve_overage_at_reset: true, ..terms(Sum, vec![i]) };
    let usage = events(&[("01-05", "30"), ("02-05", "20")]);
    assert_reads(&terms, &usage, &[("02-28", "0/20/50/0 {}"), ("03-01", "50/0/0/100 {I 50}")]);
    assert_reads(&terms, &usage, &[("03-02", "50/0/0/100 {I 50}")]);
}

#[test]
fn a_deletion_counts_from_its_minute() {
    let gone = Grant { deleted_at: Some(at("01-10 12:00:30.25")), ..grant("A", "10", 1) };
    let terms = terms(Sum, vec![gone]);
    assert_reads(&terms, &[], &[("01-10 11:59:30", "0/0/0/0 {}"), ("01-10 11:59", "10/0/0/10 {A 10}")]);
    assert_eq!(needs(&terms, at("01-11")).unwrap()[0].to, at("01-10 12:00"));
}

#[test]
fn needs_tile_time_in_whole_minutes() {
    let refills = Grant { recurrence: Some(recurrence("01-07", "P1W")), ..grant("R", "1", 1) };
    let begins = Grant { effective_at: at("01-20"), ..grant("B", "1", 1) };
    let mut terms = terms(Sum, vec![refills, begins]);
    terms.resets = vec![reset("01-10", false)];
    let bounds = ["01-01", "01-07", "01-10", "01-14", "01-20", "01-21", "01-28", "02-01", "02-01 00:01"].map(at);
    let tiles: Vec<_> = bounds.windows(2).map(|ends| Need { from: ends[0], to: ends[1] }).collect();
    assert_eq!(needs(&terms, at("02-01 00:00:07")), Ok(tiles));
}

#[test]
fn a_read_that_would_need_too_many_phases_is_refused() {
    let period = Recurrence { anchor: at("1990-01-01"), interval: Interval::parse("PT1H").unwrap() };
    let terms = Terms { measure_from: at("1990-01-01"), period, ..terms(Sum, Vec::new()) };
    assert_eq!(needs(&terms, at("2025-01-01")).map(|needs| needs.len()), Ok(306_816));
    assert_eq!(needs(&terms, at("2261-01-01")), Err(TooManyPhases));
}

#[test]
fn the_ends_of_time_do_not_panic() {
    for nanos in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX] {
        let instant = Instant::from_nanos(nanos);
        for measure_from in [at("01-01"), instant.floor_to_minute()] {
            let terms = Terms {
                measure_from,
                period: recurrence("2000-01-31", "P100Y"),
                grants: vec![Grant { effective_at: measure_from, ..grant("A", "1", 1) }],
                ..terms(Sum, Vec::new())
            };
            let _ = read(&terms, &[], instant);
            let _ = Burndown::new(&terms).start();
        }
    }
}

#[test]
fn amounts_keep_every_digit_and_say_when_they_cannot() {
    let fine = "123456789012345678901.1234567890123456789012345678";
    let terms = terms(Sum, vec![grant("A", fine, 1)]);
    let used = events(&[("01-02", "0.0000000000000000000000000001")]);
    assert_eq!(
        shown(&read(&terms, &used, at("01-03"))),
        format!(
            "123456789012345678901.1234567890123456789012345677/0.0000000000000000000000000001/0/{fine} {{A 123456789012345678901.1234567890123456789012345677}}"
        )
    );
    let largest = quantity("5789604461865809771178549250434395392663499233282");
    let two = Terms { resets: vec![reset("01-10", true)], ..terms };
    assert_eq!(balance(&two, at("01-11"), &[largest, largest]), Err(Overflow));
}
