//! What an idle server asks of idle brokers, by librdkafka's own log of the requests it sends.

use std::time::Duration;

use super::{
    outside::{client::Client, pause},
    scene::{MENDED, Scene},
};

const SECONDS: usize = 10;
/// "A few a second" of each broker.
const FETCHES_MAX: usize = 5;

#[test]
fn idle_brokers_are_asked_a_few_times_a_second() {
    let mut scene = Scene::begin("idle brokers");
    scene.cluster.topic("idle", "1,2,3", &[]);
    let server = scene.server(&["idle"], &["--kafka", "debug=protocol", "--log-level", "debug"]);
    assert!(scene.ready(&server, MENDED), "a healthy cluster");
    let _client = Client::subscribed(server.public, &["idle.k"]);
    pause(Duration::from_secs(3));
    let count = || server.log_lines(&["Sent FetchRequest"]).len();
    let before = count();
    pause(Duration::from_secs(SECONDS as u64));
    let each = (count() - before) / SECONDS / 3;
    scene.findings.check(before > 0, "the log shows fetches", || "none: this shows nothing".to_owned());
    scene
        .findings
        .check(each <= FETCHES_MAX, "a few fetches a second of each broker", || format!("{each} a second"));
    eprintln!("   {each} fetches a second of each broker");
    scene.end(server);
}
