//! A usage query, checked and typed, and its answer. How it is computed is the store's business; what is asked and
//! how rows are ordered is here, for both tiers.

use super::meter::Meter;
use super::progress::Progress;
use super::time_filter::{TimeFilter, stretches};
use super::window::Windows;
use crate::domain::position::Position;
use crate::domain::quantity::Quantity;
use crate::domain::time::Instant;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use ulid::Ulid;

/// What is asked of one meter. `from < to` where both are given.
#[derive(Debug, Clone)]
pub struct UsageQuery {
    pub meter: Arc<Meter>,
    /// Inclusive.
    pub from: Option<Instant>,
    /// Exclusive.
    pub to: Option<Instant>,
    /// `None`: one row per group over the whole period.
    pub window: Option<Windows>,
    /// Only events of these subjects; `None`: all.
    pub subjects: Option<Vec<String>>,
    /// Rows are told apart by subject.
    pub group_by_subject: bool,
    /// Only events of these customers, told apart by customer: whose each of `subjects` is. `None`: of everybody, and
    /// rows know nothing of customers. Set by [`UsageQuery::of_customers`].
    pub customers: Option<Arc<BTreeMap<String, Ulid>>>,
    /// Dimension names, each one of the meter's; rows are told apart by their values.
    pub group_by: Vec<String>,
    /// Only events whose dimension value passes; each key is one of the meter's dimensions.
    pub filters: BTreeMap<String, TextFilter>,
    /// Told how many raw events the answer takes, and how many of them are done.
    pub progress: Option<Arc<Progress>>,
}

impl UsageQuery {
    /// Asks for the usage of customers alone, and tells it apart: `owners` says whose each subject is. What was asked of
    /// subjects must hold as well. A customer's usage is counted from its events, never added up from its subjects':
    /// with UNIQUE_COUNT, users `a` and `b` of one subject and `b` and `c` of another are 3, not 4.
    pub fn of_customers(mut self, owners: Arc<BTreeMap<String, Ulid>>) -> Self {
        self.subjects = Some(match self.subjects.take() {
            Some(subjects) => subjects.into_iter().filter(|subject| owners.contains_key(subject)).collect(),
            None => owners.keys().cloned().collect(),
        });
        self.customers = Some(owners);
        self
    }

    /// Whether one window may have several rows.
    pub fn is_grouped(&self) -> bool {
        self.group_by_subject || self.customers.is_some() || !self.group_by.is_empty()
    }
}

/// Which values of a meter's events are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dimension {
    Subject,
    /// The name of a dimension; one that the meter does not have has no values.
    Group(String),
}

/// A question to the values of a dimension: those of every event that counts, of the meter's type, in the period;
/// also of one whose value cannot be read. The meter's `eventFrom` does not matter.
#[derive(Debug, Clone)]
pub struct ValuesQuery {
    pub meter: Arc<Meter>,
    pub dimension: Dimension,
    /// Inclusive.
    pub from: Option<Instant>,
    /// Exclusive.
    pub to: Option<Instant>,
}

/// A condition on one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextFilter {
    /// Equal to one of these.
    In(Vec<String>),
    /// Equal to none of these.
    NotIn(Vec<String>),
    /// Matches a pattern.
    Like(Pattern),
    NotLike(Pattern),
    /// Greater than `bound` by byte order, or equal to it where `inclusive`.
    Above {
        bound: String,
        inclusive: bool,
    },
    /// Less than `bound` by byte order, or equal to it where `inclusive`.
    Below {
        bound: String,
        inclusive: bool,
    },
    And(Vec<TextFilter>),
    Or(Vec<TextFilter>),
}

impl TextFilter {
    pub fn accepts(&self, text: &str) -> bool {
        match self {
            Self::In(values) => values.iter().any(|value| value == text),
            Self::NotIn(values) => values.iter().all(|value| value != text),
            Self::Like(pattern) => pattern.matches(text),
            Self::NotLike(pattern) => !pattern.matches(text),
            Self::Above { bound, inclusive } => text > bound.as_str() || (*inclusive && text == bound),
            Self::Below { bound, inclusive } => text < bound.as_str() || (*inclusive && text == bound),
            Self::And(all) => all.iter().all(|filter| filter.accepts(text)),
            Self::Or(any) => any.iter().any(|filter| filter.accepts(text)),
        }
    }

    /// The only texts that can pass, where the condition names them: what an index can be asked for.
    pub fn named(&self) -> Option<&[String]> {
        match self {
            Self::In(values) => Some(values),
            Self::And(all) => all.iter().find_map(TextFilter::named),
            _ => None,
        }
    }
}

