//! ListOffsets: offsets of many partitions, one request to each broker that leads some of them.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_resp_err_t as Code;

use crate::Error;
use crate::client::Client;
use crate::clock::now;
use crate::native::text_at;
use crate::request::{Answer, Kind, Request};

/// librdkafka merges the brokers' answers by comparing each with each: more in one request cost its thread too long.
const AT_ONCE: usize = 500;
/// How an answer says that there is no such offset, and how it looks where no answer came.
const NONE: i64 = -1;

/// Which offset is asked for, as the protocol counts them: the end, the start, or a time.
pub(crate) const END: i64 = -1;
pub(crate) const START: i64 = -2;

/// One that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Item {
    pub(crate) topic: CString,
    pub(crate) partition: i32,
    /// [`END`], [`START`] or a time in Unix ms.
    pub(crate) spec: i64,
}

/// The offsets, in the order of the items; None where there is none (no record with that time).
pub(crate) fn list(
    client: &Arc<Client>,
    items: &[Item],
    committed: bool,
    timeout: Duration,
) -> Vec<Result<Option<i64>, Error>> {
    let deadline = now() + timeout;
    let silent = || Err(Error::Unreachable("the partition's leader did not answer".to_owned()));
    let mut found: Vec<Result<Option<i64>, Error>> = items.iter().map(|_| silent()).collect();
    let mut left: Vec<usize> = (0..items.len()).collect();
    while !left.is_empty() {
        let (these, others) = split(items, &left);
        left = others;
        let time = deadline.saturating_duration_since(now()).max(Duration::from_millis(50));
        match ask(client, items, &these, committed, time) {
            Ok(answers) => these.iter().zip(answers).for_each(|(&at, answer)| found[at] = answer),
            Err(error) => these.iter().for_each(|&at| found[at] = Err(error.clone())),
        }
    }
    found
}

/// What goes into one request: a partition once, and not too many. And the rest.
fn split(items: &[Item], left: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut met = HashSet::new();
    left.iter().partition(|&&at| {
        met.len() < AT_ONCE && met.insert((items[at].topic.as_c_str(), items[at].partition))
    })
}

type Answers = Vec<Result<Option<i64>, Error>>;

fn ask(
    client: &Arc<Client>,
    items: &[Item],
    these: &[usize],
    committed: bool,
    timeout: Duration,
) -> Result<Answers, Error> {
    let request = Request::new(client, Kind::ListOffsets, timeout)?;
    if committed {
        request.committed()?;
    }
    let list = List::of(these.iter().map(|&at| &items[at]));
    let answer = request.send(|client, options, queue| {
        // SAFETY: client, list, options and queue are alive; librdkafka copies list and options, holds the queue.
        unsafe { sys::rd_kafka_ListOffsets(client, list.0.as_ptr(), options, queue) };
    })?;
    read(&answer, items, these).ok_or_else(|| answer.failure())
}

/// The answers in the order of the request. None: the request as a whole failed.
fn read(answer: &Answer, items: &[Item], these: &[usize]) -> Option<Answers> {
    // SAFETY: the answer is alive; null for another kind of answer.
    let result = unsafe { sys::rd_kafka_event_ListOffsets_result(answer.raw()) };
    if result.is_null() || answer.failed() {
        return None;
    }
    let mut count = 0;
    // SAFETY: the result is the answer under another name.
    let infos = unsafe { sys::rd_kafka_ListOffsets_result_infos(result, &raw mut count) };
    if count != these.len() || infos.is_null() {
        return None;
    }
    let one = |(index, &at): (usize, &usize)| {
        // SAFETY: the list has `count` pointers.
        let place = unsafe { infos.add(index) };
        // SAFETY: as above.
        let info = unsafe { place.read() };
        // SAFETY: it belongs to the answer.
        let element = unsafe { sys::rd_kafka_ListOffsetsResultInfo_topic_partition(info) };
        // SAFETY: the element belongs to the answer.
        unsafe { read_element(element, &items[at]) }
    };
    these.iter().enumerate().map(one).collect()
}

