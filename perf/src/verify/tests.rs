use proptest::prelude::*;

use super::*;

const MARK_NS: u64 = 1_000;

/// Two clients that both hold channels `key-0` and `broadcast`.
fn verifier(origin: Origin) -> Verifier {
    let names = ["key-0".to_owned(), "broadcast".to_owned()];
    let mut verifier = Verifier::new(Spread::new(1, 1, true), 0..2, origin, &names, Some(&names));
    verifier.begin(MARK_NS);
    verifier
}

fn value(key: &str, seq: u64, t_ns: u64) -> Vec<u8> {
    let mut value = Vec::new();
    payload::write(&mut value, seq, t_ns, key, 100);
    value
}

fn give(verifier: &mut Verifier, connection: u32, numbers: impl IntoIterator<Item = u64>) {
    for seq in numbers {
        verifier.message(connection, "key-0", Some(&value("key-0", seq, MARK_NS + seq)));
    }
}

fn ends(next: u64) -> [Option<Seen>; 2] {
    [Some(Seen { first: 0, next }), None]
}

fn settled(mut verifier: Verifier, next: u64) -> Counts {
    verifier.settle(&ends(next), |connection| connection == 0);
    verifier.counts
}

#[test]
fn all_once_and_in_order_is_fresh_and_nothing_else() {
    for origin in [Origin::Ours, Origin::Others] {
        let mut verifier = verifier(origin);
        give(&mut verifier, 0, 0..10);
        assert_eq!(verifier.outstanding(&ends(10), |connection| connection == 0), 0);
        assert_eq!(settled(verifier, 10), Counts { fresh: 10, ..Counts::default() });
    }
}

#[test]
fn each_fault_is_counted_as_what_it_is() {
    for (numbers, expected) in [
        (vec![1, 2, 3, 4], Counts { fresh: 4, lost: 1, ..Counts::default() }),
        (vec![0, 1, 3, 4], Counts { fresh: 4, lost: 1, ..Counts::default() }),
        (vec![0, 1, 2, 3], Counts { fresh: 4, lost: 1, ..Counts::default() }),
        (vec![], Counts { lost: 5, ..Counts::default() }),
        (vec![0, 1, 1, 2, 3, 4], Counts { fresh: 5, duplicated: 1, ..Counts::default() }),
        (vec![0, 1, 2, 3, 4, 4], Counts { fresh: 5, duplicated: 1, ..Counts::default() }),
        (vec![0, 2, 1, 3, 4], Counts { fresh: 5, disordered: 1, ..Counts::default() }),
        (vec![1, 0, 2, 3, 4], Counts { fresh: 5, disordered: 1, ..Counts::default() }),
        (vec![0, 1, 2, 4, 3], Counts { fresh: 5, disordered: 1, ..Counts::default() }),
        (vec![0, 4, 2, 2], Counts { fresh: 3, lost: 2, disordered: 1, duplicated: 1, ..Counts::default() }),
    ] {
        let mut verifier = verifier(Origin::Ours);
        give(&mut verifier, 0, numbers.iter().copied());
        assert_eq!(settled(verifier, 5), expected, "{numbers:?}");
    }
}

#[test]
fn of_others_load_all_subscriptions_must_begin_alike() {
    let both = |first: &[u64], second: &[u64]| {
        let mut verifier = verifier(Origin::Others);
        give(&mut verifier, 0, first.iter().copied());
        give(&mut verifier, 1, second.iter().copied());
        let seen = verifier.seen().to_vec();
        verifier.settle(&seen, |_| true);
        (seen[0], verifier.counts)
    };
    let whole = Counts { fresh: 6, ..Counts::default() };
    assert_eq!(both(&[7, 8, 9], &[7, 8, 9]), (Some(Seen { first: 7, next: 10 }), whole));
    let one_lost = Counts { fresh: 5, lost: 1, ..Counts::default() };
    assert_eq!(both(&[7, 8, 9], &[8, 9]).1, one_lost, "the first, by the second to begin");
    assert_eq!(both(&[8, 9], &[7, 8, 9]).1, one_lost, "the first, by the first to begin");
    assert_eq!(both(&[7, 8, 9], &[7, 8]).1, one_lost, "the last");
    assert_eq!(both(&[7, 8, 9], &[]).1, Counts { fresh: 3, lost: 3, ..Counts::default() });
    let swapped = Counts { fresh: 6, disordered: 1, ..Counts::default() };
    assert_eq!(both(&[8, 7, 9], &[7, 8, 9]).1, swapped, "the first two");
    assert_eq!(both(&[7, 8, 9], &[8, 7, 9]).1, swapped);
}

