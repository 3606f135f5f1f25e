//! What is refused, by which words.

use super::*;

async fn refused(scene: &Case, draft: EntitlementDraft) -> String {
    scene.try_create(draft).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_feature_must_be_there_and_live() {
    let scene = scene().await;
    let id = scene.records.features.get("default", "seats").await.unwrap().id.to_string();
    let by_id = |id: &str| EntitlementDraft { feature_id: Some(id.to_string()), ..boolean("tokens") };
    assert_eq!(refused(&scene, boolean("none")).await, "feature not found: none");
    assert_eq!(refused(&scene, boolean(&id)).await, format!("feature not found: {id}"), "an id is no key");
    assert_eq!(refused(&scene, by_id("seats")).await, "feature not found: seats", "a key is no id");
    assert_eq!(refused(&scene, by_id(&id.to_lowercase())).await, format!("feature not found: {}", id.to_lowercase()));
    let made = scene.create(by_id(&id)).await;
    assert_eq!(scene.get(&made).await.entitlement.feature_key, "seats", "an id goes before a key");
    scene.records.features.archive(&caller(), "seats", nothing()).await.unwrap();
    assert_eq!(refused(&scene, boolean("seats")).await, "feature not found: seats");
    assert_eq!(refused(&scene, by_id(&id)).await, format!("feature not found: {id}"));
    let replace = scene.records.entitlements.replace(&caller(), ACME, "seats", boolean("seats"), show).await;
    assert_eq!(replace.unwrap_err().to_string(), "feature not found: seats");
    assert_eq!(scene.get(&made).await.entitlement.active_to, None, "what is there goes on");
    let tokens = scene.records.features.get("default", "tokens").await.unwrap().id;
    assert!(refused(&scene, metered("seats")).await.starts_with("feature not found"));
    scene.feature("seats", None).await;
    let seats = scene.records.features.get("default", "seats").await.unwrap().id;
    assert_eq!(refused(&scene, metered("seats")).await, format!("invalid feature {seats}: Feature has no meter"));
    assert!(tokens != seats);
}

#[tokio::test]
async fn an_owner_must_be_there_and_live() {
    let scene = scene().await;
    let entitlements = &scene.records.entitlements;
    scene.subject("lonely").await;
    scene.subject("gone").await;
    let gone = scene.records.subjects.get("default", "gone").await.unwrap().id.to_string();
    scene.records.subjects.delete(&caller(), "gone", nothing()).await.unwrap();
    scene.customer("late", &["late-1"]).await;
    let late = scene.records.customers.get("default", "late").await.unwrap().id.to_string();
    scene.records.customers.delete(&caller(), "late", nothing()).await.unwrap();
    let table = [
        (Owner::Customer("none"), "customer with id or key none not found in default namespace".to_string()),
        (Owner::Customer("late"), "customer with id or key late not found in default namespace".to_string()),
        (Owner::Customer(&late), format!("customer is deleted [namespace=default customer.id={late}]")),
        (Owner::Subject("none"), "subject not found [namespace=default subject.idOrKey=none]".to_string()),
        (Owner::Subject("gone"), "subject not found [namespace=default subject.idOrKey=gone]".to_string()),
        (Owner::Subject(&gone), format!("subject is deleted [namespace=default subject.id={gone}]")),
        (Owner::Subject("lonely"), "customer with subject key lonely not found [namespace=default]".to_string()),
        (Owner::Subject("late-1"), "customer with subject key late-1 not found [namespace=default]".to_string()),
    ];
    for (owner, text) in table {
        let created = entitlements.create(&caller(), owner, boolean("seats"), show).await;
        assert_eq!(created.unwrap_err().to_string(), text);
        let found = entitlements.find_of_customer("default", owner, "seats", None).await;
        assert_eq!(found.unwrap_err().to_string(), text);
        let listed = entitlements.list_active("default", owner, EntitlementsQuery::default(), PageAsk::ALL).await;
        assert_eq!(listed.unwrap_err().to_string(), text);
        let deleted = entitlements.delete(&caller(), Which::Of(owner, "seats"), nothing()).await;
        assert_eq!(deleted.unwrap_err().to_string(), text);
    }
}

#[tokio::test]
async fn a_second_one_of_a_feature_key_is_a_conflict_that_names_the_first() {
    let scene = scene().await;
    let first = scene.create(metered("tokens")).await;
    // Another feature with the key is no way around.
    scene.records.features.archive(&caller(), "tokens", nothing()).await.unwrap();
    scene.feature("tokens", Some("seconds")).await;
    let feature = scene.records.features.get("default", "tokens").await.unwrap().id;
    let error = scene.try_create(boolean("tokens")).await.unwrap_err();
    let customer = scene.get(&first).await.customer.id;
    let text = format!("entitlement with id {first} already exists for feature {feature} and customer {customer}");
    assert_eq!(error.to_string(), text);
    assert!(matches!(error, EntitlementError::Exists { id, .. } if id.to_string() == first));
}

#[tokio::test]
async fn one_refused_grant_leaves_nothing_behind() {
    let scene = scene().await;
    let late = GrantDraft { effective_at: at("2025-03-01T11:59:59Z"), ..grant("1") };
    let kind = KindDraft::Metered(MeteredDraft { grants: vec![grant("1"), late], ..monthly() });
    let text = "grant effective date 2025-03-01T11:59:00Z is before the current usage period 2025-03-01T12:00:00Z";
    assert_eq!(refused(&scene, of("tokens", kind)).await, text);
    assert_eq!((scene.count("entitlements").await, scene.count("grants").await), (0, 0));
    scene.create(metered("tokens")).await;
}

#[tokio::test]
async fn a_configuration_must_be_json() {
    let scene = scene().await;
    for config in ["", "{", "\0", "1e999999"] {
        let kind = KindDraft::Static { config: config.to_string(), usage_period: None };
        assert_eq!(refused(&scene, of("seats", kind)).await, "invalid JSON config", "{config}");
    }
    assert_eq!(scene.count("entitlements").await, 0);
}

#[tokio::test]
async fn only_its_like_replaces_an_entitlement() {
    let scene = scene().await;
    let entitlements = &scene.records.entitlements;
    scene.customer("other", &[]).await;
    let id = scene.create(metered("tokens")).await;
    let replace = async |owner, name: &str, draft| {
        entitlements.replace(&caller(), owner, name, draft, show).await.map(drop).map_err(|error| error.to_string())
    };
    let missing = Err("entitlement not found seats in namespace default".to_string());
    assert_eq!(replace(ACME, "seats", boolean("seats")).await, missing);
    let features = Err("old and new entitlements belong to different features".to_string());
    assert_eq!(replace(ACME, "tokens", boolean("seats")).await, features);
    let customers = Err("old and new entitlements belong to different customers".to_string());
    assert_eq!(replace(Owner::Customer("other"), &id, boolean("tokens")).await, customers);
    assert_eq!(replace(ACME, &id, boolean("tokens")).await, Ok(()));
    let ended = Err(format!("entitlement {id} has an end already"));
    assert_eq!(replace(ACME, &id, boolean("tokens")).await, ended);
}

#[tokio::test]
async fn what_a_subscription_made_only_the_subscription_changes() {
    let scene = scene().await;
    let entitlements = &scene.records.entitlements;
    let id = scene.create(metered("tokens")).await;
    let given = scene.try_grant(&id, grant("1")).await.unwrap();
    scene.managed_by_subscription(&id).await;
    scene.pass_seconds(60);
    let outcomes = [
        scene.try_grant(&id, grant("1")).await.map(drop),
        scene.try_reset(&id, ResetDraft::default()).await,
        entitlements.delete(&caller(), Which::Id(&id), nothing()).await.map(drop),
        entitlements.replace(&caller(), ACME, "tokens", metered("tokens"), show).await.map(drop),
    ];
    for outcome in outcomes {
        assert!(matches!(outcome, Err(EntitlementError::Managed)), "{outcome:?}");
    }
    entitlements.void_grant(&caller(), &given, None, nothing()).await.unwrap();
}

#[tokio::test]
async fn grants_and_resets_are_for_what_is_metered() {
    let scene = scene().await;
    let id = scene.create(boolean("seats")).await;
    let text = "expected entitlement type metered but got boolean";
    assert_eq!(scene.try_grant(&id, grant("1")).await.unwrap_err().to_string(), text);
    assert_eq!(scene.try_reset(&id, ResetDraft::default()).await.unwrap_err().to_string(), text);
    let none = "entitlement not found 01 in namespace default";
    assert_eq!(scene.try_grant("01", grant("1")).await.unwrap_err().to_string(), none);
    assert_eq!(scene.try_reset("01", ResetDraft::default()).await.unwrap_err().to_string(), none);
}

#[tokio::test]
async fn namespaces_do_not_see_each_other() {
    let scene = scene().await;
    let id = scene.create(metered("tokens")).await;
    let given = scene.try_grant(&id, grant("1")).await.unwrap();
    let (entitlements, other) = (&scene.records.entitlements, crate::services::testing::records::caller_of("other"));
    assert!(matches!(entitlements.get("other", &id).await, Err(EntitlementError::NotFound { .. })));
    let deleted = entitlements.delete(&other, Which::Id(&id), nothing()).await;
    assert!(matches!(deleted, Err(EntitlementError::NotFound { .. })));
    let voided = entitlements.void_grant(&other, &given, None, nothing()).await;
    assert!(matches!(voided, Err(EntitlementError::GrantNotFound(_))));
    let listed = entitlements.list("other", EntitlementsQuery::default(), false, PageAsk::ALL).await.unwrap();
    assert_eq!(listed, Page { items: Vec::new(), total: 0 });
}

#[tokio::test]
async fn without_postgresql_or_before_the_gate_is_open_nothing_is_answered() {
    let (closed, cut_off) = (Case(Scene::closed().await), Case(Scene::open().await));
    cut_off.cut_off();
    for scene in [closed, cut_off] {
        let entitlements = &scene.records.entitlements;
        let outcomes = [
            scene.try_create(boolean("seats")).await.map(drop),
            entitlements.void_grant(&caller(), "01", None, nothing()).await.map(drop),
            entitlements.get("default", "01").await.map(drop),
            entitlements.list("default", EntitlementsQuery::default(), false, PageAsk::ALL).await.map(drop),
            entitlements.list_grants("default", GrantsQuery::default(), PageAsk::ALL).await.map(drop),
            entitlements.terms("default", &[]).await.map(drop),
        ];
        for outcome in outcomes {
            let is_fault =
                matches!(outcome, Err(EntitlementError::Fault(_) | EntitlementError::Write(WriteError::Fault(_))));
            assert!(is_fault, "{outcome:?}");
        }
    }
}
