//! Lists of entitlements.

use super::find::{live_owner, show};
use super::{EntitlementError, Entitlements, EntitlementsQuery, Owner, Shown};
use crate::domain::time::Instant;
use crate::store::page::{Page, PageAsk};
use crate::store::{GenericClient, entitlements};

impl Entitlements {
    /// A page of what is active now for the owner. The query's customer is set here.
    pub async fn list_active(
        &self,
        namespace: &str,
        owner: Owner<'_>,
        query: EntitlementsQuery,
        page: PageAsk,
    ) -> Result<Page<Shown>, EntitlementError> {
        self.gate.check()?;
        let client = self.database.client().await?;
        let customer = live_owner(&client, namespace, owner).await?;
        let query = EntitlementsQuery { customer_ids: vec![customer.id.to_string()], ..query };
        list(&client, namespace, query, true, page, self.now()).await
    }

    /// All that is active for the owner at an instant.
    pub async fn active_at(
        &self,
        namespace: &str,
        owner: Owner<'_>,
        at: Instant,
    ) -> Result<Vec<Shown>, EntitlementError> {
        self.gate.check()?;
        let client = self.database.client().await?;
        let customer = live_owner(&client, namespace, owner).await?;
        let active = entitlements::active_of_customer(&client, namespace, customer.id, at).await?;
        show(&client, namespace, active, self.now()).await
    }

    /// A page of all entitlements; ended and future ones too, unless only the active ones are asked for.
    pub async fn list(
        &self,
        namespace: &str,
        query: EntitlementsQuery,
        only_active: bool,
        page: PageAsk,
    ) -> Result<Page<Shown>, EntitlementError> {
        self.gate.check()?;
        list(&self.database.client().await?, namespace, query, only_active, page, self.now()).await
    }
}

async fn list(
    client: &impl GenericClient,
    namespace: &str,
    query: EntitlementsQuery,
    only_active: bool,
    page: PageAsk,
    now: Instant,
) -> Result<Page<Shown>, EntitlementError> {
    let active_at = only_active.then_some(now);
    let Page { items, total } = entitlements::list(client, namespace, &query, active_at, page).await?;
    Ok(Page { items: show(client, namespace, items, now).await?, total })
}
