use super::*;
use crate::domain::entitlement::record::{Entitlement, Kind};
use crate::domain::fault::Verdict;
use crate::services::testing::records::{Scene, caller, caller_of, keyed, nothing};
use crate::store::database::{begin, commit};
use crate::store::tests::at;
use futures::future::join_all;

fn draft(key: Option<&str>, subject_keys: &[&str]) -> CustomerDraft {
    CustomerDraft {
        key: key.map(str::to_string),
        name: "Acme".to_string(),
        subject_keys: subject_keys.iter().map(ToString::to_string).collect(),
        ..CustomerDraft::default()
    }
}

/// The id and the subject keys.
fn show(customer: &Customer) -> Kept {
    Kept { status: 200, body: format!("{} {}", customer.id, customer.subject_keys.join(",")) }
}

impl Scene {
    async fn create_customer(&self, key: Option<&str>, subject_keys: &[&str]) -> Result<Customer, CustomerError> {
        let made = self.records.customers.create(&caller(), draft(key, subject_keys), show).await?;
        let id = made.kept.body.split(' ').next().unwrap().to_string();
        Ok(self.records.customers.get("default", &id).await.unwrap())
    }

    async fn update_customer(&self, name: &str, draft: CustomerDraft) -> Result<Answered, CustomerError> {
        self.records.customers.update(&caller(), name, |_| draft, show).await
    }

    async fn delete_customer(&self, name: &str) -> Result<Answered, CustomerError> {
        self.records.customers.delete(&caller(), name, nothing()).await
    }

    async fn owner(&self, text: &str) -> Option<Ulid> {
        let owners = self.records.customers.owners("default", &[text]).await.unwrap();
        owners.get(text).map(|customer| customer.id)
    }

    fn forgotten(&self) -> Vec<String> {
        self.world.with(|state| std::mem::take(&mut state.forgotten))
    }
}

#[tokio::test]
async fn what_another_has_is_refused_and_leaves_nothing_behind() {
    let scene = Scene::open().await;
    let acme = scene.create_customer(Some("acme"), &["eu", "us"]).await.unwrap();
    let gone = scene.create_customer(Some("gone"), &["old"]).await.unwrap();
    scene.delete_customer("gone").await.unwrap();
    let (id, gone_id) = (acme.id.to_string(), gone.id.to_string());
    let taken = |keys: &str| {
        format!(
            "one or multiple subject keys of [{keys}] are already associated with an different customer in the namespace default"
        )
    };
    #[rustfmt::skip]
    let table: [(Option<&str>, &[&str], String); 6] = [
        (Some(&id), &[], format!("key {id} overlaps with id of another customer")),
        (Some(&gone_id), &[], format!("key {gone_id} overlaps with id of another customer")),
        (Some("eu"), &[], format!("key eu overlaps with subject of another customer: {id}")),
        (Some("acme"), &["eu"], "key \"acme\" is already used by an another customer in the namespace default".into()),
        (Some("b"), &["us", "new"], taken("new, us")),
        (Some("b"), &["new", "new"], taken("new")),
    ];
    for (key, subject_keys, text) in table {
        let refused = scene.create_customer(key, subject_keys).await.unwrap_err();
        assert!(matches!(refused, CustomerError::Conflict(_)), "{refused:?}");
        assert_eq!(refused.to_string(), text);
    }
    assert_eq!((scene.count("customers").await, scene.count("subjects").await), (2, 3), "not even a subject");
    let own = scene.update_customer("acme", draft(Some(&id), &[])).await.unwrap_err();
    assert_eq!(own.to_string(), format!("key {id} overlaps with id of another customer"), "nor is one's own id a key");

    let b = scene.create_customer(Some("gone"), &["old", "acme"]).await.unwrap();
    assert_eq!(b.subject_keys, ["acme", "old"], "a subject key may be another's key");
    assert_eq!((scene.owner("acme").await, scene.owner("old").await), (Some(acme.id), Some(b.id)));
}

