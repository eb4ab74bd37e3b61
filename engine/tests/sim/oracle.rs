//! What must always hold for one client, checked against the model: docs/DESIGN.md, "What must always hold".
//!
//! A checker hears what the client asked and every text the server sent it, in order, and knows nothing of how the server
//! works. It says the first thing that is wrong.

use std::collections::{BTreeMap, VecDeque};

use proto::{
    native::envelope::{Envelope, Error, Gap, SubscriptionAck, UnsubscriptionAck},
    position::{Epoch, Position, Vector},
};

use crate::{
    model::{Expect, Model, NAME_BYTES_MAX, Part, topics_of},
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
    /// The life that the ack named, and its next offsets.
    named: Option<(usize, Vec<i64>)>,
    /// Lives there were when the ack was read.
    lives: usize,
}

/// A subscription as the client sees it.
#[derive(Debug, Clone)]
struct Sub {
    begins: BTreeMap<&'static str, Begin>,
    /// Everything below has been delivered, or was covered by a gap notice.
    next: BTreeMap<Part, i64>,
    /// The newest delivered offset.
    delivered: BTreeMap<Part, i64>,
    /// How often a partition's log had been cut, as far as the client has been told.
    cuts: BTreeMap<(Epoch, u32), u32>,
    /// Ranges lost when the ack was read: a notice of those need not come.
    lost: usize,
}

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
            Envelope::Status(status) if matches!(status.state.as_str(), "stale" | "live") => Ok(()),
            Envelope::Status(_) | Envelope::Other(_) => Err("of no type that there is".to_owned()),
        };
        heard.map_err(|wrong| format!("{wrong}, at {}", shown(text)))
    }

    /// After quiet: everything was delivered, every request answered.
    pub(crate) fn caught_up(&self, model: &Model) -> Result<(), Wrong> {
        if let Some(asked) = self.asked.front() {
            wrong!("{} requests without an answer, the first is {asked:?}", self.asked.len());
        }
        for (channel, sub) in &self.held {
            for life in model.lives().iter().filter(|life| sub.begins.contains_key(life.topic)) {
                for part in model.parts(life.epoch) {
                    sub.complete_below(model, channel, part, i64::MAX)?;
                }
            }
        }
        Ok(())
    }

    fn message(&mut self, channel: &str, pos: &str, content: Hash, model: &Model) -> Result<(), Wrong> {
        let Some(sub) = self.held.get_mut(channel) else { wrong!("not subscribed to {channel:?}") };
        let position = Position::parse(pos).map_err(|error| error.to_string())?;
        let (part, offset) = (sub.part(position.epoch, position.partition), position.offset);
        sub.check_topic(model, part.0)?;
        match model.at(channel, part, offset) {
            Some(Expect::Message(expected)) if expected == content => {}
            Some(Expect::Message(_)) => wrong!("another content than was produced"),
            Some(Expect::Oversized) => wrong!("above the limit of values"),
            None => wrong!("nothing was produced there for {channel:?}"),
        }
        if let Some(next) = sub.next(model, part)
            && offset < next
        {
            wrong!("delivered or covered up to {next} already");
        }
        sub.complete_below(model, channel, part, offset)?;
        sub.check_earlier_lives(model, part.0)?;
        sub.next.insert(part, offset + 1);
        sub.delivered.insert(part, offset);
        self.messages += 1;
        Ok(())
    }

    fn gap(&mut self, gap: &Gap, model: &Model) -> Result<(), Wrong> {
        let Some(sub) = self.held.get_mut(&gap.channel) else {
            wrong!("not subscribed to {:?}", gap.channel)
        };
        let from = Position::parse(&gap.from).map_err(|error| error.to_string())?;
        let to = Position::parse(&gap.to).map_err(|error| error.to_string())?;
        let part = sub.part(from.epoch, from.partition);
        if (part.0, part.1) != (to.epoch, to.partition) || from.offset > to.offset {
            wrong!("a gap from {from} to {to}");
        }
        sub.check_topic(model, part.0)?;
        match gap.reason.as_str() {
            "slow" => {}
            "oversized" => {
                if model.at(&gap.channel, part, from.offset) != Some(Expect::Oversized) || from != to {
                    wrong!("no such value was produced");
                }
            }
            "reset" if sub.is_over(model, part, from.offset, to.offset) || model.is_past(part.0) => {}
            reason => {
                let is_it = |lost: &&crate::model::Lost| {
                    lost.part == part && (lost.from, lost.to, lost.reason) == (from.offset, to.offset, reason)
                };
                if !model.lost().iter().any(|lost| is_it(&lost)) {
                    wrong!("nothing was lost there");
                }
            }
        }
        if gap.reason != "reset" && sub.is_over(model, part, from.offset, to.offset) {
            wrong!("what was delivered there is void: it is a reset");
        }
        let cut = model.is_cut(part);
        if let Some(delivered) = sub.delivered.get(&part)
            && from.offset <= *delivered
            && !cut
        {
            wrong!("{delivered} has been delivered");
        }
        if to.offset >= model.next(part).unwrap_or(0) {
            wrong!("beyond what was produced");
        }
        sub.complete_below(model, &gap.channel, part, from.offset)?;
        sub.raise(model, part, to.offset + 1);
        if gap.reason == "reset" && cut {
            sub.cuts.insert((part.0, part.1), part.2 + 1);
            let begin = model.lost().iter().find(|lost| lost.part == part && lost.reason == "reset");
            sub.next.insert(sub.part(part.0, part.1), begin.map_or(0, |lost| lost.from));
        }
        self.slow_gaps += u64::from(gap.reason == "slow");
        Ok(())
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
            granted.push(name);
        }
        if granted != ack.subscribed || ack.count != self.held.len() {
            wrong!("{granted:?} hold, {} in all", self.held.len());
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
        let begin = |topic: &'static str| {
            let named = vectors.iter().find_map(|vector| {
                let (life, _) = model.life(vector.epoch).filter(|(_, life)| life.topic == topic)?;
                Some((life, vector.next.clone()))
            });
            (topic, Begin { named, lives: model.lives().len() })
        };
        Self {
            begins: topics_of(name).into_iter().map(begin).collect(),
            next: BTreeMap::new(),
            delivered: BTreeMap::new(),
            cuts: model
                .lives()
                .iter()
                .flat_map(|life| model.parts(life.epoch))
                .map(|part| ((part.0, part.1), part.2))
                .collect(),
            lost: model.lost().len(),
        }
    }

    /// The part that a partition is for this client.
    fn part(&self, epoch: Epoch, partition: u32) -> Part {
        (epoch, partition, self.cuts.get(&(epoch, partition)).copied().unwrap_or(0))
    }

    /// Whether a notice for these offsets covers the end of their part, all of which a `reset` tells.
    fn is_over(&self, model: &Model, part: Part, from: i64, to: i64) -> bool {
        let mut ends =
            model.lost()[self.lost..].iter().filter(|lost| lost.part == part && lost.reason == "reset");
        ends.any(|lost| from <= lost.from && lost.to <= to)
    }

    /// The first offset that is still to come; none: anything may be the first.
    fn next(&self, model: &Model, part: Part) -> Option<i64> {
        if let Some(next) = self.next.get(&part) {
            return Some(*next);
        }
        let known = self.part(part.0, part.1);
        if part.2 != known.2 {
            // What came before a cut is over; what comes behind one begins with its notice.
            return (part.2 < known.2).then_some(i64::MAX);
        }
        let (index, life) = model.life(part.0)?;
        let begin = self.begins.get(life.topic)?;
        match &begin.named {
            // What a vector does not know was added later: it is owed from its beginning. So is a later life.
            Some((named, next)) if index == *named => {
                let known = next.get(part.1 as usize).copied().filter(|next| *next >= 0);
                Some(known.unwrap_or(0))
            }
            Some((named, _)) => (index > *named).then_some(0),
            None => (index >= begin.lives).then_some(0),
        }
    }

    fn raise(&mut self, model: &Model, part: Part, to: i64) {
        let next = self.next(model, part).unwrap_or(0).max(to);
        self.next.insert(part, next);
    }

    fn check_topic(&self, model: &Model, epoch: Epoch) -> Result<(), Wrong> {
        match model.life(epoch) {
            None => Err("of an unknown epoch".to_owned()),
            Some((_, life)) if !self.begins.contains_key(life.topic) => {
                Err(format!("topic {} does not feed the channel", life.topic))
            }
            Some(_) => Ok(()),
        }
    }

    /// Nothing below `end` is missing.
    fn complete_below(&self, model: &Model, channel: &str, part: Part, end: i64) -> Result<(), Wrong> {
        for lost in &model.lost()[self.lost..] {
            let next = self.next(model, part).unwrap_or(lost.from);
            // What is behind a cut was sent before it, for all the client knows; that it was told is seen in the end.
            let end = if model.is_cut(part) && end < i64::MAX { lost.from } else { end };
            if lost.part == part && lost.to >= next && lost.from < end {
                return Err(format!("without a notice of {lost:?} for {channel:?}"));
            }
        }
        let Some(next) = self.next(model, part) else { return Ok(()) };
        match model.first(channel, part, next, end) {
            None => Ok(()),
            Some(missing) => Err(format!("{}.{}.{missing} of {channel:?} is missing", part.0, part.1)),
        }
    }

    /// A new life's messages come behind the end of the earlier lives.
    fn check_earlier_lives(&self, model: &Model, epoch: Epoch) -> Result<(), Wrong> {
        let Some((index, life)) = model.life(epoch) else { return Ok(()) };
        let earlier = model.lives()[..index].iter().filter(|other| other.topic == life.topic);
        for part in earlier.flat_map(|other| model.parts(other.epoch)) {
            let ends = &model.lost()[self.lost..];
            let next = self.next(model, part).unwrap_or(0);
            if let Some(lost) = ends.iter().find(|lost| lost.part == part && lost.to >= next) {
                return Err(format!("before the notice of {lost:?}"));
            }
        }
        Ok(())
    }

    /// The server says that everything before the vector has been sent.
    fn claim(&mut self, model: &Model, channel: &str, vector: &Vector) -> Result<(), Wrong> {
        let Some((_, life)) = model.life(vector.epoch) else { return Err("of an unknown epoch".to_owned()) };
        if !self.begins.contains_key(life.topic) {
            return Ok(());
        }
        for (partition, &next) in (0..).zip(&vector.next) {
            let part = self.part(vector.epoch, partition);
            if next < 0 {
                // Unknown is what was added later; what had been cut goes on.
                if part.2 > 0 || model.part(part.0, partition).2 > 0 {
                    return Err(format!("partition {partition} is forgotten"));
                }
                continue;
            }
            if next > model.next(part).unwrap_or(0) {
                return Err(format!("partition {partition} has no offset before {next}"));
            }
            if let Some(delivered) = self.delivered.get(&part)
                && *delivered > next
            {
                return Err(format!("{delivered} of partition {partition} has been delivered"));
            }
            self.complete_below(model, channel, part, next)?;
            self.raise(model, part, next);
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
