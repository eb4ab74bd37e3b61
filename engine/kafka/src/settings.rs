//! What a caller sets.

/// Where the brokers are, and any librdkafka property beside our own defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `HOST:PORT[,HOST:PORT...]`.
    pub brokers: String,
    /// librdkafka properties, in order; a later one wins. See `CONFIGURATION.md` of librdkafka.
    pub properties: Vec<(String, String)>,
}
