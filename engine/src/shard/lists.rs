//! Connections that owe something after their flush, listed by the eighth of the slab in which their oldest owed entry
//! lies. When a floor moves, only the lists below it are looked at; moving a connection is O(1).

use super::subscriptions::NIL;

/// More than the eighths that can be alive at once: each ends with an eighth of the entries or of the bytes.
const HEADS: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Node {
    previous: u32,
    next: u32,
    /// The eighth in whose list it stands.
    eighth: u32,
    listed: bool,
}

const UNLISTED: Node = Node { previous: NIL, next: NIL, eighth: 0, listed: false };

/// One doubly linked list an eighth.
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
    /// Puts the connection into the list of `eighth`, out of any other.
    pub(crate) fn insert(&mut self, connection: u32, eighth: u32) {
        self.remove(connection);
        if connection as usize >= self.nodes.len() {
            self.nodes.resize(connection as usize + 1, UNLISTED);
        }
        let head = &mut self.heads[eighth as usize % HEADS];
        let next = std::mem::replace(head, connection);
        self.nodes[connection as usize] = Node { previous: NIL, next, eighth, listed: true };
        if next != NIL {
            debug_assert_eq!(self.nodes[next as usize].eighth, eighth, "more eighths alive than lists");
            self.nodes[next as usize].previous = connection;
        }
    }

    /// Takes the connection out of its list, if it stands in one.
    pub(crate) fn remove(&mut self, connection: u32) {
        let Some(&node) = self.nodes.get(connection as usize).filter(|node| node.listed) else { return };
        if node.previous == NIL {
            self.heads[node.eighth as usize % HEADS] = node.next;
        } else {
            self.nodes[node.previous as usize].next = node.next;
        }
        if node.next != NIL {
            self.nodes[node.next as usize].previous = node.previous;
        }
        self.nodes[connection as usize] = UNLISTED;
    }

    /// The connection stands in a list.
    pub(crate) fn has(&self, connection: u32) -> bool {
        self.nodes.get(connection as usize).is_some_and(|node| node.listed)
    }

    /// Any connection of this eighth's list.
    pub(crate) fn first(&self, eighth: u32) -> Option<u32> {
        let head = self.heads[eighth as usize % HEADS];
        (head != NIL && self.nodes[head as usize].eighth == eighth).then_some(head)
    }
}
