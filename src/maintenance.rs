//! Windows in which nobody is alerted of some series or nothing is learned from them, and changes at
//! targets, which are held against their anomalies.
//!
//! What always holds: a window counts by the time of samples, from two seconds after it was made known
//! on, and what was of it is never changed: one that is deleted ends, and is forgotten long after. So a
//! sample that is read back from the log meets the windows that it met when it came. An order is
//! answered when it is on disk.

pub mod changes;
pub mod restarts;
pub mod silences;
pub mod watch;
pub mod window;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};

use self::changes::Changes;
use self::window::{Source, Stage, Wanted, Window, WindowError};
use crate::engine::orders::Desk;
use crate::model::orders::Pause;
use crate::series::labels;
use crate::series::matcher::Selector;
use crate::store::notes::{Notes, NotesError};

/// Windows that there are, those that are over included. A series that some of them match asks each of
/// these with each sample.
pub const WINDOWS_MAX: usize = 512;
/// A window counts for samples so long after it was made known, in milliseconds: it is on disk and with
/// the shards then.
const SETTLES_MS: i64 = 2000;
/// How far back windows are known for samples that are judged again, in milliseconds: more than windows
/// of samples are usually kept.
const PAST_MS: i64 = 40 * 86_400_000;
/// How far ahead the times of those that recur are known, in milliseconds ...
const AHEAD_MS: i64 = 8 * 86_400_000;
/// ... and when they are looked at again.
const AGAIN_MS: i64 = 86_400_000;

const FILE: &str = "maintenance";
/// 2: windows of silences. What 1 wrote is read as it is.
const VERSION: u32 = 2;

