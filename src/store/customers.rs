//! Customers, deleted ones too, and the subject keys of the live ones.

use super::Lock;
use super::sql::{self, column};
use super::types::{Id, JsonText, Micros};
use crate::domain::customer::Customer;
use crate::domain::fault::Fault;
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
