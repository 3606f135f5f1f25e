//! `/api/v1/customers/{}/balances`: every feature at once, equal to the meter at every moment.

use super::*;
use support::Draw;

const MINUTE_NS: i64 = 60_000_000_000;
const STEPS: u32 = 150;
const KEYS: [&str; 3] = ["acme", "globex", "initech"];
const SUBJECTS: [&str; 6] = ["acme", "globex", "initech", "one", "two", "three"];
/// Meter and feature → how it counts.
const METERS: [(&str, &str); 4] =
    [("spent", "SUM"), ("jobs", "COUNT"), ("people", "UNIQUE_COUNT"), ("level", "LATEST")];

/// What happened in a run: each of it must.
#[derive(Debug, Default)]
struct Seen {
    compared: usize,
    used: usize,
    with_overage: usize,
    with_balance: usize,
    grants: usize,
    resets: usize,
    moved: usize,
    late: usize,
    /// By trackers, from memory; usage that came to them; trackers that were dropped.
    answered: u64,
    deltas: u64,
    forgotten: u64,
}

struct Walk {
    house: House,
    draw: Draw,
    events: usize,
    /// Who has which of the subjects that move, as an index into `KEYS`.
    has: [Option<usize>; 3],
    seen: Seen,
}

fn made(house: &House, path: &str, body: &Value) -> Value {
    let answer = house.post_json(path, body);
    assert_eq!(answer.status, 201, "{path} {body}: {}", answer.body);
    answer.json()
}

impl Walk {
    fn new(seed: u64) -> Self {
        let house = House::new();
        for (slug, aggregation) in METERS {
            let mut meter = json!({"slug": slug, "aggregation": aggregation, "eventType": "job", "groupBy": {"region": "$.region"}});
            match slug {
                "jobs" => {}
                "people" => meter["valueProperty"] = json!("$.user"),
                _ => meter["valueProperty"] = json!("$.n"),
            }
            house.create(&meter);
            made(&house, "/api/v1/features", &json!({"key": slug, "name": slug, "meterSlug": slug}));
        }
        let walk = Self { house, draw: Draw(seed), events: 0, has: [None; 3], seen: Seen::default() };
        for key in KEYS {
            made(&walk.house, "/api/v1/customers", &json!({"key": key, "name": key}));
            for (slug, _) in METERS {
                let body = json!({"type": "metered", "featureKey": slug, "measureUsageFrom": "CURRENT_PERIOD_START",
                    "usagePeriod": {"interval": "PT6H", "anchor": "2025-03-01T00:30:00Z"}, "issueAfterReset": 7});
                made(&walk.house, &format!("/api/v2/customers/{key}/entitlements"), &body);
            }
        }
        walk
    }

    fn send(&mut self) {
        let now = self.house.clock.nanos();
        let count = 1 + self.draw.below(5);
        let events: Vec<Value> = (0..count)
            .map(|_| {
                self.events += 1;
                let late = self.draw.chance(30);
                self.seen.late += usize::from(late);
                let age_min = self.draw.below(if late { 1_500 } else { 20 }) as i64;
                let time = weir::domain::time::Instant::from_nanos(now - age_min * MINUTE_NS).to_rfc3339();
                json!({"specversion": "1.0", "id": format!("e{}", self.events), "source": "walk", "type": "job",
                    "subject": self.draw.pick::<&str>(&SUBJECTS), "time": time,
                    "data": {"n": self.draw.below(12) as f64 / 4.0, "user": self.draw.below(5), "region": "eu"}})
            })
            .collect();
        self.house.send(&events);
    }

    fn entitlement(&mut self) -> String {
        let (key, slug) = (self.draw.pick::<&str>(&KEYS).to_string(), self.draw.pick(&METERS).0);
        format!("/api/v2/customers/{key}/entitlements/{slug}")
    }

