//! What librdkafka tells of topics and leaders in its debug log, and nowhere else.
//!
//! When a topic is made anew, the next fetch fails for its unknown id; librdkafka then looks up the new id and fetches on
//! at the old offset without telling anybody. But before it uses the new id, or a new leader, it says so in its log
//! (context `metadata`, a few lines for each metadata answer), and that line lies in the main queue before any record fetched afterwards lies in the records'
//! queue. So who serves the main queue after taking a batch knows of every change before the first record behind it.
//!
//! Read from these lines (2.12.1: `rdkafka_topic.c`):
//!
//! ```text
//! METADATA  Topic NAME changed id from ID to ID
//! METADATA  Topic NAME [P] Leader N Epoch N
//! METADATA  Error in metadata reply for topic NAME (PartCnt N): WORDS
//! ```

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::TopicId;

/// What a change means for who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The topic is another one: its log and its leader epochs have nothing to do with what was read.
    Anew,
    Doubt,
    Refused,
}

/// A change that was seen: of one partition, or of all of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) topic: String,
    pub(crate) partition: Option<i32>,
    pub(crate) meaning: Meaning,
    pub(crate) text: String,
}

/// What is known of the topics by now. Bounded by the topics that the client has been asked about, and their partitions.
#[derive(Debug, Default)]
pub(crate) struct Known {
    topics: HashMap<String, Topic>,
    /// Changes that nobody has taken, the last one of each partition.
    pending: BTreeMap<(String, Option<i32>), (Meaning, String)>,
    stuck: bool,
}

#[derive(Debug, Default)]
struct Topic {
    id: Option<String>,
    /// What the cluster said of the topic instead of describing it.
    trouble: Option<String>,
    leaders: HashMap<i32, Leader>,
    /// The id is not the first one: leader epochs have begun anew.
    anew: bool,
    /// Partitions of which an older leader epoch was told.
    outdated: HashSet<i32>,
}

/// -1 is none, for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Leader {
    id: i32,
    epoch: i32,
}

/// How librdkafka writes an id that it does not know.
const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

impl Known {
    /// Looks at a line of the log.
    pub(crate) fn hear(&mut self, facility: &str, message: &str) {
        if facility != "METADATA" {
            return;
        }
        let text = without_thread(message);
        if let Some(rest) = text.strip_prefix("Error in metadata reply for topic ") {
            let Some((name, words)) = rest.split_once(" (PartCnt ") else { return };
            self.hear_trouble(name, words.split_once("): ").map_or(words, |(_, words)| words));
        } else if let Some(rest) = text.strip_prefix("Topic ") {
            if let Some((name, ids)) = rest.split_once(" changed id from ") {
                let Some((from, to)) = ids.split_once(" to ") else { return };
                self.hear_id(name, from, to);
            } else if let Some((name, number, leader)) = leader(rest) {
                self.hear_leader(name, number, leader);
            }
        }
    }

    fn topic(&mut self, name: &str) -> &mut Topic {
        if !self.topics.contains_key(name) {
            self.topics.insert(name.to_owned(), Topic::default());
        }
        self.topics.get_mut(name).expect("it is there by now")
    }

    fn hear_id(&mut self, name: &str, from: &str, to: &str) {
        if to == NO_ID {
            // A broker that is yet to be upgraded has answered: that it knows no ids makes the topic no other.
            return self.note(name, None, Meaning::Doubt, "a broker knows no id of the topic");
        }
        let topic = self.topic(name);
        let before = topic.id.replace(to.to_owned());
        let before = before.or_else(|| (from != NO_ID).then(|| from.to_owned()));
        if let Some(before) = before.filter(|before| before != to) {
            topic.anew = true;
            topic.outdated.clear();
            self.note(name, None, Meaning::Anew, &format!("the topic's id was {before} and is {to}"));
        }
    }

    fn hear_trouble(&mut self, name: &str, words: &str) {
        let topic = self.topic(name);
        if topic.trouble.as_deref() != Some(words) {
            topic.trouble = Some(words.to_owned());
            let refused = words.contains("authorization failed");
            let meaning = if refused { Meaning::Refused } else { Meaning::Doubt };
            self.note(name, None, meaning, words);
        }
    }

