//! Customers as v3 shows and takes them.

use super::labels::Labels;
use super::wire::UlidText;
use crate::domain::customer::{self, CustomerDraft};
use crate::http::problem::Problem;
use crate::http::times::DateTime;
use crate::http::v1::customer_wire::CountryCode;
use crate::http::v1::wire::CurrencyCode;
use crate::services::customers::Customer as Known;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A name that the client's own systems chose.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(min_length = 1, max_length = 256)]
pub struct ExternalResourceKey(pub String);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(min_length = 1)]
pub struct UsageAttributionSubjectKey(String);

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateCustomerRequest {
    #[schema(min_length = 1, max_length = 256)]
    name: String,
    #[schema(max_length = 1024)]
    description: Option<String>,
    labels: Option<Labels>,
    key: ExternalResourceKey,
    usage_attribution: Option<BillingCustomerUsageAttribution>,
    primary_email: Option<String>,
    currency: Option<CurrencyCode>,
    billing_address: Option<Address>,
}

impl CreateCustomerRequest {
    pub fn draft(self) -> Result<CustomerDraft, Problem> {
        let Self { name, description, labels, key, usage_attribution, primary_email, currency, billing_address } = self;
        let rest = UpsertCustomerRequest {
            name,
            description,
            labels,
            usage_attribution,
            primary_email,
            currency,
            billing_address,
        };
        Ok(CustomerDraft { key: Some(key.0), ..rest.draft()? })
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpsertCustomerRequest {
    #[schema(min_length = 1, max_length = 256)]
    name: String,
    #[schema(max_length = 1024)]
    description: Option<String>,
    labels: Option<Labels>,
    usage_attribution: Option<BillingCustomerUsageAttribution>,
    primary_email: Option<String>,
    currency: Option<CurrencyCode>,
    billing_address: Option<Address>,
}

impl UpsertCustomerRequest {
    /// Without a key.
    pub fn draft(self) -> Result<CustomerDraft, Problem> {
        let subject_keys = self.usage_attribution.map(|usage| usage.subject_keys).unwrap_or_default();
        Ok(CustomerDraft {
            key: None,
            name: self.name,
            description: self.description,
            subject_keys: subject_keys.into_iter().map(|key| key.0).collect(),
            primary_email: self.primary_email,
            currency: self.currency.map(|currency| currency.0),
            billing_address: self.billing_address.map(customer::Address::from),
            metadata: self.labels.map(Labels::check).transpose()?.unwrap_or_default(),
        })
    }
}

/// Whose usage is the customer's.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BillingCustomerUsageAttribution {
    #[schema(min_items = 0)]
    subject_keys: Vec<UsageAttributionSubjectKey>,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Address {
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<CountryCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    postal_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    city: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line1: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line2: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_number: Option<String>,
}

impl From<Address> for customer::Address {
    fn from(sent: Address) -> Self {
        let Address { country, postal_code, state, city, line1, line2, phone_number } = sent;
        Self { country: country.map(|code| code.0), postal_code, state, city, line1, line2, phone_number }
    }
}

impl From<customer::Address> for Address {
    fn from(address: customer::Address) -> Self {
        let customer::Address { country, postal_code, state, city, line1, line2, phone_number } = address;
        Self { country: country.map(CountryCode), postal_code, state, city, line1, line2, phone_number }
    }
}

/// `key` (empty when unset) and `labels` are always there; the rest is left out when unset or empty.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BillingCustomer {
    #[serde(skip_serializing_if = "Option::is_none")]
    billing_address: Option<Address>,
    #[schema(read_only)]
    created_at: DateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<CurrencyCode>,
    #[schema(read_only)]
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<DateTime>,
    #[schema(max_length = 1024)]
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[schema(read_only)]
    id: UlidText,
    #[schema(max_length = 256)]
    key: String,
    #[schema(required = false)]
    labels: Labels,
    #[schema(min_length = 1, max_length = 256)]
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_email: Option<String>,
    #[schema(read_only)]
    updated_at: DateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_attribution: Option<BillingCustomerUsageAttribution>,
}

impl From<&Known> for BillingCustomer {
    fn from(customer: &Known) -> Self {
        let subject_keys: Vec<_> = customer.subject_keys.iter().cloned().map(UsageAttributionSubjectKey).collect();
        Self {
            billing_address: customer.billing_address.clone().map(Address::from),
            created_at: customer.created_at.into(),
            currency: customer.currency.clone().map(CurrencyCode),
            deleted_at: customer.deleted_at.map(DateTime::from),
            description: customer.description.clone(),
            id: UlidText(customer.id.to_string()),
            key: customer.key.clone().unwrap_or_default(),
            labels: Labels::of(Some(&customer.metadata)),
            name: customer.name.clone(),
            primary_email: customer.primary_email.clone(),
            updated_at: customer.updated_at.into(),
            usage_attribution: (!subject_keys.is_empty()).then_some(BillingCustomerUsageAttribution { subject_keys }),
        }
    }
}
