use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Add(u32, u32),
    Remove(u32, u32),
    RemoveAll(u32),
    Mark(u32),
    /// Advances the connection's owing subscriptions: to caught up where the bit is set.
    Flush(u32, u8),
    /// The connection's oldest owing subscription lags and misses this many sources.
    Lag(u32, u32),
    /// The lagged ones of the channel miss the source from the offset on, too.
    NewSource(u32, u32, i64),
    Miss(u32, u32, i64),
    Recover(u32),
}

/// What each lagged subscription misses, by source.
type Misses = BTreeMap<(u32, u32), BTreeMap<u32, i64>>;

fn step() -> impl Strategy<Value = Step> {
    let (connection, channel) = (0..6u32, 0..5u32);
    prop_oneof![
        4 => (connection.clone(), channel.clone()).prop_map(|(a, b)| Step::Add(a, b)),
        2 => (connection.clone(), channel.clone()).prop_map(|(a, b)| Step::Remove(a, b)),
        1 => connection.clone().prop_map(Step::RemoveAll),
        4 => channel.clone().prop_map(Step::Mark),
        4 => (connection.clone(), any::<u8>()).prop_map(|(a, b)| Step::Flush(a, b)),
        2 => (connection.clone(), 0..4u32).prop_map(|(a, sources)| Step::Lag(a, sources)),
        1 => (channel.clone(), 0..6u32, 0..9i64).prop_map(|(a, b, c)| Step::NewSource(a, b, c)),
        1 => (channel, 0..6u32, 0..9i64).prop_map(|(a, b, c)| Step::Miss(a, b, c)),
        1 => connection.prop_map(Step::Recover),
    ]
}

fn check(real: &mut Subscriptions, model: &BTreeMap<(u32, u32), Owed>) {
    assert_eq!(real.len(), model.len());
    let in_use: BTreeSet<u32> = model.keys().map(|&(_, channel)| channel).collect();
    assert_eq!(real.channels_in_use(), in_use.len());
    for connection in 0..6 {
        let of_it = || model.iter().filter(|((holder, _), _)| *holder == connection);
        let held: BTreeSet<u32> = real.held(connection).map(|(_, channel)| channel).collect();
        assert_eq!(held, of_it().map(|((_, channel), _)| *channel).collect());
        assert_eq!(real.count(connection), held.len());
        for ((_, channel), owed) in of_it() {
            assert_eq!(real.owed(real.find(connection, *channel).unwrap()), *owed);
        }
        let oldest =
            of_it().filter_map(|(_, owed)| if let Owed::From(at) = owed { Some(*at) } else { None }).min();
        assert_eq!(real.settle(connection), oldest);
        assert_eq!(real.owes(connection), oldest.is_some());
        assert_eq!(real.lags(connection), of_it().any(|(_, owed)| *owed == Owed::Lagged));
        let owing: BTreeMap<u32, u64> =
            real.owing(connection).map(|(cursor, at)| (real.channel_of(at), cursor)).collect();
        let expected: BTreeMap<u32, u64> = of_it()
            .filter_map(
                |((_, channel), owed)| {
                    if let Owed::From(at) = owed { Some((*channel, *at)) } else { None }
                },
            )
            .collect();
        assert_eq!(owing, expected);
        let cursors: Vec<u64> = real.owing(connection).map(|(cursor, _)| cursor).collect();
        assert!(cursors.is_sorted(), "a floor stops at the first that it does not pass: {cursors:?}");
        assert_eq!(real.oldest(connection).map(|(cursor, _)| cursor), oldest);
    }
}

