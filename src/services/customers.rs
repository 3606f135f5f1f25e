//! Customers: made, replaced, deleted, found, listed.
//!
//! An id finds deleted customers too, a key only live ones; what a deleted one had is free again. Whatever changes whose
//! a text is holds that text until its commit, so of many who want it at once exactly one gets it, and nobody waits for
//! somebody who waits for him. For every subject key there is a subject from then on, for people to look at.

mod provision;

use super::gate::Gate;
use super::ids::Ids;
use super::page::{Page, PageAsk};
use super::writes::{Answered, Caller, Change, Done, Kept, Stop, WriteError, Writes};
use crate::domain::customer::query::CustomersQuery;
use crate::domain::customer::{Address, CustomerConflict, CustomerDraft, CustomerRefusal};
use crate::domain::fault::Fault;
use crate::domain::time::Instant;
use crate::ports::line::Forget;
use crate::store::{Database, GenericClient, Lock, Transaction, customers, entitlements};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use ulid::Ulid;

pub use crate::domain::customer::Customer;

/// Why a customer operation was not answered. Ordered: the first that applies is reported.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CustomerError {
    #[error("customer with id or key {id_or_key} not found in {namespace} namespace")]
    NotFound { namespace: String, id_or_key: String },
    /// Only an id finds it.
    #[error("customer is deleted [namespace={namespace} customer.id={id}]")]
    Deleted { namespace: String, id: Ulid },
    #[error("customer {0} still has active entitlements, please remove them before deleting the customer")]
    StillEntitled(Ulid),
    #[error(transparent)]
    Conflict(#[from] CustomerConflict),
    #[error(transparent)]
    Refused(#[from] CustomerRefusal),
    /// A read failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A write failed; its own refusals are those above.
    #[error(transparent)]
    Write(WriteError<Infallible>),
}

impl From<WriteError<CustomerError>> for CustomerError {
    fn from(error: WriteError<CustomerError>) -> Self {
        error.refusal().unwrap_or_else(Self::Write)
    }
}

impl From<CustomerError> for Stop<CustomerError> {
    fn from(error: CustomerError) -> Self {
        match error {
            CustomerError::Fault(fault) => Self::Fault(fault),
            refusal => Self::Refused(refusal),
        }
    }
}

/// How a customer is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named<'a> {
    /// By its id alone, as text.
    Id(&'a str),
    /// By its id; where nobody has it, by its key.
    IdOrKey(&'a str),
}

impl<'a, T: AsRef<str> + ?Sized> From<&'a T> for Named<'a> {
    fn from(id_or_key: &'a T) -> Self {
        Self::IdOrKey(id_or_key.as_ref())
    }
}

/// The customers of all namespaces.
pub struct Customers {
    database: Database,
    writes: Arc<Writes>,
    gate: Arc<Gate>,
    forget: Arc<dyn Forget>,
    ids: Ids,
}

impl Customers {
    pub fn new(database: Database, writes: Arc<Writes>, gate: Arc<Gate>, forget: Arc<dyn Forget>) -> Self {
        Self { database, writes, gate, forget, ids: Ids::default() }
    }

    /// Makes a customer. `show` makes the answer.
    pub async fn create(
        &self,
        caller: &Caller,
        draft: CustomerDraft,
        show: impl FnOnce(&Customer) -> Kept,
    ) -> Result<Answered, CustomerError> {
        self.gate.check()?;
        draft.check()?;
        let mut moved = Moved::default();
        let work = async |tx: &Transaction<'_>, now: Instant| {
            let repeats_itself = draft.repeats_itself();
            let after = draft.create(&caller.namespace, self.ids.next(now), now);
            if repeats_itself {
                return Err(CustomerError::from(after.subject_keys_taken()).into());
            }
            moved.hold(tx, None, Some(&after)).await?;
            fits(tx, &after).await?;
            customers::insert(tx, &after).await?;
            let mut audit = vec![change("customer.create", None, Some(&after))];
            audit.extend(self.provision(tx, &after, now).await?);
            Ok(Done { kept: show(&after), audit, controls: Vec::new() })
        };
        let written = self.writes.write(caller, work).await;
        self.forget(&caller.namespace, moved).await;
        Ok(written?)
    }

    /// Replaces a live customer by what `wanted` makes of it. `show` makes the answer.
    pub async fn update(
        &self,
        caller: &Caller,
        named: impl Into<Named<'_>>,
        wanted: impl FnOnce(&Customer) -> CustomerDraft,
        show: impl FnOnce(&Customer) -> Kept,
    ) -> Result<Answered, CustomerError> {
        self.gate.check()?;
        let named = named.into();
        let mut moved = Moved::default();
        let work = async |tx: &Transaction<'_>, now: Instant| {
            let before = lock(tx, &caller.namespace, named).await?;
            let draft = wanted(&before);
            draft.check().map_err(CustomerError::from)?;
            let after = draft.replace(&before, now);
            moved.hold(tx, Some(&before), Some(&after)).await?;
            fits(tx, &after).await?;
            customers::update(tx, &after).await?;
            let mut audit = vec![change("customer.update", Some(&before), Some(&after))];
            audit.extend(self.provision(tx, &after, now).await?);
            Ok(Done { kept: show(&after), audit, controls: Vec::new() })
        };
        let written = self.writes.write(caller, work).await;
        self.forget(&caller.namespace, moved).await;
        Ok(written?)
    }

    /// Deletes a live customer that nothing is active for any more.
    pub async fn delete(
        &self,
        caller: &Caller,
        named: impl Into<Named<'_>>,
        show: Kept,
    ) -> Result<Answered, CustomerError> {
        self.gate.check()?;
        let named = named.into();
        let mut moved = Moved::default();
        let work = async |tx: &Transaction<'_>, now: Instant| {
            let before = lock(tx, &caller.namespace, named).await?;
            if !entitlements::active_of_customer(tx, &caller.namespace, before.id, now).await?.is_empty() {
                return Err(CustomerError::StillEntitled(before.id).into());
            }
            moved.hold(tx, Some(&before), None).await?;
            customers::delete(tx, &caller.namespace, before.id, now).await?;
            let audit = vec![change("customer.delete", Some(&before), None)];
            Ok(Done { kept: show, audit, controls: Vec::new() })
        };
        let written = self.writes.write(caller, work).await;
        self.forget(&caller.namespace, moved).await;
        Ok(written?)
    }

    /// By id, deleted or not; otherwise by key, live only.
    pub async fn get(&self, namespace: &str, named: impl Into<Named<'_>>) -> Result<Customer, CustomerError> {
        self.gate.check()?;
        find(&self.database.client().await?, namespace, named.into(), Lock::None).await
    }

    /// A part of those that are asked for.
    pub async fn list(
        &self,
        namespace: &str,
        query: &CustomersQuery,
        page: PageAsk,
    ) -> Result<Page<Customer>, CustomerError> {
        self.gate.check()?;
        Ok(customers::list(&self.database.client().await?, namespace, query, page).await?)
    }

    /// Those with one of these ids, deleted or not, by id.
    pub async fn by_ids(&self, namespace: &str, ids: &[Ulid]) -> Result<Vec<Customer>, CustomerError> {
        self.gate.check()?;
        Ok(customers::by_ids(&self.database.client().await?, namespace, ids).await?)
    }

    /// Who owns each of these texts now: the live customer with that key, else the live one with that subject key. A
    /// text that nobody owns is not in the answer.
    pub async fn owners(&self, namespace: &str, texts: &[&str]) -> Result<BTreeMap<String, Customer>, CustomerError> {
        self.gate.check()?;
        Ok(customers::owners(&self.database.client().await?, namespace, texts).await?)
    }

    /// Before the answer, and also when it is not known whether there was a commit.
    async fn forget(&self, namespace: &str, moved: Moved) {
        if !moved.customers.is_empty() {
            self.forget.customers(namespace, &Vec::from_iter(moved.customers)).await;
            self.forget.subjects(namespace, &moved.texts).await;
        }
    }
}

