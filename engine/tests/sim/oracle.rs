//! What must always hold for one client, checked against the model: docs/DESIGN.md, "What must always hold".
//!
//! A checker hears what the client asked and every text the server sent it, in order, and knows nothing of how the server
//! works. It says the first thing that is wrong.

use std::collections::{BTreeMap, VecDeque};

use proto::{
    native::envelope::{Channels, Envelope, Error, Gap, Status, SubscriptionAck, UnsubscriptionAck},
    position::{Epoch, Position, Vector},
};

use crate::{
    model::{Expect, Line, Model, NAME_BYTES_MAX, Part, topics_of},
    place::{Begin as Beginning, Place, at},
    redeem::{self, Kept},
    rng::Hash,
};

/// What is wrong; for people.
pub(crate) type Wrong = String;

/// What a client waits for.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    /// The answer to a subscribe for these names, each once; the flag: with an option of a later version.
    Subscribe(Vec<(String, bool)>),
    Unsubscribe(Vec<String>),
    Heartbeat,
    /// An error of this code.
    Error(&'static str),
}

/// Where a topic's subscriptions began, by an ack.
#[derive(Debug, Clone)]
struct Begin {
    /// The incarnation that the ack named, and its next offsets.
    named: Option<(usize, Vec<i64>)>,
    /// Incarnations there were when the ack was read.
    incarnations: usize,
}

/// A subscription as the client sees it.
#[derive(Debug, Clone)]
struct Sub {
    begins: BTreeMap<&'static str, Begin>,
    places: BTreeMap<Part, Place>,
    kept: Kept,
    /// It is known to be behind.
    stale: bool,
}

/// What a client had at some time, to be redeemed in the end.
#[derive(Debug, Clone)]
struct Souvenir {
    channel: String,
    sub: Sub,
}

/// Souvenirs of a client at most, and how many positions it hears between two.
const SOUVENIRS_MAX: usize = 6;
const SOUVENIR_EVERY: u64 = 97;

/// One client's checker.
#[derive(Debug, Default, Clone)]
pub(crate) struct Checker {
    held: BTreeMap<String, Sub>,
    asked: VecDeque<(i64, Asked)>,
    channels_max: usize,
    /// The process may refuse names for want of numbers.
    pub(crate) names_limited: bool,
    welcomed: bool,
    /// Messages, for statistics.
    pub(crate) messages: u64,
    /// Notices that it was too slow.
    pub(crate) slow_gaps: u64,
    pub(crate) positions: u64,
    souvenirs: Vec<Souvenir>,
    heard: u64,
    /// Errors, by code.
    pub(crate) errors: BTreeMap<String, u64>,
}

macro_rules! wrong {
    ($($text:tt)*) => { return Err(format!($($text)*)) };
}

impl Checker {
    /// A checker for a client that may hold so many channels.
    pub(crate) fn new(channels_max: usize, welcome: bool) -> Self {
        Self { channels_max, welcomed: !welcome, ..Self::default() }
    }

    /// Requests without an answer yet.
    pub(crate) fn unanswered(&self) -> usize {
        self.asked.len()
    }

    /// The client sends a request.
    pub(crate) fn asked(&mut self, id: i64, asked: Asked) {
        self.asked.push_back((id, asked));
    }

    pub(crate) fn held(&self) -> impl Iterator<Item = &String> {
        self.held.keys()
    }

    /// The server sent this text.
    pub(crate) fn hear(&mut self, text: &[u8], model: &Model) -> Result<(), Wrong> {
        let envelope = Envelope::parse(text).map_err(|error| format!("{error}: {}", shown(text)))?;
        let is_welcome = matches!(envelope, Envelope::Welcome(_));
        if is_welcome == self.welcomed {
            wrong!("welcome comes first and once, not so: {}", shown(text));
        }
        let heard = match envelope {
            Envelope::Welcome(_) => {
                self.welcomed = true;
                Ok(())
            }
            Envelope::Message(message) => {
                let mut content = Hash::EMPTY;
                content.add_number(message.ts_ms.cast_unsigned());
                content.add(&[u8::from(message.base64), u8::from(message.data.is_some())]);
                content.add(message.data.unwrap_or_default());
                self.message(&message.channel, message.pos, content, model)
            }
            Envelope::Gap(gap) => self.gap(&gap, model),
            Envelope::Position(pos) => self.position(&pos, model),
            Envelope::SubscriptionAck(ack) => self.subscribed(&ack, model),
            Envelope::UnsubscriptionAck(ack) => self.unsubscribed(&ack),
            Envelope::Pong(pong) => {
                let asked = self.answer(pong.id)?;
                let fits = matches!(asked, Asked::Heartbeat);
                if fits { Ok(()) } else { Err(format!("a pong answers {asked:?}")) }
            }
            Envelope::Error(error) => self.error(&error),
            Envelope::Status(status) if matches!(status.state.as_str(), "stale" | "live") => {
                self.status(&status)
            }
            Envelope::Status(_) | Envelope::Other(_) => Err("of no type that there is".to_owned()),
        };
        heard.map_err(|wrong| format!("{wrong}, at {}", shown(text)))
    }