proptest! {
    #[test]
    fn agrees_with_a_naive_map(steps in prop::collection::vec(step(), 1..120)) {
        let mut real = Subscriptions::new(2, 0);
        let mut model: BTreeMap<(u32, u32), Owed> = BTreeMap::new();
        let mut misses = Misses::new();
        for (sequence, step) in (0u64..).zip(steps) {
            match step {
                Step::Add(connection, channel) => {
                    if real.find(connection, channel).is_none() {
                        real.add(connection, channel);
                        prop_assert!(model.insert((connection, channel), Owed::CaughtUp).is_none());
                    }
                }
                Step::Remove(connection, channel) => {
                    let was = model.remove(&(connection, channel)).is_some();
                    prop_assert_eq!(real.remove(connection, channel), was);
                }
                Step::RemoveAll(connection) => {
                    let mut left = BTreeSet::new();
                    real.remove_all(connection, |channel| assert!(left.insert(channel)));
                    let expected = model.keys().filter(|key| key.0 == connection).map(|key| key.1).collect();
                    prop_assert_eq!(left, expected);
                    model.retain(|key, _| key.0 != connection);
                }
                Step::Mark(channel) => {
                    let owed = |model: &BTreeMap<(u32, u32), Owed>| -> BTreeSet<u32> {
                        model.iter().filter(|(_, o)| matches!(o, Owed::From(_))).map(|(key, _)| key.0).collect()
                    };
                    let before = owed(&model);
                    for (key, owed) in &mut model {
                        if key.1 == channel && *owed == Owed::CaughtUp {
                            *owed = Owed::From(sequence);
                        }
                    }
                    let mut newly = BTreeSet::new();
                    if real.touch(channel) {
                        prop_assert!(!real.touch(channel), "marked once");
                        real.mark(channel, sequence, |connection| assert!(newly.insert(connection)));
                    }
                    prop_assert_eq!(newly, owed(&model).difference(&before).copied().collect::<BTreeSet<_>>());
                }
                Step::Flush(connection, bits) => {
                    let owing: Vec<_> = real.owing(connection).collect();
                    for (nth, (_, at)) in owing.into_iter().enumerate() {
                        let caught_up = bits >> (nth % 8) & 1 == 1;
                        let channel = real.channel_of(at);
                        real.advance(at, (!caught_up).then_some(sequence));
                        let owed = if caught_up { Owed::CaughtUp } else { Owed::From(sequence) };
                        model.insert((connection, channel), owed);
                    }
                }
                Step::Lag(connection, sources) => {
                    let first = real.owing(connection).next();
                    if let Some((_, at)) = first {
                        let channel = real.channel_of(at);
                        let missed = (0..sources).map(|source| (source, 5 + i64::from(source)));
                        real.lag(connection, at, missed.clone().collect());
                        model.insert((connection, channel), Owed::Lagged);
                        misses.insert((connection, channel), missed.collect());
                    }
                }
                Step::NewSource(channel, source, offset) => {
                    real.new_source(channel, source, offset);
                    let lagging = |key: &(u32, u32)| key.1 == channel && model.get(key) == Some(&Owed::Lagged);
                    for (_, missed) in misses.iter_mut().filter(|(key, _)| lagging(key)) {
                        missed.entry(source).or_insert(offset);
                    }
                }
                Step::Miss(channel, source, offset) => {
                    for (key, missed) in &mut misses {
                        if key.1 == channel && model.get(key) == Some(&Owed::Lagged) {
                            real.miss(real.find(key.0, channel).unwrap(), source, offset);
                            let from = missed.entry(source).or_insert(offset);
                            *from = offset.min(*from);
                        }
                    }
                }
                Step::Recover(connection) => {
                    let mut recovered = BTreeSet::new();
                    while let Some((channel, missed)) = real.recover(connection) {
                        let missed: BTreeMap<u32, i64> = missed.iter().collect();
                        prop_assert_eq!(Some(missed), misses.remove(&(connection, channel)));
                        prop_assert!(recovered.insert(channel));
                    }
                    for (key, owed) in &mut model {
                        if key.0 == connection && *owed == Owed::Lagged {
                            prop_assert!(recovered.remove(&key.1));
                            *owed = Owed::CaughtUp;
                        }
                    }
                    prop_assert!(recovered.is_empty());
                }
            }
            check(&mut real, &model);
        }
    }
}
