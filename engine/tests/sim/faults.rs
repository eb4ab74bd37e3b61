//! The oracle itself: it must find every fault that is put into a run that was right.

use proto::native::envelope::Envelope;

use crate::{
    client::Logged,
    kafka::Kafka,
    model::Model,
    oracle::{Checker, Wrong},
    workload::settle,
    world::{Plan, World},
};

/// A run in which nothing goes wrong: a client that hears messages of two channels over several partitions, and leaves
/// one of them in the middle.
fn right_run() -> (Vec<Logged>, Kafka) {
    let mut world = World::new(Plan::calm(), 7);
    let client = world.connect(0, true, false, |client| {
        client.log = Some(Vec::new());
        client.subscribe(&["beta.all", "k2.b"]);
    });
    let client = client.expect("room");
    for round in 0..9 {
        settle(&mut world).expect("nothing is wrong");
        world.kafka.get_mut().produce(25);
        match round {
            2 => world.clients[client].heartbeat(),
            3 => {
                settle(&mut world).expect("nothing is wrong");
                world.clients[client].unsubscribe(&["k2.b"]);
            }
            _ => {}
        }
    }
    settle(&mut world).expect("nothing is wrong");
    let log = world.clients[client].log.take().expect("kept");
    (log, world.kafka)
}

fn judge(log: &[Logged], model: &Model) -> Result<Checker, Wrong> {
    let mut checker = Checker::new(12, true);
    for logged in log {
        match logged {
            Logged::Asked(id, asked) => checker.asked(*id, asked.clone()),
            Logged::Heard(text) => checker.hear(text, model)?,
        }
    }
    checker.caught_up(model)?;
    Ok(checker)
}

/// Channel and position (without its offset) of a message.
fn message(logged: &Logged) -> Option<(String, String)> {
    let Logged::Heard(text) = logged else { return None };
    let Ok(Envelope::Message(message)) = Envelope::parse(text) else { return None };
    let (part, _) = message.pos.rsplit_once('.')?;
    Some((message.channel.into_owned(), part.to_owned()))
}

fn heard(logged: &Logged) -> Option<&[u8]> {
    match logged {
        Logged::Heard(text) => Some(text),
        Logged::Asked(..) => None,
    }
}

fn replaced(logged: &Logged, from: &str, to: &str) -> Logged {
    let text = String::from_utf8(heard(logged).expect("a text").to_vec()).expect("UTF-8");
    assert!(text.contains(from), "{text} has no {from}");
    Logged::Heard(text.replacen(from, to, 1).into_bytes())
}

#[test]
fn what_is_right_is_found_right() {
    let (log, kafka) = right_run();
    let model = kafka.model();
    let checker = judge(&log, &model).expect("nothing is wrong");
    assert!(checker.messages > 40, "{checker:?}");
    assert!(checker.positions >= 1, "{checker:?}");
}

#[test]
fn a_dropped_doubled_or_altered_message_is_found() {
    let (log, kafka) = right_run();
    let model = kafka.model();
    let mut tried = 0;
    for at in 0..log.len() {
        let Some((channel, _)) = message(&log[at]) else { continue };
        let mut dropped = log.clone();
        dropped.remove(at);
        // What was dropped right before the unsubscription need not have come any more.
        let unsubscribed_next = channel == "k2.b"
            && !log[at + 1..].iter().any(|later| message(later).is_some_and(|m| m.0 == "k2.b"));
        assert!(unsubscribed_next || judge(&dropped, &model).is_err(), "{at} dropped");
        let mut doubled = log.clone();
        doubled.insert(at, log[at].clone());
        assert!(judge(&doubled, &model).is_err(), "{at} doubled");
        for (from, to) in
            [("\"ts\":1", "\"ts\":2"), ("beta", "alpha"), ("k2.b", "k3.b"), ("\"data\":", "\"data\": ")]
        {
            if heard(&log[at]).is_some_and(|text| String::from_utf8_lossy(text).contains(from)) {
                let mut altered = log.clone();
                altered[at] = replaced(&log[at], from, to);
                assert!(judge(&altered, &model).is_err(), "{at} altered: {to}");
            }
        }
        tried += 1;
    }
    assert!(tried > 40);
}

