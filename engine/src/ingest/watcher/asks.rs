//! What ingest asks the watcher.

use flume::Sender;

use super::finding::TopicLookup;

/// The way to the watcher. What finds no room waits for the next turn, for ingest waits for nobody.
#[derive(Debug)]
pub(in crate::ingest) struct Asks {
    sender: Sender<TopicLookup>,
    waiting: Vec<TopicLookup>,
}

impl Asks {
    pub(in crate::ingest) fn new(sender: Sender<TopicLookup>) -> Self {
        Self { sender, waiting: Vec::new() }
    }

    /// Asks, once however often.
    pub(in crate::ingest) fn ask(&mut self, lookup: TopicLookup) {
        if !self.waiting.contains(&lookup) {
            self.waiting.push(lookup);
        }
    }

    /// Something is odd: worth a look at the topics.
    pub(in crate::ingest) fn look(&mut self) {
        self.ask(TopicLookup::Look);
    }

    /// Sends what there is room for.
    pub(in crate::ingest) fn send(&mut self) {
        let sent = self.waiting.iter().take_while(|&lookup| self.sender.try_send(lookup.clone()).is_ok());
        let sent = sent.count();
        self.waiting.drain(..sent);
    }
}
