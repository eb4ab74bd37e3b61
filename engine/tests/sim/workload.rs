//! One run: a random world, random work and disturbances, quiet, drain; everything from one seed.

use std::collections::BTreeMap;

use engine::{inbox::ToShard, metrics::Kind, shard::Report};
use proto::ws::{close::CloseCode, frame::OpCode};
use ring::fake::Disturbances;
use slab::Sizes;

use crate::{
    client::{Client, End, Reading},
    hostile::{CROWD, assault},
    kafka::{Options, cluster::key},
    model::Part,
    oracle::{Asked, Wrong},
    ordeal::some_ordeal,
    rng::{Hash, Rng},
    world::{Plan, World},
};

/// Steps of a run's busy part.
const STEPS: usize = 2_500;

/// Rounds in which nothing comes before those beside a shard without time are taken to have it all; and at most.
const STILL_ROUNDS: usize = 150;
const STILL_ROUNDS_MAX: usize = 2_000;
/// Rounds of a millisecond among them: a client without tokens earns enough of them.
const TOKEN_ROUNDS: usize = 600;

/// Longer than the time between two looks of the watcher.
const LOOK_NS: u64 = 4_000_000_000;

/// What a run was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) trace: Hash,
    /// The shards' counters, summed up.
    pub(crate) counters: BTreeMap<&'static str, u64>,
}

/// Runs a seed to its end.
pub(crate) fn run(seed: u64) -> Result<Ran, Wrong> {
    let mut rng = Rng::new(seed);
    let plan_is_crowded = rng.chance(100);
    let mut plan = plan(&mut rng);
    if plan_is_crowded {
        plan.capacity += CROWD;
        plan.limits.channels_per_connection = 100;
        plan.limits.empty_channels = 1_000_000;
        plan.limits.client_bytes_per_shard = *rng.pick(&[256 << 10, 1 << 20]);
        plan.buffer_bytes = 4_096;
        // A crowd that leaves gives back thousands of numbers: a message each, and who asks meanwhile waits behind them.
        plan.ingest_inbox = 1_024;
    }
    let mut world = World::new(plan, rng.next());
    world.kafka.get_mut().is_lively = true;
    let mut workload = Workload { rng };
    // Once in a while a trouble lasts.
    let ordeal = if workload.rng.chance(250) { workload.rng.below(STEPS) } else { STEPS };
    let assaulted = if plan_is_crowded { workload.rng.below(STEPS) } else { STEPS };
    for step in 0..STEPS {
        if step == assaulted {
            assault(&mut world, &mut workload.rng).map_err(|wrong| format!("assault: {wrong}"))?;
        }
        if step == ordeal {
            some_ordeal(&mut world, &mut workload.rng)?;
        }
        workload.step(&mut world).map_err(|wrong| format!("step {step}: {wrong}"))?;
    }
    ingest_goes_on(&mut world)?;
    settle(&mut world).map_err(|wrong| format!("in the quiet: {wrong}"))?;
    workload.drain(&mut world).map_err(|wrong| format!("in the drain: {wrong}"))?;
    let mut counters = BTreeMap::new();
    let all = world.seats.iter().flat_map(|seat| seat.metrics.list());
    for (name, _, _, value) in all.filter(|(_, _, kind, _)| *kind == Kind::Counter) {
        *counters.entry(name).or_default() += value;
    }
    Ok(Ran { trace: world.trace(), counters })
}

/// A world's sizes.
pub(crate) fn plan(rng: &mut Rng) -> Plan {
    let mut plan = Plan::calm();
    let bytes = *rng.pick(&[256 << 10, 512 << 10, 1 << 20]);
    let (entries, checkpoint) = *rng.pick(&[(512, 64), (2_048, 256), (8_192, 1_024)]);
    let large_frame_bytes = *rng.pick(&[1 << 10, 8 << 10, bytes / 16]);
    let blocks_bytes = *rng.pick(&[128 << 10, 1 << 20, 16 << 20]);
    plan.sizes = Sizes { bytes, entries, checkpoint, large_frame_bytes, blocks_bytes };
    plan.shards = rng.between(1, 3);
    plan.capacity = rng.between(4, 40);
    plan.inbox = rng.between(1, 4);
    plan.ingest_inbox = rng.between(1, 4);
    plan.buffers = *rng.pick(&[2, 8, 64]);
    plan.buffer_bytes = *rng.pick(&[64, 512, 4096]);
    plan.disturbances = disturbances(rng);
    plan.ping_interval_ms = *rng.pick(&[1_000, 5_000, 25_000]);
    plan.ping_grace_ms = *rng.pick(&[500, 5_000]);
    plan.kafka = Options {
        brokers: rng.between(1, 3),
        cluster_id: rng.chance(800),
        new_brokers: rng.chance(800),
        topics: *rng.pick(&[4, 4, 4, 2]),
        bad_batches: rng.chance(500),
    };
    let limits = &mut plan.limits;
    limits.channels_per_connection = rng.between(2, 12);
    limits.request_burst = *rng.pick(&[20, 100]);
    limits.failed_requests_per_minute = *rng.pick(&[4, 100]);
    limits.empty_channels = *rng.pick(&[3, 1_000_000, 1_000_000]);
    limits.control_output_bytes = *rng.pick(&[256, 4 << 10]);
    limits.partial_frame_bytes_per_shard = *rng.pick(&[64 << 10, 64 << 20]);
    limits.requests_per_second = *rng.pick(&[20, 200]);
    limits.client_bytes_per_shard = *rng.pick(&[4 << 10, 32 << 20, 32 << 20]);
    limits.blocked_timeout = std::time::Duration::from_secs(*rng.pick(&[4, 30]));
    plan
}

