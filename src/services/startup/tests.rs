use super::*;
use crate::ports::event_log::AppendError;
use crate::services::meters::MeterError;
use crate::services::testing::World;
use crate::services::testing::records::{NOW, Scene, caller, draft, nothing, show};
use crate::services::writes::WriteError;
use crate::store::Database;
use crate::store::tests::settings;
use std::sync::atomic::{AtomicU32, Ordering};

const LOG_FULL: AppendError = AppendError::Refused { reason: String::new(), retry_after_s: 1 };

/// A meter version as the log holds it; equal `id`s are versions of one meter.
fn version(namespace: &str, slug: &str, id: u128, version: u128) -> Meter {
    draft(slug).check(namespace, Ulid(id), Ulid(version), Instant::parse(NOW).unwrap()).unwrap()
}

async fn tell(world: &World, controls: Vec<Control>) {
    use crate::domain::record::encode_control;
    use crate::ports::event_log::{Append, EventLog};
    for control in controls {
        let mut append = Append::default();
        encode_control(&control, &mut append.records);
        append.lengths.push(u32::try_from(append.records.len()).unwrap());
        world.append(append).await.unwrap();
    }
}

/// How many records the log has.
fn log_length(world: &World) -> u64 {
    world.with(|state| state.next)
}

#[tokio::test]
async fn what_a_kill_left_between_commit_and_publication_goes_into_the_log_first() {
    let scene = Scene::open().await;
    scene.world.with(|state| state.fail = Some(LOG_FULL));
    let cut = scene.records.meters.create(&caller(), draft("jobs"), &[], show).await;
    assert!(matches!(cut, Err(MeterError::Write(WriteError::NotLive(_)))), "{cut:?}");
    assert_eq!((scene.count("outbox").await, log_length(&scene.world)), (1, 0));

    let next = scene.again();
    next.world.with(|state| state.fail = None);
    next.start(vec![draft("jobs")]).await.expect("the meter of the file is the one that was committed");
    assert_eq!((next.count("outbox").await, next.count("meters").await, log_length(&next.world)), (0, 1, 1));
    let known = next.records.meters.known("default", "jobs").unwrap();
    assert_eq!(*known.meter, next.records.meters.get("default", "jobs").await.unwrap().meter);
}

#[tokio::test]
async fn while_the_log_takes_nothing_the_gate_stays_closed() {
    let scene = Scene::open().await;
    scene.world.with(|state| state.fail = Some(LOG_FULL));
    scene.records.meters.create(&caller(), draft("jobs"), &[], show).await.unwrap_err();
    let next = scene.again();
    let starts = tokio::spawn({
        let parts = next.parts(vec![]);
        async move { start(&parts, async || Ok(())).await.map(drop) }
    });
    while !next.records.gate.state().contains("not accepted") {
        tokio::task::yield_now().await;
    }
    assert!(next.records.gate.check().is_err());
    next.world.with(|state| state.fail = None);
    next.records.gate.opened().await;
    starts.await.unwrap().unwrap();
    assert_eq!(log_length(&next.world), 1);
}

#[tokio::test]
async fn meters_that_only_the_log_has_are_taken_over_once() {
    let scene = Scene::closed().await;
    let renewed = version("default", "jobs", 1, 12);
    let at = |nanos: i64| Instant::from_nanos(renewed.created_at.nanos() + nanos);
    let live = |meter: &Meter| Control::MeterLive(Arc::new(meter.clone()));
    let old = version("default", "old", 2, 21);
    let other = version("other", "jobs", 3, 31);
    tell(&scene.world, vec![live(&version("default", "jobs", 1, 11)), live(&renewed)]).await;
    tell(&scene.world, vec![gone(&version("default", "jobs", 1, 11), at(5)), live(&old), live(&other)]).await;
    tell(&scene.world, vec![gone(&old, at(7_000)), live(&version("default", "old", 4, 41))]).await;
    let length = log_length(&scene.world);

    scene.start(vec![]).await.unwrap();
    let stored = scene.records.meters.list("default", true).await.unwrap();
    let row = |stored: &StoredMeter| (stored.meter.id.0, stored.meter.version.0, stored.deleted_at);
    assert_eq!(stored.iter().map(row).collect::<Vec<_>>(), [(1, 12, None), (2, 21, Some(at(7_000))), (4, 41, None)]);
    assert_eq!(stored[0].meter, renewed);
    assert_eq!(stored[1].meter.updated_at, at(7_000), "deleting moved it");
    assert_eq!(scene.records.meters.get("other", "jobs").await.unwrap().meter, other);

    let next = scene.again();
    next.start(vec![]).await.unwrap();
    assert_eq!(next.records.meters.list("default", true).await.unwrap(), stored);
    assert_eq!((log_length(&next.world), next.count("meters").await, next.count("audit").await), (length, 4, 0));
}

#[tokio::test]
async fn a_fresh_log_is_told_of_the_meters_that_the_database_has() {
    let scene = Scene::open().await;
    scene.records.meters.create(&caller(), draft("jobs"), &[], show).await.unwrap();
    scene.records.meters.create(&caller(), draft("old"), &[], show).await.unwrap();
    scene.records.meters.delete(&caller(), "old", nothing()).await.unwrap();
    let stored = scene.records.meters.list("default", true).await.unwrap();

    let next = Scene::over(World::new(NOW), scene.records.database.clone(), Default::default());
    next.start(vec![]).await.unwrap();
    let known = |id: &str| next.records.meters.known("default", id).unwrap();
    assert_eq!(*known("jobs").meter, stored[0].meter);
    assert_eq!(known(&stored[1].meter.id.to_string()).gone.unwrap().1, stored[1].deleted_at.unwrap());
    assert_eq!((log_length(&next.world), next.count("outbox").await), (3, 0));
    next.again().start(vec![]).await.unwrap();
    assert_eq!(log_length(&next.world), 3);
}

