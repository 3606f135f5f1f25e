//! How the document describes filters; they are read by [`super::filter`].

// The fields are only described: a filter's grammar is its own.
#![allow(dead_code)]

use super::wire::UlidText;
use crate::http::times::DateTime;
use utoipa::openapi::schema::{AdditionalProperties, AnyOf, Schema};
use utoipa::openapi::{ObjectBuilder, Ref, RefOr, Type};
use utoipa::{PartialSchema, ToSchema};

pub struct StringFieldFilter;

pub struct DateTimeFieldFilter;

pub struct ULIDFieldFilter;

fn plain(of: Type) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(of).into()
}

/// A bare value, or one of these operators.
fn either(bare: RefOr<Schema>, operators: &[(&str, RefOr<Schema>)]) -> RefOr<Schema> {
    let closed = ObjectBuilder::new().additional_properties(Some(AdditionalProperties::FreeForm(false)));
    let object = operators.iter().fold(closed, |object, (name, of)| object.property(*name, of.clone()));
    let mut either = AnyOf::new();
    either.items = vec![bare, object.into()];
    RefOr::T(Schema::AnyOf(either))
}

impl PartialSchema for StringFieldFilter {
    fn schema() -> RefOr<Schema> {
        let text = || plain(Type::String);
        let names = ["eq", "neq", "contains", "ocontains", "oeq", "gt", "gte", "lt", "lte"];
        let mut operators: Vec<(&str, RefOr<Schema>)> = names.into_iter().map(|name| (name, text())).collect();
        operators.push(("exists", plain(Type::Boolean)));
        either(text(), &operators)
    }
}

impl ToSchema for StringFieldFilter {}

impl PartialSchema for DateTimeFieldFilter {
    fn schema() -> RefOr<Schema> {
        let time = || RefOr::from(Ref::from_schema_name(DateTime::name()));
        either(time(), &["eq", "lt", "lte", "gt", "gte"].map(|name| (name, time())))
    }
}

impl ToSchema for DateTimeFieldFilter {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((DateTime::name().into_owned(), DateTime::schema()));
    }
}

impl PartialSchema for ULIDFieldFilter {
    fn schema() -> RefOr<Schema> {
        let id = || RefOr::from(Ref::from_schema_name(UlidText::name()));
        either(id(), &[("eq", id()), ("oeq", plain(Type::String)), ("neq", id())])
    }
}

impl ToSchema for ULIDFieldFilter {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((UlidText::name().into_owned(), UlidText::schema()));
    }
}