    /// After quiet: everything that the reader has was delivered, every request answered.
    pub(crate) fn caught_up(&self, model: &Model) -> Result<(), Wrong> {
        self.answered()?;
        for (channel, sub) in &self.held {
            sub.is_complete(channel, model)?;
        }
        Ok(())
    }

    /// The same in the middle of things: everything that ingest has published, as far as these next offsets.
    pub(crate) fn caught_up_to(&self, model: &Model, published: &BTreeMap<Part, i64>) -> Result<(), Wrong> {
        self.answered()?;
        for (channel, sub) in &self.held {
            // Of a past incarnation the next one's records may have passed for its own, where brokers do not tell them apart.
            let is_sure = |epoch| !(model.is_past(epoch) && model.may_confuse(epoch));
            let of_it = |part: &Part| sub.check_topic(model, part.0).is_ok() && is_sure(part.0);
            for (&part, &next) in published.iter().filter(|(part, _)| of_it(part)) {
                let Some(line) = model.line(part) else { continue };
                let place = sub.place_or_first(model, part, line);
                place.is_complete_to(line, channel, next).map_err(|wrong| at(part, wrong))?;
            }
        }
        Ok(())
    }

    fn answered(&self) -> Result<(), Wrong> {
        if let Some(asked) = self.asked.front() {
            wrong!("{} requests without an answer, the first is {asked:?}", self.asked.len());
        }
        Ok(())
    }

    /// What the client kept at one time or another is redeemed now, whatever has happened since.
    pub(crate) fn redeem(&self, model: &Model) -> Result<(), Wrong> {
        for Souvenir { channel, sub } in &self.souvenirs {
            for (part, place) in &sub.places {
                let wrong = |wrong| at(*part, format!("later, {wrong}"));
                redeem::check(&sub.kept, model, channel, *part, place).map_err(wrong)?;
            }
        }
        Ok(())
    }

    /// Now and then what the client has is kept aside.
    fn keep_souvenir(&mut self, channel: &str) {
        self.heard += 1;
        if self.heard.is_multiple_of(SOUVENIR_EVERY)
            && self.souvenirs.len() < SOUVENIRS_MAX
            && let Some(sub) = self.held.get(channel)
        {
            self.souvenirs.push(Souvenir { channel: channel.to_owned(), sub: sub.clone() });
        }
    }

    fn message(&mut self, channel: &str, pos: &str, content: Hash, model: &Model) -> Result<(), Wrong> {
        let Some(sub) = self.held.get_mut(channel) else { wrong!("not subscribed to {channel:?}") };
        let position = Position::parse(pos).map_err(|error| error.to_string())?;
        let (part, offset) = ((position.epoch, position.partition), position.offset);
        sub.check_topic(model, part.0)?;
        let Some(line) = model.line(part) else { wrong!("there is no such partition") };
        let expect = Expect::Message(content);
        sub.kept.record(position);
        self.messages += 1;
        if let Some(born) = line.born(channel, offset, expect) {
            sub.check_earlier_incarnations(channel, model, part.0)?;
            let place = sub.place(model, part, line);
            place.message(line, channel, offset, born).map_err(|wrong| at(part, wrong))?;
            sub.redeem(channel, model, part)?;
            self.keep_souvenir(channel);
            return Ok(());
        }
        let is_later = |epoch: &Epoch| {
            let line = model.line((*epoch, part.1));
            line.is_some_and(|line| line.born(channel, offset, expect).is_some())
        };
        let Some(later) = model.later(part.0).find(is_later) else {
            wrong!("nothing like it was produced there for {channel:?}")
        };
        if !model.confuses_incarnations && !model.unannounced.contains(&later) {
            wrong!("it is of a later incarnation");
        }
        let place = sub.place(model, part, line);
        place.confused = Some(place.confused.map_or(offset, |at| at.min(offset)));
        Ok(())
    }

