//! A question to the list of customers.

use crate::domain::metering::query::TextFilter;

/// Which customers, in which order. Every condition given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustomersQuery {
    pub key: Vec<FieldFilter>,
    pub name: Vec<FieldFilter>,
    pub primary_email: Vec<FieldFilter>,
    /// One subject key must pass all that is asked of a text.
    pub subject_key: Vec<FieldFilter>,
    pub with_deleted: bool,
    pub order: CustomerOrder,
    pub descending: bool,
}

/// A condition on a field that need not be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldFilter {
    /// It is there, and its text passes.
    Text(TextFilter),
    /// Whether it is there.
    Exists(bool),
}

/// What a list of customers is ordered by. Among equals the id decides, ascending.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CustomerOrder {
    Id,
    #[default]
    Name,
    CreatedAt,
}
