//! `user_data` and the table of ops in flight.
//!
//! `user_data` is the kind of the op in the top 8 bits, 24 bits of generation and 32 bits of index into [`OpTable`];
//! never a pointer. The kernel sees nothing else of an op, the rest (key, slot, address) stays in the table until the
//! last completion was reaped.

use std::num::NonZeroU32;
use std::ptr::NonNull;

use super::address::SocketAddress;
use crate::{Armed, Key, Op, Slot};

/// What a completion belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Receive = 1,
    PollWritable,
    Shutdown,
    Cancel,
    Close,
    OutQueue,
    ResetOnClose,
    Connect,
    /// One of a batch; the index is the place in it. Not in the table: it lives within one call.
    Send,
    /// The read of the waker's eventfd.
    Wake,
    /// The place of a send that the kernel did not take in time.
    Withdrawn,
}

impl Kind {
    pub(super) const fn of(op: &Op) -> Self {
        match op {
            Op::Receive { .. } => Self::Receive,
            Op::PollWritable { .. } => Self::PollWritable,
            Op::Shutdown { .. } => Self::Shutdown,
            Op::Cancel { .. } => Self::Cancel,
            Op::Close { .. } => Self::Close,
            Op::OutQueue { .. } => Self::OutQueue,
            Op::ResetOnClose { .. } => Self::ResetOnClose,
            Op::Connect { .. } => Self::Connect,
        }
    }

    const fn from_u8(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Receive,
            2 => Self::PollWritable,
            3 => Self::Shutdown,
            4 => Self::Cancel,
            5 => Self::Close,
            6 => Self::OutQueue,
            7 => Self::ResetOnClose,
            8 => Self::Connect,
            9 => Self::Send,
            10 => Self::Wake,
            11 => Self::Withdrawn,
            _ => return None,
        })
    }
}

/// Decoded `user_data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// 24 bits.
    pub(super) generation: u32,
    pub(super) index: u32,
}

pub(super) const GENERATION_MASK: u32 = (1 << 24) - 1;

impl Token {
    pub(super) const fn new(kind: Kind, generation: u32, index: u32) -> Self {
        Self { kind, generation: generation & GENERATION_MASK, index }
    }

    pub(super) const fn encode(self) -> u64 {
        (self.kind as u64) << 56 | (self.generation as u64) << 32 | self.index as u64
    }

    pub(super) fn decode(user_data: u64) -> Option<Self> {
        let [kind, g2, g1, g0, i3, i2, i1, i0] = user_data.to_be_bytes();
        Some(Self {
            kind: Kind::from_u8(kind)?,
            generation: u32::from_be_bytes([0, g2, g1, g0]),
            index: u32::from_be_bytes([i3, i2, i1, i0]),
        })
    }
}

/// An op in flight.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) key: Key,
    pub(super) slot: Slot,
    kind: Kind,
    /// What it is to a cancel.
    armed: Option<Armed>,
    /// What a connect points at; the table's, so that it outlives the op.
    address: Option<Address>,
}

/// Ops in flight by index; an index is used again with the next generation.
#[derive(Debug, Default)]
pub(super) struct OpTable {
    places: Vec<Place>,
    free: Vec<u32>,
    len: usize,
    /// By slot: the indices of what a cancel may want, by [`Armed`].
    armed: Vec<[Option<NonZeroU32>; 3]>,
}

#[derive(Debug)]
struct Place {
    generation: u32,
    op: Option<InFlight>,
}

