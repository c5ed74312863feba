//! One thread that does all disk work, so that nothing else can be stopped by it.
//!
//! sled can return an error, panic, or wait for ever for a thread of its own that panicked. Each
//! of these becomes a [`DiskError`] here: jobs run inside `catch_unwind` on this thread, and whoever
//! asked stops waiting after a stated time. After an error or a panic the backend is closed, because
//! sled refuses everything after its first error until it is opened again.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

/// How long whoever asks waits for the disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    /// For one read, one batch of a few MiB or one flush.
    pub(super) job: Duration,
    /// For the store to open, which reads the whole log after a crash.
    pub(super) open: Duration,
    /// For the store to close.
    pub(super) close: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            // A healthy disk needs milliseconds, a spinning one under load a second or two.
            job: Duration::from_secs(15),
            // 0.03 s as a rule, about 20 s for 2 GiB at 100 MiB/s.
            open: Duration::from_secs(120),
            // One flush.
            close: Duration::from_secs(10),
        }
    }
}

/// Why the disk did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// The files are not what they should be, or sled panicked over them.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The operating system refused: a full disk, a missing permission, a failing device.
    #[error("the disk refused: {0}")]
    Failed(String),
    /// No answer in time; the job may still be done later.
    #[error("the disk did not answer in time")]
    Stalled,
    /// There was an error before, and the store has not been opened again yet.
    #[error("the store is closed after an error")]
    Closed,
}

/// Why a backend could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum OpenFailure {
    /// Another process has it.
    #[error("it is in use by another process")]
    Locked,
    /// A newer saimon wrote it: the format that it says it has.
    #[error("it was written by a newer saimon: {0}")]
    Newer(String),
    /// As [`DiskError::Failed`]: the files may be fine.
    #[error("{0}")]
    Failed(String),
    /// As [`DiskError::Damaged`]: it will not open next time either.
    #[error("{0}")]
    Damaged(String),
}

impl From<DiskError> for OpenFailure {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::Damaged(why) => Self::Damaged(why),
            DiskError::Failed(why) => Self::Failed(why),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Edit {
    Put(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
}

impl Edit {
    /// Bytes of key and value.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Put(key, value) => (key.len() + value.len()) as u64,
            Self::Remove(key) => key.len() as u64,
        }
    }
}

/// Keys and values in order.
pub(super) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// An ordered map from bytes to bytes on disk. sled is one; tests have one that fails.
pub(super) trait Backend: Send {
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError>;
    /// Pairs with keys in `[from, to)`, up to the first at which their values reach `bytes`.
    fn scan(&mut self, from: &[u8], to: &[u8], bytes: usize) -> Result<Pairs, DiskError>;
    /// Does all edits or none, even if the process dies in between.
    fn apply(&mut self, edits: Vec<Edit>) -> Result<(), DiskError>;
    /// Bounds what is kept of values that are no more; to be done after much was applied.
    fn tidy(&mut self) -> Result<(), DiskError> {
        Ok(())
    }
    /// Returns when all that was applied is on the disk.
    fn flush(&mut self) -> Result<(), DiskError>;
    /// Size on disk.
    fn bytes(&mut self) -> Result<u64, DiskError>;
}

/// Opens the backend, on the disk's thread.
#[derive(Clone)]
pub(super) struct Opener {
    open: Arc<dyn Fn() -> Result<Box<dyn Backend>, OpenFailure> + Send + Sync>,
    waits: Waits,
}

impl Opener {
    pub(super) fn new(
        waits: Waits,
        open: impl Fn() -> Result<Box<dyn Backend>, OpenFailure> + Send + Sync + 'static,
    ) -> Self {
        Self {
            open: Arc::new(open),
            waits,
        }
    }

    pub(super) fn open(&self) -> Result<Box<dyn Backend>, OpenFailure> {
        (self.open)()
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opener")
    }
}

type Slot = Option<Box<dyn Backend>>;
type Job = Box<dyn FnOnce(&mut Slot) + Send>;

/// The handle of the thread.
#[derive(Debug)]
pub(super) struct Disk {
    /// `None` only while being dropped.
    jobs: Option<mpsc::Sender<Job>>,
    /// Behind a mutex only to be shared between threads; used once, when this is dropped.
    ended: Mutex<mpsc::Receiver<()>>,
    shared: Arc<Shared>,
    opener: Opener,
}

#[derive(Debug, Default)]
struct Shared {
    /// Jobs that someone stopped waiting for and that are not done yet.
    abandoned: AtomicUsize,
    closed: AtomicBool,
}

