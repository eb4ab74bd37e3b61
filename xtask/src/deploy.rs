//! scripts/check-deploy: what deploy/ has is sound, as far as that goes without a container engine, and its pieces agree with
//! each other: ports, paths, limits.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::Value;

use crate::Verdict;

/// System calls that the server cannot do without, and such as nobody needs who serves.
const NEEDED: [&str; 5] =
    ["io_uring_setup", "io_uring_enter", "io_uring_register", "sched_setaffinity", "execve"];
const CLOSED: [&str; 9] =
    ["ptrace", "mount", "bpf", "unshare", "setns", "clone3", "keyctl", "init_module", "process_vm_writev"];

/// Tasks that documents name.
const TASKS: [&str; 11] = [
    "test",
    "bench:fanout",
    "bench:baseline",
    "bench:latency",
    "conform",
    "fuzz",
    "sim:many",
    "soak",
    "local:multi:up",
    "local:multi:test",
    "local:multi:down",
];

/// What is wrong, so far.
#[derive(Debug, Default)]
struct Problems(Vec<String>);

impl Problems {
    fn want(&mut self, condition: bool, problem: impl Into<String>) {
        if !condition {
            self.0.push(problem.into());
        }
    }
}

pub(crate) fn verdict(root: &Path) -> anyhow::Result<Verdict> {
    let deploy = root.join("deploy");
    let mut problems = Problems::default();
    let compose = yaml(&deploy.join("docker-compose.multi.yml"))?;
    let flags = check_compose(&compose, &deploy, &mut problems)?;
    check_profile(&json(&deploy.join("seccomp.json"))?, &mut problems);
    check_prometheus(&yaml(&deploy.join("prometheus/prometheus.yml"))?, &flags, &mut problems);
    check_grafana(&deploy.join("grafana"), &mut problems)?;
    check_dockerfile(&crate::read(&deploy.join("Dockerfile"))?, &flags, &mut problems);
    check_tasks(&yaml(&root.join("Taskfile.yml"))?, root, &mut problems);
    let problems: Vec<_> = problems.0.into_iter().map(|problem| format!("deploy: {problem}")).collect();
    Ok(Verdict {
        text: if problems.is_empty() { "deploy: sound\n".to_owned() } else { String::new() },
        problems,
    })
}

fn yaml(path: &Path) -> anyhow::Result<Value> {
    serde_saphyr::from_str(&crate::read(path)?).with_context(|| format!("{} is no YAML", path.display()))
}

fn json(path: &Path) -> anyhow::Result<Value> {
    serde_json::from_str(&crate::read(path)?).with_context(|| format!("{} is no JSON", path.display()))
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn strings<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a str> {
    list(value, pointer).iter().filter_map(Value::as_str)
}

fn fields<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.pointer(pointer).and_then(Value::as_object).into_iter().flatten()
}

/// The files of a folder and of those in it, by their ending.
fn files(folder: &Path, ending: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, ending)?);
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    Ok(found)
}

/// The flags of the server in its command, `--name=value`.
type Flags = BTreeMap<String, String>;

fn port<'a>(flags: &'a Flags, name: &str) -> &'a str {
    flags.get(name).and_then(|address| address.rsplit_once(':')).map_or("", |(_, port)| port)
}

