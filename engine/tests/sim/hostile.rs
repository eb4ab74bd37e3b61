//! Clients that want to cost more than themselves: they challenge the bounds of docs/operations.md, all of a shard at once,
//! and what the shard holds for them is measured by its memory, not by its own count.

use proto::ws::frame::OpCode;

use crate::{
    client::{Client, Reading},
    kafka::cluster::key,
    oracle::{Asked, Wrong},
    rng::Rng,
    workload::round,
    world::World,
};

/// Subscriptions made to lag in one look at the floor (shard/floor.rs), and as many more as one connection holds.
const LAGGED_MAX: usize = 1_024;
/// Looks at the floor in one turn: behind each line, and at the end; one more behind each batch that sends something.
const FLOOR_LOOKS: usize = 3;
/// What a connection may cost beside what is counted: its tables, its socket, an answer.
const CONNECTION_BYTES: usize = 12 << 10;
/// The largest answer: 250 names, refused.
const ANSWER_BYTES: usize = 250 * 400;
/// Growth of tables, whoever makes them grow.
const TABLE_BYTES: usize = 1 << 20;
/// Bytes of one message of a client that asks for much.
const MESSAGE_BYTES: usize = 200 << 10;
/// Connections of a crowd: with the names that each holds, far more subscriptions than may lag in a turn.
pub(crate) const CROWD: usize = 56;
/// Keys of each of two topics whose channels everybody of a crowd that lags holds.
const KEYS: usize = 50;
/// Rounds in which the crowd is subscribed to all it holds.
const SUBSCRIBED_ROUNDS: usize = 300;
/// Times that the slab is overwritten under it, by the segments that are given back one by one.
const LAPS: usize = 2;
const SEGMENTS: usize = 8;
/// Turns of a shard for each of them.
const TURNS_A_FLOOR: usize = 12;
/// The kind of asking that makes large answers.
const REFUSED_NAMES: usize = 2;

/// All that hostile clients do to one shard.
pub(crate) fn assault(world: &mut World, rng: &mut Rng) -> Result<(), Wrong> {
    world.kafka.get_mut().calm();
    // No notice to whole topics is under way, and no hole that the next record would end: one makes everybody lag who lags
    // already.
    pass(world, 250)?;
    world.kafka.get_mut().produce(150);
    pass(world, 60)?;
    let shard = rng.below(world.seats.len());
    if world.seats[shard].report.is_some() {
        return Ok(());
    }
    if rng.chance(500) { crowd_lags(world, shard) } else { crowd_asks(world, rng, shard) }?;
    world.kafka.get_mut().is_lively = true;
    Ok(())
}

fn connect(world: &mut World, shard: usize, first: impl Fn(&mut Client)) -> Vec<usize> {
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        let connected = world.connect(shard, false, false, |client| {
            client.may_be_given_up = true;
            client.throttled = true;
            client.set_window(1_000);
            client.set_reading(Reading::Never);
            first(client);
        });
        crowd.extend(connected);
    }
    crowd
}

fn pass(world: &mut World, rounds: usize) -> Result<(), Wrong> {
    for _ in 0..rounds {
        round(world)?;
        world.advance_ms(20);
    }
    Ok(())
}

/// Many connections that hold much and stop reading; the shard gets no time until the slab is full, lap after lap.
fn crowd_lags(world: &mut World, shard: usize) -> Result<(), Wrong> {
    let names: Vec<String> = (0..KEYS)
        .flat_map(|number| [format!("{}.a", key(number)), format!("shared.{}", key(number))])
        .collect();
    let gaps = world.topic_gaps();
    let crowd = connect(world, shard, |client| {
        client.set_reading(Reading::All);
        client.subscribe(&names.iter().map(String::as_str).collect::<Vec<_>>());
    });
    let metrics = std::sync::Arc::clone(&world.seats[shard].metrics);
    for _ in 0..SUBSCRIBED_ROUNDS {
        pass(world, 1)?;
        if metrics.subscriptions.get() >= (crowd.len() * names.len()) as u64 {
            break;
        }
    }
    for &at in &crowd {
        world.clients[at].set_reading(Reading::Never);
    }
    for seat in &mut world.seats {
        seat.held_until_ns = 0;
    }
    for _ in 0..LAPS * SEGMENTS {
        fill(world);
        // A gap of a topic that is still to be told makes more of them lag, in each of the two lines.
        let looks = if world.topic_gaps() == gaps { FLOOR_LOOKS } else { FLOOR_LOOKS + 2 };
        for _ in 0..TURNS_A_FLOOR {
            let (before, sends) = (metrics.lagged.get(), metrics.sends.get());
            world.tick_alone(shard)?;
            let lagged = metrics.lagged.get() - before;
            // Who has much to get comes again in the same turn: a batch more, behind which the floor is looked at.
            let looks = looks + usize::try_from(metrics.sends.get() - sends).unwrap_or(usize::MAX);
            let most = looks.saturating_mul(LAGGED_MAX + world.plan.limits.channels_per_connection);
            if lagged > most as u64 {
                return Err(format!("{lagged} subscriptions lag in one turn of shard {shard}, {most} may"));
            }
            for other in (0..world.seats.len()).filter(|other| *other != shard) {
                world.tick_alone(other)?;
            }
        }
    }
    leave(world, &crowd)
}

