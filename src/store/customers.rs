//! Customers, deleted ones too, and the subject keys of the live ones.

use super::Lock;
use super::conditions::Conditions;
use super::database::Transaction;
use super::page::{Page, PageAsk};
use super::sql::{self, column};
use super::types::{Id, JsonText, Micros};
use crate::domain::customer::query::{CustomerOrder, CustomersQuery};
use crate::domain::customer::{Customer, Taken};
use crate::domain::fault::Fault;
use crate::domain::time::Instant;
use deadpool_postgres::GenericClient;
use std::collections::BTreeMap;
use tokio_postgres::Row;
use ulid::Ulid;

/// Of a `customers AS c`.
macro_rules! columns {
    () => {
        "c.namespace, c.id, c.key, c.name, c.description, c.primary_email, c.currency, c.billing_address, c.metadata, \
         c.created_at, c.updated_at, c.deleted_at, ARRAY(SELECT s.subject_key FROM customer_subjects AS s \
         WHERE s.namespace = c.namespace AND s.customer_id = c.id ORDER BY s.subject_key) AS subject_keys"
    };
}

/// The id goes before a key that looks like one.
const FIND: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM customers AS c WHERE c.namespace = $1 AND (c.id = $2 OR c.key = $2 AND c.deleted_at IS NULL) \
     ORDER BY c.id = $2 DESC LIMIT 1"
);
/// Only locks: a statement that has waited for a row reads that row anew, and its subject keys as they were before.
const LOCK: &str = "SELECT id FROM customers WHERE namespace = $1 AND (id = $2 OR key = $2 AND deleted_at IS NULL) \
    ORDER BY id = $2 DESC LIMIT 1 FOR UPDATE";
const BY_IDS: &str =
    concat!("SELECT ", columns!(), " FROM customers AS c WHERE c.namespace = $1 AND c.id = ANY($2) ORDER BY c.id");
const OWNERS: &str = concat!(
    "WITH owned AS (\
        SELECT key AS text, id, true AS is_key FROM customers \
        WHERE namespace = $1 AND key = ANY($2) AND deleted_at IS NULL \
        UNION ALL SELECT subject_key, customer_id, false FROM customer_subjects \
        WHERE namespace = $1 AND subject_key = ANY($2)) \
     SELECT DISTINCT ON (owned.text) owned.text, ",
    columns!(),
    " FROM owned JOIN customers AS c ON c.namespace = $1 AND c.id = owned.id ORDER BY owned.text, owned.is_key DESC"
);
/// Texts share so many locks: a bound on what one transaction takes of the server's table of locks.
const STRIPES: i32 = 64;
/// In one order, so that no two transactions wait for each other.
const HOLD: &str = "SELECT pg_advisory_xact_lock($1, stripe) FROM (SELECT DISTINCT \
    abs(hashtext($2::text || ' ' || text) % $3) AS stripe FROM unnest($4::text[]) AS text ORDER BY stripe) AS stripes";
/// The advisory locks of attribution: `cust`, as a number.
const HOLD_KEY: i32 = i32::from_be_bytes(*b"cust");
const TAKEN: &str = "SELECT \
    EXISTS (SELECT FROM customers WHERE namespace = $1 AND id = $3) AS key_is_id, \
    (SELECT customer_id FROM customer_subjects WHERE namespace = $1 AND subject_key = $3 AND customer_id <> $2) \
        AS key_is_subject_of, \
    EXISTS (SELECT FROM customers WHERE namespace = $1 AND key = $3 AND deleted_at IS NULL AND id <> $2) \
        AS key_is_key, \
    EXISTS (SELECT FROM customer_subjects WHERE namespace = $1 AND subject_key = ANY($4) AND customer_id <> $2) \
        AS subject_keys";
const HOLDERS: &str = "SELECT id FROM customers WHERE namespace = $1 AND key = ANY($2) AND deleted_at IS NULL \
    UNION SELECT customer_id FROM customer_subjects WHERE namespace = $1 AND subject_key = ANY($2)";
const INSERT: &str = "INSERT INTO customers (namespace, id, key, name, description, primary_email, currency, \
    billing_address, metadata, created_at, updated_at, deleted_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
const UPDATE: &str = "UPDATE customers SET key = $3, name = $4, description = $5, primary_email = $6, currency = $7, \
    billing_address = $8, metadata = $9, updated_at = $10 WHERE namespace = $1 AND id = $2";