/// None: it is not the answer to this item.
///
/// # Safety
///
/// `element` must be alive.
unsafe fn read_element(
    element: *const sys::rd_kafka_topic_partition_t,
    item: &Item,
) -> Option<Result<Option<i64>, Error>> {
    // SAFETY: only an address is made.
    let topic = unsafe { &raw const (*element).topic };
    // SAFETY: the element is alive.
    let topic = unsafe { topic.read() };
    // SAFETY: the name belongs to the element.
    let topic = unsafe { CStr::from_ptr(topic) };
    // SAFETY: only an address is made.
    let partition = unsafe { &raw const (*element).partition };
    // SAFETY: the element is alive.
    if topic != item.topic.as_c_str() || unsafe { partition.read() } != item.partition {
        return None;
    }
    // SAFETY: only an address is made.
    let code = unsafe { &raw const (*element).err };
    // SAFETY: the element is alive; read as a number, for it may be a broker's code that the enum lacks.
    let code = unsafe { code.cast::<i32>().read() };
    if code != 0 {
        return Some(Err(judge(code, item)));
    }
    // SAFETY: only an address is made.
    let offset = unsafe { &raw const (*element).offset };
    // SAFETY: the element is alive.
    let offset = unsafe { offset.read() };
    Some(match offset {
        0.. => Ok(Some(offset)),
        NONE => Ok(None),
        // Its broker did not answer.
        _ => Err(Error::Unreachable("the partition's leader did not answer".to_owned())),
    })
}

fn judge(code: i32, item: &Item) -> Error {
    let name = || format!("{} [{}]", item.topic.to_string_lossy(), item.partition);
    let Ok(code) = Code::try_from(code) else {
        return Error::Refused(format!("{}: error {code}", name()));
    };
    // SAFETY: any code has a text, and it is static.
    let text = unsafe { sys::rd_kafka_err2str(code) };
    // SAFETY: as above.
    let text = format!("{}: {}", name(), unsafe { text_at(text) });
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest of 200 codes are brokers' refusals")]
    match code {
        Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
        | Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID
        | Code::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
        | Code::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION => Error::Unknown(text),
        Code::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE
        | Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION
        | Code::RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE
        | Code::RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE
        | Code::RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE
        | Code::RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH
        | Code::RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH
        | Code::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR
        | Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT
        | Code::RD_KAFKA_RESP_ERR__IN_PROGRESS
        | Code::RD_KAFKA_RESP_ERR__TIMED_OUT
        | Code::RD_KAFKA_RESP_ERR__TRANSPORT
        | Code::RD_KAFKA_RESP_ERR__NOENT => Error::Unreachable(text),
        _ => Error::Refused(text),
    }
}

/// A list of partitions with what is asked for each.
struct List(NonNull<sys::rd_kafka_topic_partition_list_t>);

impl List {
    fn of<'a>(items: impl Iterator<Item = &'a Item>) -> Self {
        // SAFETY: takes a number.
        let list = unsafe { sys::rd_kafka_topic_partition_list_new(8) };
        // librdkafka aborts when memory is out.
        let list = Self(
            NonNull::new(list)
                .unwrap_or_else(|| std::alloc::handle_alloc_error(std::alloc::Layout::new::<i64>())),
        );
        for item in items {
            // SAFETY: list and name are alive; the name is copied.
            let element = unsafe {
                sys::rd_kafka_topic_partition_list_add(list.0.as_ptr(), item.topic.as_ptr(), item.partition)
            };
            // SAFETY: only an address is made.
            let place = unsafe { &raw mut (*element).offset };
            // SAFETY: the element was just added, and nobody else knows it.
            unsafe { place.write(item.spec) };
        }
        list
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: the one destroy of this list.
        unsafe { sys::rd_kafka_topic_partition_list_destroy(self.0.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_a_partition_once() {
        let item = |partition, spec| Item { topic: c"t".to_owned(), partition, spec };
        let items = [item(0, 5), item(1, 5), item(0, 6), item(0, 7)];
        assert_eq!(split(&items, &[0, 1, 2, 3]), (vec![0, 1], vec![2, 3]));
        assert_eq!(split(&items, &[2, 3]), (vec![2], vec![3]));
        let many: Vec<Item> = (0..i32::try_from(AT_ONCE).unwrap() + 1).map(|n| item(n, END)).collect();
        let all: Vec<usize> = (0..many.len()).collect();
        assert_eq!(split(&many, &all).1, [AT_ONCE]);
    }

    #[test]
    fn codes_are_blamed() {
        let item = Item { topic: c"t".to_owned(), partition: 3, spec: END };
        assert!(matches!(judge(5, &item), Error::Unreachable(text) if text.starts_with("t [3]: ")));
        assert!(matches!(judge(3, &item), Error::Unknown(_)));
        assert!(matches!(judge(29, &item), Error::Refused(_)));
        assert_eq!(judge(12_345, &item), Error::Refused("t [3]: error 12345".to_owned()));
    }
}
