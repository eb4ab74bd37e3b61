//! The suite on the kernel, over real sockets on the loopback interface.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ring::{KernelRing, Setup};
use socket2::{Domain, SockRef, Socket, Type};

use crate::harness::{Peer, World};

pub(crate) struct Kernel;

pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Far longer than anything takes, so that a test fails and does not hang.
const PATIENCE: Duration = Duration::from_secs(10);

impl World for Kernel {
    type Ring = KernelRing;
    type Peer = TcpStream;

    fn ring(&self, setup: &Setup) -> KernelRing {
        KernelRing::new(setup).unwrap()
    }

    fn connect(&self) -> (OwnedFd, TcpStream) {
        let listener = TcpListener::bind(LOOPBACK).unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, _) = listener.accept().unwrap();
        ours.set_nodelay(true).unwrap();
        peer.set_nodelay(true).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        (ours.into(), peer)
    }

    fn connect_tight(&self) -> (OwnedFd, TcpStream) {
        // TCP probes and makes windows larger, so what was full takes a little more some time later; this does not.
        let (ours, peer) = UnixStream::pair().unwrap();
        // All that is used of the type works on any stream.
        let peer = TcpStream::from(OwnedFd::from(peer));
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        (ours.into(), peer)
    }

    fn socket(&self) -> OwnedFd {
        Socket::new(Domain::IPV4, Type::STREAM, None).unwrap().into()
    }

    fn listen(&self, dial: impl FnOnce(SocketAddr)) -> TcpStream {
        let listener = TcpListener::bind(LOOPBACK).unwrap();
        dial(listener.local_addr().unwrap());
        let (peer, _) = listener.accept().unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        peer
    }

    fn nobody(&self) -> SocketAddr {
        // Closed at once; the kernel does not give the port to the next who asks for any.
        let listener = TcpListener::bind(LOOPBACK).unwrap();
        listener.local_addr().unwrap()
    }
}

impl Peer for TcpStream {
    fn write(&mut self, bytes: &[u8]) {
        self.write_all(bytes).unwrap();
    }

    fn read_exactly(&mut self, bytes: usize) -> Vec<u8> {
        let mut read = vec![0; bytes];
        self.read_exact(&mut read).unwrap();
        read
    }

    fn half_close(&mut self) {
        self.shutdown(std::net::Shutdown::Write).unwrap();
    }

    fn reset(self) {
        SockRef::from(&self).set_linger(Some(Duration::ZERO)).unwrap();
    }

    fn ends_with_fin(&mut self) -> bool {
        match Read::read(self, &mut [0]) {
            Ok(0) => true,
            Ok(_) => panic!("something was unread"),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error}"),
        }
    }
}

crate::suite::contract!(Kernel);
