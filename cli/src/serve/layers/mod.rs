//! Flag, else environment, else file, else default.
//!
//! What the environment and the file say is put in front of what was typed, as flags: so every value meets the same
//! parser, a flag that is there wins by leaving the others out, and an error can be traced to where its value is set. An
//! empty variable counts as not set.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use clap::{
    ArgMatches, Command, Id,
    error::{ContextKind, ContextValue},
    parser::ValueSource,
};
use engine::limits::Limits;

use crate::values::{RouteSpec, RouteTable};

/// Variables of the predecessor and of custom, beside the `URINGCAST_` name, which goes first.
const ALIASES: [(&str, &str); 3] =
    [("max-connections", "WS_MAX_CONNECTIONS"), ("brokers", "KAFKA_BROKERS"), ("log-level", "LOG_LEVEL")];
/// Tables of the file, and what the names in them begin with as flags.
const TABLES: [(&str, &str); 2] = [("limits", super::limits::PREFIX), ("slab", "slab-")];
/// The commands that take settings from the environment and a file too; all have the flags of the first.
const LAYERED: [&str; 2] = ["serve", "check"];
/// Settings that add up over the layers instead of replacing each other; later ones win by property.
const ADDING: &str = "kafka";

/// Where a value is set.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Variable(String),
    File { path: PathBuf, key: String },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "the variable {name}"),
            Self::File { path, key } => write!(f, "{}, key {key}", path.display()),
        }
    }
}

/// The values of one setting in one layer.
#[derive(Debug)]
struct Setting {
    flag: String,
    values: Vec<String>,
    origin: Origin,
}

/// What the layers make of a command line.
#[derive(Debug)]
pub(crate) struct Layered {
    pub(crate) matches: ArgMatches,
    pub(crate) routes: Vec<RouteSpec>,
}

/// Why not.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Help, version, or an error of clap's own; with a line that tells where the value is set.
    Clap(clap::Error, Option<String>),
    /// The file or the environment.
    Text(String),
}

