//! A client thread: one ring, many connections. It opens its share of them, reads them all, and answers
//! control messages of the run.
//!
//! `ramp` brings a connection to its subscriptions, `reader` judges what arrives, `wire` moves bytes and
//! completions.

mod connection;
mod ramp;
mod reader;
mod wire;

use std::{ops::Range, sync::mpsc::Receiver, time::Duration};

use proto::ws::{close::CloseCode, frame};
use ring::{Completion, KernelRing, Key, Op, Outcome, Ring, Setup, Wait};

use self::{
    connection::{Connection, Phase},
    reader::Reader,
};
use crate::{
    load::control::{ClientReport, FromClients, Progress, ToClients},
    machine,
    measure::clock::{Clock, ns},
    plan::{Load, Plan},
    random::Random,
    series::Recorder,
    verify::{Origin, Seen, Verifier},
};

/// Longest sleep: control messages are looked for this often. They speak of times that lie further ahead.
const TURN_NS_MAX: u64 = 20_000_000;
/// Sleep between two looks at the ramp.
const RAMP_TURN_NS: u64 = 1_000_000;
const PROGRESS_NS: u64 = 200_000_000;
/// How long the peers may take to answer our close frames.
const GOODBYE_NS: u64 = 3_000_000_000;
/// Enters of one polling turn: the kernel hands over a few dozen receives with each.
const ENTERS_PER_POLL_MAX: u32 = 4_096;

/// What the thread is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Opening connections.
    Ramp,
    /// All are ready or failed.
    Settled,
    /// Messages are being sent.
    Load,
    /// No more are; the rest has to arrive until then.
    Drain {
        deadline_ns: u64,
    },
    /// Close frames are sent; the peers may answer until then.
    Goodbye {
        deadline_ns: u64,
    },
    Over,
}

/// Runs worker `worker` of `plan` in this thread until it has reported.
pub(crate) fn run(plan: &Plan, worker: u32, inbox: &Receiver<ToClients>, answer: &dyn Fn(FromClients)) {
    let last = match Client::new(plan, worker).and_then(|client| client.run(inbox, answer)) {
        Ok(report) => FromClients::Report(Box::new(report)),
        Err(reason) => FromClients::Failed(reason),
    };
    answer(last);
}

struct Client<'p> {
    plan: &'p Plan,
    clients: Range<u32>,
    clock: Clock,
    ring: KernelRing,
    connections: Vec<Connection>,
    reader: Reader,
    stage: Stage,
    start_ns: u64,
    /// Connections begun: those before this one.
    begun: u32,
    /// Connections between connect and last acknowledgement.
    pending: u32,
    /// None before this one is pending.
    oldest_pending: u32,
    /// Descriptors in use.
    open: u32,
    ends: Vec<Option<Seen>>,
    /// Connections with bytes to send.
    listed: Vec<u32>,
    /// Operations that the ring was too full for.
    refused: Vec<(Op, Key)>,
    completions: Vec<Completion>,
    outcomes: Vec<Outcome>,
    next_poll_ns: u64,
    next_progress_ns: u64,
    /// When the subscriptions are next asked whether all has come; that takes a walk over all of them.
    next_look_ns: u64,
}

impl<'p> Client<'p> {
    fn new(plan: &'p Plan, worker: u32) -> Result<Self, String> {
        if !plan.cores.is_empty() {
            let id = plan.cores[worker as usize % plan.cores.len()];
            machine::pin(id).map_err(|error| error.to_string())?;
        }
        let clients = plan.share(worker);
        let descriptors = u32::try_from(clients.len()).unwrap_or(u32::MAX);
        let setup =
            Setup { entries: 512, completions: 8_192, buffers: 1_024, buffer_bytes: 8_192, descriptors };
        let ring = KernelRing::new(&setup)
            .map_err(|error| format!("{error} (of a load generator: more --threads or --processes)"))?;
        let origin = if matches!(plan.load, Load::Produce(_)) { Origin::Ours } else { Origin::Others };
        let names = plan.channel_names().map_err(|error| error.to_string())?;
        // Channels given by name are not the keys of their records.
        let keys = plan.names.is_empty().then(|| plan.keys());
        let spread = plan.spread();
        let clock = Clock::start();
        Ok(Self {
            reader: Reader {
                verifier: Verifier::new(spread.clone(), clients.clone(), origin, &names, keys.as_deref()),
                report: ClientReport::default(),
                random: Random::new(u64::from(worker)),
                names,
                spread,
                first_client: clients.start,
                from_ns: u64::MAX,
                until_ns: u64::MAX,
            },
            connections: clients.clone().map(|_| Connection::new()).collect(),
            stage: Stage::Ramp,
            start_ns: clock.now_ns(),
            begun: 0,
            pending: 0,
            oldest_pending: 0,
            open: 0,
            ends: Vec::new(),
            listed: Vec::new(),
            refused: Vec::new(),
            completions: Vec::new(),
            outcomes: Vec::new(),
            next_poll_ns: 0,
            next_progress_ns: 0,
            next_look_ns: 0,
            plan,
            clients,
            clock,
            ring,
        })
    }

