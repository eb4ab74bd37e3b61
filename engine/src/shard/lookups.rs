//! The names this shard knows a number for, those it has asked for, and what it has to say to ingest.

use std::{collections::VecDeque, sync::Arc};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use ring::Key;

use super::setup::IngestLink;
use crate::inbox::{ChannelLookup, ToIngest};

/// What is known of a name.
#[derive(Debug)]
enum Name {
    /// Ingest has been asked.
    Asked(Asked),
    /// Its number, held for this shard.
    Held(u32),
}

/// A name that ingest has been asked for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// The connections that wait, and whether each is within its share.
    pub(super) waiting: Vec<(Key, bool)>,
    /// It was asked for the modest.
    pub(super) modest: bool,
}

/// A wanted name.
#[derive(Debug)]
pub(super) enum Found {
    /// Its number, held for this shard.
    Held(u32),
    /// Who wants it waits for ingest; waits for no other.
    Asked(Arc<str>),
}

/// Names by text, and the way to ingest.
#[derive(Debug)]
pub(super) struct Lookups {
    shard: usize,
    by_name: HashMap<Arc<str>, Name, RandomState>,
    /// Names asked for.
    asked: usize,
    ingest: IngestLink,
    /// Messages for ingest: they go out at the end of the turn, as far as its inbox has room.
    outgoing: VecDeque<ToIngest>,
}

impl Lookups {
    /// No name is known to this shard.
    pub(super) fn new(shard: usize, ingest: IngestLink) -> Self {
        Self { shard, by_name: HashMap::default(), asked: 0, ingest, outgoing: VecDeque::new() }
    }

    /// The number held for the name.
    pub(super) fn held(&self, name: &str) -> Option<u32> {
        match self.by_name.get(name) {
            Some(Name::Held(channel)) => Some(*channel),
            Some(Name::Asked(_)) | None => None,
        }
    }

    /// The number of a name, or it is asked for, and the connection waits for it. Modest: with it the client holds no more
    /// than its share of the channels that clients may invent.
    pub(super) fn find(&mut self, name: &str, key: Key, modest: bool) -> Found {
        match self.by_name.get_mut(name) {
            Some(Name::Held(channel)) => Found::Held(*channel),
            Some(Name::Asked(asked)) => {
                asked.waiting.push((key, modest));
                Found::Asked(Arc::from(name))
            }
            None => {
                let name: Arc<str> = Arc::from(name);
                self.ask(Arc::clone(&name), Asked { waiting: vec![(key, modest)], modest });
                Found::Asked(name)
            }
        }
    }

    /// Asks ingest, for all of these.
    pub(super) fn ask(&mut self, name: Arc<str>, asked: Asked) {
        let (shard, modest) = (self.shard, asked.modest);
        self.outgoing.push_back(ToIngest::Lookup(ChannelLookup { shard, name: Arc::clone(&name), modest }));
        self.by_name.insert(name, Name::Asked(asked));
        self.asked += 1;
    }

    /// Ingest has answered for the name: who waits for it.
    pub(super) fn answered(&mut self, name: &str) -> Asked {
        match self.by_name.remove(name) {
            Some(Name::Asked(asked)) => {
                self.asked -= 1;
                asked
            }
            Some(Name::Held(_)) | None => Asked::default(),
        }
    }

    /// Notes the number of a name.
    pub(super) fn hold(&mut self, name: Arc<str>, channel: u32) {
        self.by_name.insert(name, Name::Held(channel));
    }

    /// Nobody needs the name's number any more: it goes back to ingest.
    pub(super) fn give_back(&mut self, name: &str, channel: u32) {
        self.answered(name);
        self.outgoing.push_back(ToIngest::Release { shard: self.shard, channel });
    }

    /// Hands what is outgoing to ingest, as far as its inbox takes it, and wakes it once.
    pub(super) fn post(&mut self) {
        let mut sent = false;
        while let Some(message) = self.outgoing.pop_front() {
            match self.ingest.inbox.try_send(message) {
                Ok(()) => sent = true,
                Err(flume::TrySendError::Full(message)) => {
                    self.outgoing.push_front(message);
                    break;
                }
                // Ingest has ended: nobody is left to answer or to free numbers.
                Err(flume::TrySendError::Disconnected(_)) => self.outgoing.clear(),
            }
        }
        if sent {
            (self.ingest.wake)();
        }
    }

    /// All messages have gone out.
    pub(super) fn is_posted(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// A lookup is open: the number it will be answered with would be held for ever by a shard that has ended.
    pub(super) fn wait(&self) -> bool {
        self.asked > 0 && !self.ingest.inbox.is_disconnected()
    }
}