/// Produces until ingest has to wait.
fn fill(world: &mut World) {
    for batch in 0..400 {
        for number in 0..KEYS {
            let mut kafka = world.kafka.get_mut();
            let topic = if (batch + number) % 2 == 0 { "alpha" } else { "gamma" };
            kafka.produce_one(topic, Some(key(number).into_bytes()));
        }
        world.turn_ingest();
        if world.full {
            break;
        }
    }
}

/// Many connections that send much and never read.
fn crowd_asks(world: &mut World, rng: &mut Rng, shard: usize) -> Result<(), Wrong> {
    let before = world.seats[shard].held_bytes;
    let kind = rng.below(5);
    let crowd = connect(world, shard, |client| ask_much(client, kind));
    let limits = &world.plan.limits;
    let answers = if kind == REFUSED_NAMES { ANSWER_BYTES } else { 0 };
    let each = limits.control_output_bytes + CONNECTION_BYTES + answers;
    let most = limits.client_bytes_per_shard + CROWD * each + TABLE_BYTES;
    for _ in 0..60 {
        pass(world, 1)?;
        let held = usize::try_from(world.seats[shard].held_bytes - before).unwrap_or(0);
        if held > most {
            return Err(format!(
                "shard {shard} holds {held} bytes for {CROWD} clients ({kind}), {most} at most"
            ));
        }
    }
    leave(world, &crowd)
}

fn ask_much(client: &mut Client, kind: usize) {
    match kind {
        // Behind a name that has to be looked up: what waits is a message of short requests.
        0 | 1 => {
            let line = format!(r#"{{"type":"heartbeat"}}{}"#, " ".repeat(2_000));
            let mut text =
                format!(r#"{{"type":"subscribe","id":1,"data":{{"channels":["late {}.a"]}}}}"#, client.id);
            while text.len() < MESSAGE_BYTES {
                text.push('\n');
                text.push_str(&line);
            }
            client.put(OpCode::Text, text.as_bytes());
        }
        // Requests that are refused at once, for as many names as a request may have.
        REFUSED_NAMES => {
            let names: Vec<String> = (0..250).map(|number| format!("{number}{}", "n".repeat(250))).collect();
            let line = serde_json::json!({"type": "subscribe", "data": {"channels": names}}).to_string();
            let text = [line.as_str(), &line, &line].join("\n");
            client.put(OpCode::Text, text.as_bytes());
        }
        // A message that is never whole.
        3 => {
            let mut bytes = vec![0x01, 0xff, 0, 0, 0, 0, 0, 3, 0, 0, 1, 2, 3, 4];
            bytes.extend(std::iter::repeat_n(b' ', MESSAGE_BYTES - 100));
            client.raw(&bytes);
        }
        // A flood of small things.
        _ => {
            for _ in 0..400 {
                client.put(OpCode::Ping, &[7; 125]);
                client.put(OpCode::Pong, b"");
                client.put(OpCode::Text, b"");
                client.text("{}", Asked::Error("BAD_REQUEST"));
            }
        }
    }
}

fn leave(world: &mut World, crowd: &[usize]) -> Result<(), Wrong> {
    for &at in crowd {
        world.clients[at].leave();
    }
    pass(world, 20)
}
