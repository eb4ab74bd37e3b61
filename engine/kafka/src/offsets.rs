//! Offsets of one partition, as librdkafka likes to be asked and told: in a list of topics and partitions.

use std::ffi::CStr;
use std::ptr::NonNull;

use rdkafka_sys as sys;

use crate::client::Client;

/// The next offset of a partition as far as taken from the queue, errors included: librdkafka raises it behind the
/// offset of whatever it hands out. None before the first.
pub(crate) fn position(client: &Client, topic: &CStr, number: i32) -> Option<i64> {
    let list = OffsetList::of(topic, number);
    // SAFETY: client and list are alive. What it returns is always "no error".
    unsafe { sys::rd_kafka_position(client.raw(), list.raw()) };
    let offset = list.offset();
    (offset >= 0).then_some(offset)
}

/// The high watermark as the last fetch told it; None before the first, and when the last one failed.
pub(crate) fn end(client: &Client, topic: &CStr, number: i32) -> Option<i64> {
    let (mut low, mut high) = (-1_i64, -1_i64);
    // SAFETY: client and topic are alive, the two numbers are ours. Its only error leaves them as they are.
    unsafe {
        sys::rd_kafka_get_watermark_offsets(
            client.raw(),
            topic.as_ptr(),
            number,
            &raw mut low,
            &raw mut high,
        );
    }
    (high >= 0).then_some(high)
}

/// Has a partition that was just started ask its leader whether the log still leads to `offset` (KIP-320), before
/// anything is fetched. Does not wait: start and seek are orders to the same thread, in this order.
pub(crate) fn validate(client: &Client, topic: &CStr, number: i32, offset: i64, epoch: i32) {
    let list = OffsetList::of(topic, number);
    list.set(offset, epoch);
    // SAFETY: client and list are alive. No time to wait means no answer, so nothing of ours is referred to later.
    let error = unsafe { sys::rd_kafka_seek_partitions(client.raw(), list.raw(), 0) };
    // SAFETY: an error is ours to destroy, and none may be given. It would say that this is no consumer, or no list.
    unsafe { sys::rd_kafka_error_destroy(error) };
}

/// A list of one partition.
struct OffsetList(NonNull<sys::rd_kafka_topic_partition_list_t>);

impl OffsetList {
    fn of(topic: &CStr, number: i32) -> Self {
        // SAFETY: takes a number.
        let list = unsafe { sys::rd_kafka_topic_partition_list_new(1) };
        // librdkafka aborts when memory is out.
        let list = Self(
            NonNull::new(list)
                .unwrap_or_else(|| std::alloc::handle_alloc_error(std::alloc::Layout::new::<i64>())),
        );
        // SAFETY: list and name are alive; the name is copied.
        unsafe { sys::rd_kafka_topic_partition_list_add(list.raw(), topic.as_ptr(), number) };
        list
    }

    fn raw(&self) -> *mut sys::rd_kafka_topic_partition_list_t {
        self.0.as_ptr()
    }

    /// The one element that `of` added.
    fn element(&self) -> *mut sys::rd_kafka_topic_partition_t {
        // SAFETY: `of` made the list, and nothing takes elements from it.
        unsafe { self.0.as_ref() }.elems
    }

    fn offset(&self) -> i64 {
        // SAFETY: only an address is made.
        let place = unsafe { &raw const (*self.element()).offset };
        // SAFETY: the element is alive.
        unsafe { place.read() }
    }

    fn set(&self, offset: i64, epoch: i32) {
        // SAFETY: only an address is made.
        let place = unsafe { &raw mut (*self.element()).offset };
        // SAFETY: the element is alive, and nobody else looks at it.
        unsafe { place.write(offset) };
        // SAFETY: the element is alive.
        unsafe { sys::rd_kafka_topic_partition_set_leader_epoch(self.element(), epoch) };
    }
}

impl Drop for OffsetList {
    fn drop(&mut self) {
        // SAFETY: the one destroy of this list.
        unsafe { sys::rd_kafka_topic_partition_list_destroy(self.raw()) };
    }
}
