use super::*;
use crate::services::testing::World;
use crate::store::meters;
use crate::store::tests::proxy::Proxy;
use crate::store::tests::{attached, count, fresh, meter, one, settings};
use crate::store::{Database, Settings};
use futures::future::join_all;

/// A database, a line and the writes between them.
struct Scene {
    world: Arc<World>,
    database: Database,
    writes: Writes,
}

type Outcome = Result<Answered, WriteError<&'static str>>;

fn scene_on(database: Database) -> Scene {
    let world = World::new("2025-03-01T10:00:00.123456789Z");
    let publisher = Arc::new(Publisher::new(database.clone(), world.clone(), world.clone()));
    let writes = Writes::new(database.clone(), world.clone(), publisher);
    Scene { world, database, writes }
}

async fn scene() -> Scene {
    scene_on(fresh().await)
}

fn caller(idempotency: Option<(&str, u128)>) -> Caller {
    Caller {
        namespace: "default".to_string(),
        request_id: "r-1".to_string(),
        actor: "anonymous".to_string(),
        idempotency: idempotency.map(|(key, request_hash)| IdempotencyKey { key: key.to_string(), request_hash }),
    }
}

impl Scene {
    /// Creates a meter; `n` makes its ids and its answer.
    async fn create(&self, caller: &Caller, slug: &str, n: u128) -> Outcome {
        let work = async |tx: &Transaction<'_>, now: Instant| {
            let meter =
                crate::domain::metering::Meter { created_at: now, updated_at: now, ..meter("default", slug, n) };
            if !meters::insert(tx, &meter).await? {
                return Err(Stop::Refused("taken"));
            }
            let kept = Kept { status: 201, body: format!("{{\"n\":{n}}}") };
            Ok(Done {
                kept,
                audit: vec![created(&meter.id.to_string())],
                controls: vec![Control::MeterLive(meter.into())],
            })
        };
        self.writes.write(caller, work).await
    }

    async fn counts(&self) -> [i64; 4] {
        let tables = ["meters", "audit", "outbox", "idempotency_keys"];
        let counts = join_all(tables.map(|table| count(&self.database, table))).await;
        counts.try_into().unwrap()
    }

    async fn sql(&self, text: &str) {
        self.database.client().await.unwrap().batch_execute(text).await.unwrap();
    }

    fn published(&self) -> usize {
        self.world.with(|state| state.meters.len())
    }
}

fn created(id: &str) -> Change {
    Change {
        operation: "meter.create",
        entity_kind: "meter",
        entity_id: id.to_string(),
        before: None,
        after: Some("{}".to_string()),
    }
}

