//! Customers as v1 shows and takes them.

use super::wire::{Annotations, CurrencyCode, Metadata};
use crate::domain::customer::{self, CustomerDraft};
use crate::domain::time::Instant;
use crate::services::customers::Customer as Known;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! customer_request {
    ($($name:ident)+) => {
        $(
            #[derive(Deserialize, ToSchema)]
            #[serde(rename_all = "camelCase")]
            pub struct $name {
                #[schema(min_length = 1, max_length = 256)]
                name: String,
                #[schema(max_length = 1024)]
                description: Option<String>,
                metadata: Option<Metadata>,
                #[schema(min_length = 1, max_length = 256)]
                key: Option<String>,
                usage_attribution: Option<CustomerUsageAttribution>,
                primary_email: Option<String>,
                currency: Option<CurrencyCode>,
                billing_address: Option<Address>,
            }

            impl From<$name> for CustomerDraft {
                fn from(sent: $name) -> Self {
                    Self {
                        key: sent.key,
                        name: sent.name,
                        description: sent.description,
                        subject_keys: sent.usage_attribution.map(|usage| usage.subject_keys).unwrap_or_default(),
                        primary_email: sent.primary_email,
                        currency: sent.currency.map(|currency| currency.0),
                        billing_address: sent.billing_address.map(customer::Address::from),
                        metadata: sent.metadata.map(|metadata| metadata.0).unwrap_or_default(),
                    }
                }
            }
        )+
    };
}

customer_request! { CustomerCreate CustomerReplaceUpdate }

/// Whose usage is the customer's.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomerUsageAttribution {
    #[schema(schema_with = subject_keys)]
    subject_keys: Vec<String>,
}

fn subject_keys() -> utoipa::openapi::schema::Array {
    use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
    let key = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
    ArrayBuilder::new().items(key).min_items(Some(0)).build()
}

/// ISO 3166-1 alpha-2.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(value_type = String, min_length = 2, max_length = 2, pattern = "^[A-Z]{2}$")]
pub struct CountryCode(pub String);

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
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

/// What is unset or empty is left out. Nobody has subscriptions yet.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Customer {
    #[schema(read_only)]
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Annotations>,
    #[serde(skip_serializing_if = "Option::is_none")]
    billing_address: Option<Address>,
    #[schema(read_only, value_type = String, format = DateTime)]
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<CurrencyCode>,
    #[schema(read_only, value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<String>,
    #[schema(max_length = 1024)]
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[schema(read_only, pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$")]
    id: String,
    #[schema(min_length = 1, max_length = 256)]
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
    #[schema(min_length = 1, max_length = 256)]
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_email: Option<String>,
    #[schema(read_only, value_type = String, format = DateTime)]
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_attribution: Option<CustomerUsageAttribution>,
}

impl From<&Known> for Customer {
    fn from(customer: &Known) -> Self {
        let subject_keys = customer.subject_keys.clone();
        Self {
            annotations: None,
            billing_address: customer.billing_address.clone().map(Address::from),
            created_at: customer.created_at.to_rfc3339(),
            currency: customer.currency.clone().map(CurrencyCode),
            deleted_at: customer.deleted_at.map(Instant::to_rfc3339),
            description: customer.description.clone(),
            id: customer.id.to_string(),
            key: customer.key.clone(),
            metadata: (!customer.metadata.is_empty()).then(|| Metadata(customer.metadata.clone())),
            name: customer.name.clone(),
            primary_email: customer.primary_email.clone(),
            updated_at: customer.updated_at.to_rfc3339(),
            usage_attribution: (!subject_keys.is_empty()).then_some(CustomerUsageAttribution { subject_keys }),
        }
    }
}
