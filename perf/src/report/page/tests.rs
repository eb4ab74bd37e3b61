use super::*;
use crate::report::tests::sample;

/// What a page consists of, by a parser that takes nothing that is not well formed.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) ids: Vec<String>,
    pub(crate) plots: Vec<String>,
    /// Values of all attributes, with their names.
    attributes: Vec<(String, String)>,
    /// All text outside of script and style.
    pub(crate) text: String,
    /// The texts of scripts and styles.
    pub(crate) raw: Vec<(String, String)>,
}

const VOID: [&str; 4] = ["meta", "input", "br", "link"];

pub(crate) fn parse(page: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let mut open: Vec<String> = Vec::new();
    let mut rest = page.strip_prefix("<!doctype html>").expect("a doctype");
    while let Some(at) = rest.find('<') {
        parsed.text.push_str(&rest[..at]);
        let end = at + rest[at..].find('>').expect("a tag ends");
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "closed out of order");
            continue;
        }
        let (name, mut attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let mut id = String::new();
        while let Some((attribute, more)) = attributes.trim_start().split_once('=') {
            let more = more.strip_prefix('"').expect("a quoted value");
            let (value, more) = more.split_once('"').expect("a closed value");
            match attribute {
                "id" => id = value.to_owned(),
                "data-plot" => parsed.plots.push(value.to_owned()),
                _ => {}
            }
            parsed.attributes.push((attribute.to_owned(), value.to_owned()));
            attributes = more;
        }
        assert!(attributes.trim().is_empty(), "attributes of <{tag}>");
        if !id.is_empty() {
            assert!(!parsed.ids.contains(&id), "{id} twice");
            parsed.ids.push(id.clone());
        }
        if matches!(name, "script" | "style") {
            let close = format!("</{name}>");
            let (raw, more) = rest.split_once(&close).expect("it is closed");
            parsed.raw.push((if id.is_empty() { name.to_owned() } else { id }, raw.to_owned()));
            rest = more;
        } else if !VOID.contains(&name) {
            open.push(name.to_owned());
        }
    }
    assert_eq!(open, [""; 0], "left open");
    parsed
}

impl Parsed {
    pub(crate) fn data(&self) -> serde_json::Value {
        let (_, data) = self.raw.iter().find(|(id, _)| id == "data").expect("the page carries its data");
        serde_json::from_str(data).unwrap()
    }

    /// Nothing in it makes a browser fetch anything.
    pub(crate) fn assert_self_contained(&self) {
        for (name, value) in &self.attributes {
            assert!(
                !matches!(name.as_str(), "src" | "href" | "srcset" | "action" | "poster"),
                "{name}={value}"
            );
            assert!(!value.contains("//"), "{name}={value}");
        }
        for (name, text) in self.raw.iter().filter(|(id, _)| id != "data") {
            for word in
                ["http:", "https:", "url(", "@import", "import(", "fetch(", "XMLHttpRequest", "WebSocket"]
            {
                assert!(!text.contains(word), "{name} has {word}");
            }
        }
    }
}

#[test]
fn every_section_is_there_and_nothing_comes_from_outside() {
    let report = sample();
    let page = report.page();
    let parsed = parse(&page);
    parsed.assert_self_contained();
    for id in [
        "summary",
        "percentiles",
        "latency",
        "throughput",
        "sends",
        "cpu",
        "threads",
        "connect",
        "memory",
        "loss",
        "times",
        "baseline",
        "machine",
        "configuration",
        "command",
        "data",
    ] {
        assert!(parsed.ids.iter().any(|found| found == id), "no section {id}");
    }
    assert_eq!(parsed.plots, PLOTS.map(|plot| plot.name));
    let script = &parsed.raw.last().unwrap().1;
    for plot in PLOTS {
        assert!(script.contains(&format!("\n  {}(", plot.name)), "the script does not draw {}", plot.name);
    }
    assert!(page.len() < 60_000, "{} bytes are not small", page.len());
}

#[test]
fn the_page_carries_the_report_whole() {
    let report = sample();
    let expected: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(parse(&report.page()).data(), expected);
    let back: Report = serde_json::from_value(expected).unwrap();
    assert_eq!(back.page(), report.page(), "a page can be made again from the JSON");
}

#[test]
fn figures_are_those_of_the_report() {
    let report = sample();
    let text = parse(&report.page()).text;
    for part in [
        "PASSED",
        "uringcast bench --topic-channel &#39;&lt;{key}&gt;&#39; &amp;&amp; true",
        "at most 50 ms demanded",
        "status &lt;live&gt;",
        "io_uring, 16 messages a send",
        "times the baseline",
        "3 clients, 1 of 1 channels each, 10 messages a second, 10 s measured",
        "2023-11-14 22:13:20 UTC",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
}

#[test]
fn a_failed_run_says_so_and_why() {
    let mut report = sample();
    report.failures = vec!["7 messages <lost>".to_owned()];
    report.messages.checks.lost = 7;
    let page = report.page();
    assert!(page.contains("FAILED") && !page.contains("PASSED"));
    assert!(page.contains("<li>7 messages &lt;lost&gt;</li>"));
    assert!(page.contains("<td>lost</td><td class=\"fail\">7</td>"), "the loss table marks it");
    assert!(page.contains("tile fail\"><span>Messages lost"), "and its tile");
}

#[test]
fn no_text_of_a_report_ends_the_script() {
    let mut report = sample();
    report.command = "</script><script>alert(1)</script><!--".to_owned();
    let page = report.page();
    assert_eq!(page.matches("</script>").count(), 2);
    assert_eq!(parse(&page).data()["command"], report.command.as_str());
}

#[test]
fn a_run_with_nothing_in_it_makes_a_page_too() {
    let mut report = sample();
    (report.server, report.producer, report.baseline, report.limit) = (None, None, None, None);
    report.series = crate::series::Series::default();
    report.latency.curve.clear();
    report.client_threads.clear();
    let parsed = parse(&report.page());
    parsed.assert_self_contained();
    assert_eq!(parsed.plots, PLOTS.map(|plot| plot.name));
    assert!(!parsed.ids.iter().any(|id| id == "baseline"));
}
