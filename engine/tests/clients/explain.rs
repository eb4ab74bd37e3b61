//! Who is subscribed, as the admin thread asks it.

use engine::inbox::ShardFacts;

use testkit::world::{Plan, World};

fn subscribers(world: &mut World, channels: &[&str]) -> Vec<(usize, usize)> {
    let ShardFacts { shard, subscribers } = world.explain(channels);
    assert_eq!(shard, 0);
    subscribers
}

#[test]
fn subscribers_are_counted_with_those_who_are_behind() {
    let mut world = World::new(&Plan::default());
    let names = ["a.trade", "b.trade", "c.trade"];
    assert_eq!(subscribers(&mut world, &names), [(0, 0); 3], "nobody holds anything");
    let mut first = world.subscriber(&["a.trade", "b.trade"]);
    let mut stuck = world.subscriber(&["b.trade"]);
    assert_eq!(subscribers(&mut world, &names), [(1, 0), (2, 0), (0, 0)]);

    stuck.peer.stall();
    for _ in 0..2_000 {
        world.produce(Some("b"), "\"some bytes to fill a socket with\"");
        world.turn();
        first.heard();
    }
    assert_eq!(subscribers(&mut world, &names), [(1, 0), (2, 1), (0, 0)], "one takes nothing");

    stuck.peer.reset();
    first.text(r#"{"type":"unsubscribe","id":2,"data":{"channels":["a.trade"]}}"#);
    world.turns(5);
    assert_eq!(subscribers(&mut world, &names), [(0, 0), (1, 0), (0, 0)]);
}

#[test]
fn a_name_that_ingest_is_yet_to_answer_has_no_subscriber() {
    let mut world = World::new(&Plan::default());
    world.answers = false;
    let mut client = world.connect();
    client.subscribe(1, &["a.trade"]);
    world.turns(3);
    assert_eq!(subscribers(&mut world, &["a.trade"]), [(0, 0)]);
    world.answers = true;
    world.turns(3);
    assert_eq!(subscribers(&mut world, &["a.trade"]), [(1, 0)]);
}