fn disturbances(rng: &mut Rng) -> Disturbances {
    *rng.pick(&[Disturbances::NONE, Disturbances::SOME, Disturbances::MANY])
}

#[derive(Debug)]
struct Workload {
    rng: Rng,
}

impl Workload {
    fn step(&mut self, world: &mut World) -> Result<(), Wrong> {
        match self.rng.weighted(&[40, 15, 10, 60, 5, 10, 2, 2, 1, 1, 1]) {
            0 => drop(world.tick(self.rng.below(world.seats.len()))?),
            1 => {
                let records = self.rng.between(1, 30);
                Self::produce(world, records);
            }
            2 => drop(world.turn_ingest()),
            3 => self.act(world)?,
            4 => self.arrive(world),
            5 => world.advance_ms(self.rng.between(1, 20) as u64),
            6 => {
                // Whoever reads has read before so much time passes.
                for _ in 0..self.rng.between(1, 8) {
                    round(world)?;
                    world.advance_ms(self.rng.between(50, 300) as u64);
                }
            }
            7 => world.kafka.get_mut().happen(),
            8 => {
                let shard = self.rng.below(world.seats.len());
                let held_ms = self.rng.between(5, 500) as u64;
                world.seats[shard].held_until_ns = world.now_ns + held_ms * 1_000_000;
            }
            9 => world.net.set_disturbances(disturbances(&mut self.rng)),
            10 => self.hold_one_still(world)?,
            _ => unreachable!("as many as there are weights"),
        }
        world.check_bounds()
    }

    /// A shard that gets no time does not keep what is published from the clients of the others.
    fn hold_one_still(&mut self, world: &mut World) -> Result<(), Wrong> {
        world.turn_ingest();
        if world.full {
            return Ok(());
        }
        let published = world.published();
        let held = self.rng.below(world.seats.len());
        for (shard, seat) in world.seats.iter_mut().enumerate() {
            seat.held_until_ns = if shard == held { u64::MAX } else { 0 };
        }
        // The others need a while, for the disturbances of their sockets and rings, and for small windows: until nothing has
        // come to any of their clients for long.
        let (mut still, mut heard) = (0, Self::heard_beside(world, held));
        for at in 0..STILL_ROUNDS_MAX {
            round(world)?;
            // Tokens are earned, and no more: what has its time is not to be over.
            world.advance_ms(u64::from(at < TOKEN_ROUNDS));
            let before = std::mem::replace(&mut heard, Self::heard_beside(world, held));
            still = if before == heard { still + 1 } else { 0 };
            if still == STILL_ROUNDS {
                break;
            }
        }
        // In the middle of a notice nobody is answered: its end waits for the shard that is held, if the slab is full by now.
        let look = |world: &World| {
            if world.full { Ok(()) } else { Self::caught_up_beside(world, held, &published) }
        };
        let mut beside = look(world);
        if beside.is_err() {
            // Who asked more than it may at once, or waits behind many lookups, has it a little later.
            for _ in 0..TOKEN_ROUNDS {
                round(world)?;
                world.advance_ms(1);
            }
            beside = look(world);
        }
        world.seats[held].held_until_ns = 0;
        beside
    }

