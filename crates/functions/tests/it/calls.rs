//! What goes into a function and what comes out of it.

use serde_json::json;

use crate::world::{World, call};

#[tokio::test(flavor = "multi_thread")]
async fn values_go_in_and_come_out() {
    let world = World::new().await;
    let echo = world.function("return input;").await;
    for value in [json!(null), json!(1.5), json!("ü\u{1f600}"), json!([1, {"a": [true]}]), json!({"__proto__": {"x": 1}})] {
        assert_eq!(call(&echo, value.clone()).await, Ok(value));
    }
}