fn check_compose(compose: &Value, folder: &Path, problems: &mut Problems) -> anyhow::Result<Flags> {
    let services: BTreeMap<_, _> = fields(compose, "/services").collect();
    let names: BTreeSet<_> = services.keys().map(|name| name.as_str()).collect();
    problems.want(
        names == BTreeSet::from(["kafka", "server", "prometheus", "grafana"]),
        format!("services are {names:?}"),
    );
    let server = compose.pointer("/services/server").context("there is no service `server`")?;
    problems.want(server.get("cpus") == Some(&Value::from(3)), "the server is not limited to 3 CPUs");
    problems.want(
        text(server, "/mem_limit") == "14g" && text(server, "/memswap_limit") == "14g",
        "the server is not limited to 14 GB",
    );
    problems.want(
        strings(server, "/security_opt").any(|option| option == "seccomp:seccomp.json"),
        "io_uring must be allowed in the container",
    );
    for (name, service) in &services {
        for port in strings(service, "/ports") {
            problems.want(port.starts_with("127.0.0.1:"), format!("{name} publishes {port} to the world"));
        }
        for volume in strings(service, "/volumes") {
            let here = volume.split(':').next().unwrap_or_default();
            problems.want(folder.join(here).exists(), format!("{name} mounts {volume}, which is not there"));
        }
        // A list of names, or names with conditions.
        let others = strings(service, "/depends_on")
            .chain(fields(service, "/depends_on").map(|(name, _)| name.as_str()));
        for other in others {
            problems.want(names.contains(other), format!("{name} depends on {other}, which is not there"));
        }
    }
    let flags: Flags = strings(server, "/command")
        .filter_map(|flag| flag.strip_prefix("--")?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    for flag in ["lb-addr", "admin-addr"] {
        let port = port(&flags, flag);
        let published = |at: &str| at.rsplit_once(':').is_some_and(|(_, inside)| inside == port);
        problems.want(strings(server, "/ports").any(published), format!("--{flag} {port} is not published"));
    }
    Ok(flags)
}

fn check_profile(profile: &Value, problems: &mut Problems) {
    problems.want(
        text(profile, "/defaultAction") == "SCMP_ACT_ERRNO",
        "seccomp.json allows what it does not name",
    );
    let allowed: Vec<_> = list(profile, "/syscalls")
        .iter()
        .filter(|entry| text(entry, "/action") == "SCMP_ACT_ALLOW" && list(entry, "/args").is_empty())
        .flat_map(|entry| strings(entry, "/names"))
        .collect();
    let once: BTreeSet<_> = allowed.iter().collect();
    problems.want(once.len() == allowed.len(), "seccomp.json names a call twice");
    for name in NEEDED {
        problems.want(allowed.contains(&name), format!("seccomp.json does not allow {name}"));
    }
    for name in CLOSED {
        problems.want(!allowed.contains(&name), format!("seccomp.json allows {name}"));
    }
}

fn check_prometheus(prometheus: &Value, flags: &Flags, problems: &mut Problems) {
    let targets: Vec<_> = list(prometheus, "/scrape_configs")
        .iter()
        .flat_map(|job| list(job, "/static_configs"))
        .flat_map(|config| strings(config, "/targets"))
        .collect();
    let port = port(flags, "admin-addr");
    problems.want(
        targets == [format!("server:{port}")],
        format!("Prometheus asks {targets:?}, the server answers at {port}"),
    );
}

fn check_grafana(folder: &Path, problems: &mut Problems) -> anyhow::Result<()> {
    let mut sources = BTreeSet::new();
    for path in files(&folder.join("provisioning"), "yml")? {
        let provisioned = yaml(&path)?;
        problems.want(
            provisioned.get("apiVersion") == Some(&Value::from(1)),
            format!("{}: apiVersion", path.display()),
        );
        sources
            .extend(list(&provisioned, "/datasources").iter().map(|source| text(source, "/uid").to_owned()));
    }
    let dashboards = files(&folder.join("dashboards"), "json")?;
    problems.want(dashboards.len() == 1, format!("{} dashboards", dashboards.len()));
    for path in dashboards {
        check_dashboard(&json(&path)?, &sources, problems);
    }
    Ok(())
}

fn check_dashboard(board: &Value, sources: &BTreeSet<String>, problems: &mut Problems) {
    let mut places = BTreeSet::new();
    let panels = list(board, "/panels").iter().filter(|panel| text(panel, "/type") != "row");
    for panel in panels {
        let title = text(panel, "/title");
        let targets = list(panel, "/targets");
        problems.want(
            !targets.is_empty() && targets.iter().all(|target| !text(target, "/expr").is_empty()),
            format!("{title}: asks nothing"),
        );
        problems
            .want(sources.contains(text(panel, "/datasource/uid")), format!("{title}: unknown data source"));
        let place = ["/gridPos/x", "/gridPos/y"].map(|axis| panel.pointer(axis).and_then(Value::as_u64));
        problems.want(
            place.iter().all(Option::is_some) && places.insert(place),
            format!("{title}: lies on another panel"),
        );
    }
    problems.want(!places.is_empty(), "the dashboard has no panels");
}

fn check_dockerfile(dockerfile: &str, flags: &Flags, problems: &mut Problems) {
    let exposed: Vec<_> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("EXPOSE "))
        .flat_map(str::split_whitespace)
        .collect();
    for port in [port(flags, "lb-addr"), port(flags, "admin-addr")] {
        problems.want(exposed.contains(&port), format!("Dockerfile does not expose {port}"));
    }
}

