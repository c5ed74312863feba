//! `WatchAnomalies`: what is under way, then each change.
//!
//! A watcher pulls: it asks the records for the changes after the last that it told
//! ([`crate::records::feed`]) and waits until the client has taken them. So nothing is queued for
//! anybody but [`QUEUE_MAX`] messages. A client that takes none for [`SLOW_MAX`], or is so far behind
//! that changes are not held any more, is told so, and may go on from its last cursor.

mod cursor;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::Status;
use tonic::codegen::tokio_stream::Stream;

use self::cursor::Cursor;
use super::{fields, time, v1};
use crate::engine::record::RecordId;
use crate::expose::api::Api;
use crate::expose::api::anomalies::{self, Anomaly};
use crate::expose::api::params::Params;
use crate::expose::api::problem::Problem;
use crate::records::Records;
use crate::records::feed::{Changes, Lost};
use crate::records::index::Filter;

/// Watchers of all clients together.
const WATCHERS_MAX: usize = 64;
/// Messages of a watcher that its client has not taken yet, some 2 KB each.
const QUEUE_MAX: usize = 64;
/// Changes that are looked at, and records that are read, at once.
const AT_ONCE: usize = 64;
/// How long a client may take nothing.
const SLOW_MAX: Duration = Duration::from_secs(30);
/// Changes come in bursts: how long one is waited for before it is told.
const BURST: Duration = Duration::from_millis(100);
/// How often a client for whom there is nothing is told where to go on.
const MARK_EVERY: Duration = Duration::from_secs(30);
/// How late a sample may be that is found again by its time.
const LATE_MAX_MS: i64 = 3_600_000;

/// Room for watchers, and how patient they are.
pub(super) struct Watchers {
    room: Arc<Semaphore>,
    slow_max: Duration,
    queue_max: usize,
}

impl Default for Watchers {
    fn default() -> Self {
        Self {
            room: Arc::new(Semaphore::new(WATCHERS_MAX)),
            slow_max: SLOW_MAX,
            queue_max: QUEUE_MAX,
        }
    }
}

/// What a client is sent.
type Message = v1::WatchAnomaliesResponse;

/// How a stream ended; `None` while it lasts.
type End = Arc<Mutex<Option<Status>>>;

/// The stream of one client: what is queued, then how it ended.
pub(super) struct Told {
    queue: mpsc::Receiver<Message>,
    end: End,
}

impl Stream for Told {
    type Item = Result<Message, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.queue.poll_recv(cx).map(|message| match message {
            Some(message) => Some(Ok(message)),
            None => {
                let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
                end.take().map(Err)
            }
        })
    }
}

/// Begins to watch.
pub(super) fn begin(
    api: &Arc<Api>,
    watchers: &Arc<Watchers>,
    request: v1::WatchAnomaliesRequest,
) -> Result<Told, Status> {
    let records = Arc::clone(anomalies::records(api)?);
    let at = match request.cursor.as_str() {
        "" => None,
        text => Some(Cursor::read(text)?),
    };
    let only_new = request.only_new;
    let filter = filter(request)?;
    let Ok(place) = Arc::clone(&watchers.room).try_acquire_owned() else {
        let what = format!("{WATCHERS_MAX} clients are watching already, come back later");
        return Err(Status::resource_exhausted(what));
    };
    let (sender, queue) = mpsc::channel(watchers.queue_max);
    let end = End::default();
    let mut watcher = Watcher {
        told: records.newest_change(),
        api: Arc::clone(api),
        records,
        filter: Arc::new(filter),
        sender,
        slow_max: watchers.slow_max,
        _place: place,
    };
    let said = Arc::clone(&end);
    tokio::spawn(async move {
        let Err(ended) = watcher.run(at, only_new).await;
        if let Ended::By(status) = ended {
            *said.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
        }
    });
    Ok(Told { queue, end })
}

/// The fields that a watch has are those of a list.
fn filter(request: v1::WatchAnomaliesRequest) -> Result<Filter, Status> {
    let list = v1::ListAnomaliesRequest {
        metric_name: request.metric_name,
        r#match: request.r#match,
        severity: request.severity,
        state: request.state,
        reason: request.reason,
        ..v1::ListAnomaliesRequest::default()
    };
    let endpoint = fields::endpoint("listAnomalies")
        .ok_or_else(|| Status::internal("BUG: no endpoint listAnomalies"))?;
    let (path, query) = fields::given(endpoint, &list)?;
    let params = Params::check(endpoint.params, &path, &query)?;
    Ok(anomalies::filter(&params)?)
}

/// Why a watcher ended.
enum Ended {
    /// The client has gone.
    Gone,
    By(Status),
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Self::By(status)
    }
}

struct Watcher {
    api: Arc<Api>,
    records: Arc<Records>,
    filter: Arc<Filter>,
    /// Number of the last change that was dealt with.
    told: u64,
    sender: mpsc::Sender<Message>,
    slow_max: Duration,
    _place: OwnedSemaphorePermit,
}

