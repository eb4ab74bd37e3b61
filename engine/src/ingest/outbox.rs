//! Messages to shards. A full inbox never stops ingest: the message waits here and is tried again on the next turn.

use std::{collections::VecDeque, sync::Arc};

use flume::TrySendError;
use sync::Waker;

use crate::inbox::{Answer, Status, ToShard};

/// The way to one shard.
#[derive(Debug)]
struct Way<D> {
    inbox: flume::Sender<ToShard<D>>,
    waker: Arc<Waker>,
    /// Answers that found the inbox full; as many as the shard has asked, which is its own bound.
    answers: VecDeque<Answer>,
    /// Only the newest state of each topic, and of all, matters.
    states: VecDeque<Status>,
    /// Something was put into the inbox since the shard was last woken.
    wake: bool,
    /// The shard has ended.
    ended: bool,
}

/// The ways to all shards.
#[derive(Debug)]
pub(super) struct Outbox<D> {
    ways: Vec<Way<D>>,
    /// Messages wait somewhere.
    waiting: bool,
}

impl<D> Outbox<D> {
    pub(super) fn new(links: Vec<(flume::Sender<ToShard<D>>, Arc<Waker>)>) -> Self {
        let way = |(inbox, waker)| Way {
            inbox,
            waker,
            answers: VecDeque::new(),
            states: VecDeque::new(),
            wake: false,
            ended: false,
        };
        Self { ways: links.into_iter().map(way).collect(), waiting: false }
    }

    /// Messages wait for room in an inbox.
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

    /// Tries what waits again, and wakes the shards: once a batch.
    pub(super) fn deliver(&mut self) {
        if self.waiting {
            self.waiting = false;
            for way in &mut self.ways {
                self.waiting |= !way.send();
            }
        }
        for way in self.ways.iter_mut().filter(|way| way.wake) {
            way.wake = false;
            way.waker.wake();
        }
    }
}

impl<D> Way<D> {
    /// Puts into the inbox what it takes; true if nothing is left.
    fn send(&mut self) -> bool {
        while let Some(message) = self.next() {
            if self.ended {
                continue;
            }
            match self.inbox.try_send(message) {
                Ok(()) => self.wake = true,
                Err(TrySendError::Disconnected(_)) => self.ended = true,
                Err(TrySendError::Full(message)) => {
                    // A shard that is busy rather than asleep would look anyway; to wake it costs nothing.
                    self.wake = true;
                    self.put_back(message);
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

    fn put_back(&mut self, message: ToShard<D>) {
        match message {
            ToShard::Channel(answer) => self.answers.push_front(answer),
            ToShard::Status(status) => self.states.push_front(status),
            ToShard::Connection(_) | ToShard::Explain(_) | ToShard::Drain { .. } | ToShard::Stop => {
                unreachable!("ingest writes answers and states only")
            }
        }
    }
}
