//! The benchmark's stream of events and its ledger: what every total must be, to the last digit.
//!
//! 300-byte CloudEvents, random ids of 16 to 36 bytes, subjects by Zipf(1.0), 1 % sent twice, amounts of 1 to 12
//! digits, four users in ten thousand per event; optionally a third of them late by up to three days.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Subjects in the stream.
pub const SUBJECTS: usize = 2_000;
const USERS: usize = 5_000;
const MODELS: u64 = 6;
const REGIONS: u64 = 4;
/// One event in so many is sent twice.
const RETRY_EVERY: u64 = 100;
const LATE_SECONDS_MAX: u64 = 3 * 86_400;

/// The meters that every event of the stream matches.
pub const METERS_YAML: &str = "meters:
  - {slug: bench_amount, eventType: request, aggregation: SUM, valueProperty: $.amount, groupBy: {model: $.model, region: $.region}}
  - {slug: bench_requests, eventType: request, aggregation: COUNT}
  - {slug: bench_users, eventType: request, aggregation: UNIQUE_COUNT, valueProperty: $.user}
";

/// SplitMix64: small, seeded, good enough to draw a load from.
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `0..bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

/// What the meters must say.
pub struct Ledger {
    pub events: u64,
    pub sums: Vec<u128>,
    pub counts: Vec<u64>,
    users: Vec<[u64; USERS.div_ceil(64)]>,
}

impl Ledger {
    fn new() -> Self {
        Self {
            events: 0,
            sums: vec![0; SUBJECTS],
            counts: vec![0; SUBJECTS],
            users: vec![[0; USERS.div_ceil(64)]; SUBJECTS],
        }
    }

    pub fn sum(&self) -> u128 {
        self.sums.iter().sum()
    }

    /// Distinct users of all subjects.
    pub fn distinct_total(&self) -> u32 {
        let words = 0..USERS.div_ceil(64);
        words.map(|i| self.users.iter().fold(0, |all, user| all | user[i]).count_ones()).sum()
    }
}

/// Draws events and keeps the ledger of them.
pub struct Load {
    draw: Draw,
    /// Cumulative Zipf weights, scaled to the whole range of u64.
    zipf: Vec<u64>,
    pub ledger: Ledger,
    last: String,
    late: bool,
}

impl Load {
    pub fn new(seed: u64) -> Self {
        // Harmonic weights in integers: 2^40 / rank.
        let weights: Vec<u128> = (1..=SUBJECTS as u128).map(|rank| (1u128 << 40) / rank).collect();
        let total: u128 = weights.iter().sum();
        let mut sum = 0u128;
        let cumulate = |weight: &u128| {
            sum += weight;
            ((sum << 63) / total) as u64
        };
        let zipf = weights.iter().map(cumulate).collect();
        Self { draw: Draw::new(seed), zipf, ledger: Ledger::new(), last: String::new(), late: false }
    }

    /// From now on three events in ten are late, by up to three days.
    pub fn late(&mut self, late: bool) {
        self.late = late;
    }

    pub fn subject(&mut self) -> usize {
        let drawn = self.draw.next() >> 1;
        self.zipf.partition_point(|bound| *bound < drawn).min(SUBJECTS - 1)
    }

    /// One event; now and then the previous one again.
    pub fn event(&mut self, out: &mut String) {
        if !self.last.is_empty() && self.draw.below(RETRY_EVERY) == 0 {
            out.push_str(&self.last);
            return;
        }
        let start = out.len();
        let subject = self.subject();
        let (model, region) = (self.draw.below(MODELS), self.draw.below(REGIONS));
        let user = self.draw.below(USERS as u64) as usize;
        let digits = self.draw.below(12) as u32 + 1;
        let amount = self.draw.below(10u64.pow(digits));
        out.push_str("{\"specversion\":\"1.0\",\"id\":\"");
        self.id(out);
        out.push_str("\",\"source\":\"bench\",\"type\":\"request\",\"subject\":\"");
        write!(out, "customer-{subject:06}\",\"time\":\"").expect("a string takes text");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
        let late_s = if self.late && self.draw.below(10) < 3 { self.draw.below(LATE_SECONDS_MAX) } else { 0 };
        rfc3339(now.as_secs() - late_s, now.subsec_millis(), out);
        write!(
            out,
            "\",\"data\":{{\"amount\":{amount},\"model\":\"model-{model}\",\"region\":\"region-{region}\",\
             \"user\":\"user-{user:05}\",\"route\":\"/v1/chat/completions\",\"streaming\":true,\"status\":200}}}}"
        )
        .expect("a string takes text");
        self.ledger.events += 1;
        self.ledger.sums[subject] += u128::from(amount);
        self.ledger.counts[subject] += 1;
        self.ledger.users[subject][user / 64] |= 1 << (user % 64);
        self.last.clear();
        self.last.push_str(&out[start..]);
    }

    /// A JSON array of events, and how many there are (those sent twice included).
    pub fn batch(&mut self, events: usize) -> String {
        let mut body = String::with_capacity(events * 330);
        body.push('[');
        for i in 0..events {
            if i > 0 {
                body.push(',');
            }
            self.event(&mut body);
        }
        body.push(']');
        body
    }

    fn id(&mut self, out: &mut String) {
        const ALPHABET: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
        let length = 16 + self.draw.below(21) as usize;
        let mut bits = 0u64;
        for i in 0..length {
            if i % 10 == 0 {
                bits = self.draw.next();
            }
            out.push(char::from(ALPHABET[(bits & 63) as usize]));
            bits >>= 6;
        }
    }
}

/// Seconds since 1970 as RFC 3339 in UTC (days to civil date after Howard Hinnant).
pub fn rfc3339(seconds: u64, millis: u32, out: &mut String) {
    let (days, rest) = ((seconds / 86_400) as i64, seconds % 86_400);
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
        .expect("a string takes text");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_counts_each_event_once_though_some_are_sent_twice() {
        let mut load = Load::new(1);
        let body = load.batch(5_000);
        let events: Vec<serde_json::Value> = serde_json::from_str(&body).unwrap();
        let ids: std::collections::HashSet<&str> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
        assert_eq!(events.len(), 5_000);
        assert_eq!(ids.len() as u64, load.ledger.events);
        assert!(load.ledger.events < 5_000);
        assert!(load.ledger.counts[0] > 10 * load.ledger.counts[100].max(1), "Zipf favours the first");
        let bytes = body.len() / 5_000;
        assert!((280..320).contains(&bytes), "{bytes} bytes an event");
    }

    #[test]
    fn instants_are_written_as_jiff_writes_them() {
        for seconds in [0u64, 951_782_399, 951_782_400, 1_709_210_096, 4_102_444_800, 1_763_920_000] {
            let mut text = String::new();
            rfc3339(seconds, 0, &mut text);
            let expected: jiff::Timestamp = text.parse().unwrap();
            assert_eq!(expected.as_second() as u64, seconds, "{text}");
        }
    }
}
