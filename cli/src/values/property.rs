//! librdkafka properties.

use std::fmt;

/// A librdkafka property. Its value may be a secret and is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Property {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Property").field("key", &self.key).finish_non_exhaustive()
    }
}

/// `KEY=VALUE`, the value as it is or from `@file:PATH` (without its last line end) or `@env:NAME`.
pub(crate) fn property(text: &str) -> Result<Property, String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    let key = key.trim();
    if key.is_empty() {
        return Err("the property has no name".to_owned());
    }
    let value = if let Some(path) = value.strip_prefix("@file:") {
        let text =
            std::fs::read_to_string(path).map_err(|error| format!("{key}: cannot read {path}: {error}"))?;
        text.strip_suffix('\n')
            .map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text))
            .to_owned()
    } else if let Some(name) = value.strip_prefix("@env:") {
        std::env::var(name).map_err(|_| format!("{key}: the environment has no variable {name}"))?
    } else {
        value.to_owned()
    };
    Ok(Property { key: key.to_owned(), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_and_where_secrets_come_from() {
        assert_eq!(property("a.b=c=d").unwrap(), Property { key: "a.b".to_owned(), value: "c=d".to_owned() });
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "s3cret \n").unwrap();
        let from_file = property(&format!("sasl.password=@file:{}", path.display())).unwrap();
        assert_eq!(from_file.value, "s3cret ");
        assert!(!format!("{from_file:?}").contains("s3cret"));
        let error = property("sasl.password=@file:/nonexistent/secret").unwrap_err();
        assert!(error.contains("sasl.password") && error.contains("/nonexistent/secret"), "{error}");
        let error = property("sasl.password=@env:URINGCAST_NO_SUCH_VARIABLE").unwrap_err();
        assert!(error.contains("URINGCAST_NO_SUCH_VARIABLE"), "{error}");
        assert_eq!(property("p=@env:PATH").unwrap().value, std::env::var("PATH").unwrap());
        for wrong in ["", "a", "=b"] {
            assert!(property(wrong).is_err(), "{wrong}");
        }
    }
}