    /// Clients of other shards than this have what was published by then.
    fn caught_up_beside(world: &World, held: usize, published: &BTreeMap<Part, i64>) -> Result<(), Wrong> {
        let later = world.published();
        let both = |(part, next): (&Part, &i64)| Some((*part, (*next).min(*later.get(part)?)));
        let published: BTreeMap<_, _> = published.iter().filter_map(both).collect();
        let live = |client: &&Client| client.is_live() && client.shard != held && !client.is_slow();
        for client in world.clients.iter().filter(live) {
            let wrong = |wrong| format!("client {}, beside shard {held}: {wrong}", client.id);
            client.checker.caught_up_to(&world.kafka.model(), &published).map_err(wrong)?;
        }
        Ok(())
    }

    /// All that clients of other shards than this have heard, as one number.
    fn heard_beside(world: &World, held: usize) -> Hash {
        let mut heard = Hash::EMPTY;
        world.clients.iter().filter(|client| client.shard != held).for_each(|c| heard.add_number(c.trace.0));
        heard
    }

    fn produce(world: &mut World, records: usize) {
        // What waits is bounded: a real source would not read on.
        if !world.full {
            world.kafka.get_mut().produce(records);
        }
        world.turn_ingest();
    }

    /// A client comes, unless there is no room.
    fn arrive(&mut self, world: &mut World) {
        let shard = self.rng.below(world.seats.len());
        if world.seats[shard].report.is_some() {
            return;
        }
        let welcome = self.rng.chance(800);
        let names = self.names();
        let early = self.rng.chance(300);
        let window = *self.rng.pick(&[1_000, 20_000, 64 << 10]);
        let reading = match self.rng.weighted(&[60, 30, 10]) {
            0 => Reading::All,
            1 => Reading::Some,
            _ => Reading::Never,
        };
        // The largest holder of partial frames, of a large frame or of all else is given up when there is too much, and
        // so is who fails too often.
        let limits = &world.plan.limits;
        let limited = limits.failed_requests_per_minute < 100
            || limits.partial_frame_bytes_per_shard < 1 << 20
            || limits.client_bytes_per_shard < 1 << 20
            || world.plan.sizes.blocks_bytes < 16 << 20;
        let first = |client: &mut Client| {
            client.may_be_given_up = limited;
            client.set_window(window);
            client.set_reading(reading);
            client.subscribe(&names.iter().map(String::as_str).collect::<Vec<_>>());
        };
        let _full = world.connect(shard, welcome, early, first);
    }

    /// Names to subscribe to: mostly of channels that there are.
    fn names(&mut self) -> Vec<String> {
        let mut names: Vec<String> = (0..self.rng.between(1, 4)).map(|_| self.name()).collect();
        names.sort();
        names.dedup();
        names
    }

    fn name(&mut self) -> String {
        match self.rng.below(30) {
            0 => "unknown".to_owned(),
            1 => "x".repeat(300) + ".a",
            2 => format!("never seen {}.a", self.rng.below(20)),
            3 => "shared.*".to_owned(),
            4..=9 => "beta.all".to_owned(),
            number => {
                let key = key(self.rng.below(6));
                match number % 3 {
                    0 => format!("{key}.a"),
                    1 => format!("{key}.b"),
                    _ => format!("shared.{key}"),
                }
            }
        }
    }

    /// A client does something.
    fn act(&mut self, world: &mut World) -> Result<(), Wrong> {
        if world.clients.is_empty() {
            return Ok(());
        }
        let index = self.rng.below(world.clients.len());
        let kafka = world.kafka.model();
        let (client, model) = (&mut world.clients[index], &*kafka);
        if client.end == End::Gone {
            world.clients.swap_remove(index);
            return Ok(());
        }
        client.write_some();
        client.read(model)?;
        if !client.is_open() {
            return Ok(());
        }
        match self.rng.weighted(&[240, 32, 20, 24, 12, 12, 8, 4, 1, 2]) {
            0 => {}
            1 => client.subscribe(&self.names().iter().map(String::as_str).collect::<Vec<_>>()),
            2 => {
                let held: Vec<String> = client.checker.held().cloned().collect();
                let name = if held.is_empty() { self.name() } else { self.rng.pick(&held).clone() };
                client.unsubscribe(&[&name, "not held"]);
            }
            3 => client.heartbeat(),
            4 => client.ping(),
            5 => self.change_reading(client),
            6 => self.ask_badly(client),
            7 => {
                if self.rng.chance(300) {
                    self.ask_what_waits(client, 0);
                }
                self.leave(client);
            }
            9 => {
                // (Twice in a row it is more than a client may ask at once.)
                client.may_be_given_up = true;
                client.throttled = true;
                let failures = self.rng.between(1, 12);
                self.ask_what_waits(client, failures);
            }
            _ => {
                // A flood: it is read no faster than it may ask.
                client.throttled = true;
                for _ in 0..self.rng.between(20, 300) {
                    client.heartbeat();
                }
            }
        }
        Ok(())
    }

