use super::*;

/// A baseline with these prices of a send, ns.
pub(crate) fn baseline(ns_per_send: [f64; 4]) -> Baseline {
    let price = |messages: u32, ns: f64| {
        let step =
            |cpu: f64| sends::Step { cpu_ns: crate::figures::whole(cpu * 1_000.0), sends: 1_000, short: 0 };
        SendPrice::of(messages, &[step(ns * 1.1), step(ns), step(ns * 0.9)])
    };
    let mut latency = Times::default();
    (1..=100).for_each(|us| latency.record(us * 1_000));
    let machine =
        Machine { cpu: "a CPU".to_owned(), cores: 2, kernel: "6.18".to_owned(), memory_bytes: 8 << 30 };
    Baseline {
        version: "1".to_owned(),
        command: "uringcast bench baseline".to_owned(),
        machine,
        steal_percent: 0.5,
        busy_percent: 90.0,
        plan: Plan { other_core: Some(1), ..Plan::default() },
        bare: price(1, ns_per_send[0] * 1.2),
        ring: MESSAGES.into_iter().zip(ns_per_send).map(|(messages, ns)| price(messages, ns)).collect(),
        accept: AcceptPrice {
            ns_per_connection: Figure { median: 28_000.0, min: 27_000.0, max: 30_000.0 },
            per_second: Figure { median: 15_000.0, min: 14_000.0, max: 16_000.0 },
            connections: 9_000,
        },
        wake: WakePrice {
            latency: latency.summary(),
            sleeper_ns: Figure { median: 15_000.0, min: 12_000.0, max: 18_000.0 },
            waker_ns: Figure { median: 900.0, min: 800.0, max: 1_000.0 },
        },
        warnings: Vec::new(),
    }
}

#[test]
fn the_median_is_the_middle_one() {
    for (values, median) in [(vec![3.0, 1.0, 9.0], 3.0), (vec![4.0, 1.0], 2.5), (vec![7.0], 7.0)] {
        let (min, max) =
            (values.iter().copied().fold(f64::MAX, f64::min), values.iter().copied().fold(0.0, f64::max));
        assert_eq!(Figure::of(values), Figure { median, min, max });
    }
    assert_eq!(Figure::of(Vec::new()), Figure::default());
}

#[test]
fn prices_are_cpu_time_by_sends_and_by_messages() {
    let steps = [(10_000, 10), (30_000, 10), (80_000, 20)].map(|(cpu_ns, sends)| sends::Step {
        cpu_ns,
        sends,
        short: sends / 10,
    });
    let price = SendPrice::of(4, &steps);
    assert_eq!(price.ns_per_send, Figure { median: 3_000.0, min: 1_000.0, max: 4_000.0 });
    assert_eq!((price.ns_per_delivery.median, price.ns_per_delivery.max), (750.0, 1_000.0));
    assert_eq!(price.deliveries_per_cpu_second, 1_333_000.0);
    assert_eq!((price.sends, price.short), (40, 4));
}

#[test]
fn between_two_prices_of_a_send_lies_a_straight_line() {
    let baseline = baseline([8_000.0, 8_030.0, 8_150.0, 9_110.0]);
    for (messages, per_send) in
        [(1.0, 8_000.0), (2.5, 8_015.0), (4.0, 8_030.0), (10.0, 8_090.0), (64.0, 9_110.0), (128.0, 10_390.0)]
    {
        let found = baseline.ns_per_delivery(messages);
        assert!((found - per_send / messages).abs() < 0.01, "{messages}: {found}");
    }
    // No send carries less than a message.
    assert_eq!(baseline.ns_per_delivery(0.2), baseline.ns_per_delivery(1.0));
    let one = Baseline { ring: baseline.ring[..1].to_vec(), ..baseline.clone() };
    assert_eq!(one.ns_per_delivery(4.0), 2_000.0);
    assert_eq!(Baseline { ring: Vec::new(), ..baseline }.ns_per_delivery(4.0), 0.0);
}

