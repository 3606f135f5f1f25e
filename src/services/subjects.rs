//! Subjects: made and changed by the array, found, listed, deleted.
//!
//! They are for people: events name a subject by its key whether or not there is one here. An id finds deleted
//! subjects too, a key only live ones; a key is free again after delete.

use super::gate::Gate;
use super::ids::Ids;
use super::writes::{Answered, Caller, Change, Done, Kept, Stop, WriteError, Writes};
use crate::domain::fault::Fault;
use crate::domain::time::Instant;
use crate::store::{Database, Lock, Transaction, subjects};
use serde::Serialize;
use serde_json::value::RawValue;
use std::convert::Infallible;
use std::sync::Arc;
use ulid::Ulid;

pub use crate::domain::subject::{Subject, SubjectChanges, SubjectRefusal};

/// How often a key is looked for that others make and delete at the same time.
const TURNS_MAX: u32 = 5;

/// Why a subject operation was not answered. Ordered: the first that applies is reported.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SubjectError {
    #[error("subject not found [namespace={namespace} subject.idOrKey={id_or_key}]")]
    NotFound { namespace: String, id_or_key: String },
    #[error(transparent)]
    Refused(#[from] SubjectRefusal),
    /// One array has the same new key twice.
    #[error("subject with key already exists: {0}")]
    KeyTaken(String),
    /// A read failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A write failed; its own refusals are those above.
    #[error(transparent)]
    Write(WriteError<Infallible>),
}

impl From<WriteError<SubjectError>> for SubjectError {
    fn from(error: WriteError<SubjectError>) -> Self {
        error.refusal().unwrap_or_else(Self::Write)
    }
}

/// The subjects of all namespaces.
pub struct Subjects {
    database: Database,
    writes: Arc<Writes>,
    gate: Arc<Gate>,
    ids: Ids,
}

impl Subjects {
    pub fn new(database: Database, writes: Arc<Writes>, gate: Arc<Gate>) -> Self {
        Self { database, writes, gate, ids: Ids::default() }
    }

    /// Makes or changes a subject for each element: all of them or, when one is refused, none. `show` makes the answer
    /// of the subjects in the order of the elements.
    pub async fn upsert(
        &self,
        caller: &Caller,
        elements: Vec<SubjectChanges>,
        show: impl FnOnce(&[Subject]) -> Kept,
    ) -> Result<Answered, SubjectError> {
        self.gate.check()?;
        elements.iter().try_for_each(SubjectChanges::check)?;
        let work = async |tx: &Transaction<'_>, now: Instant| {
            let written = self.write_all(tx, &caller.namespace, elements, now).await?;
            let audit = written.iter().map(Written::change).collect::<Result<_, Fault>>()?;
            let subjects: Vec<Subject> = written.into_iter().map(|written| written.after).collect();
            Ok(Done { kept: show(&subjects), audit, controls: Vec::new() })
        };
        Ok(self.writes.write(caller, work).await?)
    }

    /// Keys are taken in their own order, whatever the order of the elements: two arrays never wait for each other.
    async fn write_all(
        &self,
        tx: &Transaction<'_>,
        namespace: &str,
        elements: Vec<SubjectChanges>,
        now: Instant,
    ) -> Result<Vec<Written>, Stop<SubjectError>> {
        let mut waiting: Vec<(usize, Ulid, SubjectChanges)> =
            elements.into_iter().enumerate().map(|(index, changes)| (index, self.ids.next(now), changes)).collect();
        waiting.sort_by(|(_, _, a), (_, _, b)| a.key.cmp(&b.key));
        let mut written: Vec<(usize, Written)> = Vec::with_capacity(waiting.len());
        for (index, id, changes) in waiting {
            if written.last().is_some_and(|(_, last)| last.before.is_none() && last.after.key == changes.key) {
                return Err(Stop::Refused(SubjectError::KeyTaken(changes.key)));
            }
            written.push((index, write_one(tx, namespace, id, changes, now).await?));
        }
        written.sort_by_key(|(index, _)| *index);
        Ok(written.into_iter().map(|(_, written)| written).collect())
    }

    /// Deletes a subject. One that is deleted already, and named by its id, stays as it is.
    pub async fn delete(&self, caller: &Caller, id_or_key: &str, show: Kept) -> Result<Answered, SubjectError> {
        self.gate.check()?;
        let work = async |tx: &Transaction<'_>, now: Instant| {
            let found = subjects::find(tx, &caller.namespace, id_or_key, Lock::ForUpdate).await?;
            let before = found.ok_or_else(|| Stop::Refused(not_found(&caller.namespace, id_or_key)))?;
            if before.deleted_at.is_some() {
                return Ok(Done { kept: show, audit: Vec::new(), controls: Vec::new() });
            }
            subjects::delete(tx, &caller.namespace, before.id, now).await?;
            let change = change("subject.delete", before.id, Some(&before), None)?;
            Ok(Done { kept: show, audit: vec![change], controls: Vec::new() })
        };
        Ok(self.writes.write(caller, work).await?)
    }

    /// By id, deleted or not; otherwise by key, live only.
    pub async fn get(&self, namespace: &str, id_or_key: &str) -> Result<Subject, SubjectError> {
        self.gate.check()?;
        let found = subjects::find(&self.database.client().await?, namespace, id_or_key, Lock::None).await?;
        found.ok_or_else(|| not_found(namespace, id_or_key))
    }

    /// The live subjects, by id.
    pub async fn list(&self, namespace: &str) -> Result<Vec<Subject>, SubjectError> {
        self.gate.check()?;
        Ok(subjects::list(&self.database.client().await?, namespace).await?)
    }

    /// The live subjects among these keys, by id.
    pub async fn find_keys(&self, namespace: &str, keys: &[&str]) -> Result<Vec<Subject>, SubjectError> {
        self.gate.check()?;
        Ok(subjects::find_keys(&self.database.client().await?, namespace, keys).await?)
    }
}