impl Disk {
    /// A disk that is not open yet.
    pub(super) fn new(opener: Opener) -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (done, ended) = mpsc::channel();
        let shared = Arc::new(Shared::default());
        shared.closed.store(true, Ordering::Relaxed);
        let spawned = thread::Builder::new()
            .name("store-disk".to_owned())
            .spawn(move || {
                let mut slot = None;
                for job in queue {
                    job(&mut slot);
                }
                close(&mut slot);
                drop(done);
            });
        // Without a thread the queue is gone, and every job is answered with `Closed`.
        if let Err(error) = spawned {
            tracing::error!(%error, "cannot start the thread of the store");
        }
        Self {
            jobs: Some(jobs),
            ended: Mutex::new(ended),
            shared,
            opener,
        }
    }

    /// Another disk in place of one that may never answer.
    pub(super) fn again(&self) -> Self {
        Self::new(self.opener.clone())
    }

    /// True after an error, until the next [`Disk::open`].
    pub(super) fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Relaxed)
    }

    pub(super) fn open(&self) -> Result<(), OpenFailure> {
        if self.is_stalled() {
            return Err(OpenFailure::Failed(DiskError::Stalled.to_string()));
        }
        let opener = self.opener.clone();
        let shared = Arc::clone(&self.shared);
        let opened = self.wait(self.opener.waits.open, move |slot| {
            close(slot);
            let opened = catch_unwind(AssertUnwindSafe(|| opener.open()))
                .unwrap_or_else(|panic| Err(OpenFailure::Damaged(panicked(&*panic))));
            opened.map(|backend| {
                *slot = Some(backend);
                shared.closed.store(false, Ordering::Relaxed);
            })
        });
        match opened {
            Ok(opened) => opened,
            // Not a slow disk any more, see [`Waits`]: it would hang at every start.
            Err(DiskError::Stalled) => {
                Err(OpenFailure::Damaged("opening it did not end".to_owned()))
            }
            Err(e) => Err(OpenFailure::Failed(e.to_string())),
        }
    }

    pub(super) fn get(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, DiskError> {
        self.run(move |b| b.get(&key))
    }

    /// Several values, in the order of their keys here.
    pub(super) fn get_all(&self, keys: Vec<Vec<u8>>) -> Result<Vec<Option<Vec<u8>>>, DiskError> {
        self.run(move |b| keys.iter().map(|key| b.get(key)).collect())
    }

    pub(super) fn scan(&self, from: &[u8], to: &[u8], bytes: usize) -> Result<Pairs, DiskError> {
        let (from, to) = (from.to_vec(), to.to_vec());
        self.run(move |b| b.scan(&from, &to, bytes))
    }

    pub(super) fn apply(&self, edits: Vec<Edit>) -> Result<(), DiskError> {
        self.run(move |b| b.apply(edits))
    }

    pub(super) fn tidy(&self) -> Result<(), DiskError> {
        self.run(|b| b.tidy())
    }

    pub(super) fn flush(&self) -> Result<(), DiskError> {
        self.run(|b| b.flush())
    }

    pub(super) fn bytes(&self) -> Result<u64, DiskError> {
        self.run(|b| b.bytes())
    }

    /// Does `job` on the open backend, which is closed if the job fails or panics.
    fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Backend) -> Result<T, DiskError> + Send + 'static,
    ) -> Result<T, DiskError> {
        let shared = Arc::clone(&self.shared);
        self.wait(self.opener.waits.job, move |slot| {
            if shared.closed.load(Ordering::Relaxed) {
                return Err(DiskError::Closed);
            }
            let backend = slot.as_mut().ok_or(DiskError::Closed)?;
            let result = catch_unwind(AssertUnwindSafe(|| job(backend.as_mut())))
                .unwrap_or_else(|panic| Err(DiskError::Damaged(panicked(&*panic))));
            if result.is_err() {
                shared.closed.store(true, Ordering::Relaxed);
                close(slot);
            }
            result
        })?
    }

    fn wait<T: Send + 'static>(
        &self,
        wait: Duration,
        job: impl FnOnce(&mut Slot) -> T + Send + 'static,
    ) -> Result<T, DiskError> {
        if self.is_stalled() {
            return Err(DiskError::Stalled);
        }
        let (answer, answered) = mpsc::sync_channel(1);
        // Set by whoever is first: the job when it has answered, or the one that stops waiting.
        let settled = Arc::new(AtomicBool::new(false));
        let job: Job = {
            let settled = Arc::clone(&settled);
            let shared = Arc::clone(&self.shared);
            Box::new(move |slot| {
                // Fails only if nobody waits any more.
                let _ = answer.send(job(slot));
                if settled.swap(true, Ordering::AcqRel) {
                    shared.abandoned.fetch_sub(1, Ordering::Release);
                }
            })
        };
        let Some(Ok(())) = self.jobs.as_ref().map(|jobs| jobs.send(job)) else {
            return Err(DiskError::Closed);
        };
        match answered.recv_timeout(wait) {
            Ok(done) => Ok(done),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(DiskError::Closed),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                self.shared.abandoned.fetch_add(1, Ordering::Acquire);
                if settled.swap(true, Ordering::AcqRel) {
                    self.shared.abandoned.fetch_sub(1, Ordering::Release);
                    return answered.recv().map_err(|_| DiskError::Closed);
                }
                // What the job did is not known, so the store is read again before it is used.
                self.shared.closed.store(true, Ordering::Relaxed);
                Err(DiskError::Stalled)
            }
        }
    }

    /// True while a job that nobody waits for any more has not ended.
    fn is_stalled(&self) -> bool {
        self.shared.abandoned.load(Ordering::Acquire) > 0
    }
}

impl Drop for Disk {
    /// Closes the store, so that its files are free afterwards if the disk answers at all.
    fn drop(&mut self) {
        self.jobs = None;
        if !self.is_stalled() {
            // The thread sends nothing and drops its end.
            let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
            let _ = ended.recv_timeout(self.opener.waits.close);
        }
    }
}

/// Closing flushes, so it can panic as everything else.
fn close(slot: &mut Slot) {
    let backend = slot.take();
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(backend))) {
        tracing::debug!(
            panic = panicked(&*panic),
            "the store panicked while it was closed"
        );
    }
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    let what = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    format!("it panicked: {what}")
}
