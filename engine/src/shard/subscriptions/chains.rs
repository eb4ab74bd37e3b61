//! The shard's own chains through the index: for each entry the next one of the same channel.
//!
//! Published entries never change, and no shard writes what another reads; so each shard keeps one word per index slot
//! and fills it while it follows the index, for all channels alike.

use slab::{Entry, NO_CHANNEL};

use super::owed::NONE;

/// The newest entry of a channel and the sources that its entries above the floor came from.
#[derive(Debug, Clone)]
struct Chain {
    newest: u64,
    /// Source of the first one; `u32::MAX`: none yet.
    source: u32,
    /// Further sources: a channel's records may come from several partitions.
    more_sources: Vec<u32>,
}

impl Chain {
    const EMPTY: Self = Self { newest: NONE, source: u32::MAX, more_sources: Vec::new() };
}

/// The entries of each channel, in their order: links by index slot.
#[derive(Debug)]
pub(in crate::shard) struct Chains {
    /// Distance to the next entry of the same channel; 0: none yet.
    next: Box<[u32]>,
    chains: Vec<Chain>,
    /// The first sequence not yet followed: the shard's reading place.
    read: u64,
    /// The record in whose middle the reading place lies.
    begun: Option<Begun>,
}

/// A record of which only a part has been followed.
#[derive(Debug, Clone, Copy)]
struct Begun {
    /// Its first entry.
    first: u64,
    source: u32,
    offset: i64,
}

impl Chains {
    /// For an index of `entries` slots (a power of two), beginning at sequence `read`.
    pub(in crate::shard) fn new(entries: usize, read: u64) -> Self {
        assert!(entries.is_power_of_two(), "an index has a power of two of slots");
        Self { next: vec![0; entries].into_boxed_slice(), chains: Vec::new(), read, begun: None }
    }

    /// The first sequence not yet followed.
    pub(in crate::shard) fn read(&self) -> u64 {
        self.read
    }

    /// Follows the entry at the reading place. True: the entry's source is new to its channel.
    pub(in crate::shard) fn follow(&mut self, entry: &Entry, floor: u64) -> bool {
        let sequence = self.read;
        let slot = self.slot(sequence);
        self.next[slot] = 0;
        self.read += 1;
        self.begun = entry.is_part().then(|| {
            let (source, offset) = (entry.source, entry.offset);
            let same = self.begun.filter(|begun| (begun.source, begun.offset) == (source, offset));
            Begun { first: same.map_or(sequence, |begun| begun.first), source, offset }
        });
        if entry.channel == NO_CHANNEL {
            return false;
        }
        let channel = entry.channel as usize;
        if channel >= self.chains.len() {
            self.chains.resize(channel + 1, Chain::EMPTY);
        }
        let newest = self.chains[channel].newest;
        // A newest below the floor is forgotten, not linked: its slot may mean another entry by now, and the channel's
        // number another name. Nobody is owed what was before, so the sources begin anew as well.
        if newest == NONE || newest < floor {
            let chain = &mut self.chains[channel];
            chain.newest = sequence;
            chain.source = entry.source;
            chain.more_sources.clear();
            return true;
        }
        let slot = self.slot(newest);
        self.next[slot] = u32::try_from(sequence - newest).expect("an index has fewer than 2^32 slots");
        let chain = &mut self.chains[channel];
        chain.newest = sequence;
        if chain.source == entry.source || chain.more_sources.contains(&entry.source) {
            return false;
        }
        chain.more_sources.push(entry.source);
        true
    }

    /// The next entry of the same channel, if it has been followed already.
    pub(in crate::shard) fn next(&self, sequence: u64) -> Option<u64> {
        match self.next[self.slot(sequence)] {
            0 => None,
            distance => Some(sequence + u64::from(distance)),
        }
    }

    /// Source and offset of the record in whose middle the reading place lies, if the channel's part of it is past.
    /// Positions at the reading place begin with that offset, for the sake of the other channels.
    pub(in crate::shard) fn begun(&self, channel: u32) -> Option<(u32, i64)> {
        let begun = self.begun?;
        let newest = self.chains.get(channel as usize)?.newest;
        (newest != NONE && newest >= begun.first).then_some((begun.source, begun.offset))
    }

    /// The sources that the channel's entries came from, at least all that somebody may be owed. What a channel's newest
    /// entry below the floor leaves is of nobody's concern, and may be of another channel that had the number.
    pub(in crate::shard) fn sources(&self, channel: u32, floor: u64) -> impl Iterator<Item = u32> + '_ {
        let alive = |chain: &&Chain| chain.newest != NONE && chain.newest >= floor;
        let chain = self.chains.get(channel as usize).filter(alive);
        let first = chain.map(|chain| chain.source).filter(|&source| source != u32::MAX);
        first.into_iter().chain(chain.into_iter().flat_map(|chain| chain.more_sources.iter().copied()))
    }

    fn slot(&self, sequence: u64) -> usize {
        let mask = self.next.len() as u64 - 1;
        usize::try_from(sequence & mask).expect("64-bit")
    }
}

#[cfg(test)]
mod tests {
    use slab::{Meta, Sizes, slab};

    use super::*;

    #[test]
    fn chains_each_channel_and_forgets_below_the_floor() {
        let sizes = Sizes {
            bytes: 1 << 20,
            entries: 8_192,
            checkpoint: 1_024,
            large_frame_bytes: 1 << 16,
            blocks_bytes: 1 << 20,
        };
        let (mut writer, mut readers) = slab(sizes, 1);
        let reader = readers.pop().unwrap();
        let channels = [3, NO_CHANNEL, 3, 5, 3];
        for (offset, channel) in (0..).zip(channels) {
            let source = u32::from(offset == 4);
            writer.append(Meta { channel, source, offset, ts_ms: 0, ingest_ns: 0 }, [b"x"]).unwrap();
        }
        writer.publish();
        let mut chains = Chains::new(sizes.entries, 0);
        let mut new_sources = Vec::new();
        while chains.read() < reader.tail() {
            // As if the floor had moved to 3 before entry 4 was read.
            let floor = if chains.read() == 4 { 3 } else { 0 };
            let entry = *reader.entry(chains.read());
            new_sources.push(chains.follow(&entry, floor));
        }
        assert_eq!(new_sources, [true, false, false, true, true]);
        assert_eq!(chains.next(0), Some(2));
        assert_eq!(chains.next(2), None, "entry 2 was below the floor when entry 4 came");
        assert_eq!(chains.next(3), None);
        assert_eq!(chains.sources(3, 3).collect::<Vec<_>>(), [1], "and so was source 0");
        assert_eq!(chains.sources(3, 5).count(), 0, "all is below the floor");
        assert_eq!(chains.sources(4, 3).count(), 0);
    }
}
