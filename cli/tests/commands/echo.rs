//! `uringcast echo` as a process: any path, large messages, no Kafka, drain.

use std::net::TcpStream;

use tungstenite::{Message, WebSocket, protocol::WebSocketConfig};

use crate::process::{Server, echo, get};

fn client(server: &Server, path: &str) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(server.public).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
    let (client, _) =
        tungstenite::client::client_with_config(format!("ws://test{path}"), stream, Some(config)).unwrap();
    client
}

#[test]
fn any_path_is_served_and_whatever_is_sent_comes_back() {
    let mut server = Server::start(&mut echo(&["--max-message", "4MiB"]));
    server.wait_for("ready");
    for path in ["/", "/ws", "/runCase?case=1"] {
        let mut client = client(&server, path);
        let large = Message::binary(vec![7; 4 << 20]);
        for message in [Message::text("{\"type\":\"subscribe\"}"), Message::text(""), large] {
            client.send(message.clone()).unwrap();
            assert!(client.read().unwrap() == message, "{path}");
        }
    }
    let mut client = client(&server, "/");
    // The server closes in the middle of what is being sent.
    let _ = client.send(Message::binary(vec![7; (4 << 20) + 1]));
    let close = client.read().unwrap();
    assert!(matches!(&close, Message::Close(Some(close)) if u16::from(close.code) == 1009), "{close:?}");

    let health = get(server.admin, "/health");
    assert!(health.contains("\"ready\""), "{health}");
    server.signal("TERM");
    let (code, log) = server.end();
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("nothing is held") && !log.contains("ERROR"), "{log}");
}
