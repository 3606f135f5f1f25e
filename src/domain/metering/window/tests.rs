//! Windows around every kind of clock change, and that they tile in all zones.

use super::*;
use proptest::prelude::*;

fn instant(text: &str) -> Instant {
    Instant::parse(text).expect(text)
}

#[test]
fn a_window_follows_the_clocks_of_its_zone() {
    use WindowSize::*;
    #[rustfmt::skip]
    let table = [
        // size   instant                          zone                    start                     end
        (Day,    "2025-03-09T12:00:00Z",          "America/New_York",     "2025-03-09T05:00:00Z",  "2025-03-10T04:00:00Z"), // 23 h
        (Day,    "2025-11-02T12:00:00Z",          "America/New_York",     "2025-11-02T04:00:00Z",  "2025-11-03T05:00:00Z"), // 25 h
        (Day,    "2025-03-09T12:00:00Z",          "America/Los_Angeles",  "2025-03-09T08:00:00Z",  "2025-03-10T07:00:00Z"),
        (Day,    "2025-03-01T00:00:00Z",          "",                     "2025-03-01T00:00:00Z",  "2025-03-02T00:00:00Z"),
        (Day,    "2025-02-28T23:59:59.999999999Z", "UTC",                 "2025-02-28T00:00:00Z",  "2025-03-01T00:00:00Z"),
        (Hour,   "2025-06-01T10:20:00Z",          "Asia/Kathmandu",       "2025-06-01T10:15:00Z",  "2025-06-01T11:15:00Z"), // +05:45
        (Minute, "2025-06-01T10:20:30.5Z",        "Asia/Kathmandu",       "2025-06-01T10:20:00Z",  "2025-06-01T10:21:00Z"),
        (Minute, "1920-06-01T10:20:30Z",          "Africa/Monrovia",      "1920-06-01T10:20:30Z",  "1920-06-01T10:21:30Z"), // −00:44:30
        (Minute, "1969-12-31T23:59:59.999999999Z", "UTC",                 "1969-12-31T23:59:00Z",  "1970-01-01T00:00:00Z"),
        (Month,  "2024-02-29T23:59:59Z",          "UTC",                  "2024-02-01T00:00:00Z",  "2024-03-01T00:00:00Z"),
        (Month,  "2025-01-31T23:30:00Z",          "Europe/Berlin",        "2025-01-31T23:00:00Z",  "2025-02-28T23:00:00Z"),
        (Month,  "2025-03-31T12:00:00Z",          "America/New_York",     "2025-03-01T05:00:00Z",  "2025-04-01T04:00:00Z"),
        (Month,  "2024-12-31T23:00:00Z",          "UTC",                  "2024-12-01T00:00:00Z",  "2025-01-01T00:00:00Z"),
        // An hour that clocks show twice is two windows.
        (Hour,   "2025-11-02T05:30:00Z",          "America/New_York",     "2025-11-02T05:00:00Z",  "2025-11-02T06:00:00Z"),
        (Hour,   "2025-11-02T06:30:00Z",          "America/New_York",     "2025-11-02T06:00:00Z",  "2025-11-02T07:00:00Z"),
        // Lord Howe changes by half an hour: back at 15:00Z, forward at 15:30Z.
        (Hour,   "2025-04-05T14:10:00Z",          "Australia/Lord_Howe",  "2025-04-05T14:00:00Z",  "2025-04-05T15:00:00Z"),
        (Hour,   "2025-04-05T15:10:00Z",          "Australia/Lord_Howe",  "2025-04-05T15:00:00Z",  "2025-04-05T15:30:00Z"), // 30 min
        (Hour,   "2025-04-05T15:40:00Z",          "Australia/Lord_Howe",  "2025-04-05T15:30:00Z",  "2025-04-05T16:30:00Z"),
        (Hour,   "2025-10-04T15:10:00Z",          "Australia/Lord_Howe",  "2025-10-04T14:30:00Z",  "2025-10-04T15:30:00Z"),
        (Hour,   "2025-10-04T15:40:00Z",          "Australia/Lord_Howe",  "2025-10-04T15:30:00Z",  "2025-10-04T16:00:00Z"), // 30 min
        (Day,    "2025-04-05T15:10:00Z",          "Australia/Lord_Howe",  "2025-04-05T13:00:00Z",  "2025-04-06T13:30:00Z"),
        // Midnight does not exist: the day begins at one.
        (Day,    "2018-11-04T12:00:00Z",          "America/Sao_Paulo",    "2018-11-04T03:00:00Z",  "2018-11-05T02:00:00Z"),
        // Clocks jumped from 23:30 to 00:30: the day begins with the jump.
        (Day,    "1919-03-31T12:00:00Z",          "America/Toronto",      "1919-03-31T04:30:00Z",  "1919-04-01T04:00:00Z"),
        // Clocks went from 00:01 back to 23:01: the new day has begun, and goes on.
        (Day,    "2006-10-29T02:10:00Z",          "America/St_Johns",     "2006-10-28T02:30:00Z",  "2006-10-29T02:30:00Z"),
        (Day,    "2006-10-29T03:10:00Z",          "America/St_Johns",     "2006-10-29T02:30:00Z",  "2006-10-30T03:30:00Z"),
        // Samoa had no 30 December 2011; Kwajalein had 47 hours of 30 September 1969.
        (Day,    "2011-12-30T09:00:00Z",          "Pacific/Apia",         "2011-12-29T10:00:00Z",  "2011-12-30T10:00:00Z"),
        (Day,    "2011-12-30T10:00:00Z",          "Pacific/Apia",         "2011-12-30T10:00:00Z",  "2011-12-31T10:00:00Z"),
        (Day,    "1969-09-30T20:00:00Z",          "Pacific/Kwajalein",    "1969-09-29T13:00:00Z",  "1969-10-01T12:00:00Z"),
    ];
    for (size, at, name, start, end) in table {
        let window = size.window_at(instant(at), &zone(name).unwrap());
        let shown = (window.start.to_rfc3339(), window.end.to_rfc3339());
        assert_eq!(shown, (start.into(), end.into()), "{size:?} of {at} in {name}");
    }
}

