//! Routes, as a flag or the file says them.

use engine::config::Oversized;
use proto::{channel::Template, native::message::Payload};
use serde::Deserialize;

/// What becomes a channel, as a flag or the file says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RouteSpec {
    pub(crate) topic: String,
    pub(crate) template: Template,
    pub(crate) payload: Payload,
    pub(crate) headers: Vec<String>,
    pub(crate) oversized: Oversized,
}

/// `TOPIC=TEMPLATE`.
pub(crate) fn route(text: &str) -> Result<RouteSpec, String> {
    let (topic, template) =
        text.split_once('=').ok_or("expected TOPIC=TEMPLATE, for example trades={key}")?;
    RouteTable {
        topic: topic.to_owned(),
        channel: template.to_owned(),
        payload: PayloadWord::Json,
        headers: Vec::new(),
        oversized: OversizedWord::Gap,
    }
    .checked()
}

/// A `[[route]]` of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteTable {
    topic: String,
    channel: String,
    #[serde(default)]
    payload: PayloadWord,
    #[serde(default)]
    headers: Vec<String>,
    #[serde(default)]
    oversized: OversizedWord,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PayloadWord {
    #[default]
    Json,
    Text,
    Binary,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OversizedWord {
    #[default]
    Gap,
    Stop,
}

impl RouteTable {
    pub(crate) fn checked(self) -> Result<RouteSpec, String> {
        if self.topic.is_empty() {
            return Err("the topic is empty".to_owned());
        }
        // Kafka's rule (Topic.validate): what it cannot have, no record will ever come from.
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if self.topic.len() > 249 || !self.topic.chars().all(legal) {
            return Err(format!("\"{}\" cannot be a topic's name", self.topic));
        }
        let template =
            Template::parse(&self.channel).map_err(|error| format!("\"{}\": {error}", self.channel))?;
        Ok(RouteSpec {
            topic: self.topic,
            template,
            payload: match self.payload {
                PayloadWord::Json => Payload::Json,
                PayloadWord::Text => Payload::Text,
                PayloadWord::Binary => Payload::Binary,
            },
            headers: self.headers,
            oversized: match self.oversized {
                OversizedWord::Gap => Oversized::Gap,
                OversizedWord::Stop => Oversized::Stop,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes() {
        let spec = route("odin.trades={key}.trade").unwrap();
        assert_eq!(spec.topic, "odin.trades");
        assert_eq!(spec.template, Template::parse("{key}.trade").unwrap());
        assert_eq!((spec.payload, spec.oversized), (Payload::Json, Oversized::Gap));
        // Only the first = separates: the rest is the template's.
        assert_eq!(route("t=a={key}").unwrap().template, Template::parse("a={key}").unwrap());
        for wrong in ["trades", "=x", "trades=", "tra des={key}", "trades={kex}", "trades={key"] {
            assert!(route(wrong).is_err(), "{wrong}");
        }
    }
}
