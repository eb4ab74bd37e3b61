//! The names this shard knows a number for, and those it has asked for.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use ring::Key;

/// What is known of a name.
#[derive(Debug)]
pub(crate) enum Name {
    /// Ingest has been asked.
    Asked(Asked),
    /// Its number, held for this shard.
    Held(u32),
}

/// A name that ingest has been asked for.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// The connections that wait, and whether each is within its share.
    pub(crate) waiting: Vec<(Key, bool)>,
    /// It was asked for the modest.
    pub(crate) modest: bool,
}

/// Names by text.
#[derive(Debug, Default)]
pub(crate) struct Names {
    by_name: HashMap<Arc<str>, Name, RandomState>,
    /// Names asked for.
    asked: usize,
}

impl Names {
    /// What is known of the name.
    pub(crate) fn find(&mut self, name: &str) -> Option<&mut Name> {
        self.by_name.get_mut(name)
    }

    /// Ingest has been asked for a name and has not answered.
    pub(crate) fn waits(&self) -> bool {
        self.asked > 0
    }

    /// Notes that ingest is asked.
    pub(crate) fn ask(&mut self, name: Arc<str>, asked: Asked) {
        self.by_name.insert(name, Name::Asked(asked));
        self.asked += 1;
    }

    /// Notes the number of a name.
    pub(crate) fn hold(&mut self, name: Arc<str>, channel: u32) {
        self.by_name.insert(name, Name::Held(channel));
    }

    /// Forgets the name; gives who waits for it.
    pub(crate) fn forget(&mut self, name: &str) -> Asked {
        match self.by_name.remove(name) {
            Some(Name::Asked(asked)) => {
                self.asked -= 1;
                asked
            }
            Some(Name::Held(_)) | None => Asked::default(),
        }
    }
}