#[tokio::test]
async fn a_log_and_a_database_that_do_not_belong_together_are_refused() {
    let scene = Scene::open().await;
    scene.records.meters.create(&caller(), draft("jobs"), &[], show).await.unwrap();
    let stranger = Scene::over(World::new(NOW), scene.records.database.clone(), Default::default());
    tell(&stranger.world, vec![Control::MeterLive(Arc::new(version("default", "jobs", 1, 11)))]).await;
    let refused = stranger.start(vec![]).await.unwrap_err();
    assert!(matches!(&refused, StartupError::SlugTwice { slug, .. } if slug == "jobs"), "{refused}");
    assert!(stranger.records.gate.check().is_err());
    assert_eq!((log_length(&stranger.world), stranger.count("meters").await), (1, 1));
}

#[tokio::test]
async fn records_of_another_log_are_left_alone_unless_they_are_to_be_taken_over() {
    let scene = Scene::open().await;
    let stranger = Scene::over(World::new(NOW), scene.records.database.clone(), Default::default());
    let start = async |take_over| {
        let event_log = EventLogId { id: "another".to_string(), take_over };
        start(&Parts { event_log, ..stranger.parts(vec![]) }, async || Ok(())).await
    };
    let refused = start(false).await.unwrap_err();
    assert!(matches!(&refused, StartupError::OtherLog { ours, .. } if ours == "another"), "{refused}");
    assert!(stranger.records.gate.check().is_err());
    start(true).await.unwrap();
    start(false).await.unwrap();
    let refused = scene.again().start(vec![]).await.unwrap_err();
    assert!(matches!(refused, StartupError::OtherLog { .. }), "{refused}");
}

#[tokio::test]
async fn meters_of_the_file_are_created_once_and_a_difference_ends_the_start() {
    let scene = Scene::closed().await;
    let ensured = start(&scene.parts(vec![draft("a"), draft("b")]), async || Ok(())).await.unwrap();
    assert_eq!((ensured.created, ensured.kept.len()), (vec!["a".to_string(), "b".to_string()], 0));
    let next = scene.again();
    let ensured = start(&next.parts(vec![draft("a"), draft("c")]), async || Ok(())).await.unwrap();
    assert_eq!((ensured.created, ensured.kept), (vec!["c".to_string()], vec!["a".to_string()]));
    assert_eq!(next.audit("default").await.iter().map(|entry| &*entry.actor).collect::<Vec<_>>(), ["meters file"; 3]);

    let differs = MeterDraft { description: Some("d".into()), ..draft("a") };
    let refused = next.again().start(vec![differs]).await.unwrap_err();
    assert_eq!(refused.to_string(), "meter a is not equal to the meter in the file: description mismatch");
    let broken = MeterDraft { value_property: None, ..draft("d") };
    let refused = next.again().start(vec![broken]).await.unwrap_err();
    assert!(refused.to_string().starts_with("meter d from the file: invalid meter aggregation: "), "{refused}");
    assert_eq!(next.count("meters").await, 3);
}

#[tokio::test]
async fn a_meter_of_the_file_that_was_deleted_comes_back_anew() {
    let scene = Scene::closed().await;
    scene.start(vec![draft("a")]).await.unwrap();
    scene.records.meters.delete(&caller(), "a", nothing()).await.unwrap();
    scene.again().start(vec![draft("a")]).await.unwrap();
    assert_eq!(scene.records.meters.list("default", true).await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_start_waits_for_the_database_and_for_the_line() {
    let settings = settings();
    let scene = Scene::over(World::new(NOW), Database::new(&settings), Default::default());
    scene.world.with(|state| state.behind = Some((3, 1)));
    let asked = AtomicU32::new(0);
    let attach = async || match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Err(Fault::retry("database", "not yet")),
        _ => scene.records.database.attach(settings.endpoint().unwrap().unwrap()),
    };
    let parts = scene.parts(vec![draft("a")]);
    let watch = async {
        let state = || scene.records.gate.state();
        for waits_for in ["database: not yet", "3 events behind"] {
            while !state().contains(waits_for) {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(scene.count("meters").await, 0);
        scene.world.with(|state| state.behind = None);
        scene.records.gate.opened().await;
    };
    let (started, ()) = tokio::join!(start(&parts, attach), watch);
    assert_eq!(started.unwrap().created, ["a"]);
    assert_eq!(asked.load(Ordering::Relaxed), 2, "asked until it knows, and no more");
}

#[tokio::test]
async fn what_will_not_get_better_ends_the_start() {
    let scene = Scene::closed().await;
    let newer = async || Err(Fault::give_up("database", "made by a newer weir"));
    let refused = start(&scene.parts(vec![]), newer).await.unwrap_err();
    assert_eq!(refused.to_string(), "database: made by a newer weir");
    assert!(scene.records.gate.check().is_err());
}

#[tokio::test]
async fn a_running_start_publishes_what_a_request_left_behind() {
    let scene = Scene::closed().await;
    let running = tokio::spawn(run(scene.parts(vec![]), async || Ok(())));
    scene.records.gate.opened().await;
    scene.world.with(|state| state.fail = Some(LOG_FULL));
    scene.records.meters.create(&caller(), draft("jobs"), &[], show).await.unwrap_err();
    scene.world.with(|state| state.fail = None);
    while scene.count("outbox").await > 0 {
        tokio::task::yield_now().await;
    }
    assert!(scene.records.meters.known("default", "jobs").is_ok());
    running.abort();
}