    fn run(
        mut self,
        inbox: &Receiver<ToClients>,
        answer: &dyn Fn(FromClients),
    ) -> Result<ClientReport, String> {
        while self.stage != Stage::Over {
            let now_ns = self.clock.now_ns();
            while let Ok(message) = inbox.try_recv() {
                self.obey(message, answer);
            }
            self.open_due(now_ns);
            self.expire(now_ns);
            self.push_refused();
            self.flush();
            self.advance(now_ns, answer);
            if now_ns >= self.next_progress_ns {
                self.next_progress_ns = now_ns + PROGRESS_NS;
                answer(FromClients::Progress(self.progress()));
            }
            self.receive()?;
        }
        let mut report = self.reader.report;
        report.counts = *self.reader.verifier.counts();
        Ok(report)
    }

    fn obey(&mut self, message: ToClients, answer: &dyn Fn(FromClients)) {
        match message {
            ToClients::Begin { mark_ns, from_ns, until_ns } => {
                self.reader.verifier.begin(mark_ns);
                (self.reader.from_ns, self.reader.until_ns) = (from_ns, until_ns);
                self.reader.report.recorder = Recorder::new(self.plan.grid(mark_ns));
                self.stage = Stage::Load;
            }
            ToClients::TellSeen => answer(FromClients::Seen(self.reader.verifier.seen().to_vec())),
            ToClients::End { ends, deadline_ns } => {
                self.ends = ends;
                self.stage = Stage::Drain { deadline_ns };
            }
        }
    }

    /// Goes to the next stage when this one is done.
    fn advance(&mut self, now_ns: u64, answer: &dyn Fn(FromClients)) {
        let is_ready =
            |connections: &[Connection], index: u32| connections[index as usize].phase == Phase::Ready;
        match self.stage {
            Stage::Ramp if self.all_begun() && self.pending == 0 => {
                self.stage = Stage::Settled;
                answer(FromClients::Progress(self.progress()));
                answer(FromClients::Ready);
            }
            Stage::Drain { deadline_ns } if now_ns >= self.next_look_ns => {
                self.next_look_ns = now_ns + TURN_NS_MAX;
                let open = |index| is_ready(&self.connections, index);
                if now_ns >= deadline_ns || self.reader.verifier.outstanding(&self.ends, open) == 0 {
                    self.reader.verifier.settle(&self.ends, open);
                    self.say_goodbye();
                    self.stage = Stage::Goodbye { deadline_ns: now_ns + GOODBYE_NS };
                }
            }
            Stage::Goodbye { deadline_ns } if self.open == 0 || now_ns >= deadline_ns => {
                self.stage = Stage::Over
            }
            Stage::Ramp
            | Stage::Settled
            | Stage::Load
            | Stage::Drain { .. }
            | Stage::Goodbye { .. }
            | Stage::Over => {}
        }
    }

    fn say_goodbye(&mut self) {
        for index in 0..self.begun {
            let connection = &mut self.connections[index as usize];
            if connection.phase == Phase::Ready {
                connection.phase = Phase::Leaving;
                frame::put_close_masked(
                    &mut connection.out,
                    CloseCode::NORMAL,
                    "",
                    self.reader.random.mask(),
                );
                self.listed.push(index);
            }
        }
    }

    fn progress(&self) -> Progress {
        let counts = self.reader.verifier.counts();
        let wrong = counts.lost + counts.duplicated + counts.disordered + counts.foreign;
        Progress { wrong, ..self.reader.report.progress }
    }

    /// Waits for completions and handles them: as they come, or (under load) like remote clients do, every so
    /// often.
    fn receive(&mut self) -> Result<(), String> {
        let (Some(interval), Stage::Load) = (self.plan.poll, self.stage) else {
            let limit_ns = if self.stage == Stage::Ramp { RAMP_TURN_NS } else { TURN_NS_MAX };
            self.enter(Wait::For(Duration::from_nanos(limit_ns)))?;
            return Ok(());
        };
        self.clock.sleep_until(self.next_poll_ns);
        self.next_poll_ns = (self.next_poll_ns + ns(interval)).max(self.clock.now_ns());
        for _ in 0..ENTERS_PER_POLL_MAX {
            if self.enter(Wait::No)? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// One enter; how many completions it brought.
    fn enter(&mut self, wait: Wait) -> Result<usize, String> {
        let mut completions = std::mem::take(&mut self.completions);
        self.ring.enter(wait, &mut completions).map_err(|error| error.to_string())?;
        let count = completions.len();
        for completion in completions.drain(..) {
            self.complete(completion);
        }
        self.completions = completions;
        Ok(count)
    }
}
