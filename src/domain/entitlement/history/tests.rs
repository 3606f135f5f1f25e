use super::*;
use crate::domain::entitlement::grant::Grant;
use crate::domain::entitlement::terms::Reset;
use crate::domain::entitlement::testing::*;
use crate::domain::metering::meter::Aggregation;

/// Measures what is needed and tells.
fn told(terms: &Terms, events: &[Event], from: Instant, to: Instant, starts: &[Instant]) -> History {
    let needs = history_needs(terms, from, to, starts).unwrap();
    let usage: Vec<_> = needs.iter().map(|need| measure(terms.aggregation, events, need)).collect();
    history(terms, from, to, starts, &usage).unwrap()
}

/// `from to usage overage start {grants} end {grants} [usages]` of each segment.
fn lines(history: &History) -> Vec<String> {
    let short = |at: Instant| at.to_rfc3339()[5..16].replace('T', " ").replace(" 00:00", "");
    let line = |s: &Segment| {
        format!(
            "{} to {}: used {}, over {}, {} {{{}}} to {} {{{}}} [{}]",
            short(s.from),
            short(s.to),
            s.usage,
            s.overage,
            s.balance_at_start,
            held(&s.grants_at_start),
            s.balance_at_end,
            held(&s.grants_at_end),
            held(&s.grant_usages),
        )
    };
    history.segments.iter().map(line).collect()
}

fn starts(history: &History) -> Vec<String> {
    history.starts.iter().map(|(_, balance)| balance.to_plain()).collect()
}

/// Two-day periods from March 1, a grant of 10 from then and one of 20 from March 2.
fn march() -> (Terms, Vec<Event>) {
    let g1 = Grant { effective_at: at("03-01"), ..grant("G1", "10", 1) };
    let g2 = Grant {
        effective_at: at("03-02"),
        created_at: at("03-01"),
        max_rollover: quantity("5"),
        ..grant("G2", "20", 1)
    };
    let terms = Terms {
        measure_from: at("03-01"),
        period: recurrence("03-01", "P2D"),
        ..terms(Aggregation::Sum, vec![g1, g2])
    };
    (terms, events(&[("03-01 05:00", "13"), ("03-02 10:00", "4"), ("03-03 08:00", "2")]))
}

#[test]
fn every_phase_is_told_and_every_reset() {
    let (terms, usage) = march();
    let days = ["03-01", "03-02", "03-03"].map(at);
    let history = told(&terms, &usage, at("03-01"), at("03-04"), &days);
    assert_eq!(
        lines(&history),
        [
            "03-01 to 03-02: used 13, over 3, 10 {G1 10, G2 0} to 0 {G1 0, G2 0} [G1 10]",
            "03-02 to 03-03: used 4, over 0, 20 {G1 0, G2 20} to 13 {G1 0, G2 13} [G2 7]",
            "03-03 to 03-03: used 0, over 0, 5 {G1 0, G2 5} to 5 {G1 0, G2 5} []",
            "03-03 to 03-04: used 2, over 0, 5 {G1 0, G2 5} to 3 {G1 0, G2 3} [G2 2]",
        ]
    );
    assert_eq!(starts(&history), ["10", "20", "5"]);
}

#[test]
fn a_history_that_ends_with_a_reset_tells_it_and_what_begins() {
    let (mut terms, usage) = march();
    let g3 = Grant { effective_at: at("03-03"), ..grant("G3", "7", 2) };
    terms.grants.push(g3);
    let history = told(&terms, &usage, at("03-02"), at("03-03"), &[]);
    assert_eq!(
        lines(&history)[1..],
        [
            "03-03 to 03-03: used 0, over 0, 5 {G1 0, G2 5, G3 0} to 5 {G1 0, G2 5, G3 0} []",
            "03-03 to 03-03: used 0, over 0, 12 {G1 0, G2 5, G3 7} to 12 {G1 0, G2 5, G3 7} [G2 0, G3 0]",
        ]
    );
    // A moment earlier the reset has not happened.
    let history = told(&terms, &usage, at("03-02"), at("03-02 23:59:59"), &[]);
    assert_eq!(
        lines(&history),
        ["03-02 to 03-03: used 4, over 0, 20 {G1 0, G2 20, G3 0} to 13 {G1 0, G2 13, G3 0} [G2 7]"]
    );
}