    fn grant(&mut self) {
        let now = weir::domain::time::Instant::from_nanos(self.house.clock.nanos());
        let grant = json!({"amount": 1 + self.draw.below(9), "priority": 1 + self.draw.below(4),
            "effectiveAt": now.to_rfc3339(), "expiration": {"duration": "HOUR", "count": 1 + self.draw.below(30)}});
        let path = format!("{}/grants", self.entitlement());
        made(&self.house, &path, &grant);
        self.seen.grants += 1;
    }

    fn reset(&mut self) {
        let path = format!("{}/reset", self.entitlement());
        let body = json!({"retainAnchor": self.draw.chance(50), "preserveOverage": self.draw.chance(50)});
        let answer = self.house.post_json(&path, &body);
        // A second one within a minute is refused.
        assert!(matches!(answer.status, 204 | 400), "{path}: {}", answer.body);
        self.seen.resets += usize::from(answer.status == 204);
    }

    /// A subject goes to another customer, with all its history.
    fn move_subject(&mut self) {
        let which = self.draw.below(3) as usize;
        let to = self.draw.below(3) as usize;
        for (place, owner) in [(self.has[which], None), (Some(to), Some(to))] {
            self.has[which] = owner;
            let Some(customer) = place else { continue };
            let has = |subject: &usize| self.has[*subject] == Some(customer);
            let subjects: Vec<&str> = (0..3).filter(has).map(|subject| SUBJECTS[3 + subject]).collect();
            let body =
                json!({"name": KEYS[customer], "key": KEYS[customer], "usageAttribution": {"subjectKeys": subjects}});
            let path = format!("/api/v1/customers/{}", KEYS[customer]);
            let answer = self.house.client.put(&path, EITHER, body.to_string().as_bytes()).unwrap();
            assert_eq!(answer.status, 200, "{body}: {}", answer.body);
        }
        self.seen.moved += 1;
    }

    /// What trackers did since the last start.
    fn note_trackers(&mut self) {
        let trackers = self.house.get("/api/v1/debug/actors").json()["trackers"].clone();
        let count = |name: &str| trackers[name].as_u64().unwrap_or_else(|| panic!("{name}: {trackers}"));
        self.seen.answered += count("answered");
        self.seen.deltas += count("deltas");
        self.seen.forgotten += count("forgotten");
        assert_eq!((count("crashed"), count("drifted")), (0, 0), "{trackers}");
    }

