//! Who holds which channels: fixed by number alone, so that every thread, process and check agrees without
//! talking.

use crate::random::Random;

/// Which of `channels` keyed channels each client holds, and the place of a channel among a client's own.
///
/// Client `c` holds the channels `c + offset` (modulo their number) for a few fixed offsets, so every channel
/// has equally many subscribers whenever the clients are a multiple of the channels, and the place of a
/// channel is found by a table, without a hash. The offsets are scattered: few pairs of clients hold the same
/// set.
#[derive(Debug, Clone)]
pub struct Spread {
    channels: u32,
    broadcast: bool,
    offsets: Vec<u32>,
    /// Place of an offset in `offsets`, or `NONE`.
    places: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Spread {
    /// `per_client` (at most `channels`) channels for each client, and the broadcast channel (number
    /// `channels`) if wanted.
    #[must_use]
    pub fn new(channels: u32, per_client: u32, broadcast: bool) -> Self {
        let mut offsets: Vec<u32> = (0..channels).collect();
        let mut random = Random::new(0x5eed);
        let wanted = per_client.min(channels) as usize;
        for place in 0..wanted {
            let rest = offsets.len() - place;
            offsets.swap(place, place + random.below(rest));
        }
        offsets.truncate(wanted);
        let mut places = vec![NONE; channels as usize];
        for (place, offset) in (0..).zip(&offsets) {
            places[*offset as usize] = place;
        }
        Self { channels, broadcast, offsets, places }
    }

    /// Subscriptions of every client.
    #[must_use]
    pub fn per_client(&self) -> usize {
        self.offsets.len() + usize::from(self.broadcast)
    }

    /// Number of the broadcast channel, if there is one.
    #[must_use]
    pub fn broadcast(&self) -> Option<u32> {
        self.broadcast.then_some(self.channels)
    }

    /// The channels of a client, by place.
    pub fn channels_of(&self, client: u32) -> impl Iterator<Item = u32> + '_ {
        let keyed = self.offsets.iter().map(move |offset| {
            let base = client % self.channels;
            let sum = u64::from(base) + u64::from(*offset);
            u32::try_from(sum % u64::from(self.channels)).unwrap_or(NONE)
        });
        keyed.chain(self.broadcast())
    }

    /// The place of a channel among those of a client; `None`: the client does not hold it.
    #[must_use]
    pub fn place(&self, client: u32, channel: u32) -> Option<usize> {
        if channel >= self.channels {
            return (self.broadcast && channel == self.channels).then_some(self.offsets.len());
        }
        let base = client % self.channels;
        let offset = if channel >= base { channel - base } else { self.channels - (base - channel) };
        let place = self.places[offset as usize];
        (place != NONE).then_some(place as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_channel_has_equally_many_subscribers() {
        let spread = Spread::new(1_000, 5, true);
        let mut held = vec![0; 1_001];
        for client in 0..12_000 {
            let channels: Vec<u32> = spread.channels_of(client).collect();
            assert_eq!(channels.len(), spread.per_client());
            assert_eq!(channels.iter().collect::<HashSet<_>>().len(), channels.len(), "no channel twice");
            for channel in channels {
                held[channel as usize] += 1;
            }
        }
        assert!(held[..1_000].iter().all(|clients| *clients == 60));
        assert_eq!(held[1_000], 12_000);
    }

    #[test]
    fn places_are_those_of_the_list_and_of_no_other_channel() {
        for (channels, per_client, broadcast) in
            [(1, 1, false), (7, 3, true), (7, 7, false), (4, 0, true), (0, 0, true)]
        {
            let spread = Spread::new(channels, per_client, broadcast);
            for client in [0, 1, 5, 6, 7, 12_345, u32::MAX] {
                let list: Vec<u32> = spread.channels_of(client).collect();
                for channel in 0..channels + 3 {
                    let place = list.iter().position(|held| *held == channel);
                    assert_eq!(spread.place(client, channel), place, "client {client}, channel {channel}");
                }
            }
        }
    }

    #[test]
    fn clients_of_one_channel_differ_in_their_others() {
        let spread = Spread::new(1_000, 5, false);
        let of_first: Vec<Vec<u32>> = (0..1_000)
            .map(|client| spread.channels_of(client).collect())
            .filter(|list: &Vec<u32>| list.contains(&0))
            .collect();
        assert_eq!(of_first.len(), 5);
        let others: HashSet<u32> = of_first.iter().flatten().copied().collect();
        assert!(others.len() > 15, "five lists of five share little beside channel 0: {others:?}");
    }
}