    fn hear_leader(&mut self, name: &str, number: i32, now: Leader) {
        let topic = self.topic(name);
        let known = topic.leaders.get(&number).copied();
        let was_in_trouble = topic.trouble.take().is_some();
        if known.is_some_and(|known| now.epoch >= 0 && now.epoch < known.epoch) {
            // librdkafka never takes an older epoch. Those of a topic made anew are all older, so it would ask the
            // leader of the old topic for ever.
            let (stuck, told) = (topic.anew, !topic.outdated.insert(number));
            self.stuck |= stuck;
            if !told {
                self.note(name, Some(number), Meaning::Doubt, "a broker names an older leader epoch");
            }
        } else {
            topic.outdated.remove(&number);
            topic.leaders.insert(number, now);
            if known.is_some_and(|known| known != now) || (known.is_none() && now.id < 0) {
                let text = if now.id < 0 {
                    "the partition has no leader".to_owned()
                } else {
                    format!("the partition's leader is {} (epoch {})", now.id, now.epoch)
                };
                self.note(name, Some(number), Meaning::Doubt, &text);
            }
        }
        if was_in_trouble {
            self.note(name, None, Meaning::Doubt, "the cluster describes the topic again");
        }
    }

    fn note(&mut self, topic: &str, partition: Option<i32>, meaning: Meaning, text: &str) {
        let anew = self.pending.get(&(topic.to_owned(), partition)).is_some_and(|(m, _)| *m == Meaning::Anew);
        let meaning = if anew { Meaning::Anew } else { meaning };
        self.pending.insert((topic.to_owned(), partition), (meaning, text.to_owned()));
    }

    /// The changes since the last call.
    pub(crate) fn take(&mut self) -> Vec<Change> {
        let pending = std::mem::take(&mut self.pending).into_iter();
        pending
            .map(|((topic, partition), (meaning, text))| Change { topic, partition, meaning, text })
            .collect()
    }

    /// Whether the client cannot go on with a topic made anew. Told once: another client has forgotten the old epochs.
    pub(crate) fn is_stuck(&mut self) -> bool {
        let stuck = std::mem::take(&mut self.stuck);
        if stuck {
            // The new client begins without epochs, and so does what is known of them.
            for topic in self.topics.values_mut().filter(|topic| topic.anew) {
                topic.anew = false;
                topic.outdated.clear();
                topic.leaders.values_mut().for_each(|leader| leader.epoch = -1);
            }
        }
        stuck
    }

    /// The id by which the client reads a topic.
    pub(crate) fn id(&self, topic: &str) -> Option<TopicId> {
        decode(self.topics.get(topic)?.id.as_deref()?)
    }
}

/// `NAME [P] Leader N Epoch N`
fn leader(text: &str) -> Option<(&str, i32, Leader)> {
    let (name, rest) = text.split_once(" [")?;
    let (number, rest) = rest.split_once("] Leader ")?;
    let (id, epoch) = rest.split_once(" Epoch ")?;
    let leader = Leader { id: id.parse().ok()?, epoch: epoch.parse().ok()? };
    Some((name, number.parse().ok()?, leader))
}

/// A log line without its beginning, `[thrd:main]: `.
fn without_thread(message: &str) -> &str {
    if !message.starts_with("[thrd:") {
        return message;
    }
    message.split_once("]: ").map_or(message, |(_, rest)| rest)
}

