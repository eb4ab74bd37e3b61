//! Which connections are flushed next, which cannot be, and who of them owes something in which segment of the slab.
//!
//! That a socket is full stands here and nowhere else: marking looks at one byte and touches no connection.

use std::collections::VecDeque;

/// No connection: the end of a list.
const NIL: u32 = u32::MAX;
/// More than the segments that can be alive at once: each ends with an eighth of the entries or of the bytes.
const HEADS: usize = 64;

/// In which queue a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum QueueState {
    /// In none: nothing to send, or it is in the batch that is flushed.
    #[default]
    None,
    /// In the ready queue: marked, not flushed since.
    Ready,
    /// In the backlog queue: flushed, and still owes.
    Backlog,
    /// In none: its socket is full.
    Blocked,
}

/// The queues, and the connections by segment.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// Marked connections and the sequence from which on they may owe; in the order of the sequences.
    ready: VecDeque<(u32, u64)>,
    /// Connections that a flush has left something to.
    backlog: VecDeque<u32>,
    states: Vec<QueueState>,
    /// The shard's reading place: whoever is queued for its own output owes nothing from before it.
    present: u64,
    /// Connections whose socket is full.
    blocked: usize,
    by_segment: BySegment,
}

impl Schedule {
    /// Somebody waits for a flush.
    pub(super) fn has_work(&self) -> bool {
        !self.ready.is_empty() || !self.backlog.is_empty()
    }

    /// Entries of the ready queue and of the backlog queue, those of who is gone among them.
    pub(super) fn waiting(&self) -> (usize, usize) {
        (self.ready.len(), self.backlog.len())
    }

    /// Connections whose socket is full.
    pub(super) fn blocked(&self) -> usize {
        self.blocked
    }

    /// The connection's socket is full.
    pub(super) fn is_blocked(&self, connection: u32) -> bool {
        self.state(connection) == QueueState::Blocked
    }

    /// The connection is in no queue and no list.
    pub(super) fn is_unknown(&self, connection: u32) -> bool {
        self.state(connection) == QueueState::None && !self.by_segment.has(connection)
    }

    /// The reading place of the shard moves, never back.
    pub(super) fn moved_to(&mut self, sequence: u64) {
        self.present = sequence;
    }

    /// Queues the connection for a flush of its own output, if it is in no queue.
    pub(super) fn queue_output(&mut self, connection: u32) {
        self.queue(connection, self.present);
    }

    /// The connection owes something from `sequence` on, in this segment, and owed nothing before, or nothing as new. If
    /// it is flushed later, a floor has to deal with it from now on; one that is in a list owed something older.
    #[inline]
    pub(super) fn mark(&mut self, connection: u32, sequence: u64, segment: u32) {
        match self.state(connection) {
            QueueState::None => self.queue(connection, sequence),
            QueueState::Ready => {}
            QueueState::Backlog | QueueState::Blocked => {
                if !self.by_segment.has(connection) {
                    self.by_segment.insert(connection, segment);
                }
            }
        }
    }

    /// The connection's socket is full: until [`Self::unblock`] it is in no queue.
    pub(super) fn block(&mut self, connection: u32) {
        self.set(connection, QueueState::Blocked);
    }

    /// The connection's socket takes bytes again.
    pub(super) fn unblock(&mut self, connection: u32) {
        if self.is_blocked(connection) {
            self.set(connection, QueueState::Backlog);
            self.backlog.push_back(connection);
        }
    }

    /// Finds a flushed connection its queue, the backlog if there is `more` to send, unless its socket is full.
    pub(super) fn settle(&mut self, connection: u32, more: bool) {
        if self.is_blocked(connection) {
            return;
        }
        self.set(connection, if more { QueueState::Backlog } else { QueueState::None });
        if more {
            self.backlog.push_back(connection);
        }
    }

    /// The oldest that a connection owes after its flush lies in this segment; none: it owes nothing.
    pub(super) fn list(&mut self, connection: u32, segment: Option<u32>) {
        match segment {
            Some(segment) => self.by_segment.insert(connection, segment),
            None => self.by_segment.remove(connection),
        }
    }

    /// Any connection whose oldest lies in this segment.
    pub(super) fn first_of(&self, segment: u32) -> Option<u32> {
        self.by_segment.first(segment)
    }

    /// The connection is gone. What its places in the queues say is skipped when they are reached.
    pub(super) fn forget(&mut self, connection: u32) {
        self.by_segment.remove(connection);
        if (connection as usize) < self.states.len() {
            self.set(connection, QueueState::None);
        }
    }

    /// Takes connections off the ready queue, as far as they were marked before `sequence`, until the batch has `most`.
    pub(super) fn take_ready(&mut self, batch: &mut Vec<u32>, most: usize, sequence: u64) {
        while batch.len() < most
            && let Some(&(connection, marked)) = self.ready.front()
            && marked < sequence
        {
            self.ready.pop_front();
            if self.state(connection) == QueueState::Ready {
                self.set(connection, QueueState::None);
                batch.push(connection);
            }
        }
    }

    /// Takes connections off the backlog queue, until the batch has `most`.
    pub(super) fn take_backlog(&mut self, batch: &mut Vec<u32>, most: usize) {
        while batch.len() < most
            && let Some(connection) = self.backlog.pop_front()
        {
            if self.state(connection) == QueueState::Backlog {
                self.set(connection, QueueState::None);
                batch.push(connection);
            }
        }
    }

