//! The fake's ring.

use std::collections::VecDeque;

use super::socket::{Found, Shared};
use super::{FakeDescriptor, FakeNet};
use crate::slots::{Custody, Ended, SlotTable};
use crate::{
    Armed, Buffer, Completion, EnterError, Errno, Event, Held, InstallError, Key, Op, Outcome, ReceiveEnd,
    Ring, RingWaker, Send, Setup, Slot, Wait,
};

/// The fake's ring. Dropping it closes all its descriptors.
#[derive(Debug)]
pub struct FakeRing {
    net: FakeNet,
    setup: Setup,
    slots: SlotTable,
    /// By the slot's index.
    sockets: Vec<Option<Shared>>,
    /// Pushed, not submitted.
    queue: Vec<(Op, Key)>,
    /// Submitted, not over, in order of submission.
    ops: Vec<Running>,
    /// Happened, not delivered, in order of happening.
    pending: Vec<Pending>,
    ops_count: usize,
    memory: Vec<u8>,
    free: VecDeque<u16>,
    custody: Custody,
    waker: RingWaker,
    /// Enters so far; what completions are late by.
    enters: u64,
    submitted: u64,
    refused: bool,
}

#[derive(Debug)]
struct Running {
    op: Op,
    key: Key,
    /// In order of submission: a cancel meets what was submitted before it.
    sequence: u64,
    /// Its earlier events come no later than this.
    due: u64,
}

#[derive(Debug)]
struct Pending {
    due: u64,
    completion: Completion,
    /// Set at an op's last event.
    ends: Option<(Slot, Ended)>,
}

/// What became of an op in one turn.
enum Turn {
    Goes,
    Ends(Event),
}

impl FakeRing {
    pub(super) fn new(net: FakeNet, setup: &Setup) -> Self {
        if let Err(error) = setup.check() {
            panic!("{error}");
        }
        Self {
            net,
            setup: *setup,
            slots: SlotTable::new(setup.descriptors),
            sockets: Vec::new(),
            queue: Vec::new(),
            ops: Vec::new(),
            pending: Vec::new(),
            ops_count: 0,
            memory: vec![0; usize::from(setup.buffers) * setup.buffer_bytes as usize],
            free: (0..setup.buffers).collect(),
            custody: Custody::new(setup.buffers),
            waker: RingWaker::flag(),
            enters: 0,
            submitted: 0,
            refused: false,
        }
    }

