//! Batches of any size, and restarts between them, give the same bytes.

use heat_runtime::Clock;

use super::{World, append, close, has_caught_up, published, settings, stored, tells_a_burst, until};

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_1_and_of_10_000_records_and_a_crash_in_every_1_000_publish_the_same_bytes() {
    let world = World::new();
    let log = world.log("one").await;
    for part in world.records.chunks(world.records.len().div_ceil(4)) {
        append(&log, part).await;
        // The log stamps records by the clock, and what was found is told by its seconds.
        let second = Clock.now().second();
        until(async || Clock.now().second() > second).await;
    }
    assert!(world.records.len() > 10_000, "{} records", world.records.len());
    close(log).await;
    for other in ["many", "crashed"] {
        world.copy("one", other);
    }

    world.processed("one", settings(1)).await;
    world.processed("many", settings(10_000)).await;
    let mut crashes = 0;
    loop {
        // Closed and opened again, so that what a dead processor had queued is in the log before the next one looks.
        let log = world.log("crashed").await;
        let (before, _) = stored(&log).await;
        let mut is_done = false;
        world
            .crashed_once(&log, settings(1_000), async |metrics| {
                is_done = has_caught_up(metrics);
                is_done || stored(&log).await.0 != before
            })
            .await;
        close(log).await;
        crashes += 1;
        if is_done {
            break;
        }
    }

    let one = published(&world.log("one").await).await;
    assert!(tells_a_burst(&one), "or this test proves nothing: {one:?}");
    assert!(published(&world.log("many").await).await == one, "batches of 10,000 say something else");
    let crashed = published(&world.log("crashed").await).await;
    assert!(crashed == one, "after {crashes} crashes {} outputs, not {}", crashed.len(), one.len());
    assert!(crashes > 2, "{crashes} crashes");
}
