//! Serves the demo's one page. It asks for nothing else, so this is all the HTTP there is.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use anyhow::Context;

/// The page; between two marks stands its configuration.
const PAGE: &str = include_str!("../../demo/index.html");
const MARK: &str = "/*CONFIG*/";
/// A browser that says nothing may hold the only thread for this long.
const PATIENCE: Duration = Duration::from_secs(2);
/// More than any browser's request has.
const REQUEST_BYTES_MAX: u64 = 16 * 1024;

/// The page with `config` in it.
pub(super) fn render(config: &serde_json::Value) -> String {
    // `</` inside a script would end it.
    let config = config.to_string().replace("</", "<\\/");
    let mut parts = PAGE.splitn(3, MARK);
    let (before, _, after) = (parts.next(), parts.next(), parts.next());
    [before.unwrap_or_default(), &config, after.unwrap_or_default()].concat()
}

/// Binds `addr` and serves `page` there until the process ends. Gives the address that was bound.
pub(super) fn serve(addr: SocketAddr, page: String) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(addr).with_context(|| format!("--page-addr {addr}"))?;
    let bound = listener.local_addr()?;
    thread::Builder::new().name("page".to_owned()).spawn(move || {
        for stream in listener.incoming().flatten() {
            // One at a time; a browser that goes away meanwhile is its own affair.
            let _ = answer(stream, &page);
        }
    })?;
    Ok(bound)
}

fn answer(stream: TcpStream, page: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.take(REQUEST_BYTES_MAX));
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, body) = match (method, path) {
        ("GET" | "HEAD", "/") => ("200 OK", page),
        ("GET" | "HEAD", _) => ("404 Not Found", "Only / is here.\n"),
        _ => ("405 Method Not Allowed", "Only GET is understood.\n"),
    };
    let kind = if status.starts_with("200") { "text/html" } else { "text/plain" };
    let mut answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
        body.len()
    );
    if method != "HEAD" {
        answer.push_str(body);
    }
    reader.into_inner().into_inner().write_all(answer.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpStream,
    };

    use super::{MARK, PAGE, render, serve};

    #[test]
    fn the_configuration_lands_between_the_marks() {
        assert_eq!(PAGE.matches(MARK).count(), 2);
        let page = render(&serde_json::json!({ "symbols": ["</script>"] }));
        assert!(page.contains(r#"const config = {"symbols":["<\/script>"]};"#), "{page}");
        assert!(page.ends_with("</html>\n"));
    }

    #[test]
    fn the_page_names_no_other_host() {
        let outside =
            PAGE.split("http").skip(1).filter(|rest| rest.starts_with("://") || rest.starts_with("s://"));
        // A namespace is a name, not an address.
        let outside: Vec<_> = outside.filter(|rest| !rest.contains("www.w3.org")).collect();
        assert!(outside.is_empty(), "{outside:?}");
    }

    #[test]
    fn one_page_and_nothing_else() {
        let addr = serve("127.0.0.1:0".parse().unwrap(), "<p>here</p>".to_owned()).unwrap();
        let ask = |request: &str| {
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        let page = ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(page.starts_with("HTTP/1.1 200 ") && page.ends_with("\r\n\r\n<p>here</p>"), "{page}");
        assert!(ask("HEAD / HTTP/1.1\r\n\r\n").ends_with("\r\n\r\n"));
        assert!(ask("GET /favicon.ico HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        assert!(ask("POST / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    }
}