/// An SQL `LIKE` pattern over the whole text: `%` stands for any characters, `_` for one, `\` takes the next
/// character as it is. `a%c` matches `abbc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
    ignore_case: bool,
    /// The text has to contain this, and nothing else is asked of it: what most patterns say.
    contained: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Exactly(char),
    One,
    Any,
}

impl Pattern {
    pub fn new(text: &str, ignore_case: bool) -> Self {
        let mut parts = Vec::with_capacity(text.len());
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '%' if parts.last() == Some(&Part::Any) => {}
                '%' => parts.push(Part::Any),
                '_' => parts.push(Part::One),
                // A backslash at the end stands for itself.
                '\\' => parts.extend(folded(chars.next().unwrap_or('\\'), ignore_case).map(Part::Exactly)),
                c => parts.extend(folded(c, ignore_case).map(Part::Exactly)),
            }
        }
        let contained = if ignore_case { None } else { contained(&parts) };
        Self { parts, ignore_case, contained }
    }

    /// As SQL writes it; in lower case where case does not matter.
    pub fn sql(&self) -> String {
        let mut text = String::with_capacity(self.parts.len());
        for part in &self.parts {
            match part {
                Part::Any => text.push('%'),
                Part::One => text.push('_'),
                Part::Exactly(c @ ('%' | '_' | '\\')) => text.extend(['\\', *c]),
                Part::Exactly(c) => text.push(*c),
            }
        }
        text
    }

    pub fn ignores_case(&self) -> bool {
        self.ignore_case
    }

    pub fn matches(&self, text: &str) -> bool {
        self.contained.as_ref().map_or_else(|| self.walk(text), |part| text.contains(part))
    }

    /// Steps back to the last `%` only, so the cost is at most the pattern's length times the text's.
    fn walk(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().flat_map(|c| folded(c, self.ignore_case)).collect();
        let (mut at, mut part) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.parts.get(part) {
                Some(Part::Any) => {
                    retry = Some((at, part));
                    part += 1;
                }
                Some(Part::One) => (at, part) = (at + 1, part + 1),
                Some(Part::Exactly(c)) if *c == text[at] => (at, part) = (at + 1, part + 1),
                _ => {
                    let Some((from, any)) = retry else { return false };
                    retry = Some((from + 1, any));
                    (at, part) = (from + 1, any + 1);
                }
            }
        }
        self.parts[part..].iter().all(|part| *part == Part::Any)
    }
}

/// The text between two `%`, when there is nothing else.
fn contained(parts: &[Part]) -> Option<String> {
    let [Part::Any, middle @ .., Part::Any] = parts else { return None };
    let exactly = |part: &Part| if let Part::Exactly(c) = part { Some(*c) } else { None };
    middle.iter().map(exactly).collect()
}

/// The character itself, or its lower-case form (which may be several) where case does not count.
fn folded(c: char, ignore_case: bool) -> impl Iterator<Item = char> {
    let lower = ignore_case.then(|| c.to_lowercase()).into_iter().flatten();
    lower.chain((!ignore_case).then_some(c))
}

/// One row of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    pub window_start: Instant,
    pub window_end: Instant,
    /// `Some` exactly when rows are told apart by subject.
    pub subject: Option<String>,
    /// `Some` exactly when rows are told apart by customer.
    pub customer: Option<Ulid>,
    /// Values of `UsageQuery::group_by`, in its order.
    pub groups: Vec<String>,
    pub value: Quantity,
}

/// Rows by window start, then as [`UsageRow::order_in_window`] says.
pub fn order_rows(rows: &mut [UsageRow]) {
    rows.sort_by(|a, b| a.window_start.cmp(&b.window_start).then_with(|| a.order_in_window(b)));
}

impl UsageRow {
    /// By subject descending (clients rely on it), then customer and group values ascending.
    pub fn order_in_window(&self, other: &Self) -> Ordering {
        let subject = other.subject.cmp(&self.subject);
        subject.then_with(|| self.customer.cmp(&other.customer)).then_with(|| self.groups.cmp(&other.groups))
    }
}

/// Why a well-formed query cannot be answered. Never a smaller number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryRefusal {
    #[error(
        "raw events before {kept_from} were removed by retention; ask from {kept_from} on, or in whole {whole} windows"
    )]
    RawRemoved { kept_from: String, whole: &'static str },
    #[error("the answer has more than {rows_max} rows; ask for a shorter period, larger windows or fewer groups")]
    TooManyRows { rows_max: usize },
}

