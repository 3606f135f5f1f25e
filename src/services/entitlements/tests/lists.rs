//! Lists.

use super::*;

fn keys(page: &Page<Shown>) -> Vec<&str> {
    page.items.iter().map(|shown| shown.feature_key.as_str()).collect()
}

#[tokio::test]
async fn an_owner_sees_what_is_active_and_an_operator_what_is_there() {
    let scene = scene().await;
    let entitlements = &scene.records.entitlements;
    let old = scene.create(metered("tokens")).await;
    scene.tick();
    scene.create(boolean("seats")).await;
    scene.tick();
    entitlements.replace(&caller(), ACME, "tokens", metered("tokens"), show).await.unwrap();
    scene.customer("other", &[]).await;
    entitlements.create(&caller(), Owner::Customer("other"), boolean("seats"), show).await.unwrap();
    let all = EntitlementsQuery::default;
    let active = entitlements.list_active("default", ACME, all(), PageAsk::ALL).await.unwrap();
    assert_eq!((keys(&active), active.total), (vec!["seats", "tokens"], 2));
    let by_subject = entitlements.list_active("default", Owner::Subject("acme-eu"), all(), PageAsk::ALL).await.unwrap();
    assert_eq!(by_subject, active);
    let every = entitlements.list("default", all(), false, PageAsk::ALL).await.unwrap();
    assert_eq!((keys(&every), every.total), (vec!["tokens", "seats", "tokens", "seats"], 4));
    assert_eq!(every.items[0].entitlement.id.to_string(), old);
    let customers: Vec<_> = every.items.iter().map(|shown| shown.customer.key.as_deref().unwrap()).collect();
    assert_eq!(customers, ["acme", "acme", "acme", "other"]);
    let only_active = entitlements.list("default", all(), true, PageAsk { offset: 1, limit: 1 }).await.unwrap();
    assert_eq!((keys(&only_active), only_active.total), (vec!["tokens"], 3));
    let plain = EntitlementsQuery { kinds: vec![EntitlementType::Boolean], ..all() };
    assert_eq!(keys(&entitlements.list("default", plain, false, PageAsk::ALL).await.unwrap()), ["seats", "seats"]);
}

#[tokio::test]
async fn grants_are_listed_by_entitlement_and_by_customer() {
    let scene = scene().await;
    let entitlements = &scene.records.entitlements;
    let id = scene.create(metered("tokens")).await;
    let other = scene.customer("other", &[]).await;
    let theirs = Owner::Customer("other");
    entitlements.create(&caller(), theirs, metered("tokens"), show).await.unwrap();
    let of_theirs = Which::Of(theirs, "tokens");
    entitlements.create_grant(&caller(), of_theirs, grant("7"), show_grant).await.unwrap();
    for amount in ["1", "2"] {
        scene.try_grant(&id, grant(amount)).await.unwrap();
    }
    let amounts =
        |shown: &[ShownGrant]| shown.iter().map(|grant| grant.record.grant.amount.to_plain()).collect::<Vec<_>>();
    let by_key = Which::Of(ACME, "tokens");
    let mine = entitlements.grants_of("default", by_key, GrantsQuery::default(), PageAsk::ALL).await.unwrap();
    assert_eq!((amounts(&mine.items), mine.total), (vec!["1".to_string(), "2".to_string()], 2));
    let of_customers = |names: &[&str]| GrantsQuery {
        customers: names.iter().map(|name| name.to_string()).collect(),
        ..GrantsQuery::default()
    };
    assert_eq!(amounts(&scene.grants(of_customers(&["other"])).await), ["7"]);
    assert_eq!(scene.grants(of_customers(&["other", "acme"])).await.len(), 3);
    let unknown = entitlements.list_grants("default", of_customers(&["none"]), PageAsk::ALL).await;
    assert!(matches!(unknown, Err(EntitlementError::Customer(_))));
    entitlements.delete(&caller(), of_theirs, nothing()).await.unwrap();
    scene.records.customers.delete(&caller(), "other", nothing()).await.unwrap();
    let deleted = scene.grants(of_customers(&[&other.id.to_string()])).await;
    assert!(deleted.is_empty(), "a filter that matches nobody is still a filter");
}
