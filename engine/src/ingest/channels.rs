//! Channel numbers: what index entries carry instead of names.
//!
//! A number means one name for as long as anything can refer to it: a shard that holds it, or an entry of the slab that
//! a reader may still look at. Only when both are gone is it free for another name. So names that clients invent cost
//! bounded memory, and a late reader never takes one channel's frames for another's.

use std::{collections::VecDeque, hash::BuildHasher, sync::Arc};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use slab::NO_CHANNEL;

use crate::messages::TopicSet;

/// Entries that a publication may sweep beside twice what it publishes.
const SWEEP_MIN: u64 = 512;

/// No entry of the slab belongs to the channel.
const NO_ENTRY: u64 = u64::MAX;

/// Not looked up yet: the channel was made by a record and no shard has asked for it.
const NO_SET: TopicSet = TopicSet::MAX;

/// A channel.
#[derive(Debug)]
struct Channel {
    name: Arc<str>,
    /// One bit for each shard that holds the number.
    holders: u64,
    /// Sequence of the newest entry that a reader may look at.
    last: u64,
    topics: TopicSet,
    /// It has had a record since it got its number.
    recorded: bool,
}

/// All channels: name -> number, and who means it.
#[derive(Debug)]
pub(super) struct Channels {
    hasher: RandomState,
    by_name: HashTable<u32>,
    /// By number.
    channels: Vec<Channel>,
    free: Vec<u32>,
    /// Channels without a record, and how many there may be.
    empty: usize,
    empty_max: usize,
    /// The name of free numbers.
    nobody: Arc<str>,
    /// Channels of the entries from `swept` on: what falls below the reclaimed floor is looked up here, for the slab may
    /// overwrite an entry as soon as it is reclaimed.
    log: VecDeque<u32>,
    /// Entries below have been swept.
    swept: u64,
    /// The tail at the last sweep.
    tail: u64,
}

/// As many channels without a record as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

impl Channels {
    /// `tail` is the sequence that the next entry gets.
    pub(super) fn new(empty_max: usize, tail: u64) -> Self {
        Self {
            hasher: RandomState::default(),
            by_name: HashTable::new(),
            channels: Vec::new(),
            free: Vec::new(),
            empty: 0,
            empty_max,
            nobody: Arc::from(""),
            log: VecDeque::new(),
            swept: tail,
            tail,
        }
    }

    /// Channels that have a number.
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Those of them without a record.
    pub(super) fn empty(&self) -> usize {
        self.empty
    }