#[test]
fn swapped_messages_are_found() {
    let (log, kafka) = right_run();
    let model = kafka.model();
    let mut tried = 0;
    for first in 0..log.len() {
        let Some(of) = message(&log[first]) else { continue };
        let later = (first + 1..log.len()).find(|later| message(&log[*later]).as_ref() == Some(&of));
        if let Some(second) = later {
            let mut swapped = log.clone();
            swapped.swap(first, second);
            assert!(judge(&swapped, &model).is_err(), "{first} and {second} swapped");
            tried += 1;
        }
    }
    assert!(tried > 30);
}

#[test]
fn a_message_behind_the_unsubscription_or_before_the_subscription_is_found() {
    let (log, kafka) = right_run();
    let model = kafka.model();
    let at = log.iter().position(|logged| message(logged).is_some_and(|m| m.0 == "k2.b")).expect("one");
    let mut late = log.clone();
    let message = late.remove(at);
    late.push(message.clone());
    assert!(judge(&late, &model).is_err());
    let mut early = log;
    early.remove(at);
    early.insert(2, message);
    assert!(judge(&early, &model).is_err());
}

#[test]
fn answers_that_are_missing_doubled_or_in_another_order_are_found() {
    let (log, kafka) = right_run();
    let model = kafka.model();
    let is_answer = |logged: &(usize, &Logged)| {
        let text = heard(logged.1).unwrap_or_default();
        [&b"_ack"[..], b"pong"].iter().any(|word| text.windows(word.len()).take(40).any(|at| at == *word))
    };
    let answers: Vec<usize> = log.iter().enumerate().filter(is_answer).map(|(at, _)| at).collect();
    assert_eq!(answers.len(), 3, "two acks and a pong");
    for &at in &answers {
        let mut missing = log.clone();
        missing.remove(at);
        assert!(judge(&missing, &model).is_err(), "answer {at} missing");
        let mut doubled = log.clone();
        doubled.insert(at, log[at].clone());
        assert!(judge(&doubled, &model).is_err(), "answer {at} doubled");
        let mut other = log.clone();
        other[at] = replaced(&log[at], "\"id\":", "\"id\":7");
        assert!(judge(&other, &model).is_err(), "answer {at} with another id");
    }
    let mut swapped = log;
    swapped.swap(answers[1], answers[2]);
    assert!(judge(&swapped, &model).is_err(), "answers swapped");
}

#[test]
fn a_notice_that_claims_too_much_or_covers_too_little_is_found() {
    let (log, kafka) = right_run();
    let model = kafka.model();
    let notice = log
        .iter()
        .position(|logged| heard(logged).is_some_and(|text| text.starts_with(b"{\"type\":\"position\"")));
    let notice = notice.expect("one came with the pong");
    // Before the message in front of it, it claims what has not come.
    let before = (0..notice).rev().find(|at| message(&log[*at]).is_some()).expect("one");
    let mut early = log.clone();
    let moved = early.remove(notice);
    early.insert(before, moved);
    assert!(judge(&early, &model).is_err(), "a notice before what it speaks of");

    // A gap in place of a message is fine, one that covers another message is not.
    let at = (0..log.len()).rev().find(|at| message(&log[*at]).is_some()).expect("one");
    let (channel, part) = message(&log[at]).expect("one");
    let Ok(Envelope::Message(last)) = Envelope::parse(heard(&log[at]).expect("a text")) else { panic!() };
    let offset: i64 = last.pos.rsplit_once('.').expect("a position").1.parse().expect("a number");
    let gap = |from: i64, to: i64| {
        let text = format!(
            r#"{{"type":"gap","channel":"{channel}","from":"{part}.{from}","to":"{part}.{to}","reason":"slow"}}"#
        );
        let mut with_gap = log.clone();
        with_gap[at] = Logged::Heard(text.into_bytes());
        judge(&with_gap, &model)
    };
    gap(offset, offset).expect("a notice instead of the message");
    assert!(gap(offset - 1, offset - 1).is_err(), "a notice of another offset");
    assert!(gap(offset, offset + 5_000).is_err(), "a notice of what was not produced");
    assert!(gap(0, offset).is_err(), "a notice of what was delivered");
    assert!(gap(offset, offset - 1).is_err(), "a notice of nothing");
}
