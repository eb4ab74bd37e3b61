//! Messages from other threads, and to ingest.

use ring::Ring;

use super::{Shard, names::Name};
use crate::inbox::{ExplainChannels, ShardFacts, ToIngest, ToShard};

/// Inbox messages read in one turn: a storm of connections must not hold up those that are there.
const MESSAGES_A_TURN: usize = 256;

impl<R: Ring> Shard<R> {
    pub(super) fn read_inbox(&mut self) {
        for _ in 0..MESSAGES_A_TURN {
            match self.inbox.try_recv() {
                Ok(ToShard::Connection(handover)) => self.begin(handover),
                Ok(ToShard::Channel(answer)) => self.answered(answer),
                Ok(ToShard::Status(status)) => self.status(&status),
                Ok(ToShard::Explain(asked)) => self.explain(&asked),
                Ok(ToShard::Drain { jitter_ms }) => self.begin_drain(jitter_ms),
                Ok(ToShard::Stop) => self.stop(),
                Err(flume::TryRecvError::Empty | flume::TryRecvError::Disconnected) => return,
            }
        }
    }

    /// Tells how many are subscribed: two numbers a channel, whatever their number.
    fn explain(&mut self, asked: &ExplainChannels) {
        let mut subscribers = Vec::with_capacity(asked.channels.len());
        for name in asked.channels.iter() {
            subscribers.push(match self.names.find(name) {
                Some(Name::Held(channel)) => self.subscriptions.channel(*channel).subscribers(),
                Some(Name::Asked(_)) | None => (0, 0),
            });
        }
        // The asker may have given up.
        let _ = asked.reply.try_send(ShardFacts { shard: self.context.shard, subscribers });
    }

    /// A message for ingest: it goes out at the end of the turn.
    pub(super) fn write_ingest(&mut self, message: ToIngest) {
        self.outgoing.push_back(message);
    }

    /// Hands what is outgoing to ingest, as far as its inbox takes them, and wakes it once.
    pub(super) fn send_outgoing(&mut self) {
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
}
