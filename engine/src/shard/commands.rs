//! What clients ask, and what they are answered.

use std::sync::Arc;

use proto::{
    native::{
        reply,
        request::{Command, ErrorCode, Request, RequestError, Wanted},
    },
    ws::close::CloseCode,
};
use ring::{Key, Ring};

use super::{
    Shard,
    connection::{Item, ItemState, Pending},
    inbound::Stop,
    lifecycle::CloseReason,
    names::{Asked, Name},
    subscriptions::Owed,
};
use crate::inbox::{Answer, ChannelLookup, Refused, ToIngest};

/// Where a channel's subscription begins, if that differs from the answer's `pos`, and whether it is stale; or why there is
/// none.
type Begins = Result<(Vec<String>, bool), ErrorCode>;

/// Channels held that one token pays for, where a request looks at all of them.
const CHANNELS_A_TOKEN: usize = 250;
/// The minute of `failed_requests_per_minute`, ms.
const MINUTE_MS: u64 = 60_000;

impl<R: Ring> Shard<R> {
    /// Does one request.
    pub(super) fn request(&mut self, key: Key, request: Result<Request, RequestError>) {
        match request {
            Ok(Request { id, command: Command::Subscribe(wanted) }) => self.subscribe(key, id, wanted),
            Ok(Request { id, command: Command::Unsubscribe(names) }) => self.unsubscribe(key, id, &names),
            Ok(Request { id, command: Command::Heartbeat }) => {
                let now = self.context.now.unix_ms;
                self.control(key, |out| reply::pong(out, id, now));
                // A position is put together from all channels held.
                self.spend(key, self.subscriptions.count(key.index()) / CHANNELS_A_TOKEN);
                self.put_position(key);
            }
            Err(RequestError { id, code, message }) => self.refuse(key, id, code, &message),
        }
    }

    /// Answers with an error. Too many within a minute close the connection.
    fn refuse(&mut self, key: Key, id: Option<i64>, code: ErrorCode, message: &str) {
        self.control(key, |out| reply::error(out, id, code, message));
        self.count_failure(key);
    }

    fn count_failure(&mut self, key: Key) {
        let now_ms = self.context.now.mono_ms();
        let most = self.context.settings.limits.failed_requests_per_minute;
        self.context.metrics.failed_requests.add(1);
        let Some(client) = self.connections.get_mut(key) else { return };
        if now_ms.saturating_sub(client.failed.1) >= MINUTE_MS {
            client.failed = (0, now_ms);
        }
        client.failed.0 += 1;
        if client.failed.0 > most {
            self.close(key, CloseCode::POLICY, "too many failed requests", CloseReason::Policy);
        }
    }

    fn subscribe(&mut self, key: Key, id: Option<i64>, wanted: Vec<Wanted>) {
        let limits = &self.context.settings.limits;
        let share = (limits.empty_channels / 2 / limits.connections.max(1)).max(1);
        let held = self.subscriptions.count(key.index());
        let look_up = |(nth, wanted)| self.look_up(key, &wanted, held + nth < share);
        let items: Vec<_> = wanted.into_iter().enumerate().map(look_up).collect();
        let pending = Pending::new(id, items);
        if pending.is_complete() {
            return self.acknowledge(key, &pending);
        }
        if let Some(client) = self.connections.get_mut(key) {
            client.pending = Some(Box::new(pending));
        }
    }

    /// The number of a wanted channel, or a lookup by ingest; waits for no other. Modest: with it the client holds no
    /// more than its share of the channels that clients may invent.
    fn look_up(&mut self, key: Key, wanted: &Wanted, modest: bool) -> Item {
        if let Some(code) = wanted.refused {
            return Item { name: Arc::from(wanted.channel.as_str()), state: ItemState::Refused(code) };
        }
        match self.names.find(&wanted.channel) {
            Some(Name::Held(channel)) => {
                let channel = *channel;
                let held = self.subscriptions.channel_mut(channel);
                held.reserve();
                let name = held.name().cloned().unwrap_or_else(|| Arc::from(wanted.channel.as_str()));
                Item { name, state: ItemState::Known(channel) }
            }
            Some(Name::Asked(asked)) => {
                asked.waiting.push((key, modest));
                Item { name: Arc::from(wanted.channel.as_str()), state: ItemState::Asked }
            }
            None => {
                let name: Arc<str> = Arc::from(wanted.channel.as_str());
                self.ask(&name, Asked { waiting: vec![(key, modest)], modest });
                Item { name, state: ItemState::Asked }
            }
        }
    }