    fn gap(&mut self, gap: &Gap, model: &Model) -> Result<(), Wrong> {
        let channel = &gap.channel;
        let Some(sub) = self.held.get_mut(channel) else { wrong!("not subscribed to {channel:?}") };
        let from = Position::parse(&gap.from).map_err(|error| error.to_string())?;
        let to = Position::parse(&gap.to).map_err(|error| error.to_string())?;
        let part = (from.epoch, from.partition);
        if part != (to.epoch, to.partition) || from.offset > to.offset {
            wrong!("a gap from {from} to {to}");
        }
        sub.check_topic(model, part.0)?;
        let Some(line) = model.line(part) else { wrong!("there is no such partition") };
        let (from, to) = (from.offset, to.offset);
        let is_past = model.is_past(part.0);
        let place = sub.place(model, part, line);
        let heard = match gap.reason.as_str() {
            "reset" => match place.truncated(line, channel, from, to) {
                Err(_) if is_past => place.end(line, channel, from, to),
                done => done.inspect(|()| place.over = is_past),
            },
            "slow" => place.gap(line, channel, from, to),
            "oversized" if from == to && line.born(channel, from, Expect::Oversized).is_some() => {
                place.gap(line, channel, from, to)
            }
            // (Where a topic is made anew twice between two lookups of one look, the offsets are those of the last.)
            "retention" if to < line.start || is_past => place.gap(line, channel, from, to),
            "unreadable" if line.is_unreadable(channel, from, to) => place.gap(line, channel, from, to),
            _ => Err("nothing was lost there".to_owned()),
        };
        // A later incarnation's records may have passed for this one's.
        let heard = if is_past && model.may_confuse(part.0) {
            if gap.reason == "reset" {
                place.void_from(from);
            }
            Ok(())
        } else {
            heard
        };
        heard.map_err(|wrong| at(part, wrong))?;
        self.slow_gaps += u64::from(gap.reason == "slow");
        sub.redeem(channel, model, part)
    }

    /// Everything below these has been sent, for everything held.
    fn position(&mut self, pos: &[String], model: &Model) -> Result<(), Wrong> {
        let vectors = vectors(pos)?;
        for (channel, sub) in &mut self.held {
            for vector in &vectors {
                sub.claim(model, channel, vector)?;
            }
        }
        self.positions += 1;
        if let Some(channel) = self.held.keys().next().cloned() {
            self.keep_souvenir(&channel);
        }
        Ok(())
    }

    fn subscribed(&mut self, ack: &SubscriptionAck, model: &Model) -> Result<(), Wrong> {
        let Asked::Subscribe(names) = self.answer(ack.id)? else { wrong!("it answers no subscribe") };
        if names.len() != ack.results.len() {
            wrong!("{} results for {} names", ack.results.len(), names.len());
        }
        let common = vectors(&ack.pos)?;
        let mut granted = Vec::new();
        for (name, with_option) in names {
            let Some(result) = ack.results.get(&name) else { wrong!("no result for {name:?}") };
            let due = if name.len() > NAME_BYTES_MAX {
                Some("NAME_TOO_LONG")
            } else if with_option || name.ends_with('*') {
                Some("NOT_AVAILABLE")
            } else if topics_of(&name).is_empty() {
                Some("UNKNOWN_CHANNEL")
            } else if self.held.len() >= self.channels_max && !self.held.contains_key(&name) {
                Some("TOO_MANY_CHANNELS")
            } else {
                None
            };
            let refused = due.is_none()
                && self.names_limited
                && result.error.as_deref() == Some("TOO_MANY_CHANNELS")
                && !self.held.contains_key(&name);
            if refused {
                continue;
            }
            if result.error.as_deref() != due {
                wrong!("{name:?} is to fare {due:?}");
            }
            if due.is_some() {
                continue;
            }
            let own = vectors(&result.pos)?;
            let begins = if own.is_empty() { &common } else { &own };
            if let Some(held) = self.held.get_mut(&name) {
                for vector in begins {
                    held.claim(model, &name, vector)?;
                }
            } else {
                self.held.insert(name.clone(), Sub::begin(&name, begins, model));
            }
            if let Some(sub) = self.held.get_mut(&name) {
                sub.stale = result.stale;
            }
            granted.push(name);
        }
        if granted != ack.subscribed || ack.count != self.held.len() {
            wrong!("{granted:?} hold, {} in all", self.held.len());
        }
        Ok(())
    }