fn check_tasks(taskfile: &Value, root: &Path, problems: &mut Problems) {
    let tasks: BTreeMap<_, _> = fields(taskfile, "/tasks").collect();
    for name in TASKS {
        problems.want(tasks.contains_key(&name.to_owned()), format!("Taskfile has no task {name}"));
    }
    for (name, task) in tasks {
        for command in strings(task, "/cmds") {
            let script = command.split_whitespace().next().unwrap_or_default();
            problems.want(
                !script.starts_with("./") || root.join(script).exists(),
                format!("task {name}: {script} is not there"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    /// What is wrong with a file of deploy/ in which something was replaced.
    fn planted(
        path: &str,
        sound: &str,
        wrong: &str,
        check: impl FnOnce(&Value, &mut Problems),
    ) -> Vec<String> {
        let text = crate::read(&root().join(path)).unwrap();
        assert!(text.contains(sound), "{path} has no {sound}");
        let mut problems = Problems::default();
        check(&serde_saphyr::from_str(&text.replacen(sound, wrong, 1)).unwrap(), &mut problems);
        problems.0
    }

    fn compose(sound: &str, wrong: &str) -> Vec<String> {
        planted("deploy/docker-compose.multi.yml", sound, wrong, |compose, problems| {
            check_compose(compose, &root().join("deploy"), problems).unwrap();
        })
    }

    #[test]
    fn what_is_there_is_sound() {
        let verdict = verdict(&root()).unwrap();
        assert_eq!((verdict.text.as_str(), verdict.problems), ("deploy: sound\n", vec![]));
    }

    #[test]
    fn a_wrong_service_is_found() {
        assert_eq!(compose("cpus: 3", "cpus: 4"), ["the server is not limited to 3 CPUs"]);
        assert_eq!(compose("mem_limit: 14g", "mem_limit: 15g"), ["the server is not limited to 14 GB"]);
        assert_eq!(compose("seccomp:seccomp.json", "a:b"), ["io_uring must be allowed in the container"]);
        assert_eq!(compose("127.0.0.1:3000:3000", "3000:3000"), ["grafana publishes 3000:3000 to the world"]);
        assert_eq!(
            compose("./grafana/dashboards:", "./none:"),
            ["grafana mounts ./none:/var/lib/grafana/dashboards:ro, which is not there"]
        );
        assert_eq!(compose("- prometheus\n", "- none\n"), ["grafana depends on none, which is not there"]);
        assert_eq!(
            compose("      kafka:\n", "      none:\n"),
            ["server depends on none, which is not there"]
        );
        assert_eq!(compose("0.0.0.0:8081", "0.0.0.0:81"), ["--admin-addr 81 is not published"]);
    }

    #[test]
    fn a_profile_that_allows_too_much_or_too_little_is_found() {
        let profile = |sound, wrong| planted("deploy/seccomp.json", sound, wrong, check_profile);
        assert_eq!(
            profile("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW"),
            ["seccomp.json allows what it does not name"]
        );
        assert_eq!(
            profile("\"io_uring_setup\"", "\"bpf\""),
            ["seccomp.json does not allow io_uring_setup", "seccomp.json allows bpf"]
        );
        assert_eq!(profile("\"getcpu\"", "\"gettid\""), ["seccomp.json names a call twice"]);
    }

    #[test]
    fn pieces_that_do_not_agree_are_found() {
        let flags =
            Flags::from([("admin-addr".into(), "0.0.0.0:81".into()), ("lb-addr".into(), "a:8080".into())]);
        let prometheus = planted("deploy/prometheus/prometheus.yml", "2s", "2s", |p, problems| {
            check_prometheus(p, &flags, problems)
        });
        assert_eq!(prometheus, ["Prometheus asks [\"server:8081\"], the server answers at 81"]);
        let mut problems = Problems::default();
        check_dockerfile("FROM a\nEXPOSE 8080 8081\n", &flags, &mut problems);
        assert_eq!(problems.0, ["Dockerfile does not expose 81"]);
    }

    #[test]
    fn a_panel_that_shows_nothing_is_found() {
        let sources = BTreeSet::from(["prometheus".to_owned()]);
        let board = |panels: Value| {
            let mut problems = Problems::default();
            check_dashboard(&serde_json::json!({ "panels": panels }), &sources, &mut problems);
            problems.0
        };
        let panel = |uid: &str, expr: &str| {
            serde_json::json!({"title": "a", "type": "timeseries", "targets": [{"expr": expr}],
                "datasource": {"uid": uid}, "gridPos": {"x": 0, "y": 1}})
        };
        assert_eq!(board(serde_json::json!([panel("prometheus", "up")])), [""; 0]);
        assert_eq!(board(serde_json::json!([panel("prometheus", "")])), ["a: asks nothing"]);
        assert_eq!(board(serde_json::json!([panel("other", "up")])), ["a: unknown data source"]);
        let twice = panel("prometheus", "up");
        assert_eq!(board(serde_json::json!([twice, twice])), ["a: lies on another panel"]);
        assert_eq!(board(serde_json::json!([])), ["the dashboard has no panels"]);
    }

    #[test]
    fn a_task_without_its_script_is_found() {
        let tasks = |sound, wrong| {
            planted("Taskfile.yml", sound, wrong, |t, problems| check_tasks(t, &root(), problems))
        };
        assert_eq!(tasks("./scripts/soak", "./none"), ["task soak: ./none is not there"]);
        assert_eq!(tasks("  conform:\n", "  none:\n"), ["Taskfile has no task conform"]);
    }
}
