use super::*;
use crate::domain::catalog::feature::FeatureDraft;
use crate::domain::customer::CustomerDraft;
use crate::domain::entitlement::interval::Interval;
use crate::domain::entitlement::record::{EntitlementType, Kind, SUBSCRIPTION_ANNOTATION};
use crate::domain::quantity::Quantity;
use crate::domain::subject::SubjectChanges;
use crate::services::testing::records::{Scene, caller, draft as meter_draft, nothing, show as show_meter};
use crate::services::writes::Kept;
use crate::store::page::{Page, PageAsk};
use crate::store::tests::at;
use std::collections::BTreeMap;
use std::ops::Deref;

mod grants;
mod lists;
mod races;
mod refusals;

const ACME: Owner<'_> = Owner::Customer("acme");

fn quantity(text: &str) -> Quantity {
    Quantity::parse(text).expect(text)
}

fn period(interval: &str) -> PeriodDraft {
    PeriodDraft { interval: Interval::parse(interval).unwrap(), anchor: None }
}

fn of(feature_key: &str, kind: KindDraft) -> EntitlementDraft {
    let feature_key = Some(feature_key.to_string());
    EntitlementDraft { feature_id: None, feature_key, metadata: BTreeMap::new(), kind }
}

fn boolean(feature_key: &str) -> EntitlementDraft {
    of(feature_key, KindDraft::Boolean { usage_period: None })
}

fn monthly() -> MeteredDraft {
    MeteredDraft {
        is_soft_limit: false,
        usage_period: period("P1M"),
        measure_from: MeasureFrom::Now,
        issue_after_reset: None,
        issue_after_reset_priority: None,
        preserve_overage_at_reset: false,
        grants: Vec::new(),
    }
}

fn metered(feature_key: &str) -> EntitlementDraft {
    of(feature_key, KindDraft::Metered(monthly()))
}

/// Effective at the scene's minute.
fn grant(amount: &str) -> GrantDraft {
    GrantDraft {
        amount: quantity(amount),
        priority: 1,
        effective_at: at("2025-03-01T12:00:00Z"),
        offset_s: 0,
        expiration: None,
        min_rollover: Quantity::ZERO,
        max_rollover: quantity(amount),
        recurrence: None,
        metadata: BTreeMap::new(),
        annotations: None,
    }
}

/// The id.
fn show(shown: &Shown) -> Kept {
    Kept { status: 201, body: shown.entitlement.id.to_string() }
}

fn show_grant(shown: &ShownGrant) -> Kept {
    Kept { status: 201, body: shown.record.grant.id.to_string() }
}

/// A scene with the customer `acme`, whose subjects are `acme-eu` and `acme-us`, the metered feature `tokens` and the
/// plain one `seats`.
async fn scene() -> Case {
    filled(Scene::closed().await).await
}

async fn filled(scene: Scene) -> Case {
    scene.start(vec![]).await.unwrap();
    let scene = Case(scene);
    scene.records.meters.create(&caller(), meter_draft("seconds"), &[], show_meter).await.unwrap();
    scene.feature("tokens", Some("seconds")).await;
    scene.feature("seats", None).await;
    scene.customer("acme", &["acme-us", "acme-eu"]).await;
    scene.world.with(|state| state.forgotten.clear());
    scene
}

/// A scene as these tests need it.
struct Case(Scene);

impl Deref for Case {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.0
    }
}

impl Case {
    async fn feature(&self, key: &str, meter: Option<&str>) {
        let draft = FeatureDraft {
            key: key.to_string(),
            name: key.to_string(),
            description: None,
            metadata: BTreeMap::new(),
            filters: BTreeMap::new(),
            unit_cost: None,
        };
        let show = |_: &_| nothing();
        self.records.features.create(&caller(), draft, meter, show).await.unwrap();
    }

    async fn customer(&self, key: &str, subject_keys: &[&str]) -> Customer {
        let subject_keys = subject_keys.iter().map(|key| key.to_string()).collect();
        let draft = CustomerDraft {
            key: Some(key.to_string()),
            name: key.to_string(),
            subject_keys,
            ..CustomerDraft::default()
        };
        self.records.customers.create(&caller(), draft, |_| nothing()).await.unwrap();
        self.records.customers.get("default", key).await.unwrap()
    }

    async fn subject(&self, key: &str) {
        let changes = SubjectChanges { key: key.to_string(), ..SubjectChanges::default() };
        self.records.subjects.upsert(&caller(), vec![changes], |_| nothing()).await.unwrap();
    }

    async fn try_create(&self, draft: EntitlementDraft) -> Result<String, EntitlementError> {
        Ok(self.records.entitlements.create(&caller(), ACME, draft, show).await?.kept.body)
    }

