use crate::channel::{Fields, Miss, NAME_BYTES_MAX, Template};

/// Longest name for which the search of [`makes`] is done.
const SEARCHED_BYTES_MAX: usize = 24;

/// Lines: the template, a topic, a partition's number, a key, a header's value, the name that a client asks for.
///
/// What `render` makes, `could_make` allows; and of the client's name it says what a plain search over all keys and
/// header values says.
pub fn template(input: &[u8]) {
    let (text, rest) = super::line(input);
    let (topic, rest) = super::line(rest);
    let (partition, rest) = super::line(rest);
    let (key, rest) = super::line(rest);
    let (header, asked) = super::line(rest);
    let (Ok(text), Ok(topic)) = (std::str::from_utf8(text), std::str::from_utf8(topic)) else { return };
    let Ok(template) = Template::parse(text) else { return };
    let headers: Vec<(&str, &[u8])> = template.header_names().map(|name| (name, header)).collect();
    let partition =
        partition.iter().fold(0_u32, |sum, byte| sum.wrapping_mul(251).wrapping_add((*byte).into()));
    let mut name = String::new();
    match template.render(&mut name, &Fields { topic, partition, key: Some(key), headers: &headers }) {
        Ok(()) => {
            assert!((1..=NAME_BYTES_MAX).contains(&name.len()), "{}", name.len());
            assert!(template.could_make(topic, &name), "{text:?} made {name:?}");
            assert!(name.len() > SEARCHED_BYTES_MAX || makes(text, topic, &name), "{text:?} made {name:?}");
        }
        Err(Miss::NameTooLong(len)) => assert!(len > NAME_BYTES_MAX && !template.could_make(topic, &name)),
        Err(Miss::Empty) => assert!(name.is_empty()),
        Err(Miss::KeyNotUtf8) => assert!(std::str::from_utf8(key).is_err()),
        Err(Miss::HeaderNotUtf8) => assert!(std::str::from_utf8(header).is_err()),
        Err(Miss::KeyBinary) => assert!(std::str::from_utf8(key).is_ok_and(|key| !is_text(key))),
        Err(Miss::HeaderBinary) => assert!(std::str::from_utf8(header).is_ok_and(|header| !is_text(header))),
        Err(miss @ (Miss::NoKey | Miss::NoHeader)) => panic!("{miss:?}: all are there"),
    }
    if let Ok(asked) = std::str::from_utf8(asked)
        && asked.len() <= SEARCHED_BYTES_MAX
        && template.header_names().count() <= 2
    {
        let possible = !asked.is_empty() && makes(text, topic, asked);
        assert_eq!(template.could_make(topic, asked), possible, "{text:?} {topic:?} {asked:?}");
    }
}

/// Whether the template's text, read from its front, can make this name: every way is tried.
fn makes(text: &str, topic: &str, name: &str) -> bool {
    let Some(first) = text.chars().next() else { return name.is_empty() };
    let after = |made: &str, rest: &str| name.strip_prefix(made).is_some_and(|name| makes(rest, topic, name));
    if let Some(rest) = text.strip_prefix("{{") {
        return after("{", rest);
    }
    if let Some(rest) = text.strip_prefix("}}") {
        return after("}", rest);
    }
    let Some((field, rest)) = text.strip_prefix('{').and_then(|text| text.split_once('}')) else {
        return after(first.encode_utf8(&mut [0; 4]), &text[first.len_utf8()..]);
    };
    let fronts = (0..=name.len()).filter_map(|end| name.get(..end));
    match field {
        "topic" => after(topic, rest),
        "partition" => fronts.into_iter().any(|front| {
            front.parse::<u32>().is_ok_and(|number| number.to_string() == front) && after(front, rest)
        }),
        _ => fronts.into_iter().any(|front| is_text(front) && after(front, rest)),
    }
}

/// Whether a key or header may be part of a name.
fn is_text(field: &str) -> bool {
    !field.contains('\0') && !field.starts_with(|c: char| c.is_ascii_control())
}