const DELETE: &str = "UPDATE customers SET deleted_at = $3, updated_at = $3 WHERE namespace = $1 AND id = $2";
const LET_GO: &str =
    "DELETE FROM customer_subjects WHERE namespace = $1 AND customer_id = $2 AND subject_key <> ALL($3)";
const TAKE: &str = "INSERT INTO customer_subjects (namespace, subject_key, customer_id) \
    SELECT $1, wanted.key, $2 FROM unnest($3::text[]) AS wanted (key) \
    WHERE NOT EXISTS (SELECT FROM customer_subjects AS s \
        WHERE s.namespace = $1 AND s.subject_key = wanted.key AND s.customer_id = $2)";
/// The subject keys of a `customers AS c`.
const SUBJECTS: &str = "FROM customer_subjects AS s WHERE s.namespace = c.namespace AND s.customer_id = c.id";
const COUNT: &str = "SELECT count(*) AS total FROM customers AS c WHERE ";
const LIST: &str = concat!("SELECT ", columns!(), " FROM customers AS c WHERE ");

/// Keeps others from changing whose these texts are until the transaction ends. It comes after the customer's row is
/// locked and before any row is written, once in a transaction.
pub async fn hold(tx: &Transaction<'_>, namespace: &str, texts: &[String]) -> Result<(), Fault> {
    sql::rows(tx, HOLD, &[&HOLD_KEY, &namespace, &STRIPES, &texts]).await.map(drop)
}

/// What others have of this customer's texts.
pub async fn taken(tx: &Transaction<'_>, customer: &Customer) -> Result<Taken, Fault> {
    let parameters: sql::Parameters<'_> =
        &[&customer.namespace, &Id(customer.id), &customer.key, &customer.subject_keys];
    let Some(row) = sql::row(tx, TAKEN, parameters).await? else { return Ok(Taken::default()) };
    let key_is_subject_of: Option<Id> = column(&row, "key_is_subject_of")?;
    Ok(Taken {
        key_is_id: column(&row, "key_is_id")?,
        key_is_subject_of: key_is_subject_of.map(|Id(id)| id),
        key_is_key: column(&row, "key_is_key")?,
        subject_keys: column(&row, "subject_keys")?,
    })
}

/// The live customers that have one of these texts, as their key or as a subject key.
pub async fn holders(tx: &Transaction<'_>, namespace: &str, texts: &[String]) -> Result<Vec<Ulid>, Fault> {
    let rows = sql::rows(tx, HOLDERS, &[&namespace, &texts]).await?;
    rows.iter().map(|row| column(row, "id").map(|Id(id)| id)).collect()
}

/// Adds a customer of which nothing is taken.
pub async fn insert(tx: &Transaction<'_>, customer: &Customer) -> Result<(), Fault> {
    let parameters: sql::Parameters<'_> = &[
        &customer.namespace,
        &Id(customer.id),
        &customer.key,
        &customer.name,
        &customer.description,
        &customer.primary_email,
        &customer.currency,
        &customer.billing_address.as_ref().map(JsonText::of),
        &JsonText::of(&customer.metadata),
        &Micros(customer.created_at),
        &Micros(customer.updated_at),
        &customer.deleted_at.map(Micros),
    ];
    sql::execute(tx, INSERT, parameters).await?;
    take_subjects(tx, customer).await
}

/// Stores a live customer as it is now; nothing of it is taken.
pub async fn update(tx: &Transaction<'_>, customer: &Customer) -> Result<(), Fault> {
    let parameters: sql::Parameters<'_> = &[
        &customer.namespace,
        &Id(customer.id),
        &customer.key,
        &customer.name,
        &customer.description,
        &customer.primary_email,
        &customer.currency,
        &customer.billing_address.as_ref().map(JsonText::of),
        &JsonText::of(&customer.metadata),
        &Micros(customer.updated_at),
    ];
    sql::execute(tx, UPDATE, parameters).await?;
    take_subjects(tx, customer).await
}

/// Marks a live customer as deleted; its subject keys are free.
pub async fn delete(tx: &Transaction<'_>, namespace: &str, id: Ulid, at: Instant) -> Result<(), Fault> {
    let none: Vec<String> = Vec::new();
    sql::execute(tx, LET_GO, &[&namespace, &Id(id), &none]).await?;
    sql::execute(tx, DELETE, &[&namespace, &Id(id), &Micros(at)]).await.map(drop)
}

