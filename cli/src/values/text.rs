//! Texts that are passed on as they are, once their form is right.

/// `SCHEME://HOST[:PORT]`, as browsers send it (RFC 6454 6.2).
pub(crate) fn origin(text: &str) -> Result<String, String> {
    let expected = || "expected an origin such as https://app.example, without a path".to_owned();
    let (scheme, host) = text.split_once("://").ok_or_else(expected)?;
    if scheme.is_empty() || host.is_empty() || host.contains(['/', '?', '#', '*', ' ']) {
        return Err(expected());
    }
    Ok(text.to_owned())
}

/// What tracing's filter understands.
pub(crate) fn log_level(text: &str) -> Result<String, String> {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let simple = !text.contains(['=', ',']);
    if simple && !levels.contains(&text.to_ascii_lowercase().as_str()) {
        return Err(format!("expected {} or directives such as info,engine=debug", levels.join(", ")));
    }
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_and_levels() {
        assert_eq!(origin("https://app.example:8443").unwrap(), "https://app.example:8443");
        for wrong in ["", "app.example", "https://", "https://a/", "https://*.example", "*"] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
        assert_eq!(log_level("info,engine::ingest=debug").unwrap(), "info,engine::ingest=debug");
        assert!(log_level("WARN").is_ok());
        for wrong in ["", "loud", "engine=loud"] {
            assert!(log_level(wrong).is_err(), "{wrong}");
        }
    }
}
