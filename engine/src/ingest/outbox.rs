//! Letters to shards. A full inbox never stops ingest: the letter waits here and is tried again on the next turn.

use std::{collections::VecDeque, sync::Arc};

use flume::TrySendError;

use crate::{
    mail::{Answer, Status, ToShard},
    slab::Bell,
};

/// The way to one shard.
#[derive(Debug)]
struct Way<D> {
    inbox: flume::Sender<ToShard<D>>,
    bell: Arc<Bell>,
    /// Answers that found the inbox full; as many as the shard has asked, which is its own bound.
    answers: VecDeque<Answer>,
    /// Only the newest state of each topic, and of all, matters.
    states: VecDeque<Status>,
    /// Something was put into the inbox since the bell was last rung.
    ring: bool,
    /// The shard has ended.
    ended: bool,
}

/// The ways to all shards.
#[derive(Debug)]
pub(super) struct Outbox<D> {
    ways: Vec<Way<D>>,
    /// Letters wait somewhere.
    waiting: bool,
}

impl<D> Outbox<D> {
    pub(super) fn new(links: Vec<(flume::Sender<ToShard<D>>, Arc<Bell>)>) -> Self {
        let way = |(inbox, bell)| Way {
            inbox,
            bell,
            answers: VecDeque::new(),
            states: VecDeque::new(),
            ring: false,
            ended: false,
        };
        Self { ways: links.into_iter().map(way).collect(), waiting: false }
    }

    /// Letters wait for room in an inbox.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting
    }

    pub(super) fn answer(&mut self, shard: usize, answer: Answer) {
        let way = &mut self.ways[shard];
        way.answers.push_back(answer);
        self.waiting |= !way.send();
    }

    pub(super) fn status(&mut self, status: &Status) {
        for way in &mut self.ways {
            way.states.retain(|older| older.topic != status.topic);
            way.states.push_back(status.clone());
            self.waiting |= !way.send();
        }
    }

    /// Tries what waits again, and rings the bells: once a batch.
    pub(super) fn deliver(&mut self) {
        if self.waiting {
            self.waiting = false;
            for way in &mut self.ways {
                self.waiting |= !way.send();
            }
        }
        for way in self.ways.iter_mut().filter(|way| way.ring) {
            way.ring = false;
            way.bell.ring();
        }
    }
}

impl<D> Way<D> {
    /// Puts into the inbox what it takes; true if nothing is left.
    fn send(&mut self) -> bool {
        while let Some(letter) = self.next() {
            if self.ended {
                continue;
            }
            match self.inbox.try_send(letter) {
                Ok(()) => self.ring = true,
                Err(TrySendError::Disconnected(_)) => self.ended = true,
                Err(TrySendError::Full(letter)) => {
                    // A shard that is busy rather than asleep would look anyway; the bell costs it nothing.
                    self.ring = true;
                    self.put_back(letter);
                    return false;
                }
            }
        }
        true
    }

    fn next(&mut self) -> Option<ToShard<D>> {
        let answer = self.answers.pop_front().map(ToShard::Channel);
        answer.or_else(|| self.states.pop_front().map(ToShard::Status))
    }

    fn put_back(&mut self, letter: ToShard<D>) {
        match letter {
            ToShard::Channel(answer) => self.answers.push_front(answer),
            ToShard::Status(status) => self.states.push_front(status),
            ToShard::Connection(_) | ToShard::Explain(_) | ToShard::Drain { .. } | ToShard::Stop => {
                unreachable!("ingest writes answers and states only")
            }
        }
    }
}
