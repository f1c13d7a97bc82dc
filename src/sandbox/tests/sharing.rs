//! How the SCR API shares its workers among calls, and what is counted as open.

use std::time::Instant;

use futures::StreamExt;
use futures::future::join_all;

use super::*;

async fn slow(latency_ms: u64, workers: usize) -> Port {
    let mut world = world();
    world["scr"][0]["latency_ms"] = json!(latency_ms);
    world["scr"][0]["workers"] = json!(workers);
    world["scr"][0]["releases"] = (0..60)
        .map(|n| json!({ "address": format!("0x{n}"), "container": "CSQU3054383", "bl": "B" }))
        .collect();
    Port::of(world).await
}

fn assign(port: &Port, release: usize) -> RequestBuilder {
    port.call("PUT", &format!("{SCR}/releases/0x{release}/assign")).json(
        &json!({ "type": "driver", "firstName": "J", "lastName": "P", "identification": "A1" }),
    )
}

fn in_work(port: &Port) -> u64 {
    port.sandbox.stats().scr[SCR].highest_in_work
}

/// Answers of calls that are all open at once at some moment.
async fn together(port: &Port, calls: Vec<RequestBuilder>) -> Vec<u16> {
    let all = port.sandbox.calls().len() + calls.len();
    let calls: Vec<_> = calls.into_iter().map(|call| tokio::spawn(call.send())).collect();
    until(|| port.sandbox.calls().len() == all).await;
    port.sandbox.set_latency(SCR, Duration::ZERO).unwrap();
    let answers = join_all(calls).await;
    port.sandbox.set_latency(SCR, Duration::from_millis(AN_HOUR)).unwrap();
    answers.into_iter().map(|answer| answer.unwrap().unwrap().status().as_u16()).collect()
}

#[tokio::test]
async fn calls_beyond_the_workers_wait_for_their_turn() {
    let port = slow(20, 4).await;
    let start = Instant::now();
    let answers = join_all((0..12).map(|n| answer(assign(&port, n)))).await;
    assert!(answers.iter().all(|(status, _)| *status == 204));
    // Three turns of at least 20 ms each; only a lower bound can be trusted.
    assert!(start.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn the_highest_number_of_open_calls_is_known() {
    let port = slow(AN_HOUR, 4).await;
    let answers = together(&port, (0..12).map(|n| assign(&port, n)).collect()).await;
    assert_eq!(answers, [204; 12]);
    together(&port, (0..3).map(|n| assign(&port, n)).collect()).await;
    let scr = &port.sandbox.stats().scr[SCR];
    assert_eq!((scr.writes, scr.accepted, scr.highest_open, scr.overlapping), (15, 15, 12, 0));
    assert_eq!(scr.by_action["assign"], 15);
}

#[tokio::test]
async fn reads_are_not_counted_among_the_open_calls_but_pin_reads_are() {
    let port = slow(AN_HOUR, 60).await;
    let get = |path: &str| port.call("GET", &format!("{SCR}{path}"));
    join_all((0..30).map(|_| answer(get("/releases?limit=1")))).await;
    assert_eq!(port.sandbox.stats().scr[SCR].highest_open, 0);
    let pins = (0..7).map(|n| get(&format!("/releases/0x{n}/pincode"))).collect();
    assert_eq!(together(&port, pins).await, [200; 7]);
    let scr = &port.sandbox.stats().scr[SCR];
    assert_eq!((scr.highest_open, scr.reads, scr.pin_reads), (7, 30, 7));
}

#[tokio::test]
async fn a_caller_with_twenty_calls_in_flight_is_never_seen_with_more() {
    let port = slow(1, 20).await;
    let calls = futures::stream::iter((0..600).map(|n| answer(assign(&port, n % 60))));
    let answers: Vec<_> = calls.buffer_unordered(20).collect().await;
    assert!(answers.iter().all(|(status, _)| *status == 204));
    let scr = &port.sandbox.stats().scr[SCR];
    assert!((2..=20).contains(&scr.highest_open) && scr.highest_in_work <= 20, "{scr:?}");
}

#[tokio::test]
async fn two_writes_of_one_release_at_once_are_noticed() {
    let port = slow(AN_HOUR, 20).await;
    together(&port, [1, 1, 2].map(|n| assign(&port, n)).into()).await;
    together(&port, vec![assign(&port, 1)]).await;
    let scr = &port.sandbox.stats().scr[SCR];
    assert_eq!(scr.overlapping, 1);
}

#[tokio::test]
async fn a_call_is_worked_to_its_end_when_its_caller_has_gone() {
    let port = slow(AN_HOUR, 20).await;
    leave(assign(&port, 1), || in_work(&port) == 1).await;
    port.sandbox.set_latency(SCR, Duration::ZERO).unwrap();
    until(|| port.sandbox.release(SCR, "0x1").unwrap().assigned.is_some()).await;
    let scr = &port.sandbox.stats().scr[SCR];
    assert_eq!((scr.writes, scr.accepted), (1, 1));
    assert_eq!(port.sandbox.calls()[0].status, None);
}

#[tokio::test]
async fn a_call_whose_caller_has_gone_is_in_work_but_no_longer_open() {
    let port = slow(AN_HOUR, 20).await;
    leave(assign(&port, 1), || in_work(&port) == 1).await;
    // The sandbox has to see the connection close before the next call comes in.
    while {
        answer(port.call("GET", &format!("{SCR}/connections"))).await;
        port.sandbox.calls().pop().unwrap().open_at_start > 1
    } {}
    let second = tokio::spawn(assign(&port, 1).send());
    until(|| in_work(&port) == 2).await;
    port.sandbox.set_latency(SCR, Duration::ZERO).unwrap();
    assert_eq!(second.await.unwrap().unwrap().status(), 204);
    let scr = &port.sandbox.stats().scr[SCR];
    assert_eq!((scr.highest_open, scr.overlapping), (1, 0));
    assert_eq!((scr.highest_in_work, scr.overlapping_in_work), (2, 1));
}
