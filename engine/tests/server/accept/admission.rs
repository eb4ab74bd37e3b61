//! Who is let in, and what is handed over.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use super::{
    client::{ask, connect, read_answer, upgrade, upgrade_with},
    gate::{Gate, options, settings},
};

#[test]
fn an_upgrade_is_answered_and_handed_over_with_what_came_behind_it() {
    let gate = Gate::open(&[10], settings());
    let request = upgrade("/ws") + "frames already";
    let (mut client, answer) = ask(gate.address, &request);
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let handover = gate.handed_over(0);
    assert_eq!(handover.leftover, b"frames already");
    assert!(handover.welcome);
    assert_eq!(handover.peer, Some(client.local_addr().unwrap()));
    assert_eq!(gate.loads(), [1]);

    // The socket works in both directions, and closes with its one descriptor.
    let mut socket = TcpStream::from(handover.descriptor);
    socket.write_all(b"pong").unwrap();
    client.write_all(b"ping").unwrap();
    let mut bytes = [0; 4];
    client.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"pong");
    socket.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"ping");
    drop(socket);
    assert_eq!(client.read(&mut bytes).unwrap(), 0);
    drop(handover.reservation);
    assert_eq!(gate.loads(), [0]);
}

#[test]
fn the_welcome_can_be_left_out_and_ids_differ() {
    let gate = Gate::open(&[10], settings());
    let _first = ask(gate.address, &upgrade("/ws?welcome=0&x=1"));
    let first = gate.handed_over(0);
    let _second = ask(gate.address, &upgrade("/ws?welcome=1"));
    let second = gate.handed_over(0);
    assert!(!first.welcome);
    assert!(second.welcome);
    assert_ne!(first.id, second.id);
}

#[test]
fn an_accepted_socket_has_the_listeners_options() {
    let gate = Gate::open(&[10], settings());
    let _client = ask(gate.address, &upgrade("/ws"));
    let socket = socket2::Socket::from(gate.handed_over(0).descriptor);
    assert!(socket.tcp_nodelay().unwrap());
    assert_eq!(socket.tcp_notsent_lowat().unwrap(), 64 * 1024);
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(options().user_timeout));
    assert!(!socket.keepalive().unwrap());
}

#[test]
fn keepalive_tcp_sets_the_kernels_probes() {
    let options = engine::accept::SocketOptions {
        probes: Some((Duration::from_secs(25), Duration::from_millis(3_300))),
        ..options()
    };
    let listener = engine::accept::bind("127.0.0.1:0".parse().unwrap(), &options).unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let socket = socket2::Socket::from(listener.accept().unwrap().0);
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(25));
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(3));
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
}

#[test]
fn a_taken_port_is_named() {
    let first = engine::accept::bind("127.0.0.1:0".parse().unwrap(), &options()).unwrap();
    let address = first.local_addr().unwrap();
    let error = engine::accept::bind(address, &options()).unwrap_err().to_string();
    assert!(error.contains(&address.to_string()) && error.contains("taken"), "{error}");
}

#[test]
fn every_refusal_reaches_a_real_client() {
    let mut settings = settings();
    settings.allowed_origins = vec!["https://app.example".to_owned()];
    let gate = Gate::open(&[10], settings);
    let post = upgrade("/ws").replacen("GET", "POST", 1);
    let old = upgrade("/ws").replacen("Version: 13", "Version: 8", 1);
    let cases = [
        ("GET /ws HTTP/1.1\r\nHost: test\r\n\r\n".to_owned(), 400),
        ("not http at all\r\n\r\n".to_owned(), 400),
        ("\u{16}\u{3}\u{1}".to_owned(), 400),
        (upgrade_with("/ws", "Origin: https://evil.example\r\n"), 403),
        (upgrade("/"), 404),
        (upgrade("/ws/"), 404),
        (post, 405),
        ("HEAD /ws HTTP/1.1\r\nHost: test\r\n\r\n".to_owned(), 405),
        (upgrade_with("/ws", "Content-Length: 5\r\n") + "hello", 413),
        (old, 426),
        (upgrade_with("/ws", &format!("Cookie: {}\r\n", "c".repeat(16 * 1024))), 431),
    ];
    for (request, status) in &cases {
        let (_, answer) = ask(gate.address, request);
        assert_eq!(answer.status, *status, "{request:.60}: {answer:?}");
        assert!(!answer.reason().is_empty());
    }
    let metrics = &gate.metrics;
    assert_eq!(metrics.refused_malformed.get(), 3);
    assert_eq!(metrics.refused_origin.get(), 1);
    assert_eq!(metrics.refused_unsupported.get(), 5);
    assert_eq!(metrics.refused_too_large.get(), 2);
    assert_eq!(metrics.accepted.get(), cases.len() as u64);
    assert_eq!(gate.loads(), [0], "a refusal leaves no reservation");
}