    fn change_reading(&mut self, client: &mut Client) {
        if client.reading != Reading::Never {
            let reading = [Reading::All, Reading::Some, Reading::Paused, Reading::Stalled];
            client.set_reading(reading[self.rng.weighted(&[50, 20, 20, 10])]);
            if client.reading == Reading::Paused && self.rng.chance(300) {
                client.shut_window();
            }
        }
    }

    fn ask_badly(&mut self, client: &mut Client) {
        let id = client.next_id();
        match self.rng.below(6) {
            0 => client.text("{not JSON", Asked::Error("BAD_JSON")),
            1 => client.text(
                &format!(r#"{{"type":"subscribe","id":{id},"data":{{"channels":7}}}}"#),
                Asked::Error("BAD_REQUEST"),
            ),
            2 => client.text(&format!(r#"{{"type":"dance","id":{id}}}"#), Asked::Error("UNKNOWN_TYPE")),
            3 => client.text(
                &format!(r#"{{"type":"reconnect","id":{id},"data":{{}}}}"#),
                Asked::Error("NOT_AVAILABLE"),
            ),
            4 => {
                let names = vec![("k2.a".to_owned(), true), ("k3.a".to_owned(), false)];
                let channels = serde_json::json!([{"channel": "k2.a", "since": "earliest"}, "k3.a", "k3.a"]);
                let data = serde_json::json!({"channels": channels});
                client.request("subscribe", Some(&data), Asked::Subscribe(names));
            }
            _ => client.put(OpCode::Text, b" \n\n "),
        }
    }

    /// Asks for a name that has to be looked up, and for more behind it: whatever then ends the connection, what still
    /// waits is not to be done any more.
    fn ask_what_waits(&mut self, client: &mut Client, failures: usize) {
        let name = format!("late {}.a", self.rng.below(1_000));
        client.subscribe(&[&name]);
        for _ in 0..failures {
            client.text("{", Asked::Error("BAD_JSON"));
        }
        // One by one: mostly somebody holds the first, so that it needs no lookup, and is subscribed to at once.
        client.subscribe(&["beta.all"]);
        client.subscribe(&["k2.a"]);
    }

    /// Ends a connection in one of many ways.
    fn leave(&mut self, client: &mut Client) {
        match self.rng.below(10) {
            0 => client.close(*self.rng.pick(&[CloseCode::NORMAL, CloseCode::GOING_AWAY])),
            5 => client.close_and_finish(CloseCode::NORMAL),
            1 => {
                if let Some(peer) = &mut client.peer {
                    peer.reset();
                }
                client.leave();
            }
            2 => client.leave(),
            3 => client.half_close(),
            4 => self.break_rules(client),
            _ => {}
        }
    }

    /// Breaks the WebSocket protocol.
    fn break_rules(&mut self, client: &mut Client) {
        let code = match self.rng.below(5) {
            0 => {
                client.raw(b"\x81\x02{}");
                1002
            }
            1 => {
                client.put(OpCode::Binary, b"{}");
                1003
            }
            2 => {
                client.put(OpCode::Text, b"{\xff}");
                1007
            }
            3 => {
                // 256 KiB and one, announced; masked.
                client.raw(&[0x81, 0xff, 0, 0, 0, 0, 0, 4, 0, 1, 1, 2, 3, 4]);
                1009
            }
            _ => {
                client.raw(&[0xf1, 0x80, 1, 2, 3, 4]);
                1002
            }
        };
        client.end = End::Deserved(code);
    }

    /// The drain: everybody who reads is told, and nothing is left.
    fn drain(&mut self, world: &mut World) -> Result<(), Wrong> {
        let open: Vec<u64> = world.clients.iter().filter(|c| c.is_live()).map(|c| c.id).collect();
        let jitter_ms = *self.rng.pick(&[0, 100, 3_000]);
        for shard in 0..world.seats.len() {
            world.write_to(shard, ToShard::Drain { jitter_ms });
        }
        let began_ns = world.now_ns;
        while world.seats.iter().any(|seat| seat.report.is_none()) {
            if self.rng.chance(20) {
                self.arrive(world);
            }
            round(world)?;
            world.advance_ms(self.rng.between(1, 40) as u64);
            if world.now_ns - began_ns > (jitter_ms + 10_000) * 1_000_000 {
                return Err("it does not end".to_owned());
            }
        }
        for client in &mut world.clients {
            if client.reading != Reading::Never {
                client.set_reading(Reading::All);
                client.read(&world.kafka.model())?;
            }
            let told =
                client.last_close == Some(1001) || client.last_close == Some(1008) && client.may_be_given_up;
            if open.contains(&client.id) && !told {
                return Err(format!("client {} ended with {:?}", client.id, client.last_close));
            }
        }
        while world.turn_ingest() {}
        let held = world.ingest.bus().held();
        for (shard, seat) in world.seats.iter().enumerate() {
            let report = seat.report.unwrap_or_default();
            if report != Report::default() || seat.load() != 0 || held != 0 {
                return Err(format!("shard {shard}: {report:?}, load {}, {held} channels", seat.load()));
            }
            let metrics = &seat.metrics;
            let gauges = [&metrics.connections, &metrics.subscriptions, &metrics.channels, &metrics.blocked];
            if gauges.into_iter().any(|gauge| gauge.get() != 0) {
                return Err(format!("shard {shard} shows {:?}", seat.metrics));
            }
        }
        Ok(())
    }
}

/// Everybody gets a turn. True: something happened.
pub(crate) fn round(world: &mut World) -> Result<bool, Wrong> {
    let mut any = world.turn_ingest();
    for shard in 0..world.seats.len() {
        for _ in 0..20 {
            if !world.tick(shard)? {
                break;
            }
            any = true;
        }
    }
    for client in &mut world.clients {
        any |= !client.has_written();
        client.write_all();
        any |= client.read(&world.kafka.model())?;
    }
    Ok(any)
}

/// Ingest waits for shards, never for peers: those who take nothing lag, or are reset.
fn ingest_goes_on(world: &mut World) -> Result<(), Wrong> {
    world.kafka.get_mut().calm();
    for seat in &mut world.seats {
        seat.held_until_ns = 0;
    }
    // Far less than a blocked client is given. One who has much to append finds the slab full in every turn, and goes on.
    let mut before = 0;
    for turn in 0..100 {
        if turn == 50 {
            before = world.appended();
        }
        round(world)?;
        world.advance_ms(1);
    }
    if world.full && world.appended() == before {
        return Err(format!("ingest waits: {}", world.state()));
    }
    Ok(())
}

/// No more work and no more hindrance: in the end everybody who reads has everything.
pub(crate) fn settle(world: &mut World) -> Result<(), Wrong> {
    world.kafka.get_mut().calm();
    for client in world.clients.iter_mut().filter(|client| client.reading != Reading::Never) {
        client.set_reading(Reading::All);
        client.set_window(64 << 10);
    }
    // Quiet is when nothing happens any more; or, as clients are pinged for ever, nothing else for long.
    let (mut quiet_rounds, mut calm_rounds, begun_ns) = (0, 0, world.now_ns);
    for _ in 0..20_000 {
        let any = round(world)?;
        // The watcher is to have looked at everything.
        let looks = world.now_ns - begun_ns < LOOK_NS;
        // Who asked faster than it is read is answered all the same.
        let asks =
            |client: &Client| client.is_live() && client.checker.unanswered() + client.pings_unanswered() > 0;
        let waits = looks
            || world.full
            || !world.is_settled()
            || !world.ingest.is_idle()
            || world.clients.iter().any(asks);
        let held = world.seats.iter().any(|seat| seat.held_until_ns > world.now_ns || seat.has_outgoing());
        quiet_rounds = if any || waits || held { 0 } else { quiet_rounds + 1 };
        calm_rounds = if waits || held { 0 } else { calm_rounds + 1 };
        if quiet_rounds == 5 || calm_rounds == 500 {
            break;
        }
        world.advance_ms(if any { 1 } else { 20 });
    }
    if quiet_rounds < 5 && calm_rounds < 500 {
        for client in world.clients.iter().filter(|client| client.is_live()) {
            let wrong = |wrong| format!("client {}: {wrong}", client.id);
            client.checker.caught_up(&world.kafka.model()).map_err(wrong)?;
        }
        return Err(format!("it never becomes quiet: {}", world.state()));
    }
    for client in world.clients.iter().filter(|client| client.is_live()) {
        let wrong = |wrong| format!("client {}: {wrong}", client.id);
        client.checker.caught_up(&world.kafka.model()).map_err(wrong)?;
        client.checker.redeem(&world.kafka.model()).map_err(wrong)?;
        if client.pings_unanswered() > 0 {
            return Err(wrong("a ping without a pong".to_owned()));
        }
    }
    Ok(())
}