#[tokio::test]
async fn a_write_is_one_commit_and_in_effect_when_it_is_answered() {
    let scene = scene().await;
    let answered = scene.create(&caller(Some(("k", 1))), "jobs", 1).await.unwrap();
    assert_eq!((answered.kept.status, answered.kept.body.as_str(), answered.replayed), (201, "{\"n\":1}", false));
    assert_eq!(answered.effect.unwrap().appended.frontier, crate::domain::position::Frontier::at(0, 1));
    assert_eq!((scene.counts().await, scene.published()), ([1, 1, 0, 1], 1));

    let client = scene.database.client().await.unwrap();
    let query = audit::AuditQuery { namespace: "default".to_string(), limit: 9, ..audit::AuditQuery::default() };
    let entry = audit::list(&client, &query).await.unwrap().remove(0);
    assert_eq!(
        (entry.actor.as_str(), entry.request_id.as_str(), entry.operation.as_str()),
        ("anonymous", "r-1", "meter.create")
    );
    assert_eq!(entry.at, Instant::parse("2025-03-01T10:00:00.123456Z").unwrap());
    let stored = meters::list(&client, "default", false).await.unwrap().remove(0);
    assert_eq!(stored.meter.created_at, entry.at, "what the work was told is what a row gives back");
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_and_another_request_does_not() {
    let scene = scene().await;
    let first = scene.create(&caller(Some(("k", 1))), "jobs", 1).await.unwrap();
    let repeat = scene.create(&caller(Some(("k", 1))), "jobs", 2).await.unwrap();
    assert_eq!((repeat.kept, repeat.replayed), (first.kept, true));
    let other = scene.create(&caller(Some(("k", 2))), "more", 3).await.unwrap_err();
    assert!(matches!(other, WriteError::KeyReused), "{other}");
    let elsewhere = Caller { namespace: "other".to_string(), ..caller(Some(("k", 2))) };
    assert!(!scene.create(&elsewhere, "more", 3).await.unwrap().replayed, "a key is its namespace's own");
    assert_eq!((scene.counts().await, scene.published()), ([2, 2, 0, 2], 2));
}

#[tokio::test]
async fn of_twenty_racing_requests_with_one_key_one_writes() {
    let scene = scene().await;
    let key = caller(Some(("k", 1)));
    let outcomes = join_all((0..20).map(|n| scene.create(&key, "jobs", n))).await;
    let answers: Vec<Answered> = outcomes.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert!(answers.iter().all(|answer| answer.kept == answers[0].kept));
    assert_eq!((scene.counts().await, scene.published()), ([1, 1, 0, 1], 1));
}

#[tokio::test]
async fn a_key_is_new_again_after_a_day() {
    let scene = scene().await;
    scene.create(&caller(Some(("k", 1))), "jobs", 1).await.unwrap();
    scene.world.with(|state| state.now += idempotency::KEPT_NS - 1_000);
    assert!(scene.create(&caller(Some(("k", 1))), "jobs", 2).await.unwrap().replayed);
    scene.world.with(|state| state.now += 1_000);
    let again = scene.create(&caller(Some(("k", 2))), "more", 3).await.unwrap();
    assert_eq!((again.replayed, again.kept.body.as_str()), (false, "{\"n\":3}"));
    assert!(scene.create(&caller(Some(("k", 2))), "more", 4).await.unwrap().replayed);
}

#[tokio::test]
async fn forgotten_keys_are_deleted_some_at_a_time() {
    let scene = scene().await;
    scene
        .sql(
            "INSERT INTO idempotency_keys (namespace, key, request_hash, status, body, created_at) \
             SELECT 'default', n::text, '\\x00', 201, '', '2025-02-28T10:00:00Z' FROM generate_series(1, 250) n",
        )
        .await;
    for (n, left) in [(1, 151), (2, 52), (3, 3), (4, 4)] {
        scene.create(&caller(Some((&format!("new {n}"), 1))), &format!("m{n}"), n).await.unwrap();
        assert_eq!(count(&scene.database, "idempotency_keys").await, left);
    }
}

#[tokio::test]
async fn a_refused_write_leaves_nothing() {
    let scene = scene().await;
    scene.create(&caller(None), "jobs", 1).await.unwrap();
    let before = scene.counts().await;
    let refused = scene.create(&caller(Some(("k", 1))), "jobs", 2).await.unwrap_err();
    assert!(matches!(refused, WriteError::Refused("taken")), "{refused}");
    // Also when it had pushed everything before the server said no.
    let work = async |tx: &Transaction<'_>, _: Instant| -> Result<Done, Stop<&'static str>> {
        meters::insert(tx, &meter("default", "more", 2)).await?;
        let kept = Kept { status: 201, body: String::new() };
        let torn = Change { after: Some("no JSON".to_string()), ..created("m") };
        Ok(Done { kept, audit: vec![created("m"), torn], controls: vec![live("more", 2)] })
    };
    let failed = scene.writes.write(&caller(Some(("k", 1))), work).await.unwrap_err();
    assert!(matches!(failed, WriteError::Fault(_)), "{failed}");
    assert_eq!((scene.counts().await, scene.published()), (before, 1));
    // The key is free.
    assert!(!scene.create(&caller(Some(("k", 9))), "more", 2).await.unwrap().replayed);
}

fn live(slug: &str, n: u128) -> Control {
    Control::MeterLive(meter("default", slug, n).into())
}

#[tokio::test]
async fn fifty_writers_share_two_connections() {
    let settings = Settings { pool_connections_max: 2, acquire_timeout_ms: 60_000, ..settings() };
    let scene = scene_on(attached(&settings));
    scene.database.migrate().await.unwrap();
    let keys: Vec<Caller> = (0..50).map(|n| caller(Some((&format!("k{n}"), 1)))).collect();
    let slugs: Vec<String> = (0..50).map(|n| format!("m{n}")).collect();
    let outcomes = join_all((0..50).map(|n| scene.create(&keys[n], &slugs[n], n as u128))).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Answered { effect: Some(_), .. }))), "{outcomes:?}");
    assert_eq!((scene.counts().await, scene.published()), ([50, 50, 0, 50], 50));
    assert_eq!(scene.database.snapshot().connections_in_use, 0);
}