async fn take_subjects(tx: &Transaction<'_>, customer: &Customer) -> Result<(), Fault> {
    let parameters: sql::Parameters<'_> = &[&customer.namespace, &Id(customer.id), &customer.subject_keys];
    sql::execute(tx, LET_GO, parameters).await?;
    sql::execute(tx, TAKE, parameters).await.map(drop)
}

/// A part of the customers that are asked for.
pub async fn list(
    client: &impl GenericClient,
    namespace: &str,
    query: &CustomersQuery,
    page: PageAsk,
) -> Result<Page<Customer>, Fault> {
    let mut asked = Conditions::new("c.namespace = $1", vec![Box::new(namespace.to_string())]);
    if !query.with_deleted {
        asked.and("c.deleted_at IS NULL");
    }
    asked.and_column("c.key", &query.key);
    asked.and_column("c.name", &query.name);
    asked.and_column("c.primary_email", &query.primary_email);
    asked.and_some(SUBJECTS, "s.subject_key", &query.subject_key);
    let total: Option<Row> =
        sql::rows_once(client, &format!("{COUNT}{}", asked.sql()), &asked.parameters()).await?.pop();
    let total: i64 = total.map_or(Ok(0), |row| column(&row, "total"))?;
    let rows = format!("{LIST}{} {}", asked.sql(), part(query, page));
    let rows = sql::rows_once(client, &rows, &asked.parameters()).await?;
    let items = rows.iter().map(read).collect::<Result<_, Fault>>()?;
    Ok(Page { items, total: total.unsigned_abs() })
}

/// The order and the part of a list.
fn part(query: &CustomersQuery, page: PageAsk) -> String {
    let direction = if query.descending { "DESC" } else { "ASC" };
    let order = match query.order {
        CustomerOrder::Id => format!("c.id {direction}"),
        CustomerOrder::Name => format!("c.name {direction}, c.id"),
        CustomerOrder::CreatedAt => format!("c.created_at {direction}, c.id"),
    };
    let (limit, offset) = page.in_rows();
    format!("ORDER BY {order} LIMIT {limit} OFFSET {offset}")
}

/// By id, deleted or not; otherwise by key, live only.
pub async fn find(
    client: &impl GenericClient,
    namespace: &str,
    id_or_key: &str,
    lock: Lock,
) -> Result<Option<Customer>, Fault> {
    let Some(found) = sql::named(client, (FIND, LOCK), lock, namespace, id_or_key).await? else { return Ok(None) };
    if lock == Lock::None {
        return read(&found).map(Some);
    }
    let Id(locked) = column(&found, "id")?;
    Ok(by_ids(client, namespace, &[locked]).await?.pop())
}

/// Those with one of these ids, deleted or not, by id.
pub async fn by_ids(client: &impl GenericClient, namespace: &str, ids: &[Ulid]) -> Result<Vec<Customer>, Fault> {
    let ids: Vec<Id> = ids.iter().copied().map(Id).collect();
    sql::rows(client, BY_IDS, &[&namespace, &ids]).await?.iter().map(read).collect()
}

/// Who owns each of these texts: the live customer with that key, else the live one with that subject key. A text that
/// nobody owns is not in the answer.
pub async fn owners(
    client: &impl GenericClient,
    namespace: &str,
    texts: &[&str],
) -> Result<BTreeMap<String, Customer>, Fault> {
    let texts: Vec<&str> = texts.iter().copied().filter(|text| sql::can_be_stored(text)).collect();
    let rows = sql::rows(client, OWNERS, &[&namespace, &texts]).await?;
    rows.iter().map(|row| Ok((column(row, "text")?, read(row)?))).collect()
}

fn read(row: &Row) -> Result<Customer, Fault> {
    let Id(id) = column(row, "id")?;
    let billing_address: Option<JsonText> = column(row, "billing_address")?;
    let metadata: JsonText = column(row, "metadata")?;
    let Micros(created_at) = column(row, "created_at")?;
    let Micros(updated_at) = column(row, "updated_at")?;
    let deleted_at: Option<Micros> = column(row, "deleted_at")?;
    Ok(Customer {
        id,
        namespace: column(row, "namespace")?,
        key: column(row, "key")?,
        name: column(row, "name")?,
        description: column(row, "description")?,
        subject_keys: column(row, "subject_keys")?,
        primary_email: column(row, "primary_email")?,
        currency: column(row, "currency")?,
        billing_address: billing_address.map(|text| text.read()).transpose()?,
        metadata: metadata.read()?,
        created_at,
        updated_at,
        deleted_at: deleted_at.map(|Micros(at)| at),
    })
}

#[cfg(test)]
mod tests;