    fn ask(&mut self, name: &Arc<str>, asked: Asked) {
        let (shard, modest) = (self.context.shard, asked.modest);
        self.names.ask(Arc::clone(name), asked);
        self.write_ingest(ToIngest::Lookup(ChannelLookup { shard, name: Arc::clone(name), modest }));
    }

    /// Ingest has answered for a name.
    pub(super) fn answered(&mut self, answer: Answer) {
        let Asked { mut waiting, modest } = self.names.forget(&answer.name);
        // It was asked for one that holds much. Those that wait with it and hold little are not refused for that.
        if matches!(answer.outcome, Err(Refused::TooMany)) && !modest {
            let (kept, refused): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|&(_, modest)| modest);
            waiting = refused;
            if !kept.is_empty() {
                self.ask(&answer.name, Asked { waiting: kept, modest: true });
            }
        }
        let state = match answer.outcome {
            Ok(grant) => {
                let channel = self.subscriptions.channel_mut(grant.channel);
                channel.hold(Arc::clone(&answer.name), grant.topics);
                // Held while the waiting requests are gone through.
                channel.reserve();
                self.names.hold(Arc::clone(&answer.name), grant.channel);
                ItemState::Known(grant.channel)
            }
            Err(Refused::Unknown) => ItemState::Refused(ErrorCode::UnknownChannel),
            Err(Refused::TooMany) => ItemState::Refused(ErrorCode::TooManyChannels),
        };
        for (key, _) in waiting {
            self.settle_item(key, &answer.name, state);
        }
        self.limit_client_bytes();
        if let ItemState::Known(channel) = state {
            self.unreserve(channel);
        }
    }

    /// One of a waiting request's channels is answered; the last one completes the request.
    fn settle_item(&mut self, key: Key, name: &str, state: ItemState) {
        let Some(client) = self.connections.get_mut(key) else { return };
        let Some(pending) = &mut client.pending else { return };
        let asked = |item: &&mut Item| item.state == ItemState::Asked && &*item.name == name;
        let Some(item) = pending.items.iter_mut().find(asked) else { return };
        item.state = state;
        pending.asked -= 1;
        if let ItemState::Known(channel) = state {
            self.subscriptions.channel_mut(channel).reserve();
        }
        if pending.is_complete() {
            self.complete(key);
        }
    }

    /// Acknowledges the request whose answers are all there. Not while the connection lags or a gap is yet to be told: what is acknowledged is true
    /// of the present, where it is not yet.
    pub(super) fn complete(&mut self, key: Key) {
        if self.is_behind(key.index()) {
            return;
        }
        let Some(client) = self.connections.get_mut(key) else { return };
        let Some(pending) = client.pending.take_if(|pending| pending.is_complete()) else { return };
        self.acknowledge(key, &pending);
        self.count_held(key);
        self.resume(key, Stop::Answer);
    }

    /// Subscribes to what is known and answers. The answer is queued before anything is marked, and says where the
    /// subscriptions begin: at the present, the shard's reading place.
    fn acknowledge(&mut self, key: Key, pending: &Pending) {
        let connection = key.index();
        let mut outcomes: Vec<(Arc<str>, Begins)> = Vec::with_capacity(pending.items.len());
        let mut topics: Vec<Arc<str>> = Vec::new();
        for item in &pending.items {
            let outcome = match item.state {
                ItemState::Known(channel) => self.add(connection, channel, &mut topics),
                ItemState::Refused(code) => Err(code),
                ItemState::Asked => unreachable!("a complete request has no open lookup"),
            };
            outcomes.push((Arc::clone(&item.name), outcome));
            if let ItemState::Known(channel) = item.state {
                self.unreserve(channel);
            }
        }
        let failed = outcomes.iter().any(|(_, outcome)| outcome.is_err());
        let pos = self.positions.vectors(&self.reader, self.subscriptions.read(), &topics, None);
        let subscribed: Vec<&str> =
            outcomes.iter().filter(|(_, o)| o.is_ok()).map(|(name, _)| &**name).collect();
        let results: Vec<_> = outcomes.iter().map(|(name, outcome)| (&**name, result(outcome))).collect();
        let count = self.subscriptions.count(connection);
        self.control(key, |out| reply::subscription_ack(out, pending.id, &subscribed, count, &pos, &results));
        if failed {
            self.count_failure(key);
        }
    }

    /// Subscribes to one channel. For one that is held already and still owes, gives where it stands; where else it does
    /// not begin at the reading place of all, where it begins.
    fn add(&mut self, connection: u32, channel: u32, topics: &mut Vec<Arc<str>>) -> Begins {
        let its_topics = Arc::clone(self.subscriptions.channel(channel).topics());
        let mut begins = Vec::new();
        if let Some(held) = self.subscriptions.find(connection, channel) {
            if let Owed::From(cursor) = self.subscriptions.owed(held) {
                begins = self.positions.vectors(&self.reader, cursor, &its_topics, None);
            }
        } else if self.subscriptions.count(connection) < self.context.settings.limits.channels_per_connection
        {
            self.subscriptions.add(connection, channel);
            let begun = self.subscriptions.chains().begun(channel);
            if begun.is_some() {
                begins = self.positions.vectors(&self.reader, self.subscriptions.read(), &its_topics, begun);
            }
        } else {
            return Err(ErrorCode::TooManyChannels);
        }
        for topic in its_topics.iter() {
            if !topics.contains(topic) {
                topics.push(Arc::clone(topic));
            }
        }
        Ok((begins, self.ack_stale(connection, channel)))
    }

    fn unsubscribe(&mut self, key: Key, id: Option<i64>, names: &[String]) {
        let connection = key.index();
        let mut ended: Vec<&str> = Vec::new();
        for name in names {
            let Some(Name::Held(channel)) = self.names.find(name) else { continue };
            let channel = *channel;
            if self.subscriptions.remove(connection, channel) {
                ended.push(name);
                self.give_back_if_unused(channel);
            }
        }
        let count = self.subscriptions.count(connection);
        self.control(key, |out| reply::unsubscription_ack(out, id, &ended, count));
    }

    /// The connection goes: its waiting request gives up what it had reserved.
    pub(super) fn drop_pending(&mut self, key: Key) {
        let Some(pending) = self.connections.get_mut(key).and_then(|client| client.pending.take()) else {
            return;
        };
        for item in &pending.items {
            if let ItemState::Known(channel) = item.state {
                self.unreserve(channel);
            }
        }
    }

    fn unreserve(&mut self, channel: u32) {
        self.subscriptions.channel_mut(channel).unreserve();
        self.give_back_if_unused(channel);
    }

    /// Gives the number back to ingest when the last subscriber is gone.
    pub(super) fn give_back_if_unused(&mut self, channel: u32) {
        if let Some(name) = self.subscriptions.channel_mut(channel).take_unused_name() {
            self.names.forget(&name);
            self.write_ingest(ToIngest::Release { shard: self.context.shard, channel });
        }
    }
}

fn result(outcome: &Begins) -> reply::Outcome<'_> {
    match outcome {
        Ok((pos, stale)) => reply::Outcome { pos, stale: *stale, ..reply::Outcome::default() },
        Err(code) => reply::Outcome { error: Some(*code), ..reply::Outcome::default() },
    }
}
