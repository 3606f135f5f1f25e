//! Whose events are, as of now: for the usage of customers, and for lists that show a customer with each event.

use super::gate::Gate;
use crate::domain::customer::Customer;
use crate::domain::customer::attribution::attribute;
use crate::domain::fault::{Fault, Verdict};
use crate::domain::metering::query::StoredEvent;
use crate::store::{Database, customers, database};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use ulid::Ulid;

/// The customers that a question names.
#[derive(Debug, Clone)]
pub struct Attribution {
    /// By id.
    pub customers: Vec<Customer>,
    /// Whose each subject is, of all subjects that are theirs.
    pub owners: Arc<BTreeMap<String, Ulid>>,
}

/// What a customer is that is deleted by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// One like the others; it owns what no live one does.
    Found,
    Unknown,
}

/// Why customers were not found.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AttributionError {
    /// These ids are nobody's, in the order of the question.
    #[error("customers not found in namespace {namespace}: {}", .ids.join(", "))]
    Unknown { namespace: String, ids: Vec<String> },
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Whose the events of a list are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owners {
    /// By subject; others are nobody's.
    Known(BTreeMap<String, Ulid>),
    /// The business records are away.
    Unknown,
}

/// The customers of all namespaces, by what their events name.
pub struct Attributions {
    database: Database,
    gate: Arc<Gate>,
}

impl Attributions {
    pub fn new(database: Database, gate: Arc<Gate>) -> Self {
        Self { database, gate }
    }

    /// The customers with these ids, exactly as they are written, all as of one moment.
    pub async fn of(&self, namespace: &str, ids: &[String], deleted: Deleted) -> Result<Attribution, AttributionError> {
        self.gate.check()?;
        let known: Vec<Ulid> = ids.iter().filter_map(|id| exactly(id)).collect();
        let mut client = self.database.client().await?;
        let snapshot = database::snapshot(&mut client).await?;
        let mut found = customers::by_ids(&snapshot, namespace, &known).await?;
        found.retain(|customer| deleted == Deleted::Found || customer.deleted_at.is_none());
        let unknown = unknown(ids, &found);
        if !unknown.is_empty() {
            return Err(AttributionError::Unknown { namespace: namespace.to_string(), ids: unknown });
        }
        let texts: Vec<String> = found.iter().flat_map(Customer::attribution).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let owners = customers::owners(&snapshot, namespace, &texts).await?;
        Ok(Attribution { owners: Arc::new(attribute(&found, &owners)), customers: found })
    }

    /// Whose these events are. A list goes on while the business records are away: then it is not known.
    pub async fn owners(&self, namespace: &str, events: &[StoredEvent]) -> Result<Owners, Fault> {
        let subjects: BTreeSet<&str> = events.iter().map(|event| event.subject.as_str()).collect();
        if subjects.is_empty() {
            return Ok(Owners::Known(BTreeMap::new()));
        }
        match self.look_up(namespace, &Vec::from_iter(subjects)).await {
            Ok(owners) => Ok(Owners::Known(owners)),
            Err(fault) if fault.verdict == Verdict::Retry => {
                tracing::debug!(%fault, "events are listed without their customers");
                Ok(Owners::Unknown)
            }
            Err(fault) => Err(fault),
        }
    }

    async fn look_up(&self, namespace: &str, subjects: &[&str]) -> Result<BTreeMap<String, Ulid>, Fault> {
        self.gate.check()?;
        let owners = customers::owners(&self.database.client().await?, namespace, subjects).await?;
        Ok(owners.into_iter().map(|(subject, owner)| (subject, owner.id)).collect())
    }
}

impl Owners {
    pub fn of(&self, subject: &str) -> Option<Ulid> {
        match self {
            Self::Known(owners) => owners.get(subject).copied(),
            Self::Unknown => None,
        }
    }

    /// What the events list says of an event that is nobody's.
    pub fn fault(&self, subject: &str) -> Option<String> {
        let nobodys = matches!(self, Self::Known(owners) if !owners.contains_key(subject));
        nobodys.then(|| format!("no customer found for event subject: {subject}"))
    }
}

/// The id, if it is written as ids are: in capital letters.
fn exactly(text: &str) -> Option<Ulid> {
    Ulid::from_string(text).ok().filter(|id| id.to_string() == text)
}

/// Those that nobody has, each once.
fn unknown(ids: &[String], found: &[Customer]) -> Vec<String> {
    let has = |id: &String| exactly(id).is_some_and(|id| found.iter().any(|customer| customer.id == id));
    let mut seen = BTreeSet::new();
    ids.iter().filter(|id| !has(id) && seen.insert(id.as_str())).cloned().collect()
}