#[test]
fn only_exact_names_are_zones() {
    for name in ["Europe/Berlin", "Asia/Kolkata", "US/Eastern", "Etc/UTC", "GMT", "Etc/GMT+5"] {
        assert_eq!(zone(name).unwrap().iana_name(), Some(name));
    }
    for name in ["", "UTC"] {
        assert_eq!(zone(name), Ok(TimeZone::UTC));
    }
    for name in [
        "europe/berlin",
        "utc",
        "Utc",
        "Local",
        "localtime",
        "Etc/Unknown",
        "CET-1CEST",
        "+02:00",
        "Berlin",
        " UTC",
        "../UTC",
    ] {
        assert_eq!(zone(name), Err(UnknownZone(name.to_owned())));
    }
    assert_eq!(zone("Mars/Base").unwrap_err().to_string(), "unknown time zone Mars/Base");
}

#[test]
fn the_ends_of_time_do_not_panic() {
    for name in ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"] {
        for size in SIZES {
            for nanos in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
                let window = size.window_at(Instant::from_nanos(nanos), &zone(name).unwrap());
                assert!(window.start.nanos() <= nanos && nanos <= window.end.nanos(), "{size:?} {name} {nanos}");
            }
        }
    }
}

const SIZES: [WindowSize; 4] = [WindowSize::Minute, WindowSize::Hour, WindowSize::Day, WindowSize::Month];

fn any_zone() -> impl Strategy<Value = TimeZone> {
    let names: Vec<String> = ZONES.available().map(|name| name.to_string()).filter(|name| zone(name).is_ok()).collect();
    proptest::sample::select(names).prop_map(|name| zone(&name).expect("an available zone"))
}