/// What a write moves between customers.
#[derive(Default)]
struct Moved {
    /// Whose they may be now or were before.
    texts: Vec<String>,
    /// The customer that is written, and those who get or lose a text with it.
    customers: BTreeSet<Ulid>,
}

impl Moved {
    /// Takes all texts of the customer before and after; nobody else moves them before the transaction ends.
    async fn hold(
        &mut self,
        tx: &Transaction<'_>,
        before: Option<&Customer>,
        after: Option<&Customer>,
    ) -> Result<(), Fault> {
        let both = || before.into_iter().chain(after);
        let texts: BTreeSet<String> = both().flat_map(Customer::attribution).collect();
        self.texts = Vec::from_iter(texts);
        let Some(namespace) = both().map(|customer| &customer.namespace).next() else { return Ok(()) };
        customers::hold(tx, namespace, &self.texts).await?;
        self.customers.extend(both().map(|customer| customer.id));
        self.customers.extend(customers::holders(tx, namespace, &self.texts).await?);
        Ok(())
    }
}

async fn find(
    client: &impl GenericClient,
    namespace: &str,
    named: Named<'_>,
    lock: Lock,
) -> Result<Customer, CustomerError> {
    let (Named::Id(name) | Named::IdOrKey(name)) = named;
    let found = customers::find(client, namespace, name, lock).await?;
    let meant = |customer: &Customer| matches!(named, Named::IdOrKey(_)) || customer.id.to_string() == name;
    let not_found = || CustomerError::NotFound { namespace: namespace.to_string(), id_or_key: name.to_string() };
    found.filter(meant).ok_or_else(not_found)
}

