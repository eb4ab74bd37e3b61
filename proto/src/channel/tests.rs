use proptest::prelude::*;

use super::*;

const NONE: Fields<'_> = Fields { topic: "odin.trades", partition: 7, key: None, headers: &[] };

fn template(text: &str) -> Template {
    Template::parse(text).unwrap()
}

fn rendered(text: &str, fields: &Fields<'_>) -> Result<String, Miss> {
    let mut name = "left over".to_owned();
    template(text).render(&mut name, fields).map(|()| name)
}

#[test]
fn names_are_made_of_their_fields() {
    let headers: &[(&str, &[u8])] = &[("region", b"us"), ("desk", "µ".as_bytes()), ("region", b"eu")];
    let fields = Fields { key: Some("a.b {c} é".as_bytes()), headers, ..NONE };
    assert_eq!(rendered("{key}.trade", &fields).as_deref(), Ok("a.b {c} é.trade"));
    assert_eq!(rendered("{topic}/{partition}", &fields).as_deref(), Ok("odin.trades/7"));
    assert_eq!(rendered("{header:region}-{header:desk}", &fields).as_deref(), Ok("eu-µ"));
    assert_eq!(rendered("{{{partition}}}", &fields).as_deref(), Ok("{7}"));
    assert_eq!(rendered("all", &NONE).as_deref(), Ok("all"));
}

#[test]
fn a_template_is_shown_as_it_is_written() {
    for text in ["{key}.trade", "a}}{{b", "{{{topic}}}/{partition}", "{header:re gion}"] {
        assert_eq!(template(text).to_string(), text);
        assert_eq!(template(text).names_partition(), text.contains("{partition}"), "{text}");
    }
}

#[test]
fn every_miss_has_its_reason() {
    let key = |key| Fields { key: Some(key), ..NONE };
    assert_eq!(rendered("{key}", &NONE), Err(Miss::NoKey));
    assert_eq!(rendered("{key}", &key(b"\xff")), Err(Miss::KeyNotUtf8));
    assert_eq!(rendered("{header:a}", &NONE), Err(Miss::NoHeader));
    assert_eq!(
        rendered("{header:a}", &Fields { headers: &[("a", b"\xff")], ..NONE }),
        Err(Miss::HeaderNotUtf8)
    );
    assert_eq!(rendered("{key}", &key(b"\0\0\0A")), Err(Miss::KeyBinary));
    assert_eq!(
        rendered("{header:a}", &Fields { headers: &[("a", b"\0\0\0A")], ..NONE }),
        Err(Miss::HeaderBinary)
    );
    assert_eq!(rendered("{key}", &key(b"")), Err(Miss::Empty));
    assert_eq!(rendered("{key}", &key(&[b'a'; 256])), Err(Miss::NameTooLong(256)));
    assert!(rendered("{key}", &key(&[b'a'; 255])).is_ok());
    let mut name = String::new();
    assert_eq!(
        template("{key}").with_name_bytes_max(3).render(&mut name, &key(b"abcd")),
        Err(Miss::NameTooLong(4))
    );
}