impl OpTable {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Keeps `op` until [`OpTable::remove`].
    pub(super) fn insert(&mut self, op: &Op, key: Key) -> Token {
        let address = match op {
            Op::Connect { addr, .. } => Some(Address::new(SocketAddress::from(*addr))),
            Op::Receive { .. }
            | Op::PollWritable { .. }
            | Op::Shutdown { .. }
            | Op::Cancel { .. }
            | Op::Close { .. }
            | Op::OutQueue { .. }
            | Op::ResetOnClose { .. } => None,
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, op: None });
            // At most 8 kinds of op on 2^20 slots would be usual; 2^32 ops in flight do not fit into memory.
            u32::try_from(self.places.len() - 1).unwrap_or_else(|_| panic!("more than 2^32 ops in flight"))
        });
        if let Some(armed) = Armed::of(op) {
            *self.armed(op.slot(), armed) = NonZeroU32::new(index + 1);
        }
        let place = &mut self.places[index as usize];
        let kind = Kind::of(op);
        place.op = Some(InFlight { key, slot: op.slot(), kind, armed: Armed::of(op), address });
        self.len += 1;
        Token::new(kind, place.generation, index)
    }

    /// The index plus one of what is armed on a slot.
    fn armed(&mut self, slot: Slot, armed: Armed) -> &mut Option<NonZeroU32> {
        let index = slot.index as usize;
        if self.armed.len() <= index {
            self.armed.resize(index + 1, [None; 3]);
        }
        &mut self.armed[index][armed as usize]
    }

    /// The `user_data` of the op that a cancel shall meet; 0, which no op has, if there is none.
    pub(super) fn target(&mut self, op: &Op) -> u64 {
        let Op::Cancel { slot, armed } = *op else { return 0 };
        let Some(index) = *self.armed(slot, armed) else { return 0 };
        let index = index.get() - 1;
        let place = &self.places[index as usize];
        place.op.as_ref().map_or(0, |op| Token::new(op.kind, place.generation, index).encode())
    }

    /// What a connect points at: valid until [`OpTable::remove`], wherever the table itself moves.
    pub(super) fn address(&self, token: Token) -> Option<(NonNull<libc::sockaddr>, libc::socklen_t)> {
        let op = self.places.get(token.index as usize)?.op.as_ref()?;
        op.address.as_ref().map(Address::raw)
    }

    /// The op a completion belongs to; `None` if it is none of ours, or of an op that is over.
    pub(super) fn get(&self, token: Token) -> Option<(Key, Slot)> {
        let place = self.places.get(token.index as usize)?;
        let op = place.op.as_ref()?;
        (place.generation == token.generation && op.kind == token.kind).then_some((op.key, op.slot))
    }

    /// Ends an op whose last completion was reaped.
    pub(super) fn remove(&mut self, token: Token) {
        assert!(self.get(token).is_some(), "no op in flight for {token:?}");
        let place = &mut self.places[token.index as usize];
        let over = place.op.take();
        place.generation = (place.generation + 1) & GENERATION_MASK;
        self.len -= 1;
        self.free.push(token.index);
        if let Some(InFlight { slot, armed: Some(armed), .. }) = over {
            *self.armed(slot, armed) = None;
        }
    }
}

/// A socket address at a place that does not move. A `Box` would claim, whenever it is moved, that nobody else looks
/// at its content.
#[derive(Debug)]
struct Address(NonNull<SocketAddress>);

impl Address {
    fn new(address: SocketAddress) -> Self {
        Self(NonNull::from(Box::leak(Box::new(address))))
    }

    fn raw(&self) -> (NonNull<libc::sockaddr>, libc::socklen_t) {
        // SAFETY: the pointer came out of a Box in `new`, and that is freed in `drop` only; the kernel writes nothing.
        unsafe { self.0.as_ref() }.raw()
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        // SAFETY: the pointer came out of a Box in `new` and nothing else frees it; the kernel is done with it, as ops
        // leave the table by `remove`, after their last completion, or in `KernelRing::drop` after all were reaped.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_keep_what_they_are_given() {
        for kind in (0..=u8::MAX).filter_map(Kind::from_u8) {
            let token = Token::new(kind, 0x00ab_cdef, 0x1234_5678);
            assert_eq!(Token::decode(token.encode()), Some(token));
        }
        assert_eq!(Token::new(Kind::Wake, u32::MAX, 0).generation, GENERATION_MASK);
        assert_eq!(Token::decode(0), None);
        assert_eq!(Token::decode(u64::MAX), None);
    }

    #[test]
    fn a_token_of_an_ended_op_finds_nothing_in_the_reused_place() {
        let mut ops = OpTable::default();
        let slot = Slot { index: 3, generation: 1 };
        let old = ops.insert(&Op::Receive { slot }, Key::new(1, 1));
        ops.remove(old);
        let new = ops.insert(&Op::Receive { slot }, Key::new(2, 2));
        assert_eq!(new.index, old.index);
        assert_eq!(ops.get(old), None);
        assert_eq!(ops.get(new), Some((Key::new(2, 2), slot)));
        assert_eq!(ops.get(Token { kind: Kind::Close, ..new }), None);
        assert_eq!(ops.len(), 1);
    }

    #[test]
    fn a_cancel_is_for_what_is_armed_now_or_for_nothing() {
        let mut ops = OpTable::default();
        let slot = Slot { index: 3, generation: 1 };
        let other = Slot { index: 9, generation: 0 };
        let cancel = |slot, armed| Op::Cancel { slot, armed };
        assert_eq!(ops.target(&cancel(slot, Armed::Receive)), 0, "no slot was ever used");
        let old = ops.insert(&Op::Receive { slot }, Key::new(1, 1));
        assert_eq!(ops.target(&cancel(slot, Armed::Receive)), old.encode());
        assert_eq!(ops.target(&cancel(slot, Armed::Poll)), 0);
        assert_eq!(ops.target(&cancel(other, Armed::Receive)), 0);
        ops.remove(old);
        assert_eq!(ops.target(&cancel(slot, Armed::Receive)), 0, "it is over");
        // Its place in the table goes to an op of another slot, and it is armed again elsewhere.
        let poll = ops.insert(&Op::PollWritable { slot: other }, Key::new(2, 1));
        let new = ops.insert(&Op::Receive { slot }, Key::new(1, 1));
        assert_eq!(poll.index, old.index);
        assert_eq!(ops.target(&cancel(slot, Armed::Receive)), new.encode());
        assert_eq!(ops.target(&cancel(other, Armed::Poll)), poll.encode());
    }
}
