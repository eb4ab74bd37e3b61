//! Every thread of the server: a name, and a notice when it ends.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    thread::{Builder, JoinHandle},
};

use super::notice::{Notice, Outcome, Thread};
use crate::error::Error;

#[derive(Debug)]
pub(super) struct Threads {
    notices: flume::Sender<Notice>,
    running: BTreeMap<Thread, JoinHandle<()>>,
}

impl Threads {
    pub(super) fn new(notices: flume::Sender<Notice>) -> Self {
        Self { notices, running: BTreeMap::new() }
    }

    /// Starts a thread. However it ends, the supervisor hears of it.
    pub(super) fn spawn(
        &mut self,
        thread: Thread,
        body: impl FnOnce() -> Outcome + Send + 'static,
    ) -> Result<(), Error> {
        let notices = self.notices.clone();
        let run = move || {
            // The state a panic leaves behind is dropped with the thread: nobody looks at it again.
            let outcome =
                catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(panicked(thread, &*panic)));
            let _ = notices.send(Notice::Ended(thread, outcome));
        };
        let handle = Builder::new()
            .name(thread.to_string())
            .spawn(run)
            .map_err(|error| Error::Kernel(format!("cannot start the thread {thread}: {error}")))?;
        self.running.insert(thread, handle);
        Ok(())
    }

    /// Joins a thread that has given its notice.
    pub(super) fn join(&mut self, thread: Thread) {
        if let Some(handle) = self.running.remove(&thread) {
            // Its panics were caught inside.
            let _ = handle.join();
        }
    }

    pub(super) fn is_running(&self, thread: Thread) -> bool {
        self.running.contains_key(&thread)
    }

    /// Shards that have not ended.
    pub(super) fn shards(&self) -> impl Iterator<Item = usize> + '_ {
        self.running.keys().filter_map(|thread| match thread {
            Thread::Shard(shard) => Some(*shard),
            Thread::Ingest | Thread::Watcher | Thread::Accept | Thread::Admin => None,
        })
    }

    /// All that have not ended.
    pub(super) fn running(&self) -> impl Iterator<Item = Thread> + '_ {
        self.running.keys().copied()
    }
}

fn panicked(thread: Thread, panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    Error::Thread(format!("{thread} panicked: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard;

    fn outcome_of(body: impl FnOnce() -> Outcome + Send + 'static) -> Outcome {
        let (notices, inbox) = flume::unbounded();
        let mut threads = Threads::new(notices);
        threads.spawn(Thread::Shard(3), body).unwrap();
        assert_eq!(threads.shards().collect::<Vec<_>>(), [3]);
        let Notice::Ended(thread, outcome) = inbox.recv().unwrap() else { panic!("no end") };
        threads.join(thread);
        assert!(!threads.is_running(Thread::Shard(3)));
        outcome
    }

    #[test]
    fn a_panic_is_an_error_with_the_threads_name() {
        let error = outcome_of(|| panic!("slot {} twice", 7)).unwrap_err();
        assert_eq!(error.to_string(), "thread: shard-3 panicked: slot 7 twice");
    }

    #[test]
    fn an_end_brings_its_report() {
        let report = shard::Report { connections: 2, ..shard::Report::default() };
        assert_eq!(outcome_of(move || Ok(Some(report))).unwrap(), Some(report));
    }
}