#[tokio::test]
async fn a_replacement_frees_what_it_leaves_out() {
    let scene = Scene::open().await;
    let a = scene.create_customer(Some("a"), &["x", "y"]).await.unwrap();
    scene.tick();
    let answered = scene.update_customer("a", draft(Some("a2"), &["z", "y", "z"])).await.unwrap();
    assert_eq!(answered.kept.body, format!("{} y,z", a.id), "twice the same is once");
    for (text, owner) in [("a", None), ("x", None), ("a2", Some(a.id)), ("y", Some(a.id)), ("z", Some(a.id))] {
        assert_eq!(scene.owner(text).await, owner, "{text}");
    }
    let after = scene.records.customers.get("default", "a2").await.unwrap();
    assert_eq!(
        (after.created_at, after.updated_at.to_rfc3339().as_str()),
        (a.created_at, "2025-03-01T12:00:01.123456Z")
    );
    scene.create_customer(Some("a"), &["x"]).await.unwrap();
    let nameless = scene.update_customer("a2", draft(None, &[])).await.unwrap_err();
    assert!(matches!(nameless, CustomerError::Refused(CustomerRefusal::Nameless)), "{nameless:?}");
    scene.update_customer("a2", draft(None, &["y"])).await.unwrap();
    assert!(matches!(scene.records.customers.get("default", "a2").await, Err(CustomerError::NotFound { .. })));
}

#[tokio::test]
async fn a_deleted_customer_is_found_by_its_id_and_changed_no_more() {
    let scene = Scene::open().await;
    let a = scene.create_customer(Some("a"), &["x"]).await.unwrap();
    let id = a.id.to_string();
    scene.delete_customer("a").await.unwrap();
    let found = scene.records.customers.get("default", &id).await.unwrap();
    assert_eq!((found.deleted_at.is_some(), found.subject_keys.len()), (true, 0));
    let deleted = format!("customer is deleted [namespace=default customer.id={id}]");
    assert_eq!(scene.delete_customer(&id).await.unwrap_err().to_string(), deleted);
    assert_eq!(scene.update_customer(&id, draft(Some("a"), &[])).await.unwrap_err().to_string(), deleted);
    let missing = "customer with id or key a not found in default namespace";
    assert_eq!(scene.delete_customer("a").await.unwrap_err().to_string(), missing);
    assert_eq!(scene.update_customer("a", draft(Some("a"), &[])).await.unwrap_err().to_string(), missing);
    assert_eq!(scene.records.subjects.get("default", "x").await.unwrap().key, "x", "its subjects stay");
    assert_ne!(scene.create_customer(Some("a"), &["x"]).await.unwrap().id, a.id);
}

#[tokio::test]
async fn a_key_is_no_id() {
    let scene = Scene::open().await;
    let key = "01JNK5A0000000000000000000";
    let made = scene.create_customer(Some(key), &[]).await.unwrap();
    let customers = &scene.records.customers;
    assert_eq!(customers.get("default", key).await.unwrap().id, made.id);
    assert!(matches!(customers.get("default", Named::Id(key)).await, Err(CustomerError::NotFound { .. })));
    let refused = customers.delete(&caller(), Named::Id(key), nothing()).await;
    assert!(matches!(refused, Err(CustomerError::NotFound { .. })));
    let id = made.id.to_string();
    assert_eq!(customers.get("default", Named::Id(&id)).await.unwrap(), made);
}

#[tokio::test]
async fn a_customer_with_an_active_entitlement_stays() {
    let scene = Scene::open().await;
    let a = scene.create_customer(Some("a"), &[]).await.unwrap();
    let feature = "INSERT INTO features (namespace, id, key, name, metadata, filters, created_at, updated_at) \
        VALUES ('default', '00000000000000000000000007', 'f', 'F', '{}', '{}', '2025-01-01', '2025-01-01')";
    scene.records.database.client().await.unwrap().batch_execute(feature).await.unwrap();
    let entitle = async |n: u128, from: &str, to: Option<&str>| {
        let mut client = scene.records.database.client().await.unwrap();
        let tx = begin(&mut client).await.unwrap();
        let entitlement = Entitlement {
            id: Ulid::from(n),
            namespace: "default".to_string(),
            customer_id: a.id,
            feature_id: Ulid::from(7u128),
            feature_key: format!("f{n}"),
            kind: Kind::Boolean { usage_period: None },
            metadata: BTreeMap::new(),
            annotations: BTreeMap::new(),
            active_from: at(from),
            active_to: to.map(at),
            created_at: at(from),
            updated_at: at(from),
            deleted_at: None,
        };
        entitlements::insert(&tx, &entitlement).await.unwrap();
        commit(tx).await.unwrap();
    };
    entitle(1, "2025-01-01T00:00:00Z", Some("2025-02-01T00:00:00Z")).await;
    entitle(2, "2025-05-01T00:00:00Z", None).await;
    entitle(3, "2025-02-01T00:00:00Z", None).await;
    let expected =
        format!("customer {} still has active entitlements, please remove them before deleting the customer", a.id);
    assert_eq!(scene.delete_customer("a").await.unwrap_err().to_string(), expected);
    let mut client = scene.records.database.client().await.unwrap();
    let tx = begin(&mut client).await.unwrap();
    entitlements::delete(&tx, "default", Ulid::from(3u128), at("2025-03-01T00:00:00Z")).await.unwrap();
    commit(tx).await.unwrap();
    scene.delete_customer("a").await.expect("one that is over and one that is to come are not in the way");
}