    /// Channels became stale, or live again.
    fn status(&mut self, status: &Status) -> Result<(), Wrong> {
        let stale = status.state == "stale";
        match &status.channels {
            Channels::All(all) if all == "*" => self.held.values_mut().for_each(|sub| sub.stale = stale),
            Channels::All(other) => wrong!("{other:?} is no channel"),
            Channels::Named(names) => {
                for name in names {
                    let Some(sub) = self.held.get_mut(name) else { wrong!("{name:?} is not held") };
                    sub.stale = stale;
                }
            }
        }
        Ok(())
    }

    /// The client knows of each channel whether it is stale.
    pub(crate) fn knows_stale(&self, is_stale: &dyn Fn(&str) -> bool) -> Result<(), Wrong> {
        for (name, sub) in &self.held {
            if sub.stale != is_stale(name) {
                wrong!("{name:?} is {}, and was told the opposite", if sub.stale { "live" } else { "stale" });
            }
        }
        Ok(())
    }

    fn unsubscribed(&mut self, ack: &UnsubscriptionAck) -> Result<(), Wrong> {
        let Asked::Unsubscribe(names) = self.answer(ack.id)? else { wrong!("it answers no unsubscribe") };
        let ended: Vec<_> = names.into_iter().filter(|name| self.held.remove(name).is_some()).collect();
        if ended != ack.unsubscribed || ack.count != self.held.len() {
            wrong!("{ended:?} were held, {} still are", self.held.len());
        }
        Ok(())
    }

    fn error(&mut self, error: &Error) -> Result<(), Wrong> {
        let code = error.code.as_str();
        *self.errors.entry(code.to_owned()).or_default() += 1;
        let asked = self.answer(error.id)?;
        let fits = matches!(asked, Asked::Error(due) if due == code);
        if fits { Ok(()) } else { Err(format!("an error answers {asked:?}")) }
    }

    /// The oldest open request, which must have this id. (One that cannot be read has none.)
    fn answer(&mut self, id: Option<i64>) -> Result<Asked, Wrong> {
        match self.asked.pop_front() {
            Some((_, asked @ Asked::Error("BAD_JSON"))) if id.is_none() => Ok(asked),
            Some((due, asked)) if id == Some(due) => Ok(asked),
            other => Err(format!("the answer that is due is for {other:?}")),
        }
    }
}

