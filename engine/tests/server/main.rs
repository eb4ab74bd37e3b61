//! Real sockets and real threads: the accept ring, the admin thread and the ingest threads by themselves, and the whole
//! server in this process, on librdkafka's mock broker. Each test has a server, a broker and ports of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod accept;
mod admin;
mod crowd;
mod ingest_mock;
mod lifecycle;