#[tokio::test]
async fn every_subject_key_has_its_subject() {
    let scene = Scene::open().await;
    let a = scene.create_customer(Some("a"), &["y", "x"]).await.unwrap();
    let subjects = scene.records.subjects.list("default").await.unwrap();
    let keys: Vec<&str> = subjects.iter().map(|subject| subject.key.as_str()).collect();
    assert_eq!(keys, ["x", "y"], "and none for the key");
    let metadata = format!("{{\"createdBy\":\"subject.provisioner\",\"customerId\":\"{}\"}}", a.id);
    assert_eq!(subjects[0].metadata, metadata);
    scene.update_customer("a", draft(Some("a"), &["z", "x"])).await.unwrap();
    assert_eq!(scene.count("subjects").await, 3);
    assert_eq!(scene.records.subjects.get("default", "x").await.unwrap(), subjects[0], "one that is there stays");

    let id = subjects[1].id.to_string();
    let refused = scene.create_customer(Some("b"), &["new", &id]).await.unwrap_err();
    let text = format!(
        "use subject key instead of id for usage attribution [namespace=default subject.id={id} subject.key=y]"
    );
    assert_eq!(refused.to_string(), text);
    assert_eq!(scene.count("subjects").await, 3, "nothing is made beside a refusal");
}

#[tokio::test]
async fn whoever_gets_or_loses_a_text_is_forgotten() {
    let scene = Scene::open().await;
    let b = scene.create_customer(Some("b"), &["k", "s"]).await.unwrap();
    assert_eq!(
        scene.forgotten(),
        [format!("customer {}", b.id), "subject b".into(), "subject k".into(), "subject s".into()]
    );
    scene.create_customer(Some("k"), &[]).await.unwrap_err();
    scene.update_customer("b", draft(Some("b"), &["s"])).await.unwrap();
    let a = scene.create_customer(Some("k"), &[]).await.unwrap();
    scene.update_customer("b", draft(Some("b"), &["k", "s"])).await.unwrap();
    scene.forgotten();
    scene.delete_customer("k").await.unwrap();
    let mut ids = [a.id, b.id];
    ids.sort();
    let mut expected: Vec<String> = ids.iter().map(|id| format!("customer {id}")).collect();
    expected.push("subject k".to_string());
    assert_eq!(scene.forgotten(), expected, "the usage under the key is b's from now on");
}

#[tokio::test]
async fn one_of_fifty_gets_a_text_and_nobody_waits_for_ever() {
    let scene = Scene::open().await;
    let texts = ["a", "b", "c", "d"];
    let create = |n: usize| {
        let turned: Vec<&str> = (0..4).map(|at| texts[(at + n) % 4]).collect();
        let (key, subject_keys) = (turned[0].to_string(), [turned[1], turned[2], turned[3]].map(String::from));
        let scene = &scene;
        async move {
            let subject_keys: Vec<&str> = subject_keys.iter().map(String::as_str).collect();
            scene.create_customer(Some(&key), &subject_keys).await
        }
    };
    let outcomes = join_all((0..50).map(create)).await;
    let made: Vec<Ulid> = outcomes.iter().flatten().map(|customer| customer.id).collect();
    assert_eq!(made.len(), 1);
    let conflicts = outcomes.iter().filter(|made| matches!(made, Err(CustomerError::Conflict(_)))).count();
    assert_eq!(conflicts, 49, "{outcomes:?}");
    for text in texts {
        assert_eq!(scene.owner(text).await, Some(made[0]));
    }
}

#[tokio::test]
async fn customers_that_swap_their_texts_do_not_lock_each_other_out() {
    let scene = Scene::open().await;
    scene.create_customer(Some("one"), &["a", "b", "c"]).await.unwrap();
    scene.create_customer(Some("two"), &["d", "e", "f"]).await.unwrap();
    let swap = |n: usize| {
        let (name, other) = if n.is_multiple_of(2) { ("one", "two") } else { ("two", "one") };
        let wanted = if n % 4 < 2 { ["a", "e", "c"] } else { ["d", "b", "f"] };
        let scene = &scene;
        async move { (scene.update_customer(name, draft(Some(name), &wanted)).await, other) }
    };
    for (outcome, other) in join_all((0..48).map(swap)).await {
        assert!(matches!(outcome, Ok(_) | Err(CustomerError::Conflict(_))), "beside {other}: {outcome:?}");
    }
    let owned = scene.count("customer_subjects").await;
    assert!((3..=6).contains(&owned), "{owned}");
}

