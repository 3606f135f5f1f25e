use super::*;
use crate::domain::position::Frontier;
use crate::domain::time::Instant;
use crate::ports::line::Wait;
use crate::services::testing::World;
use crate::store::tests::{attached, count, fresh, meter, settings};

const NOW: Instant = Instant::from_nanos(1_740_823_200_000_000_000);

fn world() -> Arc<World> {
    World::new("2025-03-01T10:00:00Z")
}

fn publisher(database: &Database, world: &Arc<World>) -> Arc<Publisher> {
    Arc::new(Publisher::new(database.clone(), world.clone(), world.clone()))
}

/// One commit with these meters' records.
async fn push(database: &Database, numbers: std::ops::Range<u128>) {
    let mut client = database.client().await.unwrap();
    let tx = begin(&mut client).await.unwrap();
    for n in numbers {
        let live = Control::MeterLive(meter("default", &format!("m{n}"), n).into());
        outbox::push(&tx, "default", &live, NOW).await.unwrap();
    }
    commit(tx).await.unwrap();
}

/// The meters in the order of their records.
fn published(world: &World) -> Vec<u128> {
    world.with(|state| state.meters.iter().map(|known| known.meter.id.0).collect())
}

#[tokio::test]
async fn open_rows_go_into_the_log_in_order_and_only_once() {
    let (database, world) = (fresh().await, world());
    let publisher = publisher(&database, &world);
    assert!(publisher.publish().await.unwrap().is_none(), "nothing was ever published");
    // More than one append takes.
    push(&database, 1..2_400).await;
    let changed = publisher.publish().await.unwrap().unwrap();
    assert_eq!(published(&world), Vec::from_iter(1..2_400));
    assert_eq!(changed.appended.frontier, Frontier::at(0, 2_399));
    assert_eq!(count(&database, "outbox").await, 0);
    publisher.publish().await.unwrap();
    assert_eq!(published(&world).len(), 2_399);
}

#[tokio::test]
async fn a_record_reads_back_whole() {
    let (database, world) = (fresh().await, world());
    push(&database, 1..2).await;
    publisher(&database, &world).publish().await.unwrap();
    world.with(|state| assert_eq!(*state.meters[0].meter, meter("default", "m1", 1)));
}

#[tokio::test]
async fn publishing_waits_for_the_line_but_not_for_ever() {
    let (database, world) = (fresh().await, world());
    let publisher = publisher(&database, &world);
    push(&database, 1..3).await;
    publisher.publish().await.unwrap();
    assert_eq!(world.with(|state| state.waited_for.take()), Some(Some(Frontier::at(0, 2))));
    // Somebody else took the row: it lies below the log's end.
    world.with(|state| state.behind = Some((7, 1)));
    let changed = publisher.publish().await.unwrap().unwrap();
    assert_eq!(world.with(|state| state.waited_for.take()), Some(None));
    assert_eq!((changed.appended.frontier, changed.wait), (Frontier::at(0, 2), Wait::Behind { events: 7, seconds: 1 }));
}

#[tokio::test]
async fn what_the_log_does_not_take_stays_open_until_it_does() {
    let (database, world) = (fresh().await, world());
    let publisher = publisher(&database, &world);
    let failures = [
        AppendError::Refused { reason: "full".to_string(), retry_after_s: 1 },
        AppendError::Unknown { reason: "the sync failed".to_string() },
    ];
    push(&database, 1..4).await;
    for failure in failures {
        world.with(|state| state.fail = Some(failure));
        assert!(matches!(publisher.publish().await, Err(PublishError::Log(_))));
        assert_eq!((count(&database, "outbox").await, published(&world).len()), (3, 0));
    }
    let running = tokio::spawn(publisher.clone().run());
    world.with(|state| state.fail = None);
    while count(&database, "outbox").await > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.abort();
    assert_eq!(published(&world), [1, 2, 3]);
}

#[tokio::test]
async fn rows_nobody_announced_are_found() {
    let (database, world) = (fresh().await, world());
    push(&database, 1..4).await;
    let publisher = publisher(&database, &world);
    let running = tokio::spawn(publisher.clone().run());
    publisher.look();
    while count(&database, "outbox").await > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.abort();
    assert_eq!(published(&world), [1, 2, 3]);
}

#[tokio::test]
async fn a_row_that_could_not_be_deleted_is_published_again_which_changes_nothing() {
    let (database, world) = (fresh().await, world());
    let publisher = publisher(&database, &world);
    let sql = async |text: &str| database.client().await.unwrap().batch_execute(text).await.unwrap();
    sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
         CREATE TRIGGER refuse BEFORE DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION refuse()")
    .await;
    push(&database, 1..3).await;
    // In the log, so in effect: that the row stays is no matter of the caller's.
    assert_eq!(publisher.publish().await.unwrap().unwrap().appended.frontier, Frontier::at(0, 2));
    assert_eq!(count(&database, "outbox").await, 2);
    sql("DROP FUNCTION refuse CASCADE").await;
    push(&database, 3..4).await;
    publisher.publish().await.unwrap();
    assert_eq!((published(&world), count(&database, "outbox").await), (vec![1, 2, 3], 0));
    assert_eq!(world.with(|state| state.next), 5, "the first two are in the log twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_publishers_on_two_pools_keep_the_order() {
    let settings = settings();
    let (one, other) = (attached(&settings), attached(&settings));
    one.migrate().await.unwrap();
    let world = world();
    let publishers = [publisher(&one, &world), publisher(&other, &world)];
    for round in 0..40_u128 {
        push(&one, round * 5 + 1..round * 5 + 6).await;
        let tasks = publishers.iter().cloned().map(|publisher| tokio::spawn(async move { publisher.publish().await }));
        for done in futures::future::join_all(tasks).await {
            done.unwrap().unwrap();
        }
    }
    assert_eq!(published(&world), Vec::from_iter(1..201));
}

#[tokio::test]
async fn a_database_that_is_away_is_said_so() {
    let database = Database::new(&settings());
    let error = publisher(&database, &world()).publish().await.unwrap_err();
    let AppendError::Refused { reason, .. } = AppendError::from(error) else { panic!("a refusal") };
    assert!(reason.starts_with("database: "), "{reason}");
}