fn not_found(namespace: &str, id_or_key: &str) -> SubjectError {
    SubjectError::NotFound { namespace: namespace.to_string(), id_or_key: id_or_key.to_string() }
}

/// A subject before and after.
struct Written {
    before: Option<Subject>,
    after: Subject,
}

impl Written {
    fn change(&self) -> Result<Change, Fault> {
        let operation = if self.before.is_some() { "subject.update" } else { "subject.create" };
        change(operation, self.after.id, self.before.as_ref(), Some(&self.after))
    }
}

/// Changes the live subject with the key, or makes one under the new id.
async fn write_one(
    tx: &Transaction<'_>,
    namespace: &str,
    id: Ulid,
    changes: SubjectChanges,
    now: Instant,
) -> Result<Written, Fault> {
    for _ in 0..TURNS_MAX {
        if let Some(before) = lock(tx, namespace, &changes.key).await? {
            let after = changes.apply(&before, now);
            subjects::update(tx, &after).await?;
            return Ok(Written { before: Some(before), after });
        }
        let after = changes.clone().create(namespace, id, now);
        if subjects::insert(tx, &after).await? {
            return Ok(Written { before: None, after });
        }
        // Somebody else has just made it.
    }
    Err(Fault::retry("database", format!("subject {} is made and deleted over and over; retry", changes.key)))
}

/// The live subject with exactly this key; nobody else changes it before this transaction ends.
async fn lock(tx: &Transaction<'_>, namespace: &str, key: &str) -> Result<Option<Subject>, Fault> {
    // By id: a key may look like another subject's.
    let Some(found) = subjects::find_keys(tx, namespace, &[key]).await?.pop() else { return Ok(None) };
    let locked = subjects::find(tx, namespace, &found.id.to_string(), Lock::ForUpdate).await?;
    Ok(locked.filter(|subject| subject.deleted_at.is_none()))
}

pub(super) fn change(
    operation: &'static str,
    id: Ulid,
    before: Option<&Subject>,
    after: Option<&Subject>,
) -> Result<Change, Fault> {
    let shown = |subject: Option<&Subject>| subject.map(shown).transpose();
    let (before, after) = (shown(before)?, shown(after)?);
    Ok(Change { operation, entity_kind: "subject", entity_id: id.to_string(), before, after })
}

/// As the audit shows a subject: the names of v1, everything that is unset as null, metadata as it came.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    id: String,
    key: &'a str,
    display_name: Option<&'a str>,
    metadata: Box<RawValue>,
    stripe_customer_id: Option<&'a str>,
    created_at: String,
    updated_at: String,
    deleted_at: Option<String>,
}

fn shown(subject: &Subject) -> Result<String, Fault> {
    let unreadable =
        |error| Fault::give_up("database", format!("subject {} has metadata that is no JSON: {error}", subject.id));
    let shown = Shown {
        id: subject.id.to_string(),
        key: &subject.key,
        display_name: subject.display_name.as_deref(),
        metadata: RawValue::from_string(subject.metadata.trim().to_string()).map_err(unreadable)?,
        stripe_customer_id: subject.stripe_customer_id.as_deref(),
        created_at: subject.created_at.to_rfc3339(),
        updated_at: subject.updated_at.to_rfc3339(),
        deleted_at: subject.deleted_at.map(Instant::to_rfc3339),
    };
    Ok(serde_json::to_string(&shown).expect("texts and JSON are JSON"))
}

#[cfg(test)]
mod tests;