/// 16 bytes in base64, without the padding.
fn decode(text: &str) -> Option<TopicId> {
    let mut bits = 0_u128;
    for (at, letter) in text.bytes().enumerate() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        // 21 letters of six bits, and two bits of the last one.
        bits = if at < 21 { bits << 6 | u128::from(value) } else { bits << 2 | u128::from(value >> 4) };
    }
    (text.len() == 22).then(|| TopicId(bits.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "AQIDBAUGBwgJCgsMDQ4PEA";
    const TWO: &str = "/////////////////////w";

    fn hear(known: &mut Known, lines: &[&str]) -> Vec<(Option<i32>, Meaning, String)> {
        for line in lines {
            known.hear("METADATA", &format!("[thrd:main]: {line}"));
        }
        let changes = known.take().into_iter();
        changes
            .inspect(|change| assert_eq!(change.topic, "a.b"))
            .map(|c| (c.partition, c.meaning, c.text))
            .collect()
    }

    #[test]
    fn an_id_is_told_when_it_is_not_the_first() {
        let mut known = Known::default();
        let first = format!("Topic a.b changed id from {NO_ID} to {ONE}");
        let second = format!("Topic a.b changed id from {ONE} to {TWO}");
        assert_eq!(known.id("a.b"), None);
        assert_eq!(hear(&mut known, &[&first]), []);
        assert_eq!(known.id("a.b"), Some(TopicId([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])));
        // Another client begins without an id.
        assert_eq!(hear(&mut known, &[&first]), []);
        let text = format!("the topic's id was {ONE} and is {TWO}");
        assert_eq!(hear(&mut known, &[&second]), [(None, Meaning::Anew, text)]);
        assert_eq!(known.id("a.b"), Some(TopicId([0xff; 16])));
    }

    #[test]
    fn a_broker_that_knows_no_ids_makes_no_other_topic() {
        let mut known = Known::default();
        let line = |from: &str, to: &str| format!("Topic a.b changed id from {from} to {to}");
        hear(&mut known, &[&line(NO_ID, ONE)]);
        let doubt = vec![(None, Meaning::Doubt, "a broker knows no id of the topic".to_owned())];
        assert_eq!(hear(&mut known, &[&line(ONE, NO_ID)]), doubt);
        assert_eq!(known.id("a.b"), Some(TopicId([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])));
        assert_eq!(hear(&mut known, &[&line(NO_ID, ONE)]), []);
        let text = format!("the topic's id was {ONE} and is {TWO}");
        assert_eq!(hear(&mut known, &[&line(NO_ID, TWO)]), [(None, Meaning::Anew, text)]);
    }

    #[test]
    fn leaders_are_told_when_they_change_or_are_none() {
        let mut known = Known::default();
        let line = |leader: i32, epoch: i32| format!("Topic a.b [3] Leader {leader} Epoch {epoch}");
        let doubt = |text: &str| vec![(Some(3), Meaning::Doubt, text.to_owned())];
        assert_eq!(hear(&mut known, &[&line(1, 0), &line(1, 0)]), []);
        assert_eq!(hear(&mut known, &[&line(2, 1)]), doubt("the partition's leader is 2 (epoch 1)"));
        assert_eq!(hear(&mut known, &[&line(2, 1)]), []);
        assert_eq!(hear(&mut known, &[&line(-1, 1), &line(-1, 1)]), doubt("the partition has no leader"));
        assert_eq!(hear(&mut known, &[&line(2, 2)]), doubt("the partition's leader is 2 (epoch 2)"));
        let mut other = Known::default();
        assert_eq!(hear(&mut other, &[&line(-1, 0)]), doubt("the partition has no leader"));
    }

    #[test]
    fn a_topic_that_is_not_described_is_told_once() {
        let mut known = Known::default();
        let line = "Error in metadata reply for topic a.b (PartCnt 0): Broker: Unknown topic or partition";
        let told = |meaning, text: &str| vec![(None, meaning, text.to_owned())];
        let got = hear(&mut known, &[line]);
        assert_eq!(got, told(Meaning::Doubt, "Broker: Unknown topic or partition"));
        assert_eq!(hear(&mut known, &[line]), []);
        let line = "Error in metadata reply for topic a.b (PartCnt 0): Broker: Topic authorization failed";
        assert_eq!(hear(&mut known, &[line]), told(Meaning::Refused, "Broker: Topic authorization failed"));
        let back = "Topic a.b [0] Leader 1 Epoch 0";
        assert_eq!(hear(&mut known, &[back]), told(Meaning::Doubt, "the cluster describes the topic again"));
    }

    #[test]
    fn older_epochs_of_a_topic_made_anew_need_another_client() {
        let mut known = Known::default();
        let line = |epoch: i32| format!("Topic a.b [0] Leader 1 Epoch {epoch}");
        let doubt = vec![(Some(0), Meaning::Doubt, "a broker names an older leader epoch".to_owned())];
        assert_eq!(hear(&mut known, &[&line(3)]), []);
        assert_eq!(hear(&mut known, &[&line(0)]), doubt);
        assert_eq!(hear(&mut known, &[&line(0), &line(3)]), []);
        assert!(!known.is_stuck(), "a broker that lags behind");
        let first = format!("Topic a.b changed id from {NO_ID} to {ONE}");
        let anew = format!("Topic a.b changed id from {ONE} to {TWO}");
        assert_eq!(hear(&mut known, &[&first, &anew, &line(0)]).len(), 2);
        assert!(known.is_stuck());
        assert!(!known.is_stuck());
        hear(&mut known, &[&line(0)]);
        assert!(!known.is_stuck(), "the new client knows no old epoch");
    }

    #[test]
    fn other_lines_say_nothing() {
        let mut known = Known::default();
        for line in [
            "Topic a.b [0] Leader 1 Epoch 0",
            "Topic a.b [0] Leader none Epoch 0",
            "1/1 requested topic(s) seen in metadata",
            "  Topic a.b partition 0 Leader 2 Epoch 5",
            "Topic a.b changed id",
            "Error in metadata reply for topic a.b",
        ] {
            assert_eq!(hear(&mut known, &[line]), [], "{line}");
        }
        known.hear("FETCH", "Topic a.b [0] Leader 2 Epoch 1");
        assert_eq!(known.take(), []);
        assert_eq!(decode("short"), None);
        assert_eq!(decode("AAAAAAAAAAAAAAAAAAAA!A"), None);
    }
}
