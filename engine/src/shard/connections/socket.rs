//! What a connection's socket is at, as a pure state: methods change it and give the ops that the ring is to be asked for.
//!
//! The end has an order (tried: closing a direct descriptor under an armed multishot receive sends no FIN and goes on
//! delivering): the close frame is flushed, the FIN sent, the peer's end awaited for a bounded time; then whatever is in
//! flight is cancelled, the last completion awaited, the descriptor closed, and only then the place is free.
//!
//! Who does not take what it was sent is reset instead: after a plain close the kernel would go on holding its send
//! queue and offering it, for nobody.

use ring::{Armed, Op, Shutdown, Slot};

/// Time in which a socket that takes bytes again is flushed, ms: a shard needs a turn or a few.
const FLUSHED_MS: u64 = 100;

/// Where a connection is in its life. Each phase is left only towards a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Serves.
    Open,
    /// Its close frame is queued: flush, FIN, wait for the peer's end, for a bounded time.
    Closing {
        /// The FIN is asked for.
        finished: bool,
        /// The peer's FIN came while the close frame had still to leave.
        peer_finished: bool,
    },
    /// Everything in flight has been cancelled; waits for the last completion.
    Ending,
    /// The descriptor's close is in flight; then the slot is free.
    Closed,
}

/// The receive of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receive {
    /// None is armed.
    Idle,
    Armed,
    /// Armed, and its cancel is under way.
    Paused,
}

/// What is to be done when the close frame of a closing connection has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flushed {
    /// The FIN.
    Finish(Op),
    /// Both sides are through: closing the descriptor sends the FIN.
    End,
    Nothing,
}

/// When a look at a socket that took too little has to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stall {
    /// It takes what it is given.
    None,
    /// It has taken nothing for too long.
    Over,
    /// Not before this time, ms.
    Until(u64),
}

/// One socket.
#[derive(Debug)]
pub(super) struct Socket {
    slot: Slot,
    phase: Phase,
    receive: Receive,
    /// A poll for writability is armed.
    polling: bool,
    /// Ops in flight on the slot.
    ops: u8,
    /// It has not taken all it was given since `took_ms`, when it last took anything.
    stalled: bool,
    /// A timer looks at `stalled`.
    watched: bool,
    took_ms: u64,
}

impl Socket {
    /// Open, with nothing in flight.
    pub(super) fn new(slot: Slot) -> Self {
        let (phase, receive) = (Phase::Open, Receive::Idle);
        Self { slot, phase, receive, polling: false, ops: 0, stalled: false, watched: false, took_ms: 0 }
    }

    pub(super) fn slot(&self) -> Slot {
        self.slot
    }

    /// It serves.
    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// It has not come to its end: it may be sent what is there, and read.
    pub(super) fn is_alive(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Closing { .. })
    }

    /// It has not taken all it was given.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// Arms the receive, unless it is armed or past reading.
    pub(super) fn receive(&mut self) -> Option<Op> {
        if self.receive != Receive::Idle || !self.is_alive() {
            return None;
        }
        self.receive = Receive::Armed;
        Some(self.begin(Op::Receive { slot: self.slot }))
    }

    /// The receive is to end, and not to be armed again for now.
    pub(super) fn pause(&mut self) -> Option<Op> {
        if self.receive != Receive::Armed {
            return None;
        }
        self.receive = Receive::Paused;
        Some(self.begin(Op::Cancel { slot: self.slot, armed: Armed::Receive }))
    }

    /// The receive has ended.
    pub(super) fn receive_ended(&mut self) {
        self.receive = Receive::Idle;
    }

    /// The peer's FIN. True: it is closing, and its close frame has still to leave, which is not to be cut off.
    pub(super) fn peer_finished(&mut self, output_waits: bool) -> bool {
        match &mut self.phase {
            Phase::Closing { peer_finished, .. } if output_waits => {
                *peer_finished = true;
                true
            }
            Phase::Open | Phase::Closing { .. } | Phase::Ending | Phase::Closed => false,
        }
    }

    /// Serves no more.
    pub(super) fn close(&mut self) {
        debug_assert!(self.is_open(), "closed once");
        self.phase = Phase::Closing { finished: false, peer_finished: false };
    }

    /// All output has left.
    pub(super) fn flushed(&mut self) -> Flushed {
        match &mut self.phase {
            Phase::Closing { peer_finished: true, .. } => Flushed::End,
            Phase::Closing { finished, .. } if !*finished => {
                *finished = true;
                Flushed::Finish(self.begin(Op::Shutdown { slot: self.slot, how: Shutdown::Write }))
            }
            Phase::Open | Phase::Closing { .. } | Phase::Ending | Phase::Closed => Flushed::Nothing,
        }
    }

    /// Ends it: nothing more is sent, and once nothing is in flight the descriptor is closed.
    pub(super) fn end(&mut self, reset: bool) -> impl Iterator<Item = Op> + use<> {
        self.phase = Phase::Ending;
        let slot = self.slot;
        let reset = reset.then(|| self.begin(Op::ResetOnClose { slot }));
        let receiving = self.receive != Receive::Idle;
        let receive = receiving.then(|| self.begin(Op::Cancel { slot, armed: Armed::Receive }));
        let poll = self.polling.then(|| self.begin(Op::Cancel { slot, armed: Armed::Poll }));
        [reset, receive, poll, self.close_descriptor()].into_iter().flatten()
    }

    /// An op has completed for good.
    pub(super) fn op_done(&mut self) -> Option<Op> {
        self.ops -= 1;
        self.close_descriptor()
    }

    fn close_descriptor(&mut self) -> Option<Op> {
        if self.ops > 0 || self.phase != Phase::Ending {
            return None;
        }
        self.phase = Phase::Closed;
        Some(self.begin(Op::Close { slot: self.slot }))
    }

    /// It is full: a poll, which refers to no message memory, unless there is one; and when a timer has to look whether it
    /// moves, if none does.
    pub(super) fn full(
        &mut self,
        took_some: bool,
        now_ms: u64,
        timeout_ms: u64,
    ) -> (Option<Op>, Option<u64>) {
        if took_some || !self.stalled {
            self.took_ms = now_ms;
        }
        self.stalled = true;
        let watch = !std::mem::replace(&mut self.watched, true);
        let poll = !std::mem::replace(&mut self.polling, true);
        let poll = poll.then(|| self.begin(Op::PollWritable { slot: self.slot }));
        (poll, watch.then_some(now_ms + timeout_ms))
    }

    /// It takes bytes again, or has failed.
    pub(super) fn polled(&mut self) {
        self.polling = false;
    }

    /// It was given so many bytes, and took so many.
    pub(super) fn took(&mut self, taken: usize, given: usize) {
        self.stalled &= taken < given;
    }

    /// The timer of [`Self::full`] looks. One that is not blocked takes bytes again, or so it was just said: the flush that is
    /// due tells. (A shard that had no time finds out both at once.)
    pub(super) fn look(&mut self, now_ms: u64, timeout_ms: u64, is_blocked: bool) -> Stall {
        self.watched = self.stalled;
        let due_ms = self.took_ms + timeout_ms;
        match self.stalled {
            false => Stall::None,
            true if !is_blocked => Stall::Until(due_ms.max(now_ms + FLUSHED_MS)),
            true if due_ms <= now_ms => Stall::Over,
            true => Stall::Until(due_ms),
        }
    }

    /// Asks for the bytes that the peer has not acknowledged.
    pub(super) fn out_queue(&mut self) -> Op {
        self.begin(Op::OutQueue { slot: self.slot })
    }

    fn begin(&mut self, op: Op) -> Op {
        self.ops += 1;
        op
    }
}

