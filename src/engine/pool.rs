//! All shards together: made, filled from the store, started, stopped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::ask::{Question, Reader};
use super::churn::Churn;
use super::history::Historian;
use super::joint::{Feed, Joints};
use super::keep::{Appendix, Family, GroupId, Kept, PARTITIONS, PastChunks};
use super::long_past::LongPasts;
use super::memory::Budget;
use super::orders::{Book, Desk, NewOrders};
use super::presence::Presence;
use super::records::{Known, RecordOutlet, RecordTap, record_taps};
use super::resets::{ResetTap, Resets};
use super::router::Router;
use super::rules::{EARLIER_MAX, Past, Rules, Specs};
use super::shard::{Message, Renewal, Shard, ShardParts, Sleep, Stray};
use super::state::StateError;
use super::tally::Admission;
use super::tap::{Outlet, TapSpec, taps};
use super::trainer::Trainers;
use super::training::Training;
use super::worker::Worker;
use crate::clock::Clock;
use crate::model::forest::seat::Seats;
use crate::score::board::Board;
use crate::telemetry::Metrics;

/// Forests are grown by one thread for so many shards.
const SHARDS_A_TRAINER: usize = 4;

/// What an engine is made with.
#[derive(Debug, Clone)]
pub struct EngineSpec {
    /// Threads that own series; at least 1.
    pub shards: usize,
    /// Most series that are held.
    pub series_max: u32,
    /// Messages waiting for one shard.
    pub queue_max: usize,
    /// Most metric families whose metadata is remembered.
    pub families_max: usize,
    /// How long a silent series is remembered, in milliseconds.
    pub forget_ms: i64,
    /// Whether finished chunks are held for a store.
    pub keeps: bool,
    /// Whether births are remembered for a [`Historian`].
    pub wants_history: bool,
}

/// Shards that have no threads yet.
#[derive(Debug)]
pub struct Pool {
    shards: Vec<Shard>,
    pub board: Arc<Board>,
    metrics: Arc<Metrics>,
    queue_max: usize,
    /// Stored series that are to be taken in by another partition than their group's, when the
    /// numbers of all stored groups are known.
    strays: Vec<Stray>,
    /// The latest time that was heard.
    now_ms: i64,
    /// Threads that end when the last shard has.
    helpers: Vec<JoinHandle<()>>,
    /// For the anomalies of groups.
    records: Option<RecordTap>,
    joint: Option<Feed>,
    resets: Arc<Resets>,
}

impl Pool {
    pub fn new(spec: &EngineSpec, rules: Rules, metrics: &Arc<Metrics>) -> Self {
        let (board, writers) = Board::new(spec.shards);
        let rules = Arc::new(rules);
        let admission = Arc::new(Admission::new(spec.series_max));
        let seats = Seats::new(rules.forests_max());
        metrics.forests_limit.set(i64::from(seats.max()));
        let budget = Arc::new(Budget::new(u64::MAX, spec.shards));
        let churn = Arc::new(Churn::new());
        let presence = Arc::new(Presence::new());
        let resets = Arc::<Resets>::default();
        super::tally::begin(metrics);
        metrics.series_limit.set(i64::from(spec.series_max));
        let shards = writers
            .into_iter()
            .enumerate()
            .map(|(index, board)| {
                Shard::new(ShardParts {
                    index,
                    shards: spec.shards,
                    specs: Specs::new(Arc::clone(&rules)),
                    board,
                    metrics: Arc::clone(metrics),
                    admission: Arc::clone(&admission),
                    seats: Arc::clone(&seats),
                    trainers: None,
                    budget: Arc::clone(&budget),
                    churn: Arc::clone(&churn),
                    presence: Arc::clone(&presence),
                    resets: ResetTap::new(&resets),
                    joints: None,
                    sleep: None,
                    families_max: spec.families_max,
                    forget_ms: spec.forget_ms,
                    keeps: spec.keeps,
                    wants_history: spec.wants_history,
                    tap: None,
                    records: None,
                })
            })
            .collect();
        Self {
            shards,
            board,
            metrics: Arc::clone(metrics),
            queue_max: spec.queue_max,
            strays: Vec::new(),
            now_ms: i64::MIN,
            helpers: Vec::new(),
            records: None,
            joint: None,
            resets,
        }
    }

    /// Has series go by these orders. To be called before anything is restored.
    pub fn order(&mut self, book: &Book) {
        for shard in &mut self.shards {
            shard.order(NewOrders {
                book: book.clone(),
                only: None,
            });
        }
    }

