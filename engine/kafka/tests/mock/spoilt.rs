//! Batches that librdkafka cannot read: a relay between the mock broker and the consumer spoils them.

use std::sync::Arc;

use crate::common::{Got, drain_until, lead_through, offsets_in, produce, relayed, replace};
use kafka::{Consumer, MockCluster, Settings};

/// A consumer of topic `t` that reads through the relay; `spoil` is given each answer that has "spoil" in it.
fn reader(mock: &MockCluster, mut spoil: impl FnMut(&mut [u8]) + Send + 'static) -> Consumer {
    let (relay, port) = relayed(&mock.bootstrap());
    let relay = Arc::new(relay);
    let again = Arc::clone(&relay);
    relay.spoil(Some(Box::new(move |bytes| {
        lead_through(&again, port, bytes);
        if bytes.windows(5).any(|window| window == b"spoil") {
            spoil(bytes);
        }
    })));
    let settings = Settings::new(relay.address()).with("fetch.wait.max.ms", "2").with("check.crcs", "true");
    let mut consumer = Consumer::new(&settings).unwrap();
    consumer.assign("t", 0, 0, 7).unwrap();
    consumer
}

/// A topic whose fourth batch (or more) is to be spoilt: offsets 3 and following.
fn topic(spoilt: usize) -> MockCluster {
    let mock = MockCluster::start(1).unwrap();
    mock.create_topic("t", 1).unwrap();
    (0..3).for_each(|n| produce(&mock.settings(), "t", 0, [format!("good {n}")]));
    produce(&mock.settings(), "t", 0, (0..spoilt).map(|n| format!("spoil {n}")));
    (0..3).for_each(|n| produce(&mock.settings(), "t", 0, [format!("good {n}")]));
    mock
}

fn is_error(got: &Got) -> bool {
    matches!(got, Got::Error { tag: 7, text } if text.contains("at offset 3 ") && text.contains("CRC32C"))
}

#[test]
fn a_batch_with_a_bad_checksum_is_told_and_fetched_again() {
    let mock = topic(3);
    let mut left = 2;
    let mut consumer = reader(&mock, move |bytes| {
        if left > 0 {
            left -= 1;
            replace(bytes, b"spoil", b"SPOIL");
        }
    });
    let got = drain_until(&mut consumer, |got| offsets_in(got).len() >= 9);
    assert_eq!(offsets_in(&got), (0..9).collect::<Vec<_>>());
    assert_eq!(got.iter().filter(|got| is_error(got)).count(), 2, "{got:?}");
    assert_eq!(got.len(), 11);
}

#[test]
fn a_batch_whose_checksum_stays_bad_holds_the_partition_back() {
    let mock = topic(3);
    let mut consumer = reader(&mock, |bytes| {
        replace(bytes, b"spoil", b"SPOIL");
    });
    let got = drain_until(&mut consumer, |got| got.iter().filter(|got| is_error(got)).count() >= 3);
    assert_eq!(offsets_in(&got), [0, 1, 2]);
    assert_eq!((consumer.position(7), consumer.end(7)), (Some(3), Some(9)), "nothing is passed over");
}

#[test]
fn a_batch_of_an_unknown_format_is_left_out_and_told() {
    let mock = topic(1);
    let mut consumer = reader(&mock, |bytes| {
        // Offset 3, length, epoch, format 2.
        let batch = bytes.windows(17).position(|head| head[..8] == 3_u64.to_be_bytes() && head[16] == 2);
        bytes[batch.unwrap() + 16] = 9;
    });
    let got = drain_until(&mut consumer, |got| offsets_in(got).len() >= 6);
    assert_eq!(offsets_in(&got), [0, 1, 2, 4, 5, 6]);
    assert_eq!(got[3], Got::Skipped { tag: 7, offset: 3 });
}