#[cfg(test)]
mod tests {
    use ring::{
        Ring,
        fake::{Disturbances, FakeNet},
    };

    use super::*;

    fn socket() -> Socket {
        let net = FakeNet::new(1, Disturbances::NONE);
        Socket::new(net.ring(&ring::Setup::default()).install(net.socket()).unwrap())
    }

    #[test]
    fn what_is_in_flight_is_cancelled_and_awaited_before_the_descriptor_is_closed() {
        let mut socket = socket();
        assert!(matches!(socket.receive(), Some(Op::Receive { .. })));
        assert_eq!(socket.receive(), None, "armed once");
        let (poll, look_ms) = socket.full(true, 5, 100);
        assert!(matches!(poll, Some(Op::PollWritable { .. })));
        assert_eq!(look_ms, Some(105));
        assert_eq!(socket.full(false, 9, 100), (None, None), "there are a poll and a timer");
        let ops: Vec<Op> = socket.end(true).collect();
        assert!(
            matches!(
                ops[..],
                [
                    Op::ResetOnClose { .. },
                    Op::Cancel { armed: Armed::Receive, .. },
                    Op::Cancel { armed: Armed::Poll, .. }
                ]
            ),
            "{ops:?}"
        );
        for in_flight in (1..5).rev() {
            assert_eq!(socket.op_done(), None, "{in_flight} are still in flight");
        }
        assert!(matches!(socket.op_done(), Some(Op::Close { .. })));
        assert!(!socket.is_alive() && socket.receive().is_none());
    }

    #[test]
    fn with_nothing_in_flight_the_end_is_the_close() {
        let mut socket = socket();
        let ops: Vec<Op> = socket.end(false).collect();
        assert!(matches!(ops[..], [Op::Close { .. }]), "{ops:?}");
    }

    #[test]
    fn a_receive_is_paused_once_and_armed_again_when_it_has_ended() {
        let mut socket = socket();
        assert_eq!(socket.pause(), None, "nothing is armed");
        socket.receive();
        assert!(matches!(socket.pause(), Some(Op::Cancel { armed: Armed::Receive, .. })));
        assert_eq!(socket.pause(), None, "its cancel is under way");
        assert_eq!(socket.receive(), None, "it has not ended");
        socket.receive_ended();
        assert!(matches!(socket.receive(), Some(Op::Receive { .. })));
    }

    #[test]
    fn a_close_sends_one_fin_and_ends_at_once_if_the_peer_is_through() {
        let mut closing = socket();
        assert_eq!(closing.flushed(), Flushed::Nothing, "it serves");
        closing.close();
        assert!(!closing.peer_finished(false), "nothing waits");
        assert!(matches!(closing.flushed(), Flushed::Finish(Op::Shutdown { how: Shutdown::Write, .. })));
        assert_eq!(closing.flushed(), Flushed::Nothing);
        let mut closing = socket();
        closing.close();
        assert!(closing.peer_finished(true));
        assert_eq!(closing.flushed(), Flushed::End);
    }

    #[test]
    fn a_stall_lasts_from_the_last_bytes_taken() {
        let mut socket = socket();
        socket.full(true, 1_000, 500);
        socket.took(3, 10);
        socket.full(true, 1_400, 500);
        assert_eq!(socket.look(1_500, 500, true), Stall::Until(1_900));
        assert_eq!(socket.look(1_900, 500, false), Stall::Until(2_000), "its flush is due");
        assert_eq!(socket.look(1_900, 500, true), Stall::Over);
        socket.took(10, 10);
        assert_eq!(socket.look(2_000, 500, true), Stall::None);
        assert_eq!(socket.full(true, 3_000, 500).1, Some(3_500), "nobody looks any more");
    }
}
