use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _};

use super::*;
use crate::{Cli, serve::Args};

/// A command line, variables, and a file that --config names.
#[derive(Default)]
struct Case<'a> {
    typed: &'a [&'a str],
    variables: &'a [(&'a str, &'a str)],
    file: Option<&'a str>,
}

impl Case<'_> {
    fn layered(&self) -> Result<Args, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("uringcast.toml");
        let mut argv: Vec<OsString> = vec!["uringcast".into(), "serve".into()];
        if let Some(text) = self.file {
            std::fs::write(&path, text).unwrap();
            argv.push("--config".into());
            argv.push(path.into());
        }
        argv.extend(self.typed.iter().map(OsString::from));
        let variable = |name: &str| {
            self.variables
                .iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| OsString::from(value))
        };
        let layered = parse(Cli::command(), &argv, &variable)?;
        let cli = Cli::from_arg_matches(&layered.matches).unwrap();
        let crate::Command::Serve(mut args) = cli.command else { panic!("not serve") };
        args.set_file_routes(layered.routes);
        Ok(*args)
    }

    fn args(&self) -> Args {
        self.layered().unwrap_or_else(|failure| panic!("{failure:?}"))
    }

    /// What is told, in one text.
    fn refusal(&self) -> String {
        match self.layered().unwrap_err() {
            Failure::Text(text) => text,
            Failure::Clap(error, origin) => format!("{error}{}", origin.unwrap_or_default()),
        }
    }
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let file = Some("max-connections = 3\n");
    let variables: &[(&str, &str)] = &[("URINGCAST_MAX_CONNECTIONS", "2")];
    let typed: &[&str] = &["--max-connections", "1"];
    let connections = |case: Case<'_>| case.args().limits.0.connections;
    assert_eq!(connections(Case { typed, variables, file }), 1);
    assert_eq!(connections(Case { variables, file, ..Case::default() }), 2);
    assert_eq!(connections(Case { file, ..Case::default() }), 3);
    assert_eq!(connections(Case::default()), 12_000);
}

#[test]
fn a_flag_that_says_the_default_beats_the_environment_too() {
    let case = Case {
        typed: &["--max-connections", "12000"],
        variables: &[("WS_MAX_CONNECTIONS", "5")],
        ..Case::default()
    };
    assert_eq!(case.args().limits.0.connections, 12_000);
}

#[test]
fn the_last_of_two_typed_flags_counts() {
    assert_eq!(Case { typed: &["--shards", "1", "--shards", "2"], ..Case::default() }.args().shards, Some(2));
}

#[test]
fn the_predecessors_variables_work_and_ours_go_first() {
    let old: &[(&str, &str)] =
        &[("WS_MAX_CONNECTIONS", "5"), ("KAFKA_BROKERS", "old:1"), ("LOG_LEVEL", "debug")];
    let args = Case { variables: old, ..Case::default() }.args();
    assert_eq!(
        (args.limits.0.connections, args.brokers.as_str(), args.log_level.as_str()),
        (5, "old:1", "debug")
    );
    let mut both = old.to_vec();
    both.extend([("URINGCAST_MAX_CONNECTIONS", "6"), ("URINGCAST_BROKERS", "new:1")]);
    let args = Case { variables: &both, ..Case::default() }.args();
    assert_eq!((args.limits.0.connections, args.brokers.as_str()), (6, "new:1"));
}

#[test]
fn an_empty_variable_is_not_set() {
    let case = Case { variables: &[("URINGCAST_SHARDS", ""), ("KAFKA_BROKERS", "")], ..Case::default() };
    assert_eq!(case.args().shards, None);
    assert_eq!(case.args().brokers, "localhost:9092");
}

