//! The kernel's ring.

use std::marker::PhantomData;
use std::os::fd::OwnedFd;

use crate::{
    Buffer, Completion, EnterError, Held, InstallError, Key, Op, Outcome, Ring, Send, SetupError, Slot, Wait,
    Waker,
};

/// Sizes of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Submission queue entries, a power of two up to 32,768. Larger batches are split.
    pub entries: u32,
    /// Completion queue entries, a power of two up to 65,536, at least `entries`.
    pub completions: u32,
    /// Receive buffers, a power of two up to 32,768.
    pub buffers: u16,
    /// Size of each in bytes.
    pub buffer_bytes: u32,
    /// Slots for direct descriptors, at most RLIMIT_NOFILE.
    pub descriptors: u32,
}

impl Default for Setup {
    fn default() -> Self {
        Self { entries: 256, completions: 4096, buffers: 1024, buffer_bytes: 4096, descriptors: 16_384 }
    }
}

/// The kernel's ring; it stays in the thread that made it.
#[derive(Debug)]
pub struct KernelRing {
    _thread: PhantomData<*const ()>,
}

impl KernelRing {
    /// Makes a ring; call it in the thread that will use it.
    ///
    /// # Errors
    /// A missing feature is named with the kernel that has it.
    pub fn new(_setup: &Setup) -> Result<Self, SetupError> {
        todo!()
    }
}

/// Whether this machine can run a ring.
///
/// # Errors
/// A missing feature is named with the kernel that has it.
pub fn probe() -> Result<(), SetupError> {
    todo!()
}

impl Ring for KernelRing {
    type Descriptor = OwnedFd;

    fn install(&mut self, _descriptor: OwnedFd) -> Result<Slot, (OwnedFd, InstallError)> {
        todo!()
    }
    fn push(&mut self, _op: Op, _key: Key) -> Result<(), Op> {
        todo!()
    }
    fn send(&mut self, _batch: &[Send<'_>], _outcomes: &mut Vec<Outcome>) {
        todo!()
    }
    fn enter(&mut self, _wait: Wait, _out: &mut Vec<Completion>) -> Result<(), EnterError> {
        todo!()
    }
    fn bytes<'r>(&'r mut self, _buffer: &'r Buffer) -> &'r mut [u8] {
        todo!()
    }
    fn recycle(&mut self, _buffer: Buffer) {
        todo!()
    }
    fn waker(&self) -> Waker {
        todo!()
    }
    fn held(&self) -> Held {
        todo!()
    }
}