    /// Its id.
    async fn create(&self, draft: EntitlementDraft) -> String {
        self.try_create(draft).await.unwrap()
    }

    async fn get(&self, id: &str) -> Shown {
        self.records.entitlements.get("default", id).await.unwrap()
    }

    async fn try_grant(&self, id: &str, draft: GrantDraft) -> Result<String, EntitlementError> {
        Ok(self.records.entitlements.create_grant(&caller(), Which::Id(id), draft, show_grant).await?.kept.body)
    }

    async fn grants(&self, query: GrantsQuery) -> Vec<ShownGrant> {
        self.records.entitlements.list_grants("default", query, PageAsk::ALL).await.unwrap().items
    }

    async fn try_reset(&self, id: &str, draft: ResetDraft) -> Result<(), EntitlementError> {
        self.records.entitlements.reset(&caller(), Which::Id(id), draft, nothing()).await.map(drop)
    }

    /// Lets the clock go on.
    fn pass_seconds(&self, seconds: i64) {
        self.world.with(|state| state.now += seconds * 1_000_000_000);
    }

    /// What trackers were told to drop since the last time this was asked.
    fn forgotten(&self) -> Vec<String> {
        self.world.with(|state| std::mem::take(&mut state.forgotten))
    }

    async fn managed_by_subscription(&self, id: &str) {
        let client = self.records.database.client().await.unwrap();
        let annotations = format!(r#"{{"{SUBSCRIPTION_ANNOTATION}": "01"}}"#);
        let update = format!("UPDATE entitlements SET annotations = '{annotations}' WHERE id = '{id}'");
        client.batch_execute(&update).await.unwrap();
    }
}

#[tokio::test]
async fn an_entitlement_is_shown_with_its_customer_and_its_periods() {
    let scene = scene().await;
    let metadata = BTreeMap::from([("a".to_string(), "1.50".to_string())]);
    let kind = KindDraft::Metered(MeteredDraft {
        is_soft_limit: true,
        usage_period: PeriodDraft { anchor: Some(at("2025-01-31T08:00:59Z")), ..period("P1M") },
        issue_after_reset: Some(quantity("0.1234567890123456789012345678")),
        preserve_overage_at_reset: true,
        ..monthly()
    });
    let id = scene.create(EntitlementDraft { metadata: metadata.clone(), ..of("tokens", kind) }).await;
    let shown = scene.get(&id).await;
    let now = at("2025-03-01T12:00:00.123456Z");
    let it = &shown.entitlement;
    assert_eq!((it.active_from, it.active_to, it.created_at, it.deleted_at), (now, None, now, None));
    assert_eq!((it.feature_key.as_str(), &it.metadata), ("tokens", &metadata));
    assert_eq!(shown.customer.key.as_deref(), Some("acme"));
    let terms = it.metered().unwrap();
    assert_eq!(terms.usage_period.anchor, at("2025-01-31T08:00:00Z"));
    assert_eq!((terms.measure_from, shown.last_reset), (at("2025-03-01T12:00:00Z"), Some(terms.measure_from)));
    assert_eq!(shown.current_period, Some(terms.measure_from..at("2025-03-31T08:00:00Z")));
    scene.pass_seconds(40 * 86_400);
    let later = scene.get(&id).await;
    assert_eq!(later.current_period, Some(at("2025-03-31T08:00:00Z")..at("2025-04-30T08:00:00Z")));
    assert_eq!(later.last_reset, shown.last_reset, "a period's end is no reset by hand");
    let [default] = &scene.grants(GrantsQuery::default()).await[..] else { panic!("one grant") };
    assert_eq!(default.record.grant.amount, quantity("0.1234567890123456789012345678"));
    assert_eq!((default.record.grant.priority, default.record.grant.effective_at), (1, terms.measure_from));
    assert_eq!(default.record.annotations.as_deref(), Some(r#"{"issueAfterReset":true}"#));
}

#[tokio::test]
async fn a_configuration_comes_back_as_jsonb_writes_it_also_at_once() {
    let scene = scene().await;
    let kind = KindDraft::Static { config: r#"{"b":1.50,"aa":[1,2],"b":2.50}"#.to_string(), usage_period: None };
    let config = |shown: &Shown| match &shown.entitlement.kind {
        Kind::Static { config, .. } => Kept { status: 201, body: config.clone() },
        other => panic!("{other:?}"),
    };
    let made = scene.records.entitlements.create(&caller(), ACME, of("seats", kind), config).await.unwrap();
    assert_eq!(made.kept.body, r#"{"b": 2.50, "aa": [1, 2]}"#);
    let shown = scene.records.entitlements.find_of_customer("default", ACME, "seats", None).await.unwrap().unwrap();
    assert_eq!(config(&shown), made.kept);
}

#[tokio::test]
async fn a_subject_stands_for_the_customer_that_owns_its_key() {
    let scene = scene().await;
    let other = scene.customer("acme-hq", &["acme-asia"]).await;
    scene.subject("acme-hq").await;
    let entitlements = &scene.records.entitlements;
    for (subject, feature, customer) in [("acme-us", "tokens", "acme"), ("acme-hq", "tokens", "acme-hq")] {
        entitlements.create(&caller(), Owner::Subject(subject), metered(feature), show).await.unwrap();
        let found = entitlements.find_of_customer("default", Owner::Subject(subject), feature, None).await.unwrap();
        assert_eq!(found.unwrap().customer.key.as_deref(), Some(customer));
    }
    let id = scene.records.subjects.get("default", "acme-asia").await.unwrap().id.to_string();
    let by_id = entitlements.owner("default", Owner::Subject(&id)).await.unwrap();
    assert_eq!(by_id.id, other.id);
}

#[tokio::test]
async fn an_id_finds_any_and_a_key_what_is_active_then() {
    let scene = scene().await;
    let entitlements = &scene.records.entitlements;
    scene.customer("other", &[]).await;
    let before = scene.world.with(|state| Instant::from_nanos(state.now - 1_000));
    let id = scene.create(metered("tokens")).await;
    let other = Owner::Customer("other");
    let found = async |owner, name: &str, at| {
        let found = entitlements.find_of_customer("default", owner, name, at).await.unwrap();
        found.map(|shown| shown.entitlement.id.to_string())
    };
    assert_eq!(found(ACME, "tokens", None).await.as_ref(), Some(&id));
    assert_eq!(found(ACME, "tokens", Some(before)).await, None, "not yet");
    assert_eq!(found(ACME, &id, Some(before)).await.as_ref(), Some(&id));
    assert_eq!(found(other, &id, None).await.as_ref(), Some(&id), "whoever's it is");
    assert_eq!(found(other, "tokens", None).await, None);
    assert_eq!(scene.get(&id).await.customer.key.as_deref(), Some("acme"), "and it is shown as whose it is");
    entitlements.delete(&caller(), Which::Of(ACME, "tokens"), nothing()).await.unwrap();
    assert_eq!(found(ACME, &id, None).await, None, "deleted ones are found nowhere");
}

#[tokio::test]
async fn a_replaced_entitlement_ends_where_the_new_one_begins() {
    let scene = scene().await;
    let entitlements = &scene.records.entitlements;
    let kind = KindDraft::Metered(MeteredDraft { grants: vec![grant("10"), grant("20")], ..monthly() });
    let old = scene.create(of("tokens", kind)).await;
    scene.tick();
    let replaced = entitlements.replace(&caller(), ACME, "tokens", boolean("tokens"), show).await.unwrap();
    let (old, new) = (scene.get(&old).await.entitlement, scene.get(&replaced.kept.body).await.entitlement);
    let now = at("2025-03-01T12:00:01.123456Z");
    assert_eq!((old.active_to, old.updated_at, new.active_from, new.active_to), (Some(now), now, now, None));
    assert!(scene.grants(GrantsQuery::default()).await.is_empty(), "nothing is carried over");
    let all = scene.grants(GrantsQuery { include_deleted: true, ..GrantsQuery::default() }).await;
    assert_eq!(all.iter().map(|grant| grant.record.grant.deleted_at).collect::<Vec<_>>(), [Some(now); 2]);
    let then = entitlements.find_of_customer("default", ACME, "tokens", Some(old.active_from)).await.unwrap();
    assert_eq!(then.unwrap().entitlement.id, old.id, "it is what was active then");
    let operations: Vec<String> = scene.audit("default").await.into_iter().map(|entry| entry.operation).collect();
    assert_eq!(operations[operations.len() - 2..], ["entitlement.end", "entitlement.create"]);
}

#[tokio::test]
async fn a_deleted_entitlement_takes_its_grants_along_and_makes_room() {
    let scene = scene().await;
    let kind = KindDraft::Metered(MeteredDraft { issue_after_reset: Some(quantity("5")), ..monthly() });
    let id = scene.create(of("tokens", kind)).await;
    let delete = async || scene.records.entitlements.delete(&caller(), Which::Id(&id), nothing()).await;
    delete().await.unwrap();
    assert!(matches!(delete().await, Err(EntitlementError::NotFound { .. })));
    assert!(matches!(scene.records.entitlements.get("default", &id).await, Err(EntitlementError::NotFound { .. })));
    assert!(scene.grants(GrantsQuery::default()).await.is_empty());
    scene.create(metered("tokens")).await;
}

#[tokio::test]
async fn a_customer_is_deleted_once_nothing_is_active_for_it() {
    let scene = scene().await;
    let id = scene.create(boolean("seats")).await;
    let delete = async || scene.records.customers.delete(&caller(), "acme", nothing()).await;
    let refused = delete().await.unwrap_err().to_string();
    assert!(refused.contains("still has active entitlements"), "{refused}");
    scene.records.entitlements.delete(&caller(), Which::Id(&id), nothing()).await.unwrap();
    delete().await.unwrap();
}

#[tokio::test]
async fn every_write_makes_trackers_forget_its_customer() {
    let scene = scene().await;
    let entitlements = &scene.records.entitlements;
    let customer = entitlements.owner("default", ACME).await.unwrap();
    let told = [format!("customer {}", customer.id)];
    let id = scene.create(metered("tokens")).await;
    assert_eq!(scene.forgotten(), told);
    let grant = scene.try_grant(&id, grant("1")).await.unwrap();
    assert_eq!(scene.forgotten(), told);
    entitlements.void_grant(&caller(), &grant, None, nothing()).await.unwrap();
    assert_eq!(scene.forgotten(), told);
    scene.pass_seconds(60);
    scene.try_reset(&id, ResetDraft::default()).await.unwrap();
    assert_eq!(scene.forgotten(), told);
    entitlements.replace(&caller(), ACME, &id, metered("tokens"), show).await.unwrap();
    assert_eq!(scene.forgotten(), told);
    entitlements.delete(&caller(), Which::Of(ACME, "tokens"), nothing()).await.unwrap();
    assert_eq!(scene.forgotten(), told);
    assert!(entitlements.delete(&caller(), Which::Id(&id), nothing()).await.is_ok(), "the old one, too");
    assert_eq!(scene.forgotten(), told);
    assert!(scene.try_create(boolean("none")).await.is_err());
    assert!(scene.forgotten().is_empty(), "a refusal changes nothing");
}

#[tokio::test]
async fn terms_are_what_the_engine_needs() {
    let scene = scene().await;
    let kind = KindDraft::Metered(MeteredDraft { preserve_overage_at_reset: true, ..monthly() });
    let id = scene.create(of("tokens", kind)).await;
    let plain = scene.create(boolean("seats")).await;
    scene.try_grant(&id, grant("10")).await.unwrap();
    scene.pass_seconds(120);
    scene.try_reset(&id, ResetDraft { retain_anchor: true, ..ResetDraft::default() }).await.unwrap();
    let (metered, plain) = (scene.get(&id).await.entitlement, scene.get(&plain).await.entitlement);
    // Neither a feature that is archived since nor a meter that is gone changes anything.
    scene.records.features.archive(&caller(), "tokens", nothing()).await.unwrap();
    let terms = scene.records.entitlements.terms("default", &[&metered, &plain]).await.unwrap();
    let [(of, terms)] = &terms.into_iter().collect::<Vec<_>>()[..] else { panic!("only one is metered") };
    assert_eq!(*of, metered.id);
    assert_eq!((terms.measure_from, terms.preserve_overage_at_reset), (at("2025-03-01T12:00:00Z"), true));
    assert_eq!(terms.resets[0].at, at("2025-03-01T12:02:00Z"));
    assert_eq!((terms.resets[0].anchor, terms.resets[0].preserve_overage), (None, true));
    assert_eq!(terms.grants.iter().map(|grant| grant.amount).collect::<Vec<_>>(), [quantity("10")]);
    assert_eq!(terms.aggregation, crate::domain::metering::Aggregation::Sum);
}

#[tokio::test]
async fn the_audit_has_an_entitlement_with_its_grants() {
    let scene = scene().await;
    let kind = KindDraft::Metered(MeteredDraft { issue_after_reset: Some(quantity("0.5")), ..monthly() });
    let id = scene.create(of("tokens", kind)).await;
    let entries = scene.audit("default").await;
    let [made, granted] = &entries[entries.len() - 2..] else { panic!("two entries") };
    assert_eq!((made.operation.as_str(), &made.entity_id, &made.before), ("entitlement.create", &id, &None));
    let after: serde_json::Value = serde_json::from_str(made.after.as_ref().unwrap()).unwrap();
    assert_eq!((&after["type"], &after["issueAfterReset"]), (&"metered".into(), &"0.5".into()));
    assert_eq!((granted.operation.as_str(), granted.entity_kind.as_str()), ("grant.create", "grant"));
    let after: serde_json::Value = serde_json::from_str(granted.after.as_ref().unwrap()).unwrap();
    assert_eq!((&after["entitlementId"], &after["maxRolloverAmount"]), (&id.into(), &"0.5".into()));
}