impl Watcher {
    async fn run(
        &mut self,
        at: Option<Cursor>,
        only_new: bool,
    ) -> Result<std::convert::Infallible, Ended> {
        let mut bell = self.records.listen();
        match at {
            Some(cursor) if self.goes_on(cursor) => self.told = cursor.number,
            Some(cursor) => {
                let since_ms = cursor.time_ms.saturating_sub(LATE_MAX_MS);
                let ids = self
                    .records
                    .look(|index| index.changed_since(&self.filter, since_ms));
                self.tell_all(&ids, &cursor.write()).await?;
            }
            None if only_new => {}
            None => {
                let ids = self.records.look(|index| index.under_way(&self.filter));
                self.tell_all(&ids, "").await?;
            }
        }
        // What changed meanwhile comes next, and some of it once more.
        while self.go_on().await? {}
        self.mark().await?;
        let mut marked = self.told;
        loop {
            tokio::select! {
                () = self.sender.closed() => return Err(Ended::Gone),
                rung = bell.changed() => {
                    if rung.is_err() {
                        return Err(Status::unavailable("records are not kept any more").into());
                    }
                    tokio::time::sleep(BURST).await;
                    bell.mark_unchanged();
                    while self.go_on().await? {}
                }
                () = tokio::time::sleep(MARK_EVERY) => {
                    if self.told != marked {
                        self.mark().await?;
                        marked = self.told;
                    }
                }
            }
        }
    }

    /// True if the changes after it are all held.
    fn goes_on(&self, cursor: Cursor) -> bool {
        cursor.opened_ms == self.records.opened_ms()
            && self.records.changes(cursor.number, 1, &self.filter).is_ok()
    }

    /// Tells the next changes; true if there are more.
    async fn go_on(&mut self) -> Result<bool, Ended> {
        let Changes { all, to, more } = self
            .records
            .changes(self.told, AT_ONCE, &self.filter)
            .map_err(|lost| self.behind(lost))?;
        let there = all.iter().filter(|c| !c.gone).map(|c| c.id);
        let mut found = self.read(there.collect()).await?.into_iter().peekable();
        for change in &all {
            let cursor = self.cursor(change.number);
            if change.gone {
                let anomaly = v1::Anomaly {
                    id: change.id.to_string(),
                    series_id: format!("{:016x}", change.id.fingerprint),
                    start_time: Some(time::of_ms(change.id.start_ms)),
                    ..v1::Anomaly::default()
                };
                self.send("gone", Some(anomaly), cursor).await?;
            } else if found.peek().is_some_and(|(id, _)| *id == change.id)
                && let Some((_, anomaly)) = found.next()
            {
                self.send("changed", Some(anomaly), cursor).await?;
            }
        }
        self.told = to;
        Ok(more)
    }

    /// Tells of these records as they are.
    async fn tell_all(&self, ids: &[RecordId], cursor: &str) -> Result<(), Ended> {
        for some in ids.chunks(AT_ONCE) {
            for (_, anomaly) in self.read(some.to_vec()).await? {
                self.send("changed", Some(anomaly), cursor.to_owned())
                    .await?;
            }
        }
        Ok(())
    }

    /// Records as messages, in this order, without those that are gone.
    async fn read(&self, ids: Vec<RecordId>) -> Result<Vec<(RecordId, v1::Anomaly)>, Ended> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let records = Arc::clone(&self.records);
        let read = self.api.in_turn(move |api| {
            let told = anomalies::told(api, &records, &ids).map_err(Problem::from)?;
            let message = |anomaly: &Anomaly| {
                let json = serde_json::to_vec(anomaly).unwrap_or_default();
                let message: v1::Anomaly = fields::message(&json)?;
                let id = message.id.parse();
                let id = id.map_err(|e| Status::internal(format!("BUG: {e}")))?;
                Ok((id, message))
            };
            told.iter().map(message).collect::<Result<Vec<_>, Status>>()
        });
        Ok(read.await?)
    }

    async fn mark(&self) -> Result<(), Ended> {
        self.send("mark", None, self.cursor(self.told)).await
    }

    fn cursor(&self, number: u64) -> String {
        let cursor = Cursor {
            opened_ms: self.records.opened_ms(),
            number,
            time_ms: self.api.state().clock.now_ms(),
        };
        cursor.write()
    }

    async fn send(
        &self,
        change: &str,
        anomaly: Option<v1::Anomaly>,
        cursor: String,
    ) -> Result<(), Ended> {
        let message = Message {
            change: change.to_owned(),
            anomaly,
            cursor,
        };
        match tokio::time::timeout(self.slow_max, self.sender.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Gone),
            Err(_) => Err(Status::resource_exhausted(format!(
                "nothing was taken for {} s: watch again from the last cursor",
                self.slow_max.as_secs()
            ))
            .into()),
        }
    }

    fn behind(&self, lost: Lost) -> Ended {
        Status::resource_exhausted(format!("{lost}: watch again from the last cursor")).into()
    }
}