    fn compare(&mut self, context: &str) {
        let key = self.draw.pick::<&str>(&KEYS).to_string();
        let customer = self.house.get(&format!("/api/v1/customers/{key}")).json()["id"].as_str().unwrap().to_string();
        let answer = self.house.get(&format!("/api/v1/customers/{key}/balances"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        let balances = answer.json();
        assert!(balances["position"].as_str().is_some_and(|position| position.starts_with("0:")), "{balances}");
        let access = self.house.get(&format!("/api/v1/customers/{key}/access")).json();
        let all = balances["balances"].as_array().unwrap();
        assert_eq!(
            all.iter().map(|it| it["featureKey"].as_str().unwrap()).collect::<Vec<_>>(),
            ["jobs", "level", "people", "spent"]
        );
        for balance in all {
            let feature = balance["featureKey"].as_str().unwrap();
            let context = format!("{context}: {key} {balance}");
            let number = |name: &str| balance[name].as_f64().unwrap_or_else(|| panic!("{name}: {context}"));
            let (usage, left, overage) = (number("usage"), number("balance"), number("overage"));
            assert_eq!(usage, self.metered(feature, &customer, balance), "{context}");
            let grants: f64 =
                balance["grantBalances"].as_object().unwrap().values().map(|it| it.as_f64().unwrap()).sum();
            assert_eq!(grants, left, "{context}");
            assert!(left == 0.0 || overage == 0.0, "{context}");
            let value = &access["entitlements"][feature];
            for (name, other) in [
                ("usage", "usage"),
                ("balance", "balance"),
                ("overage", "overage"),
                ("limit", "totalAvailableGrantAmount"),
                ("hasAccess", "hasAccess"),
                ("grantBalances", "grantBalances"),
            ] {
                assert_eq!(balance[name], value[other], "{context}");
            }
            self.seen.compared += 1;
            self.seen.used += usize::from(usage > 0.0);
            self.seen.with_overage += usize::from(overage > 0.0);
            self.seen.with_balance += usize::from(left > 0.0);
        }
    }

    /// What the meter says of the same time.
    fn metered(&self, feature: &str, customer: &str, balance: &Value) -> f64 {
        let (from, to) = (balance["period"]["from"].as_str().unwrap(), balance["evaluatedAt"].as_str().unwrap());
        if from == to {
            return 0.0;
        }
        let path = format!("/api/v1/meters/{feature}/query?from={from}&to={to}&filterCustomerId={customer}");
        let answer = self.house.get(&path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let rows = answer.json();
        rows["data"].as_array().unwrap().first().map_or(0.0, |row| row["value"].as_f64().unwrap())
    }
}

#[test]
fn a_balance_is_the_meters_whatever_happens() {
    let seed = support::seed("balances");
    let mut walk = Walk::new(seed);
    for step in 0..STEPS {
        match walk.draw.below(10) {
            0..=4 => walk.send(),
            5 => walk.grant(),
            6 => walk.reset(),
            7 => walk.move_subject(),
            _ => {
                let minutes = 1 + walk.draw.below(200) as i64;
                walk.house.clock.advance(minutes * MINUTE_NS + walk.draw.below(60) as i64 * 1_000_000_000);
            }
        }
        if step % 20 == 19 {
            walk.note_trackers();
            walk.house.restart();
        }
        walk.compare(&format!("seed {seed}, step {step}"));
    }
    println!("balances: seed {seed}: {:?}", walk.seen);
    let Seen { compared, used, with_overage, with_balance, grants, resets, moved, late, .. } = walk.seen;
    assert!(compared > 0 && [used, with_overage, with_balance, grants, resets, moved, late].iter().all(|n| *n > 0));
    let Seen { answered, deltas, forgotten, .. } = walk.seen;
    assert!(answered >= u64::from(STEPS), "trackers answer: {answered}");
    assert!(deltas > 0 && forgotten > 0, "usage reaches them, and writes drop them: {deltas} {forgotten}");
}

#[test]
fn balances_are_told_as_of_any_instant() {
    let walk = Walk::new(1);
    walk.house.send(&[json!({"specversion": "1.0", "id": "1", "source": "s", "type": "job", "subject": "acme",
        "time": "2025-03-01T12:00:10Z", "data": {"n": 9}})]);
    walk.house.clock.advance(10 * MINUTE_NS);
    let spent = |at: &str| {
        let answer = walk.house.get(&format!("/api/v1/customers/acme/balances?at={at}"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        let body = answer.json();
        let found = body["balances"].as_array().unwrap().iter().find(|it| it["featureKey"] == "spent").cloned();
        found.map(|it| (it["usage"].clone(), it["balance"].clone(), it["overage"].clone(), it["nextReset"].clone()))
    };
    let end = json!("2025-03-01T12:30:00Z");
    assert_eq!(spent("2025-03-01T12:00:00Z"), Some((json!(0), json!(7), json!(0), end.clone())));
    assert_eq!(spent("2025-03-01T12:00:10Z"), Some((json!(9), json!(0), json!(2), end)));
    assert_eq!(spent("2025-03-01T12:31:00Z"), Some((json!(0), json!(7), json!(0), json!("2025-03-01T18:30:00Z"))));
    assert_eq!(spent("2025-03-01T11:59:00Z"), None, "nothing was active");
    let unknown = walk.house.get("/api/v1/customers/nobody/balances");
    assert_eq!(problem(&unknown).0, 404);
    assert_eq!(problem(&walk.house.get("/api/v1/customers/acme/balances?at=noon")).0, 400);
}