/// A question to the events list. Everything given must hold.
#[derive(Debug, Clone)]
pub struct EventsQuery {
    pub namespace: String,
    /// Event time, inclusive and exclusive.
    pub from: Option<Instant>,
    pub to: Option<Instant>,
    /// Accepted-at, inclusive and exclusive.
    pub ingested_from: Option<Instant>,
    pub ingested_to: Option<Instant>,
    /// The id (exact) and source of one event: for `explain`. Then duplicates and conflicts are listed too.
    pub identity: Option<(Option<String>, String)>,
    /// Only of these subjects.
    pub subjects: Option<Vec<String>>,
    /// All filters of each list must accept.
    pub id: Vec<TextFilter>,
    pub source: Vec<TextFilter>,
    pub subject: Vec<TextFilter>,
    pub event_type: Vec<TextFilter>,
    pub time: Vec<TimeFilter>,
    pub ingested_at: Vec<TimeFilter>,
    pub order: EventOrder,
    /// Only what comes after this in the order: the last event of the page before.
    pub after: Option<EventCursor>,
    /// At most so many events.
    pub limit: usize,
    /// Told how many events the list takes to be read, and how many of them are done.
    pub progress: Option<Arc<Progress>>,
}

/// The order of a list. Total: among events of one instant the position decides, in the same direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventOrder {
    pub by: EventInstant,
    pub descending: bool,
}

/// Which of an event's two instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventInstant {
    Time,
    IngestedAt,
}

/// Where an event stands in an order: its instant of that order, then its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventCursor {
    pub at: Instant,
    pub position: Position,
}

impl EventsQuery {
    /// Every event of the namespace, newest first.
    pub fn newest(namespace: &str, limit: usize) -> Self {
        Self {
            namespace: namespace.to_owned(),
            from: None,
            to: None,
            ingested_from: None,
            ingested_to: None,
            identity: None,
            subjects: None,
            id: Vec::new(),
            source: Vec::new(),
            subject: Vec::new(),
            event_type: Vec::new(),
            time: Vec::new(),
            ingested_at: Vec::new(),
            order: EventOrder::NEWEST_FIRST,
            after: None,
            limit,
            progress: None,
        }
    }

    /// Where an event's time must lie, in nanoseconds: half-open, ascending, disjoint.
    pub fn times(&self) -> Vec<Range<i64>> {
        stretches(self.from, self.to, &self.time)
    }

    /// Where its accepted-at must lie.
    pub fn ingested_times(&self) -> Vec<Range<i64>> {
        stretches(self.ingested_from, self.ingested_to, &self.ingested_at)
    }
}

impl EventOrder {
    /// By event time, the latest first.
    pub const NEWEST_FIRST: Self = Self { by: EventInstant::Time, descending: true };

    /// The same events from the other end.
    pub fn reversed(self) -> Self {
        Self { descending: !self.descending, ..self }
    }

    /// Where an event stands in this order.
    pub fn cursor(self, event: &StoredEvent) -> EventCursor {
        self.place(event.time, event.accepted_at, event.position)
    }

    /// Where an event with these instants stands in this order.
    pub fn place(self, time: Instant, accepted_at: Instant, position: Position) -> EventCursor {
        let at = match self.by {
            EventInstant::Time => time,
            EventInstant::IngestedAt => accepted_at,
        };
        EventCursor { at, position }
    }

    /// True when `a` is listed before `b`.
    pub fn precedes(self, a: EventCursor, b: EventCursor) -> bool {
        if self.descending { a > b } else { a < b }
    }
}

/// One stored event, owned.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    pub position: Position,
    pub accepted_at: Instant,
    pub time: Instant,
    pub fate: super::Fate,
    pub id: String,
    pub source: String,
    pub event_type: String,
    pub subject: String,
    pub specversion: String,
    pub time_text: Option<String>,
    pub dataschema: Option<String>,
    pub datacontenttype: Option<String>,
    pub extensions: String,
    /// `data` as it came. A stored duplicate keeps none: its content is the winner's.
    pub data: Option<String>,
    /// Why it counts no longer, whatever its fate was.
    pub voided: Option<Voided>,
}

/// Which event is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventIdentity {
    pub namespace: String,
    pub source: String,
    pub id: String,
    /// When it happened. Without it only events are meant whose ids are remembered still.
    pub time: Option<Instant>,
}

/// What took an event out of all meters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voided {
    /// Where the record of it stands.
    pub by: Position,
    pub reason: String,
}

