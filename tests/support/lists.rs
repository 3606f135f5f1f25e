//! What there is: the values of a meter's events, and the lists of events, page by page.

use super::Draw;
use super::client::{Client, encode, instant, nanos};
use super::customers::{Customer, owner};
use super::model::{Event, ListQuery};
use super::stream::{SUBJECTS, TYPES};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const DAY_NS: i128 = 86_400_000_000_000;
/// Pages of one list that are looked at.
const PAGES_MAX: usize = 3;

/// A random period, as every question for values can have it.
pub fn period(draw: &mut Draw, now_ns: i128) -> (Option<i128>, Option<i128>) {
    let from = now_ns - draw.below(80 * 86_400) as i128 * 1_000_000_000;
    let to = from + 1 + draw.below(30 * 86_400) as i128 * 1_000_000_000;
    (draw.chance(60).then_some(from), draw.chance(60).then_some(to))
}

/// A meter's subjects, or the values of a dimension; the meter by its id.
pub fn values(
    client: &Client,
    id: &str,
    dimension: Option<&str>,
    (from_ns, to_ns): (Option<i128>, Option<i128>),
) -> Vec<String> {
    let what = dimension.map_or("subjects".to_string(), |name| format!("group-by/{name}/values"));
    let bound = |name: &str, ns: Option<i128>| ns.map(|ns| format!("{name}={}", encode(&instant(ns))));
    let bounds: Vec<String> = [bound("from", from_ns), bound("to", to_ns)].into_iter().flatten().collect();
    let path = format!("/api/v1/meters/{id}/{what}?{}", bounds.join("&"));
    let answer = client.get(&path).expect("weir runs");
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    serde_json::from_str(&answer.body).expect("a list of texts")
}

/// How many events happened today or later, by subject.
pub fn event_counts(client: &Client) -> BTreeMap<String, u64> {
    let answer = client.get("/api/v1/debug/metrics").expect("weir runs");
    let of_line = |line: &str| {
        let (subject, count) = line.strip_prefix("openmeter_events_total{subject=\"")?.rsplit_once("\"} ")?;
        Some((subject.to_string(), count.strip_suffix(".0")?.parse().ok()?))
    };
    let lines = answer.body.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| of_line(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

/// The version whose list is asked. That of v2 has one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    V2,
    V3,
}

/// A random question to a list. `customers`: all, as they are now.
pub fn query(draw: &mut Draw, list: List, now_ns: i128, customers: &[Customer]) -> ListQuery {
    let some_subjects = |draw: &mut Draw| (0..2).map(|_| draw.pick(&SUBJECTS[..]).to_string()).collect();
    let ago = |draw: &mut Draw| now_ns - draw.below(60 * 86_400) as i128 * (DAY_NS / 86_400);
    let some_customers = |draw: &mut Draw| {
        let live: Vec<&Customer> = customers.iter().filter(|customer| customer.is_live()).collect();
        let ids = (0..2).map(|_| draw.pick(&live).id.clone());
        (!live.is_empty()).then(|| ids.collect())
    };
    ListQuery {
        subjects: draw.chance(30).then(|| some_subjects(draw)),
        customers: draw.chance(30).then(|| some_customers(draw)).flatten(),
        event_type: draw.chance(30).then(|| draw.pick(&TYPES[..]).to_string()),
        not_source: draw.chance(30).then(|| "api".to_string()),
        time_from_ns: draw.chance(40).then(|| ago(draw)),
        accepted_before_ns: draw.chance(40).then(|| ago(draw)),
        by_acceptance: list == List::V3 && draw.chance(50),
        ascending: list == List::V3 && draw.chance(50),
    }
}

/// An event as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    id: String,
    source: String,
    event_type: String,
    subject: String,
    time_ns: i128,
    accepted_ns: i128,
    /// As it came.
    data: String,
    /// Its id.
    customer: Option<String>,
    /// It is told that it is nobody's.
    nobodys: bool,
}

impl Shown {
    /// `customers`: all, as they are now.
    pub fn of(event: &Event, customers: &[Customer]) -> Self {
        let owner = owner(customers, &event.subject);
        Self {
            id: event.id.clone(),
            source: event.source.clone(),
            event_type: event.event_type.clone(),
            subject: event.subject.clone(),
            time_ns: event.time_ns,
            accepted_ns: event.accepted_ns,
            data: event.render_data(),
            customer: owner.map(|owner| owner.id.clone()),
            nobodys: owner.is_none(),
        }
    }
}