/// As Kafka's IntegerSerializer and LongSerializer write them. Before, 65 made a channel and 200 did not.
#[test]
fn integers_of_all_values_meet_one_fate() {
    let is_text = |key: &[u8]| rendered("{key}", &Fields { key: Some(key), ..NONE }).is_ok();
    let powers = (0..29).flat_map(|power| [1 << power, (1 << power) + 1, (1 << power) - 1]);
    for number in (-70_000..70_000).chain(powers).chain([i32::MIN, (1 << 29) - 1, 1 << 29, i32::MAX]) {
        assert!(!is_text(&number.to_be_bytes()), "{number}");
        assert!(!is_text(&i64::from(number).to_be_bytes()), "{number}");
    }
    let mut random = crate::random::Random::new(1);
    let mut bytes = || [(); 8].map(|()| random.byte());
    for number in (0..100_000).map(|_| i64::from_be_bytes(bytes())) {
        let small = (number >> 34) as i32;
        assert!(!(0..1 << 29).contains(&small) || !is_text(&small.to_be_bytes()), "{small}");
        assert!(!is_text(&(number.unsigned_abs() >> 3).to_be_bytes()), "{number}");
        assert!(!is_text(&(-(number.unsigned_abs() >> 8).cast_signed() - 1).to_be_bytes()), "{number}");
    }
    // Milliseconds, microseconds, nanoseconds of these years, and a snowflake.
    for number in
        [1_764_331_693_123_i64, 1_764_331_693_123_456, 1_764_331_693_123_456_789, 1_994_405_678_901_231_616]
    {
        assert!(!is_text(&number.to_be_bytes()), "{number}");
    }
    for key in ["EURU", "EURUSD=X", "1234", "a\tb", "ab\tc", "a\u{1f}b", "{\"a\":1}", "µµ", " x", "\"BTC\""]
    {
        assert!(is_text(key.as_bytes()), "{key}");
    }
    for key in [&b"\0\0\0\0\x2a\x06BTC"[..], b"\0", b"a\0b", b"\tab", b"\x7fabc"] {
        assert!(!is_text(key), "{key:?}");
    }
}

#[test]
fn a_zero_byte_is_found_wherever_it_stands() {
    for len in 0..40 {
        for fill in [1, b'a', 0x7f, 0x80, 0x81, 0xff] {
            let mut bytes = vec![fill; len];
            assert!(!has_zero(&bytes), "{bytes:?}");
            for at in 0..len {
                bytes[at] = 0;
                assert!(has_zero(&bytes), "{bytes:?}");
                bytes[at] = fill;
            }
        }
    }
}

#[test]
fn what_is_no_template() {
    use TemplateError::{Empty, Repeated, Unclosed, UnknownField, Unopened};
    let cases = [
        ("", Empty),
        ("{key", Unclosed),
        ("a{", Unclosed),
        ("{{{key}}", Unopened),
        ("key}", Unopened),
        ("}{key}", Unopened),
        ("{}", UnknownField(String::new())),
        ("{KEY}", UnknownField("KEY".to_owned())),
        ("{header:}", UnknownField("header:".to_owned())),
        ("{key}-{key}", Repeated("key".to_owned())),
        ("{header:a}{header:a}", Repeated("header:a".to_owned())),
    ];
    for (text, error) in cases {
        assert_eq!(Template::parse(text), Err(error), "{text}");
    }
    assert!(TemplateError::Unclosed.to_string().starts_with("`{` without its `}`"));
    assert!(UnknownField("x".to_owned()).to_string().starts_with("`{x}` is none of {topic}, "));
}

