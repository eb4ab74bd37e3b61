//! A trouble that lasts, and what clients are told of it: which of their channels are stale, and that they are live again.

use crate::{client::Client, kafka::cluster::TOPICS, oracle::Wrong, rng::Rng, workload::round, world::World};

/// What keeps a topic's records away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A partition has no leader.
    Leaderless,
    /// We may not read it.
    ReadRefused,
    /// It is deleted.
    Gone,
    /// No broker is there, for any topic.
    BrokersDown,
    /// Nothing at all.
    None,
}

/// All of them.
pub(crate) const TROUBLES: [Trouble; 5] =
    [Trouble::Leaderless, Trouble::ReadRefused, Trouble::Gone, Trouble::BrokersDown, Trouble::None];

/// Until everybody is to know: the watcher looks every 3 s, and a trouble is waited out for 2.5 s before it is told.
const TOLD_AFTER_MS: u64 = 12_000;
const STEP_MS: u64 = 100;

/// Some trouble comes over some topic, everybody is told, it is over, everybody is told.
pub(crate) fn some_ordeal(world: &mut World, rng: &mut Rng) -> Result<(), Wrong> {
    let (topic, trouble) = (*rng.pick(&TOPICS), *rng.pick(&TROUBLES));
    world.kafka.get_mut().calm();
    pass(world, TOLD_AFTER_MS)?;
    ordeal(world, topic, trouble)?;
    world.kafka.get_mut().is_lively = true;
    Ok(())
}

/// The trouble comes over the topic of a calm world.
pub(crate) fn ordeal(world: &mut World, topic: &'static str, trouble: Trouble) -> Result<(), Wrong> {
    let wrong = |when, wrong| format!("{trouble:?} of {topic}, {when}: {wrong}");
    judge(world, |_| false).map_err(|text| wrong("before", text))?;
    begin(world, topic, trouble);
    pass(world, TOLD_AFTER_MS)?;
    let is_stale = |name: &str| match trouble {
        Trouble::BrokersDown => true,
        Trouble::None => false,
        Trouble::Leaderless | Trouble::ReadRefused | Trouble::Gone => {
            crate::model::topics_of(name).contains(&topic)
        }
    };
    judge(world, is_stale).map_err(|text| wrong("while it lasts", text))?;
    world.kafka.get_mut().calm();
    pass(world, TOLD_AFTER_MS)?;
    judge(world, |_| false).map_err(|text| wrong("when it is over", text))
}

fn begin(world: &World, topic: &'static str, trouble: Trouble) {
    let mut kafka = world.kafka.get_mut();
    kafka.show(|| format!("ordeal: {trouble:?} of {topic}"));
    match trouble {
        Trouble::BrokersDown => kafka.up.fill(false),
        Trouble::Gone => drop(kafka.topics.remove(topic)),
        Trouble::Leaderless => {
            let partitions = kafka.topics[topic].partitions.len();
            let partition = kafka.rng.below(partitions);
            if let Some(topic) = kafka.topics.get_mut(topic) {
                topic.partitions[partition].leader = None;
            }
        }
        Trouble::ReadRefused => {
            if let Some(topic) = kafka.topics.get_mut(topic) {
                topic.read = false;
            }
        }
        Trouble::None => {}
    }
}

fn pass(world: &mut World, ms: u64) -> Result<(), Wrong> {
    for _ in 0..ms / STEP_MS {
        // Sockets and rings need more than one round for their disturbances.
        for _ in 0..3 {
            round(world)?;
        }
        world.advance_ms(STEP_MS);
    }
    Ok(())
}

/// Every client that reads knows of each of its channels whether it is stale.
fn judge(world: &World, is_stale: impl Fn(&str) -> bool) -> Result<(), Wrong> {
    let reads = |client: &&Client| client.is_live() && !client.is_slow();
    for client in world.clients.iter().filter(reads) {
        client.checker.knows_stale(&is_stale).map_err(|wrong| format!("client {}: {wrong}", client.id))?;
    }
    Ok(())
}