/// The first pages of a list; whether they are all.
pub fn pages(client: &Client, list: List, query: &ListQuery, limit: usize) -> (Vec<Shown>, bool) {
    let question = match list {
        List::V2 => format!("/api/v2/events?limit={limit}&filter={}", encode(&of_v2(query).to_string())),
        List::V3 => format!("/api/v3/openmeter/events?page[size]={limit}&{}", of_v3(query)),
    };
    let (mut shown, mut cursor) = (Vec::new(), None::<String>);
    for _ in 0..PAGES_MAX {
        let after = match (list, &cursor) {
            (_, None) => String::new(),
            (List::V2, Some(cursor)) => format!("&cursor={}", encode(cursor)),
            (List::V3, Some(cursor)) => format!("&page[after]={}", encode(cursor)),
        };
        let answer = client.get(&format!("{question}{after}")).expect("weir runs");
        assert_eq!(answer.status, 200, "{question}{after}: {}", answer.body);
        let page = read(&answer.body);
        assert!(page.events.len() <= limit, "{question}{after}: {} events", page.events.len());
        shown.extend(page.events);
        cursor = page.next;
        if cursor.is_none() {
            return (shown, true);
        }
        assert_eq!(shown.len() % limit, 0, "{question}{after}: a page that is not full has no next one");
    }
    (shown, false)
}

fn of_v2(query: &ListQuery) -> Value {
    let members = [
        ("subject", query.subjects.as_ref().map(|subjects| json!({"$in": subjects}))),
        ("customerId", query.customers.as_ref().map(|ids| json!({"$in": ids}))),
        ("type", query.event_type.as_ref().map(|event_type| json!({"$eq": event_type}))),
        ("source", query.not_source.as_ref().map(|source| json!({"$ne": source}))),
        ("time", query.time_from_ns.map(|ns| json!({"$gte": instant(ns)}))),
        ("ingestedAt", query.accepted_before_ns.map(|ns| json!({"$lt": instant(ns)}))),
    ];
    let members = members.into_iter().filter_map(|(name, filter)| Some((name.to_string(), filter?)));
    Value::Object(members.collect::<Map<_, _>>())
}

fn of_v3(query: &ListQuery) -> String {
    let field = if query.by_acceptance { "ingested_at" } else { "time" };
    let filters = [
        ("sort", Some(format!("{field} {}", if query.ascending { "asc" } else { "desc" }))),
        ("filter[subject][oeq]", query.subjects.as_ref().map(|subjects| subjects.join(","))),
        ("filter[customer_id][oeq]", query.customers.as_ref().map(|ids| ids.join(","))),
        ("filter[type]", query.event_type.clone()),
        ("filter[source][neq]", query.not_source.clone()),
        ("filter[time][gte]", query.time_from_ns.map(instant)),
        ("filter[ingested_at][lt]", query.accepted_before_ns.map(instant)),
    ];
    let filters = filters.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", encode(&value?))));
    filters.collect::<Vec<_>>().join("&")
}

struct Page {
    events: Vec<Shown>,
    next: Option<String>,
}

fn read(body: &str) -> Page {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Wire {
        #[serde(alias = "data")]
        items: Vec<Item>,
        next_cursor: Option<String>,
        meta: Option<Meta>,
    }
    #[derive(serde::Deserialize)]
    struct Meta {
        page: MetaPage,
    }
    #[derive(serde::Deserialize)]
    struct MetaPage {
        next: Option<String>,
    }
    #[derive(serde::Deserialize)]
    struct Item {
        event: WireEvent,
        #[serde(alias = "ingestedAt")]
        ingested_at: String,
        #[serde(rename = "customerId")]
        customer_id: Option<String>,
        customer: Option<Reference>,
        #[serde(rename = "validationError")]
        validation_error: Option<String>,
        #[serde(default)]
        validation_errors: Vec<Told>,
    }
    #[derive(serde::Deserialize)]
    struct Reference {
        id: String,
    }
    #[derive(serde::Deserialize)]
    struct Told {
        message: String,
    }
    #[derive(serde::Deserialize)]
    struct WireEvent {
        id: String,
        source: String,
        r#type: String,
        subject: String,
        time: String,
        data: Box<RawValue>,
    }
    let wire: Wire = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    let shown = |item: Item| {
        let Item { event, ingested_at, customer_id, customer, validation_error, validation_errors } = item;
        let nobodys = format!("no customer found for event subject: {}", event.subject);
        let told = validation_errors.into_iter().map(|told| told.message).chain(validation_error);
        Shown {
            nobodys: told
                .flat_map(|told| told.lines().map(str::to_string).collect::<Vec<_>>())
                .any(|told| told == nobodys),
            customer: customer_id.or(customer.map(|customer| customer.id)),
            id: event.id,
            source: event.source,
            event_type: event.r#type,
            subject: event.subject,
            time_ns: nanos(&event.time),
            accepted_ns: nanos(&ingested_at),
            data: event.data.get().to_string(),
        }
    };
    Page {
        events: wire.items.into_iter().map(shown).collect(),
        next: wire.next_cursor.or(wire.meta.and_then(|meta| meta.page.next)),
    }
}