    /// The number of a name that has one.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        self.by_name.find(hash, |&number| &*self.channels[number as usize].name == name).copied()
    }

    /// Sequence of the channel's newest entry, unless that was swept.
    pub(super) fn newest(&self, number: u32) -> Option<u64> {
        Some(self.channels[number as usize].last).filter(|&last| last != NO_ENTRY)
    }

    /// The number of a record's channel. A new one is to be used by [`Self::appended`], or given back by
    /// [`Self::unused`].
    pub(super) fn for_record(&mut self, name: &str) -> u32 {
        self.find(name).unwrap_or_else(|| self.add(Arc::from(name)))
    }

    /// An entry was appended for the channel.
    pub(super) fn appended(&mut self, number: u32, sequence: u64) {
        self.log.push_back(number);
        let channel = &mut self.channels[number as usize];
        channel.last = sequence;
        if !channel.recorded {
            channel.recorded = true;
            self.empty -= 1;
        }
    }

    /// An entry was appended that belongs to no channel.
    pub(super) fn appended_to_none(&mut self) {
        self.log.push_back(NO_CHANNEL);
    }

    /// The entry meant by [`Self::for_record`] was not appended after all.
    pub(super) fn unused(&mut self, number: u32) {
        self.free_unmeant(number);
    }

    /// Frees the numbers whose last entry all readers have acknowledged away: those below `reclaimed`. At most twice of what
    /// was appended since the last time, so that it never stalls delivery, and never falls behind.
    pub(super) fn sweep(&mut self, tail: u64, reclaimed: u64) {
        let budget = SWEEP_MIN + 2 * (tail - self.tail);
        self.tail = tail;
        let until = reclaimed.min(tail).min(self.swept + budget);
        while self.swept < until {
            let channel = self.log.pop_front().expect("an entry of the log for each of the slab");
            if channel != NO_CHANNEL {
                self.fell(channel, self.swept);
            }
            self.swept += 1;
        }
    }

    /// An entry fell below the floor that all readers have acknowledged.
    fn fell(&mut self, number: u32, sequence: u64) {
        let channel = &mut self.channels[number as usize];
        // Another entry of the channel is younger, or the number is long free (its last entry fell before).
        if channel.last == sequence {
            channel.last = NO_ENTRY;
            self.free_unmeant(number);
        }
    }

    /// The number of a name for a shard, which holds it from now on. One half of the channels without a record that there
    /// may be is for anybody, the other for the modest alone: a few clients that invent names deny none to the rest.
    ///
    /// # Errors
    /// [`TooMany`], for a name without a number.
    pub(super) fn hold(&mut self, name: &Arc<str>, shard: usize, modest: bool) -> Result<u32, TooMany> {
        let most = if modest { self.empty_max } else { self.empty_max.div_ceil(2) };
        let number = match self.find(name) {
            Some(number) => number,
            None if self.empty >= most => return Err(TooMany),
            None => self.add(Arc::clone(name)),
        };
        self.channels[number as usize].holders |= 1 << shard;
        Ok(number)
    }

    /// A shard gives a number back.
    pub(super) fn release(&mut self, number: u32, shard: usize) {
        let channel = &mut self.channels[number as usize];
        debug_assert!(
            channel.holders & (1 << shard) != 0,
            "shard {shard} gives back {number}, which it does not hold"
        );
        channel.holders &= !(1 << shard);
        self.free_unmeant(number);
    }

    /// The channel's topics, if they have been looked up.
    pub(super) fn topics(&self, number: u32) -> Option<TopicSet> {
        Some(self.channels[number as usize].topics).filter(|&topics| topics != NO_SET)
    }

    /// Keeps what was looked up.
    pub(super) fn set_topics(&mut self, number: u32, topics: TopicSet) {
        self.channels[number as usize].topics = topics;
    }

    /// Numbers and names of the channels that some shard holds, with their topics.
    pub(super) fn held(&self) -> impl Iterator<Item = (u32, &Arc<str>, TopicSet)> {
        let all = (0..).zip(&self.channels);
        all.filter(|(_, channel)| channel.holders != 0)
            .map(|(number, channel)| (number, &channel.name, channel.topics))
    }

    fn add(&mut self, name: Arc<str>) -> u32 {
        let hash = self.hasher.hash_one(&*name);
        let channel = Channel { name, holders: 0, last: NO_ENTRY, topics: NO_SET, recorded: false };
        let number = if let Some(number) = self.free.pop() {
            self.channels[number as usize] = channel;
            number
        } else {
            self.channels.push(channel);
            u32::try_from(self.channels.len() - 1)
                .expect("fewer channels than entries, holders and the limit allow")
        };
        let (hasher, channels) = (&self.hasher, &self.channels);
        self.by_name.insert_unique(hash, number, |&other| hasher.hash_one(&*channels[other as usize].name));
        self.empty += 1;
        number
    }

    /// Frees the number if neither a shard nor an entry means it.
    fn free_unmeant(&mut self, number: u32) {
        let channel = &mut self.channels[number as usize];
        if channel.holders != 0 || channel.last != NO_ENTRY || Arc::ptr_eq(&channel.name, &self.nobody) {
            return;
        }
        let hash = self.hasher.hash_one(&*channel.name);
        if let Ok(entry) = self.by_name.find_entry(hash, |&other| other == number) {
            entry.remove();
        }
        channel.name = Arc::clone(&self.nobody);
        if !channel.recorded {
            self.empty -= 1;
        }
        self.free.push(number);
    }
}