#[test]
fn an_allowed_origin_and_a_client_without_one_are_let_in() {
    let mut settings = settings();
    settings.allowed_origins = vec!["https://app.example".to_owned()];
    let gate = Gate::open(&[10], settings);
    for headers in ["Origin: https://APP.example\r\n", ""] {
        let (_, answer) = ask(gate.address, &upgrade_with("/ws", headers));
        assert_eq!(answer.status, 101);
    }
    let (_, answer) = ask(gate.address, &upgrade_with("/ws", "Origin: https://app.example.evil\r\n"));
    assert_eq!(answer.status, 403);
}

#[test]
fn the_one_too_many_reads_a_503_and_the_next_gets_the_place_that_was_left() {
    let gate = Gate::open(&[1, 1], settings());
    let _held = [ask(gate.address, &upgrade("/ws")), ask(gate.address, &upgrade("/ws"))];
    let first = gate.handed_over(0);
    let _second = gate.handed_over(1);

    let (_, answer) = ask(gate.address, &upgrade("/ws"));
    assert_eq!((answer.status, answer.reason().as_str()), (503, "full"));
    let wait: u32 = answer.header("Retry-After").unwrap().parse().unwrap();
    assert!((5..=15).contains(&wait), "{wait}");
    assert_eq!(gate.metrics.refused_full.get(), 1);

    drop(first.reservation);
    assert_eq!(ask(gate.address, &upgrade("/ws")).1.status, 101);
    assert_eq!(gate.loads(), [1, 1]);
}

#[test]
fn a_refusal_is_not_eaten_by_a_reset_when_the_client_goes_on_sending() {
    let gate = Gate::open(&[0], settings());
    for _ in 0..20 {
        let mut client = connect(gate.address);
        client.write_all(upgrade("/ws").as_bytes()).unwrap();
        // Frames of an eager client: unread when the server answers, and more of them afterwards.
        for _ in 0..64 {
            client.write_all(&[0x81; 1_024]).unwrap();
        }
        let answer = read_answer(&mut client);
        assert_eq!((answer.status, answer.reason().as_str()), (503, "full"));
    }
}

#[test]
fn a_burst_never_overshoots_and_spreads_evenly() {
    let capacities = [34, 33, 33];
    let gate = Gate::open(&capacities, settings());
    // 300 requests are in the backlog before any client reads its answer.
    let mut clients: Vec<TcpStream> = (0..300).map(|_| connect(gate.address)).collect();
    for client in &mut clients {
        client.write_all(upgrade("/ws").as_bytes()).unwrap();
    }
    let statuses: Vec<u16> = clients.iter_mut().map(|client| read_answer(client).status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 101).count(), 100);
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 200);
    assert_eq!(gate.loads(), capacities);

    // Reservations are held by connections in the inboxes: nobody has read them yet.
    let handed_over = gate.all_handed_over();
    assert_eq!(handed_over.iter().map(Vec::len).collect::<Vec<_>>(), capacities);
    drop(handed_over);
    assert_eq!(gate.loads(), [0, 0, 0]);
}