    /// Whether an enter would have nothing to deliver and no wake to return for: one that may sleep would sleep until a
    /// peer or a waker does something. A shard that sleeps while it has work to do has lost a wake.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty()
            && self.queue.is_empty()
            && !self.waker.is_pending()
            && !self.ops.iter().any(|running| self.could_go_on(&running.op))
    }

    fn could_go_on(&self, op: &Op) -> bool {
        match op {
            Op::Receive { slot } => self.socket(*slot).borrow().find() != Found::Nothing,
            Op::PollWritable { slot } => self.socket(*slot).borrow().is_writable(),
            Op::Shutdown { .. }
            | Op::Cancel { .. }
            | Op::Close { .. }
            | Op::OutQueue { .. }
            | Op::ResetOnClose { .. }
            | Op::Connect { .. } => true,
        }
    }

    fn socket(&self, slot: Slot) -> &Shared {
        let socket = self.sockets.get(slot.index as usize).and_then(Option::as_ref);
        socket.unwrap_or_else(|| panic!("slot {} has no socket", slot.index))
    }

    fn submit(&mut self) {
        for (op, key) in self.queue.drain(..) {
            self.submitted += 1;
            self.ops.push(Running { op, key, sequence: self.submitted, due: self.enters });
        }
    }

    /// Lets every op do what it can.
    fn run(&mut self) {
        let mut ops = std::mem::take(&mut self.ops);
        let mut cancels = Vec::new();
        ops.retain_mut(|running| match self.turn(running) {
            Turn::Goes => true,
            Turn::Ends(event) => {
                if let Op::Cancel { slot, armed } = running.op {
                    cancels.push((slot, armed, running.sequence));
                }
                self.happen(running, event, true);
                false
            }
        });
        ops.retain_mut(|running| {
            let met = |(slot, armed, sequence): &(Slot, Armed, u64)| {
                *slot == running.op.slot()
                    && Some(*armed) == Armed::of(&running.op)
                    && running.sequence < *sequence
            };
            if !cancels.iter().any(met) {
                return true;
            }
            self.happen(running, cancelled_event(&running.op), true);
            false
        });
        self.ops = ops;
    }

    fn turn(&mut self, running: &mut Running) -> Turn {
        match running.op {
            Op::Receive { slot } => self.receive(running, slot),
            Op::PollWritable { slot } => {
                if self.socket(slot).borrow().is_writable() {
                    Turn::Ends(Event::Polled(Ok(())))
                } else {
                    Turn::Goes
                }
            }
            Op::Shutdown { slot, how } => {
                let done = self.socket(slot).borrow_mut().shut_down(how);
                Turn::Ends(Event::ShutDown(done))
            }
            Op::Cancel { .. } => Turn::Ends(Event::Cancelled),
            Op::Close { slot } => {
                if let Some(socket) = self.sockets[slot.index as usize].take() {
                    socket.borrow_mut().close();
                }
                Turn::Ends(Event::Closed(Ok(())))
            }
            Op::OutQueue { slot } => {
                let bytes = self.socket(slot).borrow().unacknowledged.len();
                Turn::Ends(Event::OutQueue(Ok(u32::try_from(bytes).unwrap_or(u32::MAX))))
            }
            Op::ResetOnClose { slot } => {
                self.socket(slot).borrow_mut().reset_on_close = true;
                Turn::Ends(Event::ResetOnClose(Ok(())))
            }
            Op::Connect { slot, addr } => {
                Turn::Ends(Event::Connected(self.net.dial(self.socket(slot), addr)))
            }
        }
    }

    fn receive(&mut self, running: &mut Running, slot: Slot) -> Turn {
        let disturbances = self.net.disturbances();
        loop {
            let found = self.socket(slot).borrow().find();
            match found {
                Found::Nothing => return Turn::Goes,
                Found::Eof => return Turn::Ends(Event::ReceiveEnded(ReceiveEnd::Eof)),
                Found::Failed(errno) => {
                    self.socket(slot).borrow_mut().error = None;
                    return Turn::Ends(Event::ReceiveEnded(ReceiveEnd::Failed(errno)));
                }
                Found::Bytes => {}
            }
            let Some(id) = self.free.front().copied().filter(|_| !self.net.chance(disturbances.no_buffers))
            else {
                return Turn::Ends(Event::ReceiveEnded(ReceiveEnd::NoBuffers));
            };
            self.free.pop_front();
            let buffer = self.fill(id, slot);
            self.happen(running, Event::Received(buffer), false);
            if self.net.chance(disturbances.rearm) {
                return Turn::Ends(Event::ReceiveEnded(ReceiveEnd::Rearm));
            }
        }
    }

    fn fill(&mut self, id: u16, slot: Slot) -> Buffer {
        let there = self.socket(slot).borrow().inbound.len();
        let mut len = there.min(self.setup.buffer_bytes as usize);
        if self.net.chance(self.net.disturbances().short_receive) {
            len = self.net.up_to(len);
        }
        let bytes: Vec<u8> = self.socket(slot).borrow_mut().inbound.drain(..len).collect();
        let place = usize::from(id) * self.setup.buffer_bytes as usize;
        self.memory[place..place + len].copy_from_slice(&bytes);
        self.custody.hand_out(id);
        Buffer { id, len: u32::try_from(len).unwrap_or(u32::MAX) }
    }

    /// Notes an event for delivery now or later, but not before earlier events of the same op.
    fn happen(&mut self, running: &mut Running, event: Event, last: bool) {
        let disturbances = self.net.disturbances();
        let mut due = self.enters;
        if disturbances.late_enters_max > 0 && self.net.chance(disturbances.late) {
            due += self.net.up_to(disturbances.late_enters_max as usize) as u64;
        }
        running.due = running.due.max(due);
        let ends = last.then(|| (running.op.slot(), ended(&running.op)));
        let completion = Completion { key: running.key, event };
        self.pending.push(Pending { due: running.due, completion, ends });
    }

    fn deliver(&mut self, out: &mut Vec<Completion>) {
        let (due, later) =
            std::mem::take(&mut self.pending).into_iter().partition(|pending| pending.due <= self.enters);
        self.pending = later;
        let mut due: Vec<Pending> = due;
        // Stable: what is due at the same enter keeps its order.
        due.sort_by_key(|pending| pending.due);
        for Pending { completion, ends, .. } in due {
            if let Some((slot, ended)) = ends {
                self.slots.end(slot, ended);
                self.ops_count -= 1;
            }
            out.push(completion);
        }
    }
}

