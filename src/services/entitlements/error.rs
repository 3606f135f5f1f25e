//! Why an operation on entitlements was not answered.

use super::{EntitlementRefusal, GrantRefusal, NotMetered, ResetRefusal};
use crate::domain::fault::Fault;
use crate::services::customers::CustomerError;
use crate::services::subjects::SubjectError;
use crate::services::writes::{Stop, WriteError};
use std::convert::Infallible;
use ulid::Ulid;

/// Why an entitlement operation was not answered. Ordered: the first that applies is reported.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EntitlementError {
    /// The subject is not there.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    #[error("subject is deleted [namespace={namespace} subject.id={id}]")]
    SubjectDeleted { namespace: String, id: Ulid },
    /// Nobody owns the key of the subject.
    #[error("customer with subject key {key} not found [namespace={namespace}]")]
    SubjectOwnerless { namespace: String, key: String },
    /// The customer is not there, or not any more.
    #[error(transparent)]
    Customer(#[from] CustomerError),
    #[error("entitlement not found {id_or_key} in namespace {namespace}")]
    NotFound { namespace: String, id_or_key: String },
    #[error("grant not found: {0}")]
    GrantNotFound(String),
    /// Archived ones, too.
    #[error("feature not found: {0}")]
    FeatureNotFound(String),
    #[error(transparent)]
    NotMetered(#[from] NotMetered),
    /// Only its subscription changes it.
    #[error("entitlement is managed by subscription")]
    Managed,
    #[error(transparent)]
    Refused(#[from] EntitlementRefusal),
    #[error(transparent)]
    GrantRefused(#[from] GrantRefusal),
    #[error(transparent)]
    ResetRefused(#[from] ResetRefusal),
    #[error("entitlement with id {id} already exists for feature {feature_id} and customer {customer_id}")]
    Exists { id: Ulid, feature_id: Ulid, customer_id: Ulid },
    /// A read failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A write failed; its own refusals are those above.
    #[error(transparent)]
    Write(WriteError<Infallible>),
}

impl From<WriteError<EntitlementError>> for EntitlementError {
    fn from(error: WriteError<EntitlementError>) -> Self {
        error.refusal().unwrap_or_else(Self::Write)
    }
}

impl From<EntitlementError> for Stop<EntitlementError> {
    fn from(error: EntitlementError) -> Self {
        match error {
            EntitlementError::Fault(fault) => Self::Fault(fault),
            refusal => Self::Refused(refusal),
        }
    }
}