/// Any instant, or one close to a change of the clocks.
fn any_instant(zone: &TimeZone, nanos: i64, near: Option<i64>) -> Instant {
    let change = zone.following(timestamp(Instant::from_nanos(nanos))).next();
    match (near, change) {
        (Some(off), Some(change)) if change.timestamp() < at_second(9_000_000_000) => {
            Instant::from_nanos(clamped(change.timestamp()).nanos() + off)
        }
        _ => Instant::from_nanos(nanos),
    }
}

/// 1900 to 2261.
const INSTANTS: std::ops::Range<i64> = -2_208_988_800_000_000_000..9_214_646_400_000_000_000;
const TWO_DAYS_NS: i64 = 2 * 86_400 * SECOND_NS;

proptest! {
    #[test]
    fn windows_tile_and_contain_their_instants(
        zone in any_zone(),
        size in proptest::sample::select(&SIZES[..]),
        nanos in INSTANTS,
        near in proptest::option::of(prop_oneof![-TWO_DAYS_NS..TWO_DAYS_NS, -2i64..3]),
    ) {
        let at = any_instant(&zone, nanos, near);
        let window = size.window_at(at, &zone);
        prop_assert!(window.contains(at), "{:?} {}", window, at.to_rfc3339());
        prop_assert_eq!(size.window_at(window.start, &zone), window);
        prop_assert_eq!(size.window_at(Instant::from_nanos(window.end.nanos() - 1), &zone), window);
        prop_assert_eq!(size.window_at(window.end, &zone).start, window.end);
        prop_assert_eq!(size.window_at(Instant::from_nanos(window.start.nanos() - 1), &zone).end, window.start);
    }

    #[test]
    fn a_window_begins_where_the_clock_turns_or_is_changed(
        zone in any_zone(),
        nanos in INSTANTS,
        near in proptest::option::of(-TWO_DAYS_NS..TWO_DAYS_NS),
    ) {
        let at = any_instant(&zone, nanos, near);
        let local = |at: Instant| zone.to_datetime(timestamp(at));
        let start_of = |size: WindowSize| size.window_at(at, &zone).start;
        let just_before = |at: Instant| Instant::from_nanos(at.nanos() - 1);

        let (day, month) = (start_of(WindowSize::Day), start_of(WindowSize::Month));
        prop_assert!(local(just_before(day)).date() < local(day).date());
        prop_assert!(local(just_before(month)).date().first_of_month() < local(month).date().first_of_month());
        for size in [WindowSize::Minute, WindowSize::Hour] {
            let start = start_of(size);
            let turns = local(start).second() == 0 && (size == WindowSize::Minute || local(start).minute() == 0);
            let changed = zone.preceding(timestamp(start) + 1.nanosecond()).next().is_some_and(|c| c.timestamp() == timestamp(start));
            prop_assert!(turns || changed, "{:?} {}", size, start.to_rfc3339());
        }
    }

    #[test]
    fn cuts_tile_time(cuts in proptest::collection::btree_set(any::<i64>(), 2..9), at in any::<i64>()) {
        let windows = Windows::Cuts(cuts.iter().copied().map(Instant::from_nanos).collect());
        for at in cuts.into_iter().chain([at]).filter(|at| *at < i64::MAX).map(Instant::from_nanos) {
            let window = windows.window_at(at);
            prop_assert!(window.contains(at));
            prop_assert_eq!(windows.window_at(window.start), window);
            prop_assert!(window.end.nanos() == i64::MAX || windows.window_at(window.end).start == window.end);
        }
    }

    #[test]
    fn no_name_makes_the_look_up_panic(name in ".{0,20}|[A-Za-z/_+-]{0,20}") {
        if let Ok(zone) = zone(&name) {
            prop_assert!(name.is_empty() || zone.iana_name() == Some(&name));
        }
    }
}