#[test]
fn the_file_can_say_everything() {
    let file = r#"
        shards = 3
        lb_addr = ":3005"
        from = 2023-11-14T22:13:20Z
        ping-interval = "5s"
        allowed-origin = ["https://a.example", "https://b.example"]
        keepalive = "tcp"

        [limits]
        channels = 5
        upgrade_time = "1s"

        [slab]
        size = "32MiB"

        [kafka]
        client.id = "me"
        "sasl.username" = "user"
        fetch.min.bytes = 1

        [[route]]
        topic = "trades"
        channel = "{key}.trade"

        [[route]]
        topic = "blobs"
        channel = "blob.{partition}"
        payload = "binary"
        headers = ["source"]
        oversized = "stop"
    "#;
    let args = Case { file: Some(file), ..Case::default() }.args();
    assert_eq!(args.shards, Some(3));
    assert_eq!(args.lb_addr.unwrap().to_string(), "0.0.0.0:3005");
    assert_eq!(args.from, engine::config::From::Timestamp(1_700_000_000_000));
    assert_eq!(args.ping_interval, Duration::from_secs(5));
    assert_eq!(args.allowed_origins, ["https://a.example", "https://b.example"]);
    assert_eq!(args.limits.0.channels_per_connection, 5);
    assert_eq!(args.limits.0.upgrade_time, Duration::from_secs(1));
    assert_eq!(args.slab_size, 32 << 20);
    let mut properties: Vec<_> = args.kafka.iter().map(|p| (p.key.as_str(), p.value.as_str())).collect();
    properties.sort_unstable();
    assert_eq!(properties, [("client.id", "me"), ("fetch.min.bytes", "1"), ("sasl.username", "user")]);
    assert_eq!(args.file_routes.len(), 2);
    assert_eq!(args.file_routes[1].headers, ["source"]);
    assert_eq!(args.file_routes[1].payload, proto::native::message::Payload::Binary);
    assert_eq!(args.file_routes[1].oversized, engine::config::Oversized::Stop);
}

#[test]
fn routes_and_origins_of_a_stronger_layer_replace_the_weaker() {
    let file = Some("[[route]]\ntopic = \"filed\"\nchannel = \"{key}\"\n");
    let variables: &[(&str, &str)] = &[("URINGCAST_ROUTE", "first={key}; second={key},x")];
    let names = |args: &Args| -> Vec<String> {
        args.routes.iter().chain(&args.file_routes).map(|route| route.topic.clone()).collect()
    };
    let args = Case { typed: &["--route", "typed={key}"], variables, file }.args();
    assert_eq!(names(&args), ["typed"]);
    assert_eq!(names(&Case { variables, file, ..Case::default() }.args()), ["first", "second"]);
    assert_eq!(names(&Case { file, ..Case::default() }.args()), ["filed"]);
    let args = Case { typed: &["--route", "a={key}", "--route", "b={key}"], ..Case::default() }.args();
    assert_eq!(names(&args), ["a", "b"]);
}

#[test]
fn properties_add_up_and_the_strongest_comes_last() {
    let args = Case {
        typed: &["--kafka", "client.id=typed"],
        variables: &[("URINGCAST_KAFKA", "client.id=variable;debug=broker")],
        file: Some("[kafka]\nclient.id = \"filed\"\nlinger.ms = 5\n"),
    }
    .args();
    let properties: Vec<_> = args.kafka.iter().map(|p| (p.key.as_str(), p.value.as_str())).collect();
    let last = properties.iter().rev().find(|(key, _)| *key == "client.id").unwrap();
    assert_eq!(last.1, "typed");
    assert!(properties.contains(&("linger.ms", "5")) && properties.contains(&("debug", "broker")));
}

#[test]
fn the_file_can_be_named_by_a_variable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("u.toml");
    std::fs::write(&path, "shards = 7\n").unwrap();
    let args = Case { variables: &[("URINGCAST_CONFIG", path.to_str().unwrap())], ..Case::default() }.args();
    assert_eq!(args.shards, Some(7));
}

#[test]
fn a_bad_value_is_traced_to_where_it_stands() {
    let typed = Case { typed: &["--shards", "0"], ..Case::default() }.refusal();
    assert!(typed.contains("--shards") && !typed.contains("set in"), "{typed}");
    let variable = Case { variables: &[("URINGCAST_PING_INTERVAL", "25")], ..Case::default() }.refusal();
    assert!(variable.contains("unit") && variable.contains("variable URINGCAST_PING_INTERVAL"), "{variable}");
    let alias = Case { variables: &[("WS_MAX_CONNECTIONS", "many")], ..Case::default() }.refusal();
    assert!(alias.contains("variable WS_MAX_CONNECTIONS"), "{alias}");
    let file = Case { file: Some("[limits]\nchannels = 0\n"), ..Case::default() }.refusal();
    assert!(file.contains("uringcast.toml") && file.contains("limits.channels"), "{file}");
    let choice = Case { file: Some("keepalive = \"never\"\n"), ..Case::default() }.refusal();
    assert!(choice.contains("uringcast.toml") && choice.contains("websocket"), "{choice}");
}

