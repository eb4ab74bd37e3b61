//! Connections by key: a slot's index and the generation of its reuse, so that a late completion is recognised.

use ring::Key;

use super::connection::Connection;

/// Bits of a generation that a key carries.
const GENERATION_MASK: u32 = (1 << 24) - 1;

#[derive(Debug, Default)]
struct Place {
    generation: u32,
    connection: Option<Connection>,
}

/// The shard's connections.
#[derive(Debug, Default)]
pub(super) struct Table {
    places: Vec<Place>,
    free: Vec<u32>,
}

impl Table {
    /// Connections held.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Places there are, used or not: indices are below it.
    pub(super) fn places(&self) -> usize {
        self.places.len()
    }

    /// Puts a connection in; `make` gets its key.
    pub(super) fn insert(&mut self, make: impl FnOnce(Key) -> Connection) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            u32::try_from(self.places.len() - 1).expect("fewer than 2^32 connections")
        });
        let place = &mut self.places[index as usize];
        let key = Key::new(index, place.generation);
        place.connection = Some(make(key));
        key
    }

    /// Takes a connection out.
    pub(super) fn remove(&mut self, key: Key) -> Option<Connection> {
        let place = self.places.get_mut(key.index() as usize)?;
        if place.generation != key.generation() {
            return None;
        }
        let connection = place.connection.take()?;
        place.generation = (place.generation + 1) & GENERATION_MASK;
        self.free.push(key.index());
        Some(connection)
    }

    /// The connection of this key, unless its place has been reused.
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Connection> {
        let place = self.places.get_mut(key.index() as usize)?;
        if place.generation == key.generation() { place.connection.as_mut() } else { None }
    }

    /// The connection in this place, if any.
    pub(super) fn at(&self, index: u32) -> Option<&Connection> {
        self.places.get(index as usize)?.connection.as_ref()
    }

    /// The connection in this place, if any.
    pub(super) fn at_mut(&mut self, index: u32) -> Option<&mut Connection> {
        self.places.get_mut(index as usize)?.connection.as_mut()
    }

    /// Who holds most of what `held` counts; none: nobody holds any.
    pub(super) fn largest(&self, held: impl Fn(&Connection) -> usize) -> Option<Key> {
        self.iter()
            .filter(|client| held(client) > 0)
            .max_by_key(|client| held(client))
            .map(|client| client.key())
    }

    /// All connections.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.places.iter().filter_map(|place| place.connection.as_ref())
    }
}
