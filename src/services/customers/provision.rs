//! A subject for every subject key of a customer, made in the customer's own transaction.

use super::super::subjects;
use super::{Customer, CustomerError, Customers};
use crate::domain::customer::CustomerRefusal;
use crate::domain::subject::SubjectChanges;
use crate::domain::time::Instant;
use crate::services::writes::{Change, Stop};
use crate::store::Transaction;
use crate::store::subjects::{find_ids, find_keys, insert};
use std::collections::BTreeSet;

/// What the metadata of such a subject says of who made it.
const CREATED_BY: &str = "subject.provisioner";

impl Customers {
    /// Makes the subjects that are missing, in the order of their keys, and says so to the audit.
    pub(super) async fn provision(
        &self,
        tx: &Transaction<'_>,
        customer: &Customer,
        now: Instant,
    ) -> Result<Vec<Change>, Stop<CustomerError>> {
        let keys: Vec<&str> = customer.subject_keys.iter().map(String::as_str).collect();
        if let Some(subject) = find_ids(tx, &customer.namespace, &keys).await?.into_iter().next() {
            let refusal = CustomerRefusal::SubjectId { namespace: subject.namespace, id: subject.id, key: subject.key };
            return Err(CustomerError::from(refusal).into());
        }
        let there = find_keys(tx, &customer.namespace, &keys).await?;
        let there: BTreeSet<&str> = there.iter().map(|subject| subject.key.as_str()).collect();
        let mut audit = Vec::new();
        for key in keys.into_iter().filter(|key| !there.contains(key)) {
            let metadata = format!("{{\"createdBy\":\"{CREATED_BY}\",\"customerId\":\"{}\"}}", customer.id);
            let wanted = SubjectChanges { key: key.to_string(), metadata: Some(Some(metadata)), ..Default::default() };
            let subject = wanted.create(&customer.namespace, self.ids.next(now), now);
            // One that somebody else has just made is as good.
            if insert(tx, &subject).await? {
                audit.push(subjects::change("subject.create", subject.id, None, Some(&subject))?);
            }
        }
        Ok(audit)
    }
}
