//! Routes: from a record to the names of its channels, and from a name to the topics that could fill it.

use std::sync::Arc;

use crate::config::{Oversized, Route};

/// Topics whose routes can make a name, as a number of [`Routes`].
pub(crate) type TopicSet = u32;

/// The routes of one topic, in their order.
#[derive(Debug, Clone)]
pub(crate) struct TopicRoutes {
    topic: Arc<str>,
    routes: Arc<[Route]>,
    wants_headers: bool,
    stops: bool,
}

impl TopicRoutes {
    /// The topic's name.
    pub(crate) fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.routes.len()
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Route] {
        &self.routes
    }

    /// Some route reads headers, for the channel's name or for the message.
    pub(crate) fn wants_headers(&self) -> bool {
        self.wants_headers
    }

    /// Some route stops at a value above the limit.
    pub(crate) fn stops(&self) -> bool {
        self.stops
    }
}

/// All routes, and the sets of topics that names have led to.
#[derive(Debug)]
pub(crate) struct Routes {
    routes: Arc<[Route]>,
    /// Interned: very few, for names of one kind are made by the same routes.
    sets: Vec<Arc<[Arc<str>]>>,
    /// Names of all routed topics, shared by the sets.
    topics: Vec<Arc<str>>,
}

impl Routes {
    /// `name_bytes_max` bounds the names they make.
    pub(crate) fn new(routes: &[Route], name_bytes_max: usize) -> Self {
        let mut topics: Vec<Arc<str>> = Vec::new();
        for route in routes {
            if !topics.iter().any(|topic| **topic == route.topic) {
                topics.push(Arc::from(route.topic.as_str()));
            }
        }
        Self {
            routes: routes.iter().map(|route| route.bounded(name_bytes_max)).collect(),
            sets: Vec::new(),
            topics,
        }
    }

    /// Names of all routed topics.
    pub(crate) fn topics(&self) -> &[Arc<str>] {
        &self.topics
    }

    /// The routes of a topic.
    pub(crate) fn of_topic(&self, topic: &str) -> TopicRoutes {
        let wants_headers =
            |route: &Route| !route.headers.is_empty() || route.template.header_names().next().is_some();
        let routes: Arc<[Route]> = self.routes.iter().filter(|route| route.topic == topic).cloned().collect();
        TopicRoutes {
            topic: Arc::from(topic),
            wants_headers: routes.iter().any(wants_headers),
            stops: routes.iter().any(|route| route.oversized == Oversized::Stop),
            routes,
        }
    }

    /// The topics that could fill a channel of this name; none: no route can make it.
    pub(crate) fn topics_of(&mut self, name: &str) -> Option<TopicSet> {
        let makes = |topic: &str| {
            self.routes.iter().any(|route| route.topic == topic && route.template.could_make(topic, name))
        };
        let found: Vec<&Arc<str>> = self.topics.iter().filter(|topic| makes(topic)).collect();
        if found.is_empty() {
            return None;
        }
        let known = self.sets.iter().position(|set| set.iter().eq(found.iter().copied()));
        let index = known.unwrap_or_else(|| {
            let set = found.into_iter().cloned().collect();
            self.sets.push(set);
            self.sets.len() - 1
        });
        Some(TopicSet::try_from(index).expect("fewer sets than names"))
    }

    /// The topics of a set.
    pub(crate) fn set(&self, set: TopicSet) -> &Arc<[Arc<str>]> {
        &self.sets[set as usize]
    }
}