/// How far the past of a meter version has been counted (or, for a deleted one, its rows been removed).
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct MeterJob {
    pub slug: String,
    pub meter_id: String,
    pub version: String,
    /// `backfill` or `removal`.
    pub kind: &'static str,
    /// What is behind it, and what there is in all: events read by a backfill, rows of the runs that a removal has
    /// done with.
    pub done: u64,
    pub total: u64,
    pub finished: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::metering::Aggregation;
    use crate::domain::metering::meter::MeterDraft;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_matches_as_sql_like_does() {
        #[rustfmt::skip]
        let table = [
            ("a%c", "abbc", false, true), ("a%c", "abbd", false, false), ("%", "", false, true), ("", "", false, true),
            ("", "a", false, false), ("_", "é", false, true), ("_", "", false, false), ("%b%", "abc", false, true),
            ("a\\%c", "a%c", false, true), ("a\\%c", "abc", false, false), ("a\\", "a\\", false, true),
            ("GPT%", "gpt-4", false, false), ("GPT%", "gpt-4", true, true), ("%a%a%b", "aaaaab", false, true),
            ("É_", "éX", true, true),
        ];
        for (pattern, text, ignore_case, matches) in table {
            assert_eq!(Pattern::new(pattern, ignore_case).matches(text), matches, "{pattern} on {text}");
        }
    }

    #[test]
    fn bounds_compare_bytes() {
        let above = |inclusive| TextFilter::Above { bound: "m".into(), inclusive };
        let below = |inclusive| TextFilter::Below { bound: "m".into(), inclusive };
        assert!(above(false).accepts("n") && !above(false).accepts("m") && above(true).accepts("m"));
        assert!(below(false).accepts("Z") && !below(false).accepts("m") && below(true).accepts("m"));
    }

    #[test]
    fn the_texts_that_can_pass_are_those_it_names() {
        let named = |filter: TextFilter| filter.named().map(<[String]>::to_vec);
        let some = TextFilter::In(vec!["a".into(), "b".into()]);
        let above = TextFilter::Above { bound: "a".into(), inclusive: true };
        assert_eq!(named(some.clone()), Some(vec!["a".into(), "b".into()]));
        assert_eq!(named(TextFilter::And(vec![above.clone(), some.clone()])), Some(vec!["a".into(), "b".into()]));
        assert_eq!(named(TextFilter::Or(vec![some.clone(), above])), None, "another text may pass, too");
        assert_eq!(named(TextFilter::NotIn(vec!["a".into()])), None);
    }

    #[test]
    fn usage_of_customers_is_of_the_subjects_that_are_theirs() {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let owners: BTreeMap<String, Ulid> = texts(&["a", "b"]).into_iter().map(|text| (text, Ulid::from(7))).collect();
        #[rustfmt::skip]
        let table: [(Option<&[&str]>, &[&str]); 4] = [
            (None, &["a", "b"]), (Some(&["b", "c"]), &["b"]), (Some(&["c"]), &[]), (Some(&[]), &[]),
        ];
        for (asked, left) in table {
            let query = UsageQuery { subjects: asked.map(texts), ..whole() }.of_customers(Arc::new(owners.clone()));
            assert_eq!((query.subjects, query.customers), (Some(texts(left)), Some(Arc::new(owners.clone()))));
        }
    }

    fn whole() -> UsageQuery {
        let draft = MeterDraft {
            slug: "jobs".to_string(),
            name: None,
            description: None,
            aggregation: Aggregation::Count,
            event_type: "job".to_string(),
            event_from: None,
            value_property: None,
            group_by: BTreeMap::new(),
            metadata: None,
        };
        let (id, now) = (Ulid::from(1), Instant::from_nanos(0));
        UsageQuery {
            meter: Arc::new(draft.check("default", id, id, now).unwrap()),
            from: None,
            to: None,
            window: None,
            subjects: None,
            group_by_subject: false,
            customers: None,
            group_by: Vec::new(),
            filters: BTreeMap::new(),
            progress: None,
        }
    }

    proptest! {
        #[test]
        fn a_text_matches_itself_when_escaped(text in ".{0,20}") {
            let escaped: String = text.chars().flat_map(|c| ['\\', c]).collect();
            prop_assert!(Pattern::new(&escaped, false).matches(&text));
            let contains = format!("%{}%", escaped);
            let longer = format!("x{}y", text);
            prop_assert!(Pattern::new(&contains, false).matches(&longer));
        }

        #[test]
        fn a_pattern_that_asks_for_a_part_is_quick_and_means_the_same(part in "[ab_\\\\%]{0,4}", text in "[ab]{0,6}") {
            let pattern = Pattern::new(&format!("%{part}%"), false);
            prop_assert_eq!(pattern.matches(&text), pattern.walk(&text));
        }
    }
}
