//! Single promises, each in a world of its own in which nothing else goes wrong.

mod crowd;
mod ends;
mod keepalive;
mod requests;
mod troubles;
mod truncations;

use crate::{
    client::{Client, Reading},
    workload::round,
    world::World,
};

/// Lets time pass, everybody running.
fn pass_ms(world: &mut World, ms: u64) {
    let mut left = ms;
    loop {
        while round(world).expect("nothing is wrong") {}
        if left == 0 {
            return;
        }
        let step = left.min(50);
        world.advance_ms(step);
        left -= step;
    }
}

/// A client of shard 0, which has done `first` and been answered.
fn client(world: &mut World, first: impl FnOnce(&mut Client)) -> usize {
    let client = world.connect(0, true, false, first).expect("room");
    pass_ms(world, 0);
    client
}

/// Produces records of every topic.
fn produce(world: &mut World, records: usize) {
    world.kafka.get_mut().produce(records);
    pass_ms(world, 0);
}

/// Reads all there is, whatever its habit.
fn read(world: &mut World, client: usize) {
    let client = &mut world.clients[client];
    client.set_reading(Reading::All);
    client.read(&world.kafka.model()).expect("nothing is wrong");
}
