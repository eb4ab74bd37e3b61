//! Where to listen and whom to connect to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};

/// A listener's address; none: it is left out.
pub(crate) type Address = Option<SocketAddr>;
/// `HOST:PORT,...`.
pub(crate) type Brokers = String;

/// `HOST:PORT`, or `:PORT` for all addresses.
pub(crate) fn address(text: &str) -> Result<Address, String> {
    if let Some(port) = text.strip_prefix(':') {
        let port = port.parse().map_err(|_| format!("{port} is not a port (0 to 65535)"))?;
        return Ok(Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)));
    }
    if !text.contains(':') {
        return Err("expected HOST:PORT".to_owned());
    }
    let mut found = text.to_socket_addrs().map_err(|error| format!("not an address: {error}"))?;
    found.next().map(Some).ok_or_else(|| "the name has no address".to_owned())
}

/// The same, or `none`.
pub(crate) fn address_or_none(text: &str) -> Result<Address, String> {
    if text == "none" { Ok(None) } else { address(text) }
}

/// A list of `HOST:PORT`. Names are looked up by librdkafka, again and again.
pub(crate) fn brokers(text: &str) -> Result<Brokers, String> {
    let brokers: Vec<&str> = text.split(',').map(str::trim).collect();
    for broker in &brokers {
        let port = broker.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
        let port = port.ok_or_else(|| format!("\"{broker}\" is not HOST:PORT"))?;
        port.parse::<u16>().map_err(|_| format!("{port} is not a port"))?;
    }
    Ok(brokers.join(","))
}

/// `HOST:PORT` of an address that may be written as a URL.
pub(crate) fn host_of(address: &str) -> String {
    let rest = address.strip_prefix("http://").unwrap_or(address);
    rest.split('/').next().unwrap_or(rest).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(address("127.0.0.1:80").unwrap().unwrap().to_string(), "127.0.0.1:80");
        assert_eq!(address("[::1]:80").unwrap().unwrap().to_string(), "[::1]:80");
        assert_eq!(address(":3005").unwrap().unwrap().to_string(), "0.0.0.0:3005");
        assert!(address("localhost:80").unwrap().unwrap().ip().is_loopback());
        assert_eq!(address_or_none("none").unwrap(), None);
        for wrong in ["", "8080", ":x", ":70000", "127.0.0.1", "none", "1.2.3.4.5:80"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn broker_lists() {
        assert_eq!(brokers("a:1, b:2").unwrap(), "a:1,b:2");
        for wrong in ["", "a", "a:", ":9092", "a:1,,b:2", "a:99999"] {
            assert!(brokers(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_admin_address_may_be_a_url() {
        for text in ["127.0.0.1:8081", "http://127.0.0.1:8081", "http://127.0.0.1:8081/metrics"] {
            assert_eq!(host_of(text), "127.0.0.1:8081");
        }
    }
}
