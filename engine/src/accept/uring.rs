//! All of the accept ring's calls of tokio-uring, and of the old io-uring that it speaks: once one of them fails us, this
//! is the file that changes (docs/adr/0001-dependencies.md).
//!
//! Two faults of tokio-uring shape it, and all that uses it. A dropped read stays armed and swallows bytes, so no read is
//! ever dropped: time limits shut the socket down, and the read ends by itself ([`Stream::until`]). And operations are
//! submitted when the runtime parks, so no task may be always ready.

use std::{
    future::Future,
    io,
    net::{Shutdown, SocketAddr, TcpListener},
    os::fd::{AsRawFd as _, OwnedFd},
    pin::pin,
};

use io_uring_06::{cqueue, opcode, types};
use tokio::time::{Instant, sleep_until};
use tokio_uring::{
    OneshotOutputTransform, UnsubmittedOneshot,
    buf::BoundedBuf as _,
    net::{TcpListener as RingListener, TcpStream},
};

/// Entries of the submission queue. When more are to be submitted at once, they leave in several calls.
const ENTRIES: u32 = 1_024;

/// Runs `future` on a ring of this thread, and what it spawns beside it. Blocks the thread.
///
/// # Errors
/// No ring can be made.
pub(super) fn run<F: Future>(future: F) -> io::Result<F::Output> {
    let runtime = tokio_uring::Runtime::new(tokio_uring::builder().entries(ENTRIES))?;
    Ok(runtime.block_on(future))
}

/// Starts a task on the thread's ring.
pub(super) fn spawn(task: impl Future<Output = ()> + 'static) {
    tokio_uring::spawn(task);
}

/// A listener whose accepts are the ring's.
pub(super) struct Listener(RingListener);

impl Listener {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self(RingListener::from_std(listener))
    }

    /// One connection. Not to be dropped before it ends: see [`Self::cancel`].
    pub(super) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        Ok((Stream(stream), peer))
    }

    /// Cancels what is armed, which ends with `ECANCELED` unless a connection slipped in. Not shutdown(2): that would end
    /// the listener for a process it is shared with, too.
    pub(super) async fn cancel(&self) {
        struct Ignored;
        impl OneshotOutputTransform for Ignored {
            type Output = ();
            type StoredData = ();
            fn transform_oneshot_output(self, (): (), _: cqueue::Entry) {}
        }
        let target = types::CancelBuilder::fd(types::Fd(self.0.as_raw_fd())).all();
        UnsubmittedOneshot::new((), Ignored, opcode::AsyncCancel2::new(target).build()).submit().await;
    }
}

/// An accepted connection.
pub(super) struct Stream(TcpStream);

impl Stream {
    /// Reads behind what `bytes` has, as much as its capacity takes; gives them back with how much came, 0 at the end.
    pub(super) async fn read(&self, bytes: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        let seen = bytes.len();
        let (outcome, slice) = self.0.read(bytes.slice(seen..)).await;
        (outcome, slice.into_inner())
    }

    /// Writes all of `bytes`.
    pub(super) async fn write(&self, bytes: Vec<u8>) -> io::Result<()> {
        self.0.write_all(bytes).await.0
    }

    /// Shuts a direction down, at once.
    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.shutdown(how)
    }

    /// Another descriptor of the same socket, for tokio-uring gives its own away as a number only.
    pub(super) fn duplicate(&self) -> io::Result<OwnedFd> {
        ring::duplicate(&self.0)
    }

    /// Waits for an operation on this stream. At the deadline that direction is shut down, so that the operation ends by
    /// itself: it must never be dropped.
    pub(super) async fn until<F: Future>(&self, deadline: Instant, how: Shutdown, operation: F) -> F::Output {
        let mut operation = pin!(operation);
        tokio::select! {
            biased;
            output = &mut operation => output,
            () = sleep_until(deadline) => {
                // It fails only where the peer has already reset the connection, which ends the operation too.
                let _ = self.shutdown(how);
                operation.await
            }
        }
    }
}
