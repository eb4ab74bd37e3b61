//! The bookkeeping of direct descriptors that both rings share: which slots are open, and what is in flight on each.
//!
//! What it asserts are promises of the caller to the ring. A peer cannot break them, so breaking one is a panic, in
//! release builds too: a send on a slot that belongs to the next connection would show one client's bytes to another.

use crate::{Op, Slot};

/// Slots by index; an index is used again with the next generation.
#[derive(Debug)]
pub(crate) struct SlotTable {
    slots: Vec<State>,
    free: Vec<u32>,
    /// At most so many slots.
    descriptors: u32,
    open: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    generation: u32,
    /// Ops begun and not ended.
    ops: u32,
    open: bool,
    closing: bool,
    receiving: bool,
    polling: bool,
}

impl SlotTable {
    pub(crate) const fn new(descriptors: u32) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), descriptors, open: 0 }
    }

    pub(crate) const fn descriptors(&self) -> u32 {
        self.descriptors
    }

    pub(crate) const fn open(&self) -> usize {
        self.open
    }

    /// A free slot, now open; the one closed last is used first, its memory is still in the caches.
    pub(crate) fn take(&mut self) -> Option<Slot> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = u32::try_from(self.slots.len()).ok().filter(|i| *i < self.descriptors)?;
                self.slots.push(State::default());
                index
            }
        };
        let state = &mut self.slots[index as usize];
        state.open = true;
        self.open += 1;
        Some(Slot { index, generation: state.generation })
    }

    /// Frees an open slot on which nothing is in flight.
    pub(crate) fn release(&mut self, slot: Slot) {
        let state = self.state(slot);
        assert!(state.ops == 0, "slot {} freed with {} ops in flight", slot.index, state.ops);
        *state = State { generation: state.generation.wrapping_add(1), ..State::default() };
        self.open -= 1;
        self.free.push(slot.index);
    }

    /// Panics unless the slot is open and not closing.
    pub(crate) fn check_usable(&self, slot: Slot) {
        let usable = self
            .slots
            .get(slot.index as usize)
            .is_some_and(|state| state.open && !state.closing && state.generation == slot.generation);
        assert!(usable, "slot {} of generation {} is not open", slot.index, slot.generation);
    }

    /// Panics unless `op` may be pushed now.
    pub(crate) fn check_may_begin(&self, op: &Op) {
        let slot = op.slot();
        self.check_usable(slot);
        let state = &self.slots[slot.index as usize];
        match op {
            Op::Receive { .. } => assert!(!state.receiving, "two receives on slot {}", slot.index),
            Op::PollWritable { .. } => assert!(!state.polling, "two polls on slot {}", slot.index),
            // Tried: closing under an armed multishot receive sends no FIN and goes on delivering.
            Op::Close { .. } => {
                assert!(state.ops == 0, "close of slot {} with {} ops in flight", slot.index, state.ops);
            }
            Op::Shutdown { .. }
            | Op::Cancel { .. }
            | Op::OutQueue { .. }
            | Op::ResetOnClose { .. }
            | Op::Connect { .. } => {}
        }
    }

    pub(crate) fn begin(&mut self, op: &Op) {
        self.check_may_begin(op);
        let state = self.state(op.slot());
        state.ops += 1;
        match op {
            Op::Receive { .. } => state.receiving = true,
            Op::PollWritable { .. } => state.polling = true,
            Op::Close { .. } => state.closing = true,
            Op::Shutdown { .. }
            | Op::Cancel { .. }
            | Op::OutQueue { .. }
            | Op::ResetOnClose { .. }
            | Op::Connect { .. } => {}
        }
    }

    /// The counterpart of [`SlotTable::begin`], at the op's last completion.
    pub(crate) fn end(&mut self, slot: Slot, was: Ended) {
        let state = self.state(slot);
        state.ops -= 1;
        match was {
            Ended::Receive => state.receiving = false,
            Ended::Poll => state.polling = false,
            Ended::Other => {}
            Ended::Close => self.release(slot),
        }
    }

    fn state(&mut self, slot: Slot) -> &mut State {
        let state = &mut self.slots[slot.index as usize];
        assert!(
            state.open && state.generation == slot.generation,
            "slot {} of generation {} is closed",
            slot.index,
            slot.generation
        );
        state
    }
}

/// Which kind of op came to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ended {
    Receive,
    Poll,
    Close,
    Other,
}

/// Which buffers are with the caller; all others are the kernel's to fill.
#[derive(Debug)]
pub(crate) struct Custody {
    with_caller: Vec<bool>,
    count: usize,
}

impl Custody {
    pub(crate) fn new(buffers: u16) -> Self {
        Self { with_caller: vec![false; usize::from(buffers)], count: 0 }
    }

    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn hand_out(&mut self, id: u16) {
        let held = &mut self.with_caller[usize::from(id)];
        assert!(!*held, "buffer {id} was filled while the caller had it");
        *held = true;
        self.count += 1;
    }

    /// Panics unless the caller has it.
    pub(crate) fn check(&self, id: u16) {
        let held = self.with_caller.get(usize::from(id)).copied().unwrap_or(false);
        assert!(held, "buffer {id} is not the caller's: recycled already, or of another ring");
    }

    pub(crate) fn take_back(&mut self, id: u16) {
        self.check(id);
        self.with_caller[usize::from(id)] = false;
        self.count -= 1;
    }
}