#[tokio::test]
async fn a_write_whose_records_the_log_refuses_is_kept_and_a_repeat_brings_it_into_effect() {
    let scene = scene().await;
    let full = AppendError::Refused { reason: "the disk is full".to_string(), retry_after_s: 7 };
    scene.world.with(|state| state.fail = Some(full));
    let key = caller(Some(("k", 1)));
    for _ in 0..2 {
        let error = scene.create(&key, "jobs", 1).await.unwrap_err();
        assert!(matches!(error, WriteError::NotLive(AppendError::Refused { retry_after_s: 7, .. })), "{error}");
        assert_eq!((scene.counts().await, scene.published()), ([1, 1, 1, 1], 0));
    }
    scene.world.with(|state| state.fail = None);
    let repeat = scene.create(&key, "jobs", 1).await.unwrap();
    assert!(repeat.replayed && repeat.effect.is_some());
    assert_eq!((scene.counts().await, scene.published()), ([1, 1, 0, 1], 1));
}

#[tokio::test]
async fn a_write_without_records_does_not_ask_the_line() {
    let scene = scene().await;
    let work = async |_: &Transaction<'_>, _: Instant| -> Result<Done, Stop<&'static str>> {
        Ok(Done { kept: Kept { status: 204, body: String::new() }, audit: vec![created("m")], controls: Vec::new() })
    };
    let answered = scene.writes.write(&caller(None), work).await.unwrap();
    assert!(answered.effect.is_none() && scene.world.with(|state| state.waited_for.is_none()));
    assert_eq!(scene.counts().await, [0, 1, 0, 0]);
}

/// Runs something in the commit itself.
fn at_commit(what: &str) -> String {
    format!(
        "CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {what}; RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON meters DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION at_commit()"
    )
}

#[tokio::test]
async fn a_commit_that_is_refused_is_definite_and_one_that_is_cut_off_is_not() {
    let table = [
        ("RAISE EXCEPTION 'no' USING ERRCODE = 'deadlock_detected'", false),
        ("PERFORM pg_terminate_backend(pg_backend_pid())", true),
    ];
    for (what, unknown) in table {
        let scene = scene().await;
        scene.sql(&at_commit(what)).await;
        let key = caller(Some(("k", 1)));
        let error = scene.create(&key, "jobs", 1).await.unwrap_err();
        assert_eq!(
            (matches!(error, WriteError::Unknown(_)), matches!(error, WriteError::Fault(_))),
            (unknown, !unknown),
            "{error}"
        );
        scene.sql("DROP FUNCTION at_commit CASCADE").await;
        assert_eq!(scene.counts().await, [0; 4]);
        assert!(!scene.create(&key, "jobs", 1).await.unwrap().replayed);
    }
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_unknown_and_a_repeat_with_the_key_finds_out() {
    let settings = settings();
    attached(&settings).migrate().await.unwrap();
    let config = settings.endpoint().unwrap().unwrap();
    let proxy = Proxy::start(&config).await;
    let database = Database::new(&settings);
    database.attach(proxy.endpoint(&config)).unwrap();
    let scene = scene_on(database);
    scene.database.ping().await.unwrap();
    proxy.swallow_the_answer_to_the_next_commit();
    let key = caller(Some(("k", 1)));
    let error = scene.create(&key, "jobs", 1).await.unwrap_err();
    assert!(matches!(error, WriteError::Unknown(_)), "{error}");
    // It was kept, and not published.
    assert_eq!((scene.counts().await, scene.published()), ([1, 1, 1, 1], 0));
    let repeat = scene.create(&key, "jobs", 2).await.unwrap();
    assert_eq!((repeat.replayed, repeat.kept.body.as_str()), (true, "{\"n\":1}"));
    assert_eq!((scene.counts().await, scene.published()), ([1, 1, 0, 1], 1));
}

#[tokio::test]
async fn audit_ids_grow_whatever_the_clock_does() {
    let scene = scene().await;
    for n in 0..20 {
        scene.create(&caller(None), &format!("m{n}"), n).await.unwrap();
        scene.world.with(|state| state.now -= 1_000_000_000);
    }
    let out_of_order = "SELECT count(*) FROM audit a JOIN audit b ON a.id < b.id WHERE a.entity_id >= b.entity_id";
    assert_eq!(one(&scene.database, out_of_order).await, 0);
}
