//! Which event log these business records go with. Published to another, they would be missing where they are counted.

use super::database::Transaction;
use super::sql::{self, column};
use crate::domain::fault::Fault;

const CLAIM: &str = "INSERT INTO event_log (id) VALUES ($1) ON CONFLICT (only_one) DO NOTHING";
const TAKE_OVER: &str = "INSERT INTO event_log (id) VALUES ($1) ON CONFLICT (only_one) DO UPDATE SET id = excluded.id";
const OWNER: &str = "SELECT id FROM event_log";

/// Ties the records to this log if they are tied to none, or in any case when they are to be taken over. Returns the
/// log that they go with now.
pub async fn claim(tx: &Transaction<'_>, id: &str, take_over: bool) -> Result<String, Fault> {
    let statement = if take_over { TAKE_OVER } else { CLAIM };
    sql::answer(tx.execute(statement, &[&id])).await?;
    let row = sql::answer(tx.query_one(OWNER, &[])).await?;
    column(&row, "id")
}

#[cfg(test)]
mod tests {
    use crate::store::database::{begin, commit};
    use crate::store::tests::fresh;

    #[tokio::test]
    async fn records_go_with_the_first_log_until_another_takes_them_over() {
        let database = fresh().await;
        for (id, take_over, owner) in [("a", false, "a"), ("b", false, "a"), ("b", true, "b"), ("a", false, "b")] {
            let mut client = database.client().await.unwrap();
            let tx = begin(&mut client).await.unwrap();
            assert_eq!(super::claim(&tx, id, take_over).await.unwrap(), owner);
            commit(tx).await.unwrap();
        }
    }
}