#[test]
fn an_unknown_key_is_an_error_that_names_the_file_and_the_key() {
    for (file, key, hint) in [
        ("shard = 3\n", "shard", "shards"),
        ("[limits]\nchannel = 3\n", "limits.channel", "limit-channels"),
        ("config = \"other.toml\"\n", "config", ""),
        ("help = true\n", "help", ""),
        ("[tls]\ncert = \"x\"\n", "tls", ""),
        ("[[route]]\ntopic = \"t\"\nchannel = \"c\"\ntemplate = \"x\"\n", "template", ""),
    ] {
        let text = Case { file: Some(file), ..Case::default() }.refusal();
        assert!(text.contains("uringcast.toml") && text.contains(key) && text.contains(hint), "{text}");
    }
}

#[test]
fn a_file_that_is_no_toml_or_not_there_is_named() {
    let text = Case { file: Some("shards = \n"), ..Case::default() }.refusal();
    assert!(text.contains("uringcast.toml") && text.contains("line 1"), "{text}");
    let text = Case { typed: &["--config", "/nonexistent.toml"], ..Case::default() }.refusal();
    assert!(text.contains("/nonexistent.toml"), "{text}");
}

#[test]
fn a_bad_route_of_the_file_is_counted() {
    let file =
        "[[route]]\ntopic = \"a\"\nchannel = \"{key}\"\n[[route]]\ntopic = \"b\"\nchannel = \"{kex}\"\n";
    let text = Case { file: Some(file), ..Case::default() }.refusal();
    assert!(text.contains("[[route]] 2") && text.contains("{kex}"), "{text}");
}

#[test]
fn other_commands_and_help_take_no_settings() {
    let parsed = |argv: &[&str]| {
        let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
        parse(Cli::command(), &argv, &|_| Some("nonsense".into()))
    };
    assert!(matches!(parsed(&["uringcast", "--version"]), Err(Failure::Clap(..))));
    let Err(Failure::Clap(help, _)) = parsed(&["uringcast", "serve", "--help"]) else { panic!("no help") };
    let help = help.to_string();
    assert!(
        help.contains("URINGCAST_MAX_CONNECTIONS, WS_MAX_CONNECTIONS") && help.contains("[default: 12000]")
    );
}

#[test]
fn the_command_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_predecessors_topics_are_a_valid_file() {
    let args = Case { file: Some(include_str!("../../../../deploy/odin.toml")), ..Case::default() }.args();
    assert_eq!(args.file_routes.len(), 8);
    let trades = &args.file_routes[0];
    assert!(trades.template.could_make(&trades.topic, "BTC.trade"));
}

#[test]
fn former_names_of_flags_are_accepted_in_every_layer_and_not_shown() {
    for (former, name) in renamed() {
        let value = |args: &Args| match name {
            "limit-control-output" => args.limits.0.control_output_bytes,
            "limit-partial-frames" => args.limits.0.partial_frame_bytes_per_shard,
            _ => panic!("{name} is not tested"),
        };
        let [flag, present] = [former, name].map(|flag| format!("--{flag}"));
        let key = |flag: &str, value: u32| format!("{} = {value}\n", flag.strip_prefix("limit-").unwrap());
        let variable = variable_of(former);
        assert_eq!(value(&Case { typed: &[&flag, "7"], ..Case::default() }.args()), 7);
        assert_eq!(value(&Case { variables: &[(&variable, "8")], ..Case::default() }.args()), 8);
        let file = format!("[limits]\n{}", key(former, 9));
        assert_eq!(value(&Case { file: Some(&file), ..Case::default() }.args()), 9);
        let typed = Case { typed: &[&present, "6"], variables: &[(&variable, "8")], file: Some(&file) };
        assert_eq!(value(&typed.args()), 6, "layers stay in their order");
        let both = format!("{file}{}", key(name, 10));
        assert!(Case { file: Some(&both), ..Case::default() }.refusal().contains(former));
        let help = Case { typed: &["--help"], ..Case::default() }.refusal();
        assert!(help.contains(&present) && !help.contains(&flag) && !help.contains(&variable), "{help}");
    }
}