/// The live customer, locked.
async fn lock(tx: &Transaction<'_>, namespace: &str, named: Named<'_>) -> Result<Customer, CustomerError> {
    let customer = find(tx, namespace, named, Lock::ForUpdate).await?;
    match customer.deleted_at {
        None => Ok(customer),
        Some(_) => Err(CustomerError::Deleted { namespace: namespace.to_string(), id: customer.id }),
    }
}

async fn fits(tx: &Transaction<'_>, customer: &Customer) -> Result<(), Stop<CustomerError>> {
    let taken = customers::taken(tx, customer).await?;
    Ok(customer.fits(&taken).map_err(CustomerError::from)?)
}

fn change(operation: &'static str, before: Option<&Customer>, after: Option<&Customer>) -> Change {
    let id = before.or(after).map(|customer| customer.id.to_string()).unwrap_or_default();
    Change { operation, entity_kind: "customer", entity_id: id, before: before.map(shown), after: after.map(shown) }
}

/// As the audit shows a customer: the names of v1, everything that is unset as null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    id: String,
    key: Option<&'a str>,
    name: &'a str,
    description: Option<&'a str>,
    subject_keys: &'a [String],
    primary_email: Option<&'a str>,
    currency: Option<&'a str>,
    billing_address: Option<&'a Address>,
    metadata: &'a BTreeMap<String, String>,
    created_at: String,
    updated_at: String,
    deleted_at: Option<String>,
}

fn shown(customer: &Customer) -> String {
    let shown = Shown {
        id: customer.id.to_string(),
        key: customer.key.as_deref(),
        name: &customer.name,
        description: customer.description.as_deref(),
        subject_keys: &customer.subject_keys,
        primary_email: customer.primary_email.as_deref(),
        currency: customer.currency.as_deref(),
        billing_address: customer.billing_address.as_ref(),
        metadata: &customer.metadata,
        created_at: customer.created_at.to_rfc3339(),
        updated_at: customer.updated_at.to_rfc3339(),
        deleted_at: customer.deleted_at.map(Instant::to_rfc3339),
    };
    serde_json::to_string(&shown).expect("texts by name are JSON")
}

#[cfg(test)]
mod tests;
