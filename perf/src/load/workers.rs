//! Client threads of this process and of others, behind one face.

use std::{
    io::{BufRead, BufReader, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    Error,
    load::client,
    load::control::{FromClients, ToClients},
    plan::Plan,
};

/// A control message and the worker (a client thread, counted over all processes) that wrote it.
type Signed = (u32, FromClients);

/// The first line that a worker process reads.
#[derive(Serialize, Deserialize)]
struct Task {
    plan: Plan,
    first_worker: u32,
}

/// All client threads of a run.
pub(crate) struct Workers {
    threads: Vec<Sender<ToClients>>,
    processes: Vec<Process>,
    inbox: Receiver<Signed>,
}

struct Process {
    child: Child,
    stdin: ChildStdin,
}

impl Workers {
    /// Starts them. They begin to connect at once.
    pub(crate) fn start(plan: &Arc<Plan>) -> Result<Self, Error> {
        let (outbox, inbox) = mpsc::channel();
        let mut workers = Self { threads: Vec::new(), processes: Vec::new(), inbox };
        if plan.processes == 1 {
            workers.threads = start_threads(plan, 0, &outbox)?;
        } else {
            for process in 0..plan.processes {
                let process = start_process(plan, process * plan.threads, &outbox)?;
                workers.processes.push(process);
            }
        }
        Ok(workers)
    }

    /// Tells all. Who has ended hears nothing; its last message is on the way.
    pub(crate) fn tell(&mut self, message: &ToClients) {
        for thread in &self.threads {
            let _ = thread.send(message.clone());
        }
        for process in &mut self.processes {
            let _ = write_line(&mut process.stdin, message);
        }
    }

    /// The next control message, or none in time.
    pub(crate) fn next(&self, timeout: Duration) -> Option<Signed> {
        self.inbox.recv_timeout(timeout).ok()
    }

    /// The processes that client threads run in.
    pub(crate) fn pids(&self) -> Vec<u32> {
        if self.processes.is_empty() {
            return vec![std::process::id()];
        }
        self.processes.iter().map(|process| process.child.id()).collect()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // After a good run it has ended by itself, or is about to.
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}

fn start_threads(
    plan: &Arc<Plan>,
    first: u32,
    outbox: &Sender<Signed>,
) -> Result<Vec<Sender<ToClients>>, Error> {
    let mut threads = Vec::new();
    for worker in first..first + plan.threads {
        let (sender, inbox) = mpsc::channel();
        let (plan, outbox) = (Arc::clone(plan), outbox.clone());
        // Who listens may be gone when a run was given up; then nothing matters any more.
        let answer = move |message| drop(outbox.send((worker, message)));
        let body = move || {
            if catch_unwind(AssertUnwindSafe(|| client::run(&plan, worker, &inbox, &answer))).is_err() {
                answer(FromClients::Failed("panicked".to_owned()));
            }
        };
        let spawned = thread::Builder::new().name(format!("client-{worker}")).spawn(body);
        spawned.map_err(|error| Error::Kernel(format!("no thread for client {worker}: {error}")))?;
        threads.push(sender);
    }
    Ok(threads)
}

fn start_process(plan: &Arc<Plan>, first: u32, outbox: &Sender<Signed>) -> Result<Process, Error> {
    let fail = |what: &str| Error::Worker { worker: first, reason: what.to_owned() };
    let [program, arguments @ ..] = &plan.worker_command[..] else { return Err(fail("no worker command")) };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| fail(&format!("{program}: {error}")))?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(fail("a process without pipes"));
    };
    let task = Task { plan: Plan::clone(plan), first_worker: first };
    let process_fails = |error: std::io::Error| fail(&format!("{program}: {error}"));
    write_line(&mut stdin, &task).map_err(process_fails)?;
    let outbox = outbox.clone();
    let workers = first..first + plan.threads;
    let listen = move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let Ok(signed) = serde_json::from_str::<Signed>(&line) else { continue };
            let _ = outbox.send(signed);
        }
        // Of those who have reported this is not read any more.
        for worker in workers {
            let _ = outbox.send((worker, FromClients::Failed("its process ended".to_owned())));
        }
    };
    thread::Builder::new().name("listener".to_owned()).spawn(listen).map_err(process_fails)?;
    Ok(Process { child, stdin })
}

/// The main function of a worker process: takes its task and control messages from standard input and answers on
/// standard output.
///
/// # Errors
/// The process that started this one does not speak as expected, or is gone.
pub fn serve_worker() -> Result<(), Error> {
    let fail = |worker, reason: String| Error::Worker { worker, reason };
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    if read.is_ok_and(|len| len == 0) {
        return Err(fail(0, "no task on standard input".to_owned()));
    }
    let Task { plan, first_worker } =
        serde_json::from_str(&line).map_err(|error| fail(0, format!("task not understood: {error}")))?;
    let (outbox, inbox) = mpsc::channel();
    let threads = start_threads(&Arc::new(plan), first_worker, &outbox)?;
    let mut running = threads.len();
    let dispatch = move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let Ok(message) = serde_json::from_str::<ToClients>(&line) else { continue };
            for thread in &threads {
                let _ = thread.send(message.clone());
            }
        }
    };
    thread::spawn(dispatch);
    let mut out = std::io::stdout().lock();
    while running > 0 {
        let Ok(signed) = inbox.recv() else { break };
        running -= usize::from(matches!(signed.1, FromClients::Report(_) | FromClients::Failed(_)));
        write_line(&mut out, &signed).map_err(|error| fail(signed.0, error.to_string()))?;
    }
    Ok(())
}

fn write_line(out: &mut impl Write, value: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}
