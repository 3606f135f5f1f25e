//! How refusals about entitlements and grants are told, in both versions.

use crate::http::caller;
use crate::http::problem::Problem;
use crate::services::balances::BalanceError;
use crate::services::entitlements::{EntitlementError, GrantRefusal};
use actix_web::http::StatusCode;

impl From<EntitlementError> for Problem {
    fn from(error: EntitlementError) -> Self {
        let text = error.to_string();
        match error {
            EntitlementError::Subject(error) => error.into(),
            EntitlementError::Customer(error) => error.into(),
            EntitlementError::SubjectDeleted { .. } => Problem::precondition_failed(text),
            EntitlementError::SubjectOwnerless { .. } => Problem::not_found(text),
            EntitlementError::NotFound { .. }
            | EntitlementError::GrantNotFound(_)
            | EntitlementError::FeatureNotFound(_) => Problem::new(StatusCode::NOT_FOUND, text),
            EntitlementError::Managed => Problem::new(StatusCode::FORBIDDEN, format!("forbidden error: {text}")),
            EntitlementError::GrantRefused(refusal) => refusal.into(),
            EntitlementError::NotMetered(_) | EntitlementError::Refused(_) | EntitlementError::ResetRefused(_) => {
                Problem::validation(text)
            }
            EntitlementError::Exists { id, .. } => {
                Problem::new(StatusCode::CONFLICT, text).with_extension("conflictingEntityId", id.to_string())
            }
            EntitlementError::Fault(fault) => fault.into(),
            EntitlementError::Write(error) => caller::told(error, |never| match never {}),
        }
    }
}

impl From<GrantRefusal> for Problem {
    fn from(refusal: GrantRefusal) -> Self {
        let problem = Problem::validation(&refusal);
        match refusal {
            // What the schema lets pass is 0, and nothing less.
            GrantRefusal::AmountNotPositive => {
                let (code, message) = ("grant_amount_must_be_positive", refusal.to_string());
                problem.with_issue(code, "$.amount", &message, [("amount", 0.into())])
            }
            _ => problem,
        }
    }
}

impl From<BalanceError> for Problem {
    fn from(error: BalanceError) -> Self {
        match error {
            BalanceError::Entitlement(error) => error.into(),
            BalanceError::NotMetered(_)
            | BalanceError::BeforeMeasuring { .. }
            | BalanceError::Backwards { .. }
            | BalanceError::TooManyWindows { .. }
            | BalanceError::TooManyQueries { .. }
            | BalanceError::TooManyPhases(_)
            | BalanceError::Overflow(_) => Problem::validation(error),
            BalanceError::Read(error) => error.into(),
            BalanceError::Fault(fault) => fault.into(),
        }
    }
}
