use proto::{
    native::reply::{self, Welcome},
    position::Epoch,
};

use super::*;
use crate::{payload, verify::Origin};

const NOW_NS: u64 = 5_000_000;

/// A reader of one client that holds `key-0`, and its connection with one request unanswered.
fn subscribing() -> (Reader, Connection) {
    let names = vec!["key-0".to_owned()];
    let spread = Spread::new(1, 1, false);
    let mut verifier = Verifier::new(spread.clone(), 0..1, Origin::Ours, &names, Some(&names));
    verifier.begin(0);
    let reader = Reader {
        verifier,
        report: ClientReport::default(),
        random: Random::new(1),
        names,
        spread,
        first_client: 0,
        from_ns: 0,
        until_ns: u64::MAX,
    };
    let mut connection = Connection::new();
    connection.phase = Phase::Subscribing(1);
    (reader, connection)
}

fn message(seq: u64, t_ns: u64) -> Vec<u8> {
    let (mut value, mut frame) = (Vec::new(), Vec::new());
    payload::write(&mut value, seq, t_ns, "key-0", 100);
    let message = proto::native::message::Message {
        channel: "key-0",
        epoch: &Epoch::of("cluster", b"topic"),
        partition: 0,
        offset: 7,
        ts_ms: 0,
        value: Some(&value),
        headers: &[],
    };
    proto::native::message::message(&mut frame, &message, proto::native::message::Payload::Json);
    frame
}

fn read(reader: &mut Reader, connection: &mut Connection, bytes: &[u8]) -> Result<(), Ending> {
    reader.read(0, connection, &mut bytes.to_vec(), NOW_NS)
}

#[test]
fn from_welcome_to_messages_in_any_cut() {
    let mut stream = Vec::new();
    reply::welcome(&mut stream, &Welcome { connection: "c", ping_interval_ms: 1, limits: &[] });
    reply::subscription_ack(&mut stream, Some(1), &["key-0"], 1, &[], &[("key-0", Default::default())]);
    for seq in 0..3 {
        stream.extend(message(seq, NOW_NS - 1_000_000 * (seq + 1)));
    }
    for cut in 1..stream.len() {
        let (mut reader, mut connection) = subscribing();
        read(&mut reader, &mut connection, &stream[..cut]).unwrap();
        read(&mut reader, &mut connection, &stream[cut..]).unwrap();
        assert_eq!(connection.phase, Phase::Ready);
        assert_eq!((reader.verifier.counts().fresh, reader.report.measured), (3, 3));
        assert_eq!(reader.report.notices["welcome"], 1);
        assert!((reader.report.keyed.percentile_ms(100.0) - 3.0).abs() < 0.01);
    }
}

#[test]
fn only_the_measured_time_is_in_the_figures() {
    let (mut reader, mut connection) = subscribing();
    (reader.from_ns, reader.until_ns) = (1_000, 2_000);
    for (seq, t_ns) in [(0, 999), (1, 1_000), (2, 1_999), (3, 2_000)] {
        read(&mut reader, &mut connection, &message(seq, t_ns)).unwrap();
    }
    assert_eq!(
        (reader.verifier.counts().fresh, reader.report.measured, reader.report.keyed.count()),
        (4, 2, 2)
    );
    read(&mut reader, &mut connection, &message(4, NOW_NS + 1)).unwrap();
    assert_eq!(reader.report.early, 0);
    reader.until_ns = u64::MAX;
    read(&mut reader, &mut connection, &message(5, NOW_NS + 1)).unwrap();
    assert_eq!(reader.report.early, 1);
}

#[test]
fn several_objects_in_one_frame() {
    let objects: Vec<Vec<u8>> = (0..2).map(|seq| message(seq, 1)[4..].to_vec()).collect();
    let mut frame = Vec::new();
    frame::put_frame(&mut frame, OpCode::Text, &objects.join(&b'\n'));
    let (mut reader, mut connection) = subscribing();
    read(&mut reader, &mut connection, &frame).unwrap();
    assert_eq!((reader.verifier.counts().fresh, reader.verifier.counts().corrupt), (2, 0));
}

#[test]
fn pings_are_answered_and_a_close_is_echoed() {
    let (mut reader, mut connection) = subscribing();
    let mut stream = Vec::new();
    frame::put_frame(&mut stream, OpCode::Ping, b"x");
    read(&mut reader, &mut connection, &stream).unwrap();
    let mask = connection.out[2];
    assert_eq!((connection.out.len(), connection.out[0], connection.out[1]), (7, 0x8a, 0x81));
    assert_eq!(connection.out[6] ^ mask, b'x');
    connection.out.clear();
    stream.clear();
    frame::put_close(&mut stream, CloseCode::GOING_AWAY, "draining");
    assert_eq!(read(&mut reader, &mut connection, &stream), Err(Ending::Close(Some(1_001))));
    assert_eq!((connection.out.len(), connection.out[0], connection.out[1]), (8, 0x88, 0x82));
}

#[test]
fn refusals_and_nonsense_end_a_connection_by_name() {
    let refused = |put: &dyn Fn(&mut Vec<u8>)| {
        let (mut reader, mut connection) = subscribing();
        let mut stream = Vec::new();
        put(&mut stream);
        let ending = read(&mut reader, &mut connection, &stream).unwrap_err();
        (ending.to_string(), reader.report.errors)
    };
    use proto::native::request::ErrorCode;
    let outcome = reply::Outcome { error: Some(ErrorCode::UnknownChannel), ..Default::default() };
    let (text, _) = refused(&|out| reply::subscription_ack(out, Some(1), &[], 0, &[], &[("key-0", outcome)]));
    assert_eq!(text, "channel refused: UNKNOWN_CHANNEL");
    let (text, errors) = refused(&|out| reply::error(out, Some(1), ErrorCode::TooManyChannels, "too many"));
    assert_eq!((text.as_str(), errors["TOO_MANY_CHANNELS"]), ("channel refused: TOO_MANY_CHANNELS", 1));
    let (text, _) = refused(&|out| frame::put_frame(out, OpCode::Text, b"hello"));
    assert_eq!(text, "violation by the server: a text that is not of the native protocol");
    let (text, _) = refused(&|out| out.extend([0xff, 0xff]));
    assert!(text.starts_with("violation by the server"), "{text}");
}

#[test]
fn an_error_later_on_and_notices_are_counted() {
    use proto::native::{reply::State, request::ErrorCode};
    let (mut reader, mut connection) = subscribing();
    connection.phase = Phase::Ready;
    let mut stream = Vec::new();
    reply::error(&mut stream, None, ErrorCode::BadJson, "");
    reply::status(&mut stream, State::Stale, None, Some(5));
    reply::position(&mut stream, &[]);
    read(&mut reader, &mut connection, &stream).unwrap();
    assert_eq!(reader.report.errors["BAD_JSON"], 1);
    assert_eq!((reader.report.notices["status stale"], reader.report.notices["position"]), (1, 1));
}