#[test]
fn header_names_are_listed() {
    assert_eq!(template("{header:a}{key}{header:b}").header_names().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn could_make_judges_names() {
    let cases = [
        ("{key}.trade", "BTC.trade", true),
        ("{key}.trade", ".trade", true),
        ("{key}.trade", "a.trade.trade", true),
        ("{key}.trade", "trade", false),
        ("{key}.trade", "BTC.trades", false),
        ("all", "all", true),
        ("all", "al", false),
        ("p{partition}", "p0", true),
        ("p{partition}", "p4294967295", true),
        ("p{partition}", "p4294967296", false),
        ("p{partition}", "p00", false),
        ("p{partition}", "p01", false),
        ("p{partition}", "p", false),
        ("p{partition}", "p-1", false),
        ("{partition}0", "100", true),
        ("{partition}0", "00", true),
        ("{partition}0", "0", false),
        ("{topic}:{key}", "odin.trades:x", true),
        ("{topic}:{key}", "odin.orders:x", false),
        ("{key}{header:a}-{header:b}", "-", true),
        ("{key}{header:a}-{header:b}", "é-é", true),
        ("{key}é{header:b}", "xyz", false),
        ("{key}", "", false),
        ("{key}", "\u{1}a", false),
        ("{key}", "a\u{1}", true),
        ("{key}", "a\0b", false),
        ("x{key}", "x\u{1}", false),
        ("{key}{header:a}", "a\u{1}", true),
        ("{key}x{header:a}", "ax\u{1}", false),
        ("{key}x{header:a}", "xax\u{1}x", true),
        ("\u{1}{key}", "\u{1}a", true),
    ];
    for (text, name, expected) in cases {
        assert_eq!(template(text).could_make("odin.trades", name), expected, "{text} {name}");
    }
    assert!(!template("{key}").could_make("t", &"a".repeat(256)));
    assert!(template("{key}").with_name_bytes_max(256).could_make("t", &"a".repeat(256)));
}

/// All texts over a small alphabet, up to three long.
fn small_texts() -> Vec<String> {
    let mut texts = vec![String::new()];
    let mut from = 0;
    for _ in 0..3 {
        let to = texts.len();
        for i in from..to {
            for letter in ["a", "0", "1", "\0", "\t"] {
                texts.push(format!("{}{letter}", texts[i]));
            }
        }
        from = to;
    }
    texts
}

/// Every name up to three long, against every record with key, header and partition up to that: `could_make`
/// is true for exactly the names that some record makes.
#[test]
fn could_make_agrees_with_render_on_all_small_cases() {
    let texts = small_texts();
    let mut name = String::new();
    for text in [
        "{key}",
        "a{key}",
        "{key}a",
        "{key}a{header:h}",
        "{partition}",
        "{partition}{key}",
        "{key}{partition}",
        "0{partition}",
        "{topic}{key}",
        "{key}{topic}",
        "a",
        "1{key}1",
        "{header:h}{partition}0",
    ] {
        let template = template(text);
        let mut made = std::collections::HashSet::new();
        for key in &texts {
            let others: &[String] = if text.contains("header") { &texts } else { &texts[..1] };
            for header in others {
                for partition in if text.contains("partition") { 0..112 } else { 0..1 } {
                    let headers: &[(&str, &[u8])] = &[("h", header.as_bytes())];
                    let fields = Fields { topic: "a", partition, key: Some(key.as_bytes()), headers };
                    if template.render(&mut name, &fields).is_ok() {
                        made.insert(name.clone());
                    }
                }
            }
        }
        for name in &texts {
            assert_eq!(template.could_make("a", name), made.contains(name), "{text} {name:?}");
        }
    }
}

fn templates() -> impl Strategy<Value = String> {
    let field = prop::sample::subsequence(vec!["{topic}", "{key}", "{partition}", "{header:h}"], 0..=4)
        .prop_shuffle();
    (field, prop::collection::vec("[a.é0{}]{0,3}", 5)).prop_filter_map("empty", |(fields, literals)| {
        let mut text = String::new();
        for (i, literal) in literals.iter().enumerate() {
            text.push_str(&literal.replace('{', "{{").replace('}', "}}"));
            text.push_str(fields.get(i).copied().unwrap_or(""));
        }
        (!text.is_empty()).then_some(text)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_record_makes_could_be_made(
        text in templates(), topic in "[a-z.0]{0,8}", partition: u32, key in "\\PC{0,12}", header in "[a.é0-9]{0,8}",
    ) {
        let headers: &[(&str, &[u8])] = &[("h", header.as_bytes())];
        let fields = Fields { topic: &topic, partition, key: Some(key.as_bytes()), headers };
        let (template, mut name) = (Template::parse(&text).unwrap(), String::new());
        if template.render(&mut name, &fields).is_ok() {
            prop_assert!(template.could_make(&topic, &name), "{} {:?}", text, name);
        }
    }

    #[test]
    fn any_text_is_judged(text in "[{}a-z:é]{0,20}", name in "\\PC{0,20}") {
        if let Ok(template) = Template::parse(&text) {
            let _ = template.could_make("t", &name);
            prop_assert_eq!(Template::parse(&template.to_string()), Ok(template));
        }
    }
}
