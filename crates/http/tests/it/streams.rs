//! Server-sent events over a real connection.

use super::world::{Client, SET, World};

async fn follow(world: &World, extra: &str) -> Client {
    let mut client = Client::connect(&world.console).await;
    client.send(format!("{}{extra}\r\n", world.head("GET", "/events"))).await;
    let head = client.read_until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-type: text/event-stream"), "{head}");
    assert!(head.contains("cache-control: no-cache") || head.contains("cache-control: no-store"), "{head}");
    client
}

async fn fire(world: &World) {
    let mut client = Client::connect(&world.gateway).await;
    client.send("POST /hooks/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
    assert!(client.read_to_end().await.starts_with("HTTP/1.1 202"));
}

/// The ids in a stream, in order.
fn ids(stream: &str) -> Vec<&str> {
    stream.lines().filter_map(|line| line.strip_prefix("id: ")).collect()
}

#[tokio::test]
async fn changes_arrive_and_a_client_that_comes_back_misses_none() {
    let world = World::start().await;
    world.publish("immediately", SET).await;
    let mut first = follow(&world, "").await;
    fire(&world).await;
    let seen = first.read_until(r#""status":"succeeded""#).await;
    assert!(seen.contains("event: execution") && seen.contains("event: node"), "{seen}");
    let last = (*ids(&seen).last().unwrap()).to_owned();
    drop(first);
    fire(&world).await;
    let mut again = follow(&world, &format!("last-event-id: {last}\r\n")).await;
    let missed = again.read_until(r#""status":"succeeded""#).await;
    assert!(!missed.contains("event: reset") && !ids(&missed).contains(&last.as_str()), "{missed}");
    let mut lost = follow(&world, "last-event-id: 1-1\r\n").await;
    lost.read_until("event: reset").await;
}

#[tokio::test]
async fn a_stop_ends_streams() {
    let mut world = World::start().await;
    let mut client = follow(&world, "").await;
    world.shutdown.cancel();
    client.read_to_end().await;
    for served in world.served.drain(..) {
        served.await.unwrap().unwrap();
    }
}