impl Sub {
    fn begin(name: &str, vectors: &[Vector], model: &Model) -> Self {
        let mut kept = Kept::default();
        let mut begin = |topic: &'static str| {
            let named = vectors.iter().find_map(|vector| {
                let (incarnation, _) =
                    model.incarnation(vector.epoch).filter(|(_, incarnation)| incarnation.topic == topic)?;
                kept.vector(vector);
                Some((incarnation, vector.next.clone()))
            });
            (topic, Begin { named, incarnations: model.incarnations().len() })
        };
        let begins = topics_of(name).into_iter().map(&mut begin).collect();
        let mut sub = Self { begins, places: BTreeMap::new(), kept, stale: false };
        for vector in vectors {
            if sub.check_topic(model, vector.epoch).is_err() {
                continue;
            }
            for part in model.parts(vector.epoch) {
                if let Some(line) = model.line(part) {
                    sub.place(model, part, line);
                }
            }
        }
        sub
    }

    /// Where a partition is for this client.
    fn place(&mut self, model: &Model, part: Part, line: &Line) -> &mut Place {
        let next = self.first(model, part);
        self.places.entry(part).or_insert_with(|| Place::begin(next, line))
    }

    /// The same, to look at.
    fn place_or_first(&self, model: &Model, part: Part, line: &Line) -> Place {
        let known = self.places.get(&part).cloned();
        known.unwrap_or_else(|| Place::begin(self.first(model, part), line))
    }

    /// Where a partition begins for this client.
    fn first(&self, model: &Model, part: Part) -> Beginning {
        let Some((index, incarnation)) = model.incarnation(part.0) else { return Beginning::Began };
        let Some(begin) = self.begins.get(incarnation.topic) else { return Beginning::Began };
        match &begin.named {
            Some((named, next)) if index == *named => match next.get(part.1 as usize) {
                Some(next) if *next >= 0 => Beginning::At(*next),
                Some(_) => Beginning::Began,
                // What a vector does not know was added later: it is owed from its beginning. So is a later incarnation.
                None => Beginning::Held,
            },
            Some((named, _)) if index > *named => Beginning::Held,
            Some(_) => Beginning::Any,
            None if index >= begin.incarnations => Beginning::Held,
            _ => Beginning::Began,
        }
    }

    fn check_topic(&self, model: &Model, epoch: Epoch) -> Result<(), Wrong> {
        match model.incarnation(epoch) {
            None => Err("of an unknown epoch".to_owned()),
            Some((_, incarnation)) if !self.begins.contains_key(incarnation.topic) => {
                Err(format!("topic {} does not feed the channel", incarnation.topic))
            }
            Some(_) => Ok(()),
        }
    }

    /// A new incarnation's messages come behind the end of the earlier incarnations.
    fn check_earlier_incarnations(&self, channel: &str, model: &Model, epoch: Epoch) -> Result<(), Wrong> {
        let Some((index, incarnation)) = model.incarnation(epoch) else { return Ok(()) };
        for earlier in model.incarnations()[..index].iter().filter(|other| other.topic == incarnation.topic) {
            self.is_over(channel, model, earlier.epoch)?;
        }
        Ok(())
    }

    /// What the client knows of an incarnation that is past was called void, and so was what it was owed of it.
    fn is_over(&self, channel: &str, model: &Model, epoch: Epoch) -> Result<(), Wrong> {
        for part in model.parts(epoch) {
            let Some(line) = model.line(part) else { continue };
            let place = self.place_or_first(model, part, line);
            let owed = || model.adopted.contains(&epoch) && place.is_complete(line, channel).is_err();
            if !place.over && (place.is_known() || (self.begins_before(model, epoch) && owed())) {
                return Err(at(
                    part,
                    format!("without a notice for {channel:?} that this incarnation is over"),
                ));
            }
        }
        Ok(())
    }

    /// The subscription began when the incarnation was there, or before.
    fn begins_before(&self, model: &Model, epoch: Epoch) -> bool {
        let Some((index, incarnation)) = model.incarnation(epoch) else { return false };
        let named = self.begins.get(incarnation.topic).and_then(|begin| begin.named.as_ref());
        named.is_some_and(|(named, _)| *named <= index)
    }

    fn is_complete(&self, channel: &str, model: &Model) -> Result<(), Wrong> {
        for incarnation in
            model.incarnations().iter().filter(|incarnation| self.begins.contains_key(incarnation.topic))
        {
            if !model.adopted.contains(&incarnation.epoch) {
                continue;
            }
            // Ingest has gone on to a later incarnation.
            let left = model.later(incarnation.epoch).any(|later| model.adopted.contains(&later));
            if left {
                self.is_over(channel, model, incarnation.epoch)?;
                continue;
            }
            for part in model.parts(incarnation.epoch) {
                let Some(line) = model.line(part) else { continue };
                let place = self.place_or_first(model, part, line);
                place.is_complete(line, channel).map_err(|wrong| at(part, wrong))?;
            }
        }
        Ok(())
    }

    /// Who comes back now with what it keeps of a partition gets what it lacks.
    fn redeem(&self, channel: &str, model: &Model, part: Part) -> Result<(), Wrong> {
        let Some(place) = self.places.get(&part) else { return Ok(()) };
        redeem::check(&self.kept, model, channel, part, place).map_err(|wrong| at(part, wrong))
    }

    /// The server says that everything before the vector has been sent.
    fn claim(&mut self, model: &Model, channel: &str, vector: &Vector) -> Result<(), Wrong> {
        let Some((_, incarnation)) = model.incarnation(vector.epoch) else {
            return Err("of an unknown epoch".to_owned());
        };
        if !self.begins.contains_key(incarnation.topic) {
            return Ok(());
        }
        self.kept.vector(vector);
        if model.is_past(vector.epoch) && model.may_confuse(vector.epoch) {
            return Ok(());
        }
        for part in model.parts(vector.epoch) {
            let Some(line) = model.line(part) else { continue };
            let next = vector.next.get(part.1 as usize).copied();
            let place = self.place(model, part, line);
            match next {
                Some(next) if next >= 0 => {
                    place.claim(line, channel, next).map_err(|wrong| at(part, wrong))?;
                }
                _ if place.is_known() => return Err(at(part, "it is forgotten".to_owned())),
                _ => {}
            }
            self.redeem(channel, model, part)?;
        }
        if vector.next.len() > model.parts(vector.epoch).count() {
            return Err("more partitions than there are".to_owned());
        }
        Ok(())
    }
}

fn vectors(pos: &[String]) -> Result<Vec<Vector>, Wrong> {
    pos.iter().map(|text| Vector::parse(text).map_err(|error| format!("{text}: {error}"))).collect()
}

/// A text for people, not too long.
pub(crate) fn shown(text: &[u8]) -> String {
    let mut shown = String::from_utf8_lossy(&text[..text.len().min(400)]).into_owned();
    if text.len() > 400 {
        shown.push('…');
    }
    shown
}
