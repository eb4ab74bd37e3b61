//! What keeps records away costs its own topic, and everybody who holds it is told.

use super::{client, pass_ms};
use crate::{
    ordeal::{TROUBLES, Trouble, ordeal},
    world::{Plan, World},
};

#[test]
fn every_trouble_is_told_and_its_end() {
    for trouble in TROUBLES {
        let mut world = World::new(Plan::calm(), 12);
        let one = client(&mut world, |client| client.subscribe(&["beta.all", "k2.a", "shared.k2"]));
        let other = client(&mut world, |client| client.subscribe(&["k2.a"]));
        ordeal(&mut world, "beta", trouble).unwrap();
        for at in [one, other] {
            world.clients[at].checker.caught_up(&world.kafka.model()).unwrap();
        }
    }
}

/// Who comes while it lasts hears it with the ack.
#[test]
fn who_comes_during_a_trouble_is_told_with_the_ack() {
    let mut world = World::new(Plan::calm(), 12);
    let _first = client(&mut world, |client| client.subscribe(&["beta.all"]));
    world.kafka.get_mut().up.fill(false);
    pass_ms(&mut world, 10_000);
    let late = client(&mut world, |client| client.subscribe(&["beta.all", "k2.a"]));
    world.clients[late].checker.knows_stale(&|_| true).unwrap();
    world.kafka.get_mut().calm();
    pass_ms(&mut world, 10_000);
    ordeal(&mut world, "alpha", Trouble::None).unwrap();
}