#[test]
fn what_others_sent_before_the_mark_may_be_missed_but_not_in_between() {
    let mut verifier = verifier(Origin::Others);
    for (connection, numbers) in [(0, 3..9_u64), (1, 6..9)] {
        for seq in numbers {
            let t_ns = if seq < 7 { 10 } else { MARK_NS };
            verifier.message(connection, "key-0", Some(&value("key-0", seq, t_ns)));
        }
    }
    let seen = verifier.seen().to_vec();
    assert_eq!(seen[0], Some(Seen { first: 7, next: 9 }));
    verifier.settle(&seen, |_| true);
    assert_eq!(verifier.counts, Counts { fresh: 9, ..Counts::default() });
    give(&mut verifier, 0, [10]);
    assert_eq!(verifier.counts.lost, 1);
}

#[test]
fn an_older_run_is_stale_and_no_part_of_ours() {
    let mut verifier = verifier(Origin::Ours);
    assert_eq!(verifier.message(0, "key-0", Some(&value("key-0", 900, MARK_NS - 1))), None);
    give(&mut verifier, 0, 0..2);
    assert_eq!(settled(verifier, 2), Counts { fresh: 2, stale: 1, ..Counts::default() });
}

#[test]
fn what_is_not_held_or_not_whole_is_named() {
    let mut verifier = verifier(Origin::Ours);
    let good = value("key-0", 0, MARK_NS);
    for (channel, data) in [
        ("key-1", Some(&good[..])),
        ("broadcast", Some(&good)),
        ("key-0", Some(b"{\"price\":1}")),
        ("key-0", None),
    ] {
        assert_eq!(verifier.message(0, channel, data), None);
    }
    let mut damaged = good.clone();
    let last = damaged.len() - 3;
    damaged[last] = b'!';
    let arrival = verifier.message(0, "key-0", Some(&damaged));
    assert_eq!(arrival, Some(Arrival { t_ns: MARK_NS, broadcast: false }));
    let broadcast = verifier.message(1, "broadcast", Some(&value("broadcast", 0, MARK_NS + 5)));
    assert_eq!(broadcast, Some(Arrival { t_ns: MARK_NS + 5, broadcast: true }));
    verifier.gap();
    let expected =
        Counts { fresh: 2, foreign: 1, misrouted: 1, unstamped: 2, corrupt: 1, gaps: 1, ..Counts::default() };
    assert_eq!(verifier.counts, expected);
}

#[test]
fn a_channel_that_another_client_holds_is_foreign() {
    let names: Vec<String> = (0..4).map(|number| format!("key-{number}")).collect();
    let spread = Spread::new(4, 1, false);
    let held = spread.channels_of(6).next().unwrap();
    let mut verifier = Verifier::new(spread, 5..7, Origin::Ours, &names, None);
    verifier.begin(0);
    for (channel, name) in (0..).zip(&names) {
        verifier.message(1, name, Some(&value(name, 0, 1)));
        assert_eq!(verifier.counts.fresh, u64::from(channel >= held));
    }
    assert_eq!(verifier.counts.foreign, 3);
}

proptest! {
    /// Whatever is done to the stream, the counts add up: what was sent is fresh or lost, what came is fresh
    /// or repeated.
    #[test]
    fn counts_add_up(numbers in prop::collection::vec(0..30_u64, 0..60)) {
        let mut verifier = verifier(Origin::Ours);
        give(&mut verifier, 0, numbers.iter().copied());
        let counts = settled(verifier, 30);
        let (mut came, mut highest, mut late) = (std::collections::HashSet::new(), 0, 0);
        for number in &numbers {
            late += u64::from(came.insert(*number) && *number < highest);
            highest = highest.max(*number);
        }
        let distinct = came.len() as u64;
        prop_assert_eq!(counts.fresh, distinct);
        prop_assert_eq!(counts.lost, 30 - distinct);
        prop_assert_eq!(counts.duplicated, numbers.len() as u64 - distinct);
        prop_assert_eq!(counts.disordered, late);
    }
}