#[tokio::test]
async fn a_repeat_with_its_key_gets_the_first_answer() {
    let scene = Scene::open().await;
    let create = async || scene.records.customers.create(&keyed("k"), draft(Some("a"), &[]), show).await;
    let (first, again) = (create().await.unwrap(), create().await.unwrap());
    assert_eq!((again.kept, first.replayed, again.replayed), (first.kept, false, true));
    assert_eq!(scene.count("customers").await, 1);
}

#[tokio::test]
async fn the_audit_shows_each_customer_before_and_after() {
    let scene = Scene::open().await;
    let a = scene.create_customer(Some("a"), &["x"]).await.unwrap();
    scene.tick();
    let address = Address { city: Some("Pécs".to_string()), ..Address::default() };
    scene
        .update_customer("a", CustomerDraft { billing_address: Some(address), ..draft(Some("a"), &[]) })
        .await
        .unwrap();
    scene.delete_customer("a").await.unwrap();
    let id = a.id;
    let created = format!(
        r#"{{"id":"{id}","key":"a","name":"Acme","description":null,"subjectKeys":["x"],"primaryEmail":null,"currency":null,"billingAddress":null,"metadata":{{}},"createdAt":"2025-03-01T12:00:00.123456Z","updatedAt":"2025-03-01T12:00:00.123456Z","deletedAt":null}}"#
    );
    let updated = created
        .replace(r#"["x"]"#, "[]")
        .replace(r#""billingAddress":null"#, r#""billingAddress":{"city":"Pécs"}"#)
        .replace(r#""updatedAt":"2025-03-01T12:00:00"#, r#""updatedAt":"2025-03-01T12:00:01"#);
    let entries = scene.audit("default").await;
    let shown: Vec<_> = entries.into_iter().map(|entry| (entry.operation, entry.before, entry.after)).collect();
    assert_eq!(shown[0], ("customer.create".to_string(), None, Some(created.clone())));
    assert_eq!(shown[1].0, "subject.create");
    assert_eq!(shown[2], ("customer.update".to_string(), Some(created), Some(updated.clone())));
    assert_eq!(shown[3], ("customer.delete".to_string(), Some(updated), None));
}

#[tokio::test]
async fn namespaces_do_not_see_each_other() {
    let scene = Scene::open().await;
    let a = scene.create_customer(Some("a"), &["x"]).await.unwrap();
    let customers = &scene.records.customers;
    customers.create(&caller_of("other"), draft(Some("a"), &["x"]), show).await.unwrap();
    assert!(matches!(customers.get("other", &a.id.to_string()).await, Err(CustomerError::NotFound { .. })));
    assert_eq!(customers.by_ids("other", &[a.id]).await.unwrap(), []);
    assert_eq!(customers.by_ids("default", &[a.id]).await.unwrap(), std::slice::from_ref(&a));
    assert_ne!(customers.owners("other", &["x"]).await.unwrap()["x"].id, a.id);
    let page = PageAsk { offset: 0, limit: 10 };
    assert_eq!(customers.list("default", &CustomersQuery::default(), page).await.unwrap().items, [a]);
}

#[tokio::test]
async fn without_postgresql_or_before_the_gate_is_open_nothing_is_answered() {
    let (closed, cut_off) = (Scene::closed().await, Scene::open().await);
    cut_off.cut_off();
    for scene in [closed, cut_off] {
        let customers = &scene.records.customers;
        let outcomes = [
            customers.create(&caller(), draft(Some("a"), &[]), show).await.map(drop),
            scene.update_customer("a", draft(Some("a"), &[])).await.map(drop),
            scene.delete_customer("a").await.map(drop),
            customers.get("default", "a").await.map(drop),
            customers.list("default", &CustomersQuery::default(), PageAsk { offset: 0, limit: 1 }).await.map(drop),
            customers.by_ids("default", &[]).await.map(drop),
            customers.owners("default", &["a"]).await.map(drop),
        ];
        for outcome in outcomes {
            let fault = match outcome {
                Err(CustomerError::Fault(fault) | CustomerError::Write(WriteError::Fault(fault))) => fault,
                other => panic!("{other:?}"),
            };
            assert_eq!(fault.verdict, Verdict::Retry);
        }
    }
}
