//! Connections that owe something after their flush, listed by the segment of the slab in which their oldest owed entry
//! lies. When a floor moves, only the lists below it are looked at; moving a connection is O(1).

use super::subscriptions::NIL;

/// More than the segments that can be alive at once: each ends with an eighth of the entries or of the bytes.
const HEADS: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Node {
    previous: u32,
    next: u32,
    /// The segment in whose list it is.
    segment: u32,
    listed: bool,
}

const UNLISTED: Node = Node { previous: NIL, next: NIL, segment: 0, listed: false };

/// One doubly linked list a segment.
#[derive(Debug)]
pub(crate) struct Lists {
    heads: [u32; HEADS],
    nodes: Vec<Node>,
}

impl Default for Lists {
    fn default() -> Self {
        Self { heads: [NIL; HEADS], nodes: Vec::new() }
    }
}

impl Lists {
    /// Puts the connection into the list of `segment`, out of any other.
    pub(crate) fn insert(&mut self, connection: u32, segment: u32) {
        self.remove(connection);
        if connection as usize >= self.nodes.len() {
            self.nodes.resize(connection as usize + 1, UNLISTED);
        }
        let head = &mut self.heads[segment as usize % HEADS];
        let next = std::mem::replace(head, connection);
        self.nodes[connection as usize] = Node { previous: NIL, next, segment, listed: true };
        if next != NIL {
            debug_assert_eq!(self.nodes[next as usize].segment, segment, "more segments alive than lists");
            self.nodes[next as usize].previous = connection;
        }
    }

    /// Takes the connection out of its list, if it is in one.
    pub(crate) fn remove(&mut self, connection: u32) {
        let Some(&node) = self.nodes.get(connection as usize).filter(|node| node.listed) else { return };
        if node.previous == NIL {
            self.heads[node.segment as usize % HEADS] = node.next;
        } else {
            self.nodes[node.previous as usize].next = node.next;
        }
        if node.next != NIL {
            self.nodes[node.next as usize].previous = node.previous;
        }
        self.nodes[connection as usize] = UNLISTED;
    }

    /// The connection is in a list.
    pub(crate) fn has(&self, connection: u32) -> bool {
        self.nodes.get(connection as usize).is_some_and(|node| node.listed)
    }

    /// Any connection of this segment's list.
    pub(crate) fn first(&self, segment: u32) -> Option<u32> {
        let head = self.heads[segment as usize % HEADS];
        (head != NIL && self.nodes[head as usize].segment == segment).then_some(head)
    }
}
