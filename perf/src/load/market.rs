//! A synthetic market: prices, trades and scores on a few hundred keys, as the demo and `uringcast produce
//! --market` send it.
//!
//! ```
//! let mut market = perf::market::Market::new(300, 7);
//! let record = market.next(1_700_000_000_000);
//! println!("{} {} {}", record.topic, record.key, record.value);
//! ```

use std::fmt::Write;

use crate::random::Random;

/// Topics of the market, and for each the template that makes its channels' names.
pub const ROUTES: [(&str, &str); 3] =
    [("prices", "{key}.price"), ("trades", "{key}.trade"), ("scores", "{key}.score")];

/// Of a hundred records, how many are prices and trades; the rest are scores.
const PRICES: usize = 60;
const TRADES: usize = 30;

/// Names of some instruments people know; the others are numbered.
const KNOWN: [&str; 12] =
    ["BTC", "ETH", "SOL", "XRP", "EURUSD", "GBPUSD", "USDJPY", "XAU", "BRENT", "SPX", "NDX", "DAX"];

/// One record of the market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarketRecord<'a> {
    /// Topic.
    pub topic: &'static str,
    /// Key: an instrument or a match.
    pub key: &'a str,
    /// Value: JSON.
    pub value: &'a str,
}

/// An instrument.
#[derive(Debug)]
struct Instrument {
    key: String,
    price: f64,
    open: f64,
    trades: u64,
}

/// A match that is played.
#[derive(Debug)]
struct Match {
    key: String,
    home: u32,
    away: u32,
    minute: u32,
}

/// The market. The same seed gives the same records, whatever the time.
#[derive(Debug)]
pub struct Market {
    random: Random,
    instruments: Vec<Instrument>,
    matches: Vec<Match>,
    value: String,
}

impl Market {
    /// A market of `keys` (at least 2) keys: nine of ten are instruments, the others matches.
    #[must_use]
    pub fn new(keys: u32, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let keys = keys.max(2) as usize;
        let matches = (keys / 10).max(1);
        let instruments = (0..keys - matches)
            .map(|number| {
                let key = KNOWN.get(number).map_or_else(|| format!("INST{number}"), |key| (*key).to_owned());
                let price = 10.0_f64.powf(1.5 + 2.5 * random.signed_unit().abs());
                Instrument { key, price, open: price, trades: 0 }
            })
            .collect();
        let matches = (1..=matches)
            .map(|number| Match { key: format!("match-{number}"), home: 0, away: 0, minute: 0 })
            .collect();
        Self { random, instruments, matches, value: String::new() }
    }

    /// Keys of the instruments.
    #[must_use]
    pub fn instruments(&self) -> Vec<&str> {
        self.instruments.iter().map(|instrument| instrument.key.as_str()).collect()
    }

    /// Keys of the matches.
    #[must_use]
    pub fn matches(&self) -> Vec<&str> {
        self.matches.iter().map(|played| played.key.as_str()).collect()
    }

    /// The next record, as of `now_ms` (Unix ms).
    pub fn next(&mut self, now_ms: u64) -> MarketRecord<'_> {
        let kind = self.random.below(100);
        if kind < PRICES + TRADES {
            self.next_of_instrument(kind, now_ms)
        } else {
            self.next_of_match(now_ms)
        }
    }

    fn next_of_instrument(&mut self, kind: usize, now_ms: u64) -> MarketRecord<'_> {
        let number = self.popular();
        let (step, size) = (self.random.signed_unit(), self.random.signed_unit().abs());
        let instrument = &mut self.instruments[number];
        self.value.clear();
        // Writing to a String cannot fail.
        if kind < PRICES {
            // A walk of at most a thousandth a step that is drawn back to where it opened.
            let back = (instrument.open - instrument.price) / instrument.open * 0.01;
            instrument.price *= 1.0 + step * 0.001 + back;
            let (price, spread) = (instrument.price, instrument.price * 0.0002);
            let change = (price / instrument.open - 1.0) * 100.0;
            let _ = write!(
                self.value,
                r#"{{"symbol":"{}","price":{price:.4},"bid":{:.4},"ask":{:.4},"change_pct":{change:.3},"ts":{now_ms}}}"#,
                instrument.key,
                price - spread,
                price + spread
            );
            MarketRecord { topic: ROUTES[0].0, key: &instrument.key, value: &self.value }
        } else {
            instrument.trades += 1;
            let side = if step > 0.0 { "buy" } else { "sell" };
            let _ = write!(
                self.value,
                r#"{{"symbol":"{}","price":{:.4},"size":{:.3},"side":"{side}","id":{},"ts":{now_ms}}}"#,
                instrument.key,
                instrument.price,
                size * 10.0 + 0.001,
                instrument.trades
            );
            MarketRecord { topic: ROUTES[1].0, key: &instrument.key, value: &self.value }
        }
    }

    fn next_of_match(&mut self, now_ms: u64) -> MarketRecord<'_> {
        let (number, luck) = (self.random.below(self.matches.len()), self.random.below(40));
        let played = &mut self.matches[number];
        if played.minute >= 90 {
            (played.home, played.away, played.minute) = (0, 0, 0);
        }
        played.minute += 1;
        played.home += u32::from(luck == 0);
        played.away += u32::from(luck == 1);
        self.value.clear();
        let _ = write!(
            self.value,
            r#"{{"match":"{}","home":{},"away":{},"minute":{},"ts":{now_ms}}}"#,
            played.key, played.home, played.away, played.minute
        );
        MarketRecord { topic: ROUTES[2].0, key: &played.key, value: &self.value }
    }

    /// An instrument; the first are traded far more often, as on real markets.
    fn popular(&mut self) -> usize {
        let count = self.instruments.len();
        let first = self.random.below(count);
        self.random.below(first + 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn records_are_json_on_all_topics_and_keys() {
        let mut market = Market::new(200, 1);
        let (mut topics, mut keys) = (HashSet::new(), HashSet::new());
        for now_ms in 0..20_000 {
            let record = market.next(now_ms);
            let value: serde_json::Value = serde_json::from_str(record.value).unwrap();
            assert_eq!(value["ts"], now_ms);
            let named = value.get("symbol").or_else(|| value.get("match")).unwrap();
            assert_eq!(named, record.key);
            assert!(value.get("price").is_none_or(|price| price.as_f64().unwrap() > 0.0));
            topics.insert(record.topic);
            keys.insert(record.key.to_owned());
        }
        assert_eq!(topics, HashSet::from(ROUTES.map(|(topic, _)| topic)));
        assert!(keys.len() > 190 && keys.contains("BTC") && keys.contains("match-1"), "{} keys", keys.len());
    }

    #[test]
    fn prices_wander_but_stay_where_they_opened() {
        let mut market = Market::new(2, 5);
        let open = market.instruments[0].open;
        for now_ms in 0..100_000 {
            market.next(now_ms);
        }
        let ratio = market.instruments[0].price / open;
        assert!((0.5..2.0).contains(&ratio) && (ratio - 1.0).abs() > 1e-9, "{ratio}");
    }

    #[test]
    fn the_same_seed_gives_the_same_records() {
        let records = |seed| {
            let mut market = Market::new(50, seed);
            (0..100).map(|now_ms| market.next(now_ms).value.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(records(3), records(3));
        assert_ne!(records(3), records(4));
    }
}