#[test]
fn only_what_the_server_would_send_at_once_is_measured() {
    let messages = |frame_bytes| Plan { frame_bytes, ..Plan::default() }.messages().collect::<Vec<_>>();
    assert_eq!(messages(256), MESSAGES);
    assert_eq!(messages(1_024), MESSAGES);
    assert_eq!(messages(4_096), [1, 4, 16]);
    assert_eq!(messages(1 << 20), [1]);
    assert_eq!(Plan::default().length(), Duration::from_millis(300 * 5 * 7));
}

#[test]
fn a_run_is_compared_with_its_own_size_and_number() {
    let target = crate::plan::Target::parse("ws://127.0.0.1:1/ws").unwrap();
    let run = crate::Plan { clients: 700, channels: 20, ..crate::Plan::new(target) };
    let plan = Plan::beside(&run);
    assert_eq!(plan.connections, 700);
    assert!((256 + 60..256 + 110).contains(&plan.frame_bytes), "{}", plan.frame_bytes);
    assert_eq!(Plan::beside(&crate::Plan { clients: 99_999, ..run }).connections, 10_000);
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (wrong, word) in [
        (Plan { connections: 0, ..Plan::default() }, "connections"),
        (Plan { connections: 20_001, ..Plan::default() }, "connections"),
        (Plan { frame_bytes: 0, ..Plan::default() }, "size"),
        (Plan { repeats: 0, ..Plan::default() }, "repeats"),
        (Plan { step: Duration::ZERO, ..Plan::default() }, "step"),
        (Plan { core: 9_999, ..Plan::default() }, "core 9999"),
        (Plan { other_core: Some(9_999), ..Plan::default() }, "core 9999"),
    ] {
        let text = measure(&wrong).unwrap_err().to_string();
        assert!(text.contains(word), "{text:?} does not name {word:?}");
    }
}

#[test]
fn doubtful_figures_are_said_to_be() {
    let mut baseline = baseline([8_000.0, 8_030.0, 8_150.0, 9_110.0]);
    baseline.warn();
    assert_eq!(baseline.warnings, [""; 0]);
    baseline.ring[3].short = 900;
    baseline.ring[2].ns_per_send.max *= 2.0;
    (baseline.steal_percent, baseline.plan.other_core) = (7.0, Some(0));
    baseline.warn();
    let text = baseline.table();
    for part in ["900 of", "7.0 %", "differ by up to 2.4 times", "share one core"] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn a_small_floor_is_measured() {
    let plan = Plan { connections: 20, step: Duration::from_millis(30), repeats: 2, ..Plan::default() };
    let baseline = measure(&plan).unwrap();
    assert_eq!(baseline.ring.iter().map(|price| price.messages).collect::<Vec<_>>(), MESSAGES);
    for price in baseline.ring.iter().chain([&baseline.bare]) {
        // The bounds are wide: this machine may be anything but quiet.
        assert!(price.ns_per_send.median > 300.0 && price.ns_per_send.median < 1e7, "{price:?}");
        assert!(price.ns_per_send.min <= price.ns_per_send.median && price.sends >= 40, "{price:?}");
        assert_eq!(price.short, 0, "the reader is waited for");
    }
    assert!(
        baseline.ns_per_delivery(64.0) < baseline.ns_per_delivery(1.0),
        "messages that share a send are cheaper"
    );
    assert!(
        baseline.accept.connections > 10 && baseline.accept.ns_per_connection.median > 500.0,
        "{:?}",
        baseline.accept
    );
    assert!(baseline.wake.latency.count > 2 && baseline.wake.latency.max_ms > 0.0005, "{:?}", baseline.wake);
    assert!(
        baseline.wake.sleeper_ns.median > 100.0 && baseline.wake.waker_ns.median > 50.0,
        "{:?}",
        baseline.wake
    );
    let back: Baseline = serde_json::from_str(&baseline.json()).unwrap();
    assert_eq!(back, baseline);
    let table = baseline.table();
    for part in ["send(2)", "64 messages a send", "a connection", "asleep to running", "machine"] {
        assert!(table.contains(part), "no {part:?} in\n{table}");
    }
}