    /// Large parts of the states of a group that will be restored next.
    pub fn appendices(&mut self, id: GroupId, appendices: Vec<Appendix>) {
        let owner = usize::from(id.partition) % self.shards.len();
        self.shards[owner].expect_appendices(id, appendices);
    }

    /// Bounds the memory of all series, in bytes. To be called before anything is restored.
    pub fn bound_memory(&mut self, max: u64) {
        let budget = Arc::new(Budget::new(max, self.shards.len()));
        self.metrics
            .memory
            .limit
            .set(i64::try_from(max).unwrap_or(i64::MAX));
        for shard in &mut self.shards {
            shard.set_budget(Arc::clone(&budget));
        }
    }

    /// The rules under which series were scored before, if they are known, are not those of today. To
    /// be called before anything is restored.
    pub fn rules_were(&mut self, earlier: Option<Rules>) {
        let earlier = earlier.map(Arc::new);
        for shard in &mut self.shards {
            shard.rules_were(earlier.clone());
        }
    }

    /// Rules under which series may have been scored before those of today, the newest first. To be
    /// called before anything is restored.
    pub fn rules_before(&mut self, past: Vec<Rules>) {
        let past = past.into_iter().take(EARLIER_MAX).map(Arc::new);
        let past: Past = Arc::new(past.collect());
        for shard in &mut self.shards {
            shard.rules_before(Arc::clone(&past));
        }
    }

    /// Has scores handed to whoever takes them out of what is given back. To be called before
    /// anything is restored.
    pub fn tap(&mut self, spec: &TapSpec) -> Outlet {
        let (taps, outlet) = taps(self.shards.len(), spec);
        for (shard, tap) in self.shards.iter_mut().zip(taps) {
            shard.set_tap(tap);
        }
        outlet
    }

    /// Has records of anomalies handed to whoever keeps them and knows these. To be called before
    /// anything is restored.
    pub fn record(&mut self, known: Known) -> RecordOutlet {
        let (mut taps, outlet) = record_taps(self.shards.len(), known);
        self.records = taps.pop();
        for (shard, records) in self.shards.iter_mut().zip(taps) {
            shard.set_records(records);
        }
        outlet
    }

    /// Has idle series put to sleep. To be called before anything is restored.
    pub fn lull(&mut self, sleep: &Sleep) {
        for shard in &mut self.shards {
            shard.set_sleep(sleep.clone());
        }
    }

    /// Where anomalies of groups go, if records are kept: to be taken once, before the start.
    pub fn record_of_groups(&mut self) -> Option<RecordTap> {
        self.records.take()
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Has series looked at together: by `joints`, whose thread ends after the shards.
    pub fn look_together(&mut self, joints: &Arc<Joints>, thread: JoinHandle<()>) {
        for shard in &mut self.shards {
            shard.set_joints(joints.tap());
        }
        self.joint = Some(joints.feed());
        self.helpers.push(thread);
    }

    /// Brings back one stored group; gives the number of its series.
    ///
    /// # Errors
    /// If the state is of another version or damaged. The group is left out then.
    pub fn restore(
        &mut self,
        id: GroupId,
        state: &[u8],
        newest_ms: i64,
        now_ms: i64,
    ) -> Result<usize, StateError> {
        let owner = usize::from(id.partition) % self.shards.len();
        let (restored, mut strays) = self.shards[owner].restore(id, state, newest_ms, now_ms)?;
        let all = restored + strays.len();
        self.strays.append(&mut strays);
        self.now_ms = self.now_ms.max(now_ms);
        Ok(all)
    }

    /// Goes on where the store ended: each partition has the records up to its number in `covered`, all
    /// of them those up to `applied`; what comes after is to be replayed. Families are in the order in
    /// which they were announced.
    pub fn resume(&mut self, covered: &[u64; PARTITIONS], applied: u64, families: &[Family]) {
        for shard in &mut self.shards {
            shard.resume(covered, applied, families);
        }
    }

    /// Ends the restoring.
    fn settle(&mut self) {
        for stray in std::mem::take(&mut self.strays) {
            let owner = stray.partition() % self.shards.len();
            self.shards[owner].adopt(stray);
        }
        for shard in &mut self.shards {
            shard.settle(self.now_ms);
        }
    }

    /// The shards themselves, to be driven without threads.
    pub fn into_shards(mut self) -> Vec<Shard> {
        self.settle();
        self.shards
    }

    /// Gives every shard its thread.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(
        mut self,
        kept: Option<&SyncSender<Kept>>,
        clock: &Arc<dyn Clock>,
    ) -> std::io::Result<Engine> {
        self.settle();
        let mut senders = Vec::new();
        let mut threads = Vec::new();
        let trainers = (self.shards.len() / SHARDS_A_TRAINER).max(1);
        let list = Arc::<Training>::default();
        let (trainers, training) = Trainers::start(trainers, &self.metrics, &list)?;
        let beside = trainers.beside();
        for (index, mut shard) in self.shards.into_iter().enumerate() {
            let (sender, inbox) = mpsc::channel(self.queue_max.max(2));
            shard.train_with(trainers.clone());
            let worker = Worker {
                index,
                inbox,
                kept: kept.cloned(),
                metrics: Arc::clone(&self.metrics),
                clock: Arc::clone(clock),
            };
            threads.push(
                std::thread::Builder::new()
                    .name(format!("shard-{index}"))
                    .spawn(move || run(index, worker, shard))?,
            );
            senders.push(sender);
        }
        // They end after the shards, whose fits they wait for.
        threads.extend(training);
        threads.append(&mut self.helpers);
        // Nobody has asked for it.
        drop(self.records);
        Ok(Engine {
            router: Router::new(senders.clone()).feeding(self.joint),
            senders,
            board: self.board,
            training: list,
            long: Arc::new(LongPasts::new(beside)),
            resets: self.resets,
            threads,
        })
    }
}