/// Parses `argv`; the commands of [`LAYERED`] take settings from the environment and a file too. `variable` reads the
/// environment.
pub(crate) fn parse(
    command: Command,
    argv: &[OsString],
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Layered, Failure> {
    let flags = flags(&command);
    let tell = |arg: clap::Arg| {
        let is_setting = arg.get_long().is_some_and(|flag| flags.contains_key(flag));
        if is_setting { tell_variables(arg) } else { arg }
    };
    let command = LAYERED.iter().fold(command, |command, name| {
        command.mut_subcommand(name, |layered| layered.args_override_self(true).mut_args(tell))
    });
    let typed = command.clone().ignore_errors(true).try_get_matches_from(argv);
    let subcommand = typed.as_ref().ok().and_then(clap::ArgMatches::subcommand);
    let layered = subcommand.filter(|(name, _)| LAYERED.contains(name));
    let position = layered.and_then(|(name, _)| argv.iter().position(|argument| argument == name));
    let (Some(position), Some((_, serve))) = (position, layered) else {
        let matches = command.try_get_matches_from(argv).map_err(|error| Failure::Clap(error, None))?;
        return Ok(Layered { matches, routes: Vec::new() });
    };
    let from_variables = from_variables(&flags, variable)?;
    let path = serve.get_one::<PathBuf>("config").cloned().or_else(|| {
        from_variables
            .iter()
            .find(|setting| setting.flag == "config")
            .map(|setting| setting.values[0].clone().into())
    });
    let (from_file, routes) = match path {
        Some(path) => read_file(&path, &flags)?,
        None => (Vec::new(), Vec::new()),
    };

    let is_typed = |flag: &str| {
        flags.get(flag).is_some_and(|id| serve.value_source(id.as_str()) == Some(ValueSource::CommandLine))
    };
    let mut settings: BTreeMap<String, Vec<Setting>> = BTreeMap::new();
    for setting in from_file.into_iter().chain(from_variables) {
        let layers = settings.entry(setting.flag.clone()).or_default();
        if setting.flag != ADDING {
            layers.clear();
        }
        layers.push(setting);
    }
    settings.retain(|flag, _| flag == ADDING || !is_typed(flag));
    let routes = if is_typed("route") || settings.contains_key("route") { Vec::new() } else { routes };

    let mut all = argv[..=position].to_vec();
    let said = |setting: &Setting| {
        let flag = setting.flag.clone();
        setting.values.clone().into_iter().map(move |value| OsString::from(format!("--{flag}={value}")))
    };
    all.extend(settings.values().flatten().flat_map(said));
    all.extend_from_slice(&argv[position + 1..]);
    let matches = command.try_get_matches_from(all).map_err(|error| {
        let origin = origin_of(&error, settings.values().flatten());
        Failure::Clap(error, origin)
    })?;
    Ok(Layered { matches, routes })
}

/// Adds the variables' names to a flag's help.
fn tell_variables(arg: clap::Arg) -> clap::Arg {
    let Some(flag) = arg.get_long().map(str::to_owned) else { return arg };
    if flag == "help" {
        return arg;
    }
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let names = variables(&flag).collect::<Vec<_>>().join(", ");
    arg.help(format!("{help} [env: {names}]"))
}

/// The variables of a flag, the strongest first.
fn variables(flag: &str) -> impl Iterator<Item = String> {
    let alias = ALIASES.iter().find(|(of, _)| *of == flag).map(|(_, name)| (*name).to_owned());
    std::iter::once(variable_of(flag)).chain(alias)
}

/// Former names of flags, and what they are called by now. Flags, variables and files may still use them; help does not
/// show them.
fn renamed() -> impl Iterator<Item = (&'static str, &'static str)> {
    Limits::TABLE.iter().flat_map(|limit| limit.former.iter().map(|former| (*former, limit.flag)))
}

/// The variable of a flag's former name, which goes last.
fn former_variable(flag: &str) -> Option<String> {
    renamed().find(|(_, name)| *name == flag).map(|(former, _)| variable_of(former))
}

fn variable_of(flag: &str) -> String {
    format!("URINGCAST_{}", flag.replace('-', "_").to_ascii_uppercase())
}

/// The flags that can be set in other layers, with what clap calls them.
type Flags = BTreeMap<String, Id>;

fn flags(command: &Command) -> Flags {
    let serve = command.get_subcommands().find(|subcommand| subcommand.get_name() == LAYERED[0]);
    let arguments = serve.into_iter().flat_map(Command::get_arguments);
    arguments.filter_map(|arg| Some((arg.get_long()?.to_owned(), arg.get_id().clone()))).collect()
}

fn from_variables(
    flags: &Flags,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Vec<Setting>, Failure> {
    let mut settings = Vec::new();
    for flag in flags.keys() {
        let found = variables(flag).chain(former_variable(flag)).find_map(|name| {
            let value = variable(&name).filter(|value| !value.is_empty())?;
            Some((name, value))
        });
        let Some((name, value)) = found else { continue };
        let Some(value) = value.to_str() else {
            return Err(Failure::Text(format!("the variable {name} is not UTF-8")));
        };
        // Several of one kind stand in one variable, separated by semicolons: commas are common in their values.
        let is_list = matches!(flag.as_str(), "route" | "kafka" | "allowed-origin");
        let values = if is_list {
            value.split(';').map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned).collect()
        } else {
            vec![value.to_owned()]
        };
        settings.push(Setting { flag: flag.clone(), values, origin: Origin::Variable(name) });
    }
    Ok(settings)
}

fn read_file(path: &Path, flags: &Flags) -> Result<(Vec<Setting>, Vec<RouteSpec>), Failure> {
    let fail = |text: String| Failure::Text(format!("{}: {text}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| fail(error.to_string()))?;
    let mut settings = Vec::new();
    let mut routes = Vec::new();
    for (key, value) in table {
        let name = key.replace('_', "-");
        let prefix = TABLES.iter().find(|(table, _)| *table == name).map(|(_, prefix)| *prefix);
        match (value, prefix) {
            (toml::Value::Table(table), Some(prefix)) => {
                for (inner, value) in table {
                    let flag = present_name(format!("{prefix}{}", inner.replace('_', "-")));
                    settings.push(setting(path, flags, flag, format!("{key}.{inner}"), value)?);
                }
            }
            (toml::Value::Table(table), None) if name == ADDING => {
                let mut values = Vec::new();
                properties("", table, &mut values).map_err(|error| fail(format!("[{key}] {error}")))?;
                settings.push(Setting { flag: name, values, origin: file(path, &key) });
            }
            (toml::Value::Array(tables), None)
                if name == "route" && tables.iter().all(toml::Value::is_table) =>
            {
                for (number, table) in (1..).zip(tables) {
                    let route = table.try_into::<RouteTable>().map_err(|error| error.message().to_owned());
                    let route = route.and_then(RouteTable::checked);
                    routes.push(route.map_err(|error| fail(format!("[[route]] {number}: {error}")))?);
                }
            }
            // A file does not name another.
            (_, _) if name == "config" => return Err(fail(format!("unknown key {key}"))),
            (value, _) => settings.push(setting(path, flags, present_name(name), key, value)?),
        }
    }
    for (former, name) in renamed() {
        if settings.iter().filter(|setting| setting.flag == name).count() > 1 {
            return Err(fail(format!("{former} is the former name of {name}: set one of them")));
        }
    }
    Ok((settings, routes))
}

fn setting(
    path: &Path,
    flags: &Flags,
    flag: String,
    key: String,
    value: toml::Value,
) -> Result<Setting, Failure> {
    let fail = |text: String| Failure::Text(format!("{}: {text}", path.display()));
    if !flags.contains_key(&flag) {
        return Err(fail(format!("unknown key {key}{}", similar(&flag, flags))));
    }
    let values: Option<Vec<String>> = match value.as_array() {
        Some(values) => values.iter().map(scalar).collect(),
        None => scalar(&value).map(|value| vec![value]),
    };
    let values = values.ok_or_else(|| fail(format!("key {key}: expected a value, not a table")))?;
    Ok(Setting { flag, values, origin: file(path, &key) })
}

/// The name of the flag by now.
fn present_name(flag: String) -> String {
    let renamed = renamed().find(|(former, _)| *former == flag);
    renamed.map_or(flag, |(_, name)| name.to_owned())
}

fn file(path: &Path, key: &str) -> Origin {
    Origin::File { path: path.to_owned(), key: key.to_owned() }
}

/// The value as it would be typed.
fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Datetime(moment) => Some(moment.to_string()),
        toml::Value::Array(_) | toml::Value::Table(_) => None,
    }
}

/// `KEY=VALUE` of a table of librdkafka properties. Their names have dots, which TOML reads as tables in tables.
fn properties(prefix: &str, table: toml::Table, out: &mut Vec<String>) -> Result<(), String> {
    for (key, value) in table {
        let name = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        if let toml::Value::Table(table) = value {
            properties(&name, table, out)?;
        } else {
            let value = scalar(&value).ok_or_else(|| format!("{name}: expected one value"))?;
            out.push(format!("{name}={value}"));
        }
    }
    Ok(())
}

/// A hint at the flag that was meant.
fn similar(flag: &str, flags: &Flags) -> String {
    let distance = |other: &String| -> usize {
        let shared = flag.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
        let tail = flag.chars().rev().zip(other.chars().rev()).take_while(|(a, b)| a == b).count();
        flag.len().max(other.len()).saturating_sub(shared + tail)
    };
    let nearest = flags.keys().min_by_key(|other| distance(other)).filter(|other| distance(other) <= 2);
    nearest.map(|name| format!(" (is {name} meant?)")).unwrap_or_default()
}

/// Where the value is set that clap refused.
fn origin_of<'a>(error: &clap::Error, mut settings: impl Iterator<Item = &'a Setting>) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let argument = text(ContextKind::InvalidArg)?;
    let value = text(ContextKind::InvalidValue)?;
    // "--shards <N>"
    let flag = argument.strip_prefix("--")?.split(' ').next()?.to_owned();
    let setting = settings.find(|setting| setting.flag == flag && setting.values.contains(&value))?;
    Some(format!("set in {}", setting.origin))
}

impl Failure {
    /// Tells it where it belongs, and gives the exit code: 0 for help and version, else 2.
    pub(crate) fn report(self) -> std::process::ExitCode {
        match self {
            Self::Clap(error, origin) => {
                let shown = error.print();
                if let Some(origin) = origin {
                    eprintln!("\n{origin}");
                }
                let is_help = !error.use_stderr() && shown.is_ok();
                if is_help { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::from(2) }
            }
            Self::Text(text) => {
                eprintln!("uringcast: {text}");
                std::process::ExitCode::from(2)
            }
        }
    }
}

#[cfg(test)]
mod tests;
