use super::*;

fn plan(count: u32) -> Plan {
    Plan {
        target: Target::parse("ws://127.0.0.1:8080/ws").unwrap(),
        brokers: "localhost:9092".to_owned(),
        properties: vec![("sasl.password".to_owned(), "hunter2".to_owned())],
        topic: "bench".to_owned(),
        key: "key-0".to_owned(),
        channel: "key-0".to_owned(),
        count,
        interval: Duration::from_millis(10),
        size: 256,
        command: "uringcast bench latency".to_owned(),
    }
}

fn arrivals(sent: &[u64], latency_ns: impl Fn(u64) -> u64) -> Vec<Arrival> {
    sent.iter().map(|t_ns| Arrival { t_ns: *t_ns, at_ns: t_ns + latency_ns(*t_ns) }).collect()
}

#[test]
fn both_are_joined_by_stamp_and_subtracted() {
    let sent: Vec<u64> = (1..=100).map(|n| n * 10_000_000).collect();
    let bare = arrivals(&sent, |_| 1_000_000);
    let mut server = arrivals(&sent, |t_ns| if t_ns == 10_000_000 { 900_000 } else { 1_250_000 });
    // Neither order, nor what comes twice, nor what is not ours changes anything.
    server.reverse();
    server.push(Arrival { t_ns: 20_000_000, at_ns: 90_000_000 });
    server.push(Arrival { t_ns: 7, at_ns: 9 });
    let report = report(&plan(100), &sent, &[bare, server]);
    assert_eq!(report.failures, [""; 0]);
    assert_eq!((report.bare.count, report.server.count, report.difference.count), (100, 100, 100));
    assert_eq!((report.difference.min_ns, report.difference.percentile_ns(50.0)), (-100_000, Some(250_000)));
    assert_eq!(report.server_first, 1);
    let text = report.table();
    for part in ["100 messages", "p50 250 us", "below 0", "from 1.00 ms", "#################### 99", "PASSED"]
    {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    let back: Report = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(back.json(), report.json());
    assert!(!report.json().contains("hunter2"));
}

#[test]
fn what_never_came_fails_by_name() {
    let sent = [10, 20, 30];
    let report = report(&plan(4), &sent, &[arrivals(&sent, |_| 1), arrivals(&sent[..1], |_| 1)]);
    assert_eq!(
        report.failures,
        ["2 messages never came to the subscriber", "only 3 of 4 messages were sent"]
    );
    assert_eq!(report.difference.count, 1);
    assert!(report.table().contains("FAILED") && !report.table().contains("PASSED"));
    let none = super::report(&plan(1), &[5], &[]);
    assert_eq!(none.failures.len(), 2);
    assert!(none.table().contains("none"), "{}", none.table());
}

#[test]
fn intervals_are_jittered_around_their_mean() {
    let mut random = Random::new(3);
    let all: Vec<u64> = (0..1_000).map(|_| jittered(Duration::from_millis(10), &mut random)).collect();
    assert!(all.iter().all(|ns| (5_000_000..15_000_000).contains(ns)));
    let mean = all.iter().sum::<u64>() / 1_000;
    assert!((9_500_000..10_500_000).contains(&mean), "{mean}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (wrong, word) in [
        (plan(0), "count"),
        (plan(2_000_000), "count"),
        (Plan { interval: Duration::ZERO, ..plan(1) }, "interval"),
    ] {
        let text = run(&wrong).unwrap_err().to_string();
        assert!(text.contains(word), "{text:?} does not name {word:?}");
    }
}