/// Why a window is not taken.
#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    #[error(transparent)]
    Window(#[from] WindowError),
    #[error("there are {WINDOWS_MAX} windows already: delete what is not needed")]
    Full,
    #[error("it is in the configuration: take it out there and reload")]
    Configured,
    #[error("it is a silence of the Alertmanager: expire it there")]
    Silenced,
    #[error("it cannot be kept, so it is not taken, try again: {0}")]
    Unkept(#[from] std::io::Error),
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct All {
    last_number: u64,
    windows: Vec<Window>,
}

/// A window as shards know it.
type Held = (Selector, Arc<Pause>);

#[derive(Debug, Default)]
struct State {
    all: All,
    /// In the order of `all.windows`.
    held: Vec<Held>,
    /// The times of those that recur are known up to here.
    known_ms: i64,
}

/// All windows and changes of one process.
#[derive(Debug)]
pub struct Maintenance {
    notes: Notes,
    state: Mutex<State>,
    /// To the shards, once there are any.
    desk: OnceLock<Arc<Desk>>,
    pub changes: Changes,
}

impl Maintenance {
    /// Reads what is kept in the folder `dir`.
    ///
    /// # Errors
    /// See [`NotesError`].
    pub fn open(dir: &Path, now_ms: i64) -> Result<Self, NotesError> {
        let notes = Notes::new(&dir.join(FILE), FILE, VERSION);
        let all: All = notes.read(now_ms)?.unwrap_or_default();
        let mut state = State::default();
        for window in &all.windows {
            state.held.extend(hold(window, now_ms));
        }
        // What an older saimon took, and this one does not, is left out as a whole.
        let sound = |w: &&Window| hold(w, now_ms).is_some();
        state.all.windows = all.windows.iter().filter(sound).cloned().collect();
        state.all.last_number = all.last_number;
        state.known_ms = now_ms.saturating_add(AHEAD_MS);
        Ok(Self {
            notes,
            state: Mutex::new(state),
            desk: OnceLock::new(),
            changes: Changes::open(dir, now_ms)?,
        })
    }

    /// What the shards have to know before their first sample.
    pub fn pauses(&self) -> Vec<Held> {
        self.lock().held.clone()
    }

    /// Has shards hear of what is ordered from now on.
    pub fn tell(&self, desk: Arc<Desk>) {
        // Told twice, the first one stays.
        let _ = self.desk.set(desk);
    }

    /// Takes a window. Blocks on the disk.
    ///
    /// # Errors
    /// See [`MaintenanceError`]; nothing has changed then.
    pub fn add(&self, wanted: Wanted, now_ms: i64) -> Result<Window, MaintenanceError> {
        wanted.check(["start_time", "end_time"])?;
        let mut state = self.lock();
        let mut all = state.all.clone();
        let window = all.add(wanted, Source::Api, now_ms)?;
        self.put(&mut state, all, now_ms)?;
        Ok(window)
    }

    /// Ends a window; gives it as it is now, `None` if there is none. Blocks on the disk.
    ///
    /// # Errors
    /// See [`MaintenanceError`]; nothing has changed then.
    pub fn end(&self, number: u64, now_ms: i64) -> Result<Option<Window>, MaintenanceError> {
        let mut state = self.lock();
        let mut all = state.all.clone();
        let Some(window) = all.windows.iter_mut().find(|w| w.number == number) else {
            return Ok(None);
        };
        match window.source {
            Source::Api => {}
            Source::Config => return Err(MaintenanceError::Configured),
            Source::Alertmanager => return Err(MaintenanceError::Silenced),
        }
        window.end(now_ms);
        let window = window.clone();
        self.put(&mut state, all, now_ms)?;
        Ok(Some(window))
    }

    /// Has the windows of the configuration be these. Blocks on the disk.
    ///
    /// # Errors
    /// See [`MaintenanceError`]; nothing has changed then.
    pub fn configure(&self, wanted: &[Wanted], now_ms: i64) -> Result<(), MaintenanceError> {
        let mut state = self.lock();
        let mut all = state.all.clone();
        let mut left = wanted.to_vec();
        for window in &mut all.windows {
            if window.source != Source::Config || window.ended_ms.is_some() {
                continue;
            }
            match left.iter().position(|w| *w == window.wanted) {
                Some(at) => drop(left.remove(at)),
                None => window.end(now_ms),
            }
        }
        for wanted in left {
            all.add(wanted, Source::Config, now_ms)?;
        }
        if all.windows != state.all.windows {
            self.put(&mut state, all, now_ms)?;
        }
        Ok(())
    }

    /// Has the windows of silences be these, by the ids of the silences. Gives how many there are, and
    /// how many had no room. Blocks on the disk.
    ///
    /// # Errors
    /// See [`MaintenanceError`]; nothing has changed then.
    pub fn silence(
        &self,
        wanted: Vec<(String, Wanted)>,
        now_ms: i64,
    ) -> Result<(usize, usize), MaintenanceError> {
        let mut state = self.lock();
        let mut all = state.all.clone();
        let settled_ms = now_ms.saturating_add(SETTLES_MS);
        let lasts = |w: &Wanted| w.end_ms.is_some_and(|end| end > settled_ms);
        let mut left = wanted;
        left.retain(|(_, w)| lasts(w));
        let count = left.len();
        for window in &mut all.windows {
            let ends = window.ended_ms.is_some() || !lasts(&window.wanted);
            if window.source != Source::Alertmanager || ends {
                continue;
            }
            let is = |(id, w): &(String, Wanted)| {
                window.silence.as_ref() == Some(id)
                    && (&w.selector, w.start_ms)
                        == (&window.wanted.selector, window.wanted.start_ms)
            };
            match left.iter().position(is) {
                // Another end, which is still to come as the one before was.
                Some(at) => window.wanted = left.swap_remove(at).1,
                None => window.end(now_ms),
            }
        }
        // In the order in which they were made.
        left.sort_by_key(|(id, w)| (w.start_ms, id.clone()));
        let mut no_room = 0;
        for (id, wanted) in left {
            match all.add(wanted, Source::Alertmanager, now_ms) {
                Ok(_) => {
                    if let Some(window) = all.windows.last_mut() {
                        window.silence = Some(id);
                    }
                }
                Err(_) => no_room += 1,
            }
        }
        if all.windows != state.all.windows {
            self.put(&mut state, all, now_ms)?;
        }
        Ok((count - no_room, no_room))
    }

    fn put(
        &self,
        state: &mut MutexGuard<'_, State>,
        all: All,
        now_ms: i64,
    ) -> Result<(), MaintenanceError> {
        let mut held = Vec::with_capacity(all.windows.len());
        let mut more = false;
        for window in &all.windows {
            let is = |(_, pause): &&Held| pause.number() == window.number;
            match state.held.iter().find(is) {
                Some(known) => held.push(known.clone()),
                None => {
                    more = true;
                    held.extend(hold(window, now_ms));
                }
            }
        }
        self.notes.write(&all)?;
        more |= held.len() != state.held.len();
        (state.all, state.held) = (all, held);
        for (window, (_, pause)) in state.all.windows.iter().zip(&state.held) {
            if let Ok(spans) = spans(window, now_ms) {
                pause.set(spans);
            }
        }
        state.known_ms = now_ms.saturating_add(AHEAD_MS);
        if more && let Some(desk) = self.desk.get() {
            desk.pause(state.held.clone());
        }
        Ok(())
    }

    /// Looks ahead, now and then. Gives how many windows hold now.
    pub fn tick(&self, now_ms: i64) -> usize {
        let mut state = self.lock();
        if state.known_ms.saturating_sub(now_ms) < AHEAD_MS - AGAIN_MS {
            for (window, (_, pause)) in state.all.windows.iter().zip(&state.held) {
                if let Ok(spans) = spans(window, now_ms) {
                    pause.set(spans);
                }
            }
            state.known_ms = now_ms.saturating_add(AHEAD_MS);
        }
        state.held.iter().filter(|(_, p)| p.holds(now_ms)).count()
    }

    /// All windows, the newest first, and whether each holds.
    pub fn list(&self, now_ms: i64) -> Vec<(Window, Stage)> {
        let state = self.lock();
        let both = state.all.windows.iter().zip(&state.held);
        let staged = both.map(|(w, (_, pause))| (w.clone(), stage(w, pause, now_ms)));
        let mut all: Vec<_> = staged.collect();
        all.reverse();
        all
    }

    /// The windows that hold for the series with these canonical labels at a time.
    pub fn holding(&self, canonical: &[u8], t_ms: i64) -> Vec<Window> {
        let state = self.lock();
        let both = state.all.windows.iter().zip(&state.held);
        let holding = both.filter(|(_, (selector, pause))| {
            pause.holds(t_ms) && selector.matches(|name| labels::get(canonical, name))
        });
        holding.map(|(w, _)| w.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    fn add(
        &mut self,
        wanted: Wanted,
        source: Source,
        now_ms: i64,
    ) -> Result<Window, MaintenanceError> {
        self.forget(now_ms);
        if self.windows.len() >= WINDOWS_MAX {
            return Err(MaintenanceError::Full);
        }
        self.last_number += 1;
        let window = Window {
            number: self.last_number,
            wanted,
            source,
            created_ms: now_ms,
            counts_ms: now_ms.saturating_add(SETTLES_MS),
            ended_ms: None,
            silence: None,
        };
        spans(&window, now_ms)?;
        self.windows.push(window.clone());
        Ok(window)
    }

    /// Those that have been over for long; if there is no room, those that are over.
    fn forget(&mut self, now_ms: i64) {
        let over = |w: &Window| w.ended_ms.or(w.wanted.end_ms).unwrap_or(i64::MAX);
        let before_ms = match self.windows.len() < WINDOWS_MAX {
            true => now_ms.saturating_sub(PAST_MS),
            false => now_ms,
        };
        self.windows.retain(|w| over(w) >= before_ms);
    }
}

impl Window {
    fn end(&mut self, now_ms: i64) {
        let end_ms = now_ms.saturating_add(SETTLES_MS);
        self.ended_ms = Some(self.ended_ms.unwrap_or(i64::MAX).min(end_ms));
    }
}

fn spans(window: &Window, now_ms: i64) -> Result<Vec<(i64, i64)>, WindowError> {
    window.spans(
        now_ms.saturating_sub(PAST_MS),
        now_ms.saturating_add(AHEAD_MS),
    )
}

fn hold(window: &Window, now_ms: i64) -> Option<Held> {
    let wanted = &window.wanted;
    let selector = Selector::parse(&wanted.selector).ok()?;
    let spans = spans(window, now_ms).ok()?;
    let pause = Pause::new(window.number, wanted.learn, wanted.alert, spans);
    Some((selector, Arc::new(pause)))
}

fn stage(window: &Window, pause: &Pause, now_ms: i64) -> Stage {
    let spans = pause.spans();
    let over = spans.last().is_none_or(|(_, end)| *end <= now_ms);
    let recurs = window.wanted.schedule.is_some() && window.ended_ms.is_none();
    let ends = window.wanted.end_ms.is_some_and(|end| end <= now_ms);
    if pause.holds(now_ms) {
        Stage::Active
    } else if over && (!recurs || ends) {
        Stage::Expired
    } else {
        Stage::Pending
    }
}

#[cfg(test)]
mod tests;