/// Runs one shard. A panic in it is a bug that would leave its series unscored and every request
/// refused for good, so it ends the process: a supervisor starts a fresh one from the last checkpoint.
fn run(index: usize, worker: Worker, shard: Shard) {
    let ran = catch_unwind(AssertUnwindSafe(|| worker.run(shard)));
    if ran.is_err() {
        tracing::error!(
            shard = index,
            "a shard panicked: ending, start saimon again to go on from the last checkpoint"
        );
        std::process::exit(1);
    }
}

/// Running shards.
#[derive(Debug)]
pub struct Engine {
    pub router: Router,
    pub senders: Vec<mpsc::Sender<Message>>,
    pub board: Arc<Board>,
    /// Fits that were handed to the trainers.
    pub training: Arc<Training>,
    long: Arc<LongPasts>,
    /// Targets some of whose counters began anew.
    pub resets: Arc<Resets>,
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Answers questions about windows; `past` has the chunks that are no longer in memory.
    pub fn reader(&self, past: Option<Arc<dyn PastChunks>>) -> Reader {
        let reader = Reader::new(self.senders.clone(), past);
        reader
            .with_training(&self.training, &self.long)
            .with_resets(&self.resets)
    }

    /// Where orders are given; the shards have those of `book`.
    pub fn desk(&self, book: Book) -> Desk {
        Desk::new(book, self.senders.clone())
    }

    /// Gives histories to series that want them.
    pub fn historian(&self) -> Historian {
        Historian::new(self.senders.clone())
    }

    /// Has every shard go by other rules and limits, each from its next message on.
    pub async fn renew(senders: &[mpsc::Sender<Message>], renewal: &Renewal) {
        for sender in senders {
            // Fails only if the shard has ended.
            let _ = sender.send(Message::Renew(renewal.clone())).await;
        }
    }

    /// Tells every shard the time; one whose queue is full hears it the next time.
    pub fn tick(senders: &[mpsc::Sender<Message>], now_ms: i64) {
        for sender in senders {
            let _ = sender.try_send(Message::Tick { now_ms });
        }
    }

    /// Returns when every shard has taken all that was sent to it before.
    pub async fn caught_up(senders: &[mpsc::Sender<Message>]) {
        for sender in senders {
            let (answer, answered) = oneshot::channel();
            // A question about nothing is answered in its turn.
            let nothing = Question::Windows {
                of: Vec::new(),
                from_ms: 0,
                to_ms: 0,
                answer,
            };
            if sender.send(Message::Ask(nothing)).await.is_ok() {
                // Fails only if the shard has ended.
                let _ = answered.await;
            }
        }
    }

    /// Waits until every shard has ended, which each does after [`Message::Stop`]. Blocks.
    pub fn join(self) {
        drop(self.router);
        drop(self.senders);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a shard thread panicked before the end");
            }
        }
    }
}