#[test]
fn a_history_that_ends_with_a_refill_tells_it() {
    let (mut terms, usage) = march();
    terms.grants[0].recurrence = Some(recurrence("03-01", "P1D"));
    let history = told(&terms, &usage, at("03-01"), at("03-02"), &[]);
    assert_eq!(
        lines(&history),
        [
            "03-01 to 03-02: used 13, over 3, 10 {G1 10, G2 0} to 0 {G1 0, G2 0} [G1 10]",
            "03-02 to 03-02: used 0, over 0, 30 {G1 10, G2 20} to 27 {G1 7, G2 20} [G1 3, G2 0]",
        ]
    );
    assert_eq!(told(&terms, &usage, at("03-02"), at("03-02"), &[]), History::default());
}

#[test]
fn a_reset_tells_what_preserved_overage_takes() {
    let (mut terms, usage) = march();
    terms.resets = vec![Reset { anchor: Some(at("03-01 12:00")), ..reset("03-01 12:00", true) }];
    terms.grants[0].min_rollover = quantity("2");
    let history = told(&terms, &usage, at("03-01"), at("03-02"), &[at("03-01"), at("03-01 06:00")]);
    assert_eq!(
        lines(&history),
        [
            "03-01 to 03-01 12:00: used 13, over 3, 10 {G1 10} to 0 {G1 0} [G1 10]",
            "03-01 12:00 to 03-01 12:00: used 0, over 1, 2 {G1 2, G2 0} to 0 {G1 0, G2 0} [G1 2]",
            "03-01 12:00 to 03-02: used 0, over 1, 0 {G1 0, G2 0} to 0 {G1 0, G2 0} []",
        ]
    );
    assert_eq!(starts(&history), ["10", "0"]);
}

#[test]
fn a_history_may_begin_within_a_phase() {
    let (terms, usage) = march();
    let hours = ["03-01", "03-02 06:00", "03-02 11:00", "03-02 23:00"].map(at);
    let history = told(&terms, &usage, at("03-02 06:00"), at("03-02 23:30:30"), &hours);
    assert_eq!(
        lines(&history),
        ["03-02 06:00 to 03-02 23:31: used 4, over 0, 17 {G1 0, G2 17} to 13 {G1 0, G2 13} [G2 4]"]
    );
    assert_eq!(starts(&history), ["10", "17", "13", "13"], "overage of the day before is paid");
}

#[test]
fn unique_values_are_told_where_they_were_new() {
    let (mut terms, _) = march();
    terms.aggregation = Aggregation::UniqueCount;
    let usage = events(&[
        ("03-01 01:00", "a"),
        ("03-01 02:00", "b"),
        ("03-02 01:00", "b"),
        ("03-02 02:00", "c"),
        ("03-03 01:00", "a"),
    ]);
    let history = told(&terms, &usage, at("03-01"), at("03-04"), &["03-01 01:30", "03-02", "03-02 01:30"].map(at));
    let used: Vec<_> = history.segments.iter().map(|segment| segment.usage.to_plain()).collect();
    assert_eq!(used, ["2", "1", "0", "1"]);
    assert_eq!(starts(&history), ["9", "28", "28"]);
}

#[test]
fn a_level_is_told_as_it_was_at_the_end() {
    let (mut terms, _) = march();
    terms.aggregation = Aggregation::Latest;
    terms.grants[0].recurrence = Some(recurrence("03-01", "PT1H"));
    let usage = events(&[("03-01 05:00", "13"), ("03-02 10:00", "4")]);
    let days = ["03-01", "03-01 12:00", "03-02", "03-02 12:00", "03-03"].map(at);
    let history = told(&terms, &usage, at("03-01"), at("03-04"), &days);
    assert_eq!(
        lines(&history),
        [
            "03-01 to 03-02: used 13, over 3, 10 {G1 10, G2 0} to 0 {G1 0, G2 0} [G1 10]",
            "03-02 to 03-03: used 4, over 0, 30 {G1 10, G2 20} to 26 {G1 6, G2 20} [G1 4, G2 0]",
            "03-03 to 03-03: used 0, over 0, 30 {G1 10, G2 20} to 30 {G1 10, G2 20} []",
            "03-03 to 03-04: used 0, over 0, 30 {G1 10, G2 20} to 30 {G1 10, G2 20} [G1 0, G2 0]",
        ]
    );
    assert_eq!(starts(&history), ["10", "0", "17", "26", "30"]);
}