    /// Takes a connection whose socket is not full, out of its turn, for a batch.
    pub(super) fn take(&mut self, connection: u32) {
        debug_assert!(!self.is_blocked(connection), "nothing is sent to a full socket");
        self.by_segment.remove(connection);
        self.set(connection, QueueState::None);
    }

    /// Puts the connection into the ready queue, if it is in none. `sequence` never goes back.
    fn queue(&mut self, connection: u32, sequence: u64) {
        if self.state(connection) == QueueState::None {
            self.set(connection, QueueState::Ready);
            self.ready.push_back((connection, sequence));
        }
    }

    fn state(&self, connection: u32) -> QueueState {
        self.states.get(connection as usize).copied().unwrap_or_default()
    }

    fn set(&mut self, connection: u32, state: QueueState) {
        if connection as usize >= self.states.len() {
            self.states.resize(connection as usize + 1, QueueState::None);
        }
        let before = std::mem::replace(&mut self.states[connection as usize], state);
        self.blocked += usize::from(state == QueueState::Blocked);
        self.blocked -= usize::from(before == QueueState::Blocked);
    }
}

/// Connections that owe something after their flush, by the segment in which their oldest owed entry lies: one doubly
/// linked list each. When a floor moves, only the lists below it are looked at; moving a connection is O(1).
#[derive(Debug)]
struct BySegment {
    heads: [u32; HEADS],
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    previous: u32,
    next: u32,
    /// The segment in whose list it is.
    segment: u32,
    listed: bool,
}

const UNLISTED: Node = Node { previous: NIL, next: NIL, segment: 0, listed: false };

impl Default for BySegment {
    fn default() -> Self {
        Self { heads: [NIL; HEADS], nodes: Vec::new() }
    }
}

impl BySegment {
    /// Puts the connection into the list of `segment`, out of any other.
    fn insert(&mut self, connection: u32, segment: u32) {
        self.remove(connection);
        if connection as usize >= self.nodes.len() {
            self.nodes.resize(connection as usize + 1, UNLISTED);
        }
        let head = &mut self.heads[segment as usize % HEADS];
        let next = std::mem::replace(head, connection);
        self.nodes[connection as usize] = Node { previous: NIL, next, segment, listed: true };
        if next != NIL {
            debug_assert_eq!(self.nodes[next as usize].segment, segment, "more segments alive than lists");
            self.nodes[next as usize].previous = connection;
        }
    }

    /// Takes the connection out of its list, if it is in one.
    fn remove(&mut self, connection: u32) {
        let Some(&node) = self.nodes.get(connection as usize).filter(|node| node.listed) else { return };
        if node.previous == NIL {
            self.heads[node.segment as usize % HEADS] = node.next;
        } else {
            self.nodes[node.previous as usize].next = node.next;
        }
        if node.next != NIL {
            self.nodes[node.next as usize].previous = node.previous;
        }
        self.nodes[connection as usize] = UNLISTED;
    }

    fn has(&self, connection: u32) -> bool {
        self.nodes.get(connection as usize).is_some_and(|node| node.listed)
    }

    fn first(&self, segment: u32) -> Option<u32> {
        let head = self.heads[segment as usize % HEADS];
        (head != NIL && self.nodes[head as usize].segment == segment).then_some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(schedule: &mut Schedule, before: u64) -> Vec<u32> {
        let mut batch = Vec::new();
        schedule.take_ready(&mut batch, 100, before);
        batch
    }

    fn backlog(schedule: &mut Schedule) -> Vec<u32> {
        let mut batch = Vec::new();
        schedule.take_backlog(&mut batch, 100);
        batch
    }

    #[test]
    fn a_connection_is_queued_once_and_taken_in_order() {
        let mut schedule = Schedule::default();
        schedule.mark(3, 10, 0);
        schedule.mark(1, 12, 0);
        schedule.mark(3, 13, 0);
        schedule.moved_to(14);
        schedule.queue_output(2);
        assert_eq!(ready(&mut schedule, 12), [3]);
        assert_eq!(ready(&mut schedule, u64::MAX), [1, 2]);
        schedule.settle(1, true);
        schedule.settle(2, false);
        assert_eq!(backlog(&mut schedule), [1]);
        assert!(!schedule.has_work());
    }

    #[test]
    fn a_full_socket_is_in_no_queue_but_in_the_list_of_its_oldest() {
        let mut schedule = Schedule::default();
        schedule.block(5);
        schedule.settle(5, true);
        assert_eq!(schedule.blocked(), 1);
        schedule.mark(5, 10, 7);
        schedule.mark(5, 20, 8);
        schedule.queue_output(5);
        assert!(!schedule.has_work());
        assert_eq!((schedule.first_of(7), schedule.first_of(8)), (Some(5), None));
        schedule.unblock(5);
        schedule.unblock(5);
        assert_eq!((backlog(&mut schedule), schedule.blocked()), (vec![5], 0));
    }

    #[test]
    fn who_is_gone_is_skipped() {
        let mut schedule = Schedule::default();
        schedule.mark(1, 10, 0);
        schedule.block(2);
        schedule.list(2, Some(3));
        schedule.settle(4, true);
        for connection in [1, 2, 4] {
            schedule.forget(connection);
            assert!(schedule.is_unknown(connection));
        }
        assert!(ready(&mut schedule, u64::MAX).is_empty() && backlog(&mut schedule).is_empty());
        assert_eq!((schedule.blocked(), schedule.first_of(3)), (0, None));
    }
}