impl Ring for FakeRing {
    type Descriptor = FakeDescriptor;

    fn install(&mut self, descriptor: FakeDescriptor) -> Result<Slot, (FakeDescriptor, InstallError)> {
        let Some(slot) = self.slots.take() else {
            return Err((descriptor, InstallError::TableFull { descriptors: self.slots.descriptors() }));
        };
        let index = slot.index as usize;
        if self.sockets.len() <= index {
            self.sockets.resize_with(index + 1, || None);
        }
        self.sockets[index] = Some(descriptor.into_socket());
        Ok(slot)
    }

    fn push(&mut self, op: Op, key: Key) -> Result<(), Op> {
        self.slots.check_may_begin(&op);
        self.refused = !self.refused && self.net.chance(self.net.disturbances().push_refused);
        if self.refused {
            return Err(op);
        }
        if self.queue.len() == self.setup.entries as usize {
            self.submit();
        }
        self.slots.begin(&op);
        self.ops_count += 1;
        self.queue.push((op, key));
        Ok(())
    }

    fn send(&mut self, batch: &[Send<'_>], outcomes: &mut Vec<Outcome>) {
        for send in batch {
            self.slots.check_usable(send.slot);
        }
        self.submit();
        outcomes.clear();
        let short = self.net.disturbances().short_send;
        outcomes.extend(batch.iter().map(|send| {
            let mut socket = self.socket(send.slot).borrow_mut();
            match socket.may_send(send.bytes.len()) {
                Err(errno) => Outcome::Failed(errno),
                Ok(0) if !send.bytes.is_empty() => Outcome::Blocked,
                Ok(fits) if fits > 0 && self.net.chance(short) => {
                    socket.send(&send.bytes[..self.net.up_to(fits)])
                }
                Ok(fits) => socket.send(&send.bytes[..fits]),
            }
        }));
    }

    fn enter(&mut self, wait: Wait, out: &mut Vec<Completion>) -> Result<(), EnterError> {
        let before = out.len();
        self.enters += 1;
        self.submit();
        self.run();
        self.deliver(out);
        if !self.waker.take() && wait != Wait::No && out.len() == before {
            // Waiting ends with what is due first.
            if let Some(due) = self.pending.iter().map(|pending| pending.due).min() {
                self.enters = due;
                self.deliver(out);
            }
        }
        Ok(())
    }

    fn bytes<'r>(&'r mut self, buffer: &'r Buffer) -> &'r mut [u8] {
        self.custody.check(buffer.id);
        let place = usize::from(buffer.id) * self.setup.buffer_bytes as usize;
        &mut self.memory[place..place + buffer.len()]
    }

    fn recycle(&mut self, buffer: Buffer) {
        self.custody.take_back(buffer.id);
        self.free.push_back(buffer.id);
    }

    fn waker(&self) -> RingWaker {
        self.waker.clone()
    }

    fn held(&self) -> Held {
        Held { descriptors: self.slots.open(), buffers: self.custody.count(), ops: self.ops_count }
    }
}

impl Drop for FakeRing {
    fn drop(&mut self) {
        for socket in self.sockets.iter().flatten() {
            socket.borrow_mut().close();
        }
    }
}

const fn ended(op: &Op) -> Ended {
    match op {
        Op::Receive { .. } => Ended::Receive,
        Op::PollWritable { .. } => Ended::Poll,
        Op::Close { .. } => Ended::Close,
        Op::Shutdown { .. }
        | Op::Cancel { .. }
        | Op::OutQueue { .. }
        | Op::ResetOnClose { .. }
        | Op::Connect { .. } => Ended::Other,
    }
}

fn cancelled_event(op: &Op) -> Event {
    let cancelled = Errno(libc::ECANCELED);
    match op {
        Op::Receive { .. } => Event::ReceiveEnded(ReceiveEnd::Cancelled),
        Op::PollWritable { .. } => Event::Polled(Err(cancelled)),
        Op::Connect { .. } => Event::Connected(Err(cancelled)),
        Op::Shutdown { .. }
        | Op::Cancel { .. }
        | Op::Close { .. }
        | Op::OutQueue { .. }
        | Op::ResetOnClose { .. } => {
            unreachable!("{op:?} is over when it began")
        }
    }
}
