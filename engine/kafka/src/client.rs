//! The librdkafka client that a consumer's handles share.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::types::RDKafka;

use crate::native::Queue;
use crate::reminder::Reminder;
use crate::settings::Role;
use crate::watch::{SharedWatch, Watch};
use crate::{Error, Settings};

/// How many queued events [`Client::trouble`] takes at most: it does not know how many there are, and logs of a
/// `debug` run must not hold a caller up.
const EVENTS_PER_LOOK: usize = 64;

/// A consumer client without a group. Every handle made from it ([`crate::native`]) holds the `Arc`, so that it is
/// destroyed last, as librdkafka demands.
pub(crate) struct Client {
    consumer: BaseConsumer<SharedWatch>,
    reminder: Reminder,
    /// Held while events are taken: whoever has found the queue empty knows that all that was in it has been heard.
    #[expect(
        clippy::disallowed_types,
        reason = "taken once a batch, and by lookups that were left without an answer"
    )]
    serving: std::sync::Mutex<()>,
}

impl Client {
    pub(crate) fn new(settings: &Settings, watch: SharedWatch) -> Result<Arc<Self>, Error> {
        let config = settings.client_config(Role::Consumer)?;
        watch.0.set_quiet(!settings.asks_for_debug());
        let consumer = BaseConsumer::from_config_and_context(&config, watch)
            .map_err(|error| Error::from_creation(&error))?;
        Ok(Arc::new(Self {
            consumer,
            reminder: Reminder::new(&settings.brokers)?,
            serving: Default::default(),
        }))
    }

    pub(crate) fn consumer(&self) -> &BaseConsumer<SharedWatch> {
        &self.consumer
    }

    /// The raw client: valid as long as `self`.
    pub(crate) fn raw(&self) -> *mut RDKafka {
        self.consumer.client().native_ptr()
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.consumer.context().0
    }

    /// The watch, for a client that takes over.
    pub(crate) fn shared_watch(&self) -> SharedWatch {
        SharedWatch::clone(self.consumer.context())
    }

    /// Hands waiting errors and log lines to the [`Watch`]: all that are in the main queue as it begins. Records never
    /// come this way: they have a queue of their own.
    pub(crate) fn serve(&self, main: &Queue) {
        let _one_at_a_time = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        self.take(main.len());
    }

    fn take(&self, count: usize) {
        for _ in 0..count {
            // rdkafka answers None for "nothing there" and for "took one" alike, hence no early end.
            drop(self.consumer.poll(Duration::ZERO));
        }
    }

    /// Looks after brokers that are lost. To be called now and then by whoever waits for an answer or a record.
    pub(crate) fn look_after(&self) {
        // SAFETY: `self` keeps the client alive.
        unsafe { self.reminder.remind(self.raw(), self.watch().is_down()) };
    }

    /// What went wrong last, having looked at what has arrived.
    pub(crate) fn trouble(&self) -> Option<String> {
        {
            let _one_at_a_time = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
            self.take(EVENTS_PER_LOOK);
        }
        self.look_after();
        self.watch().trouble()
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
