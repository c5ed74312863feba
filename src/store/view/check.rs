//! Reading everything in a store and saying what is wrong with it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::View;
use crate::engine::keep::{GROUP_SERIES, GroupId};
use crate::store::block::{self, Form, Stored};
use crate::store::load::{pages, states};
use crate::store::outline::{self, BlockRef, Outline, positions};
use crate::store::{DiskError, SLEEPER_VERSION, key, rollup, snapshot, value};
use crate::window::histogram_chunk;
use crate::window::rollup::decode as decode_rows;

/// One thing that is wrong: where, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    pub place: String,
    pub what: String,
}

/// What was read, and found good unless there is a complaint about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Checked {
    pub groups: u64,
    pub state_bytes: u64,
    pub blocks: u64,
    pub block_bytes: u64,
    pub chunks: u64,
    pub samples: u64,
    pub rollup_blocks: u64,
    pub rollup_bytes: u64,
    pub rows: u64,
    pub sleepers: u64,
}

/// First and last sample of each chunk of one series.
type Spans = BTreeMap<(GroupId, u16), Vec<(i64, i64)>>;

struct Check<'a> {
    checked: Checked,
    complain: &'a mut dyn FnMut(Complaint),
}

impl View {
    /// Reads every value: version, checksum, content, and whether what belongs together is there.
    /// `state` judges the bytes of a group's state, `sleeper` those of a series that sleeps. Holds 16 bytes for each chunk, to see whether
    /// those of a series are apart.
    pub fn check(
        &self,
        mut state: impl FnMut(&[u8]) -> Result<(), String>,
        mut sleeper: impl FnMut(&[u8]) -> Result<(), String>,
        mut complain: impl FnMut(Complaint),
    ) -> Checked {
        let mut check = Check {
            checked: Checked::default(),
            complain: &mut complain,
        };
        if let Err(error) = self.check_all(&mut check, &mut state, &mut sleeper) {
            check.say("the store", &format!("reading ended early: {error}"));
        }
        check.checked
    }

    fn check_all(
        &self,
        check: &mut Check<'_>,
        state: &mut dyn FnMut(&[u8]) -> Result<(), String>,
        sleeper: &mut dyn FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), DiskError> {
        let disk = self.store.disk();
        let mut outlines: HashMap<GroupId, Outline> = HashMap::new();
        let (from, to) = key::OUTLINES;
        pages(&disk, from, to, |key, sealed| {
            let Some(id) = key::group(key) else {
                return check.say("a key", "names no group");
            };
            match value::open_any(outline::VERSION, key, sealed).and_then(Outline::decode) {
                Ok(outline) => {
                    outlines.insert(id, outline);
                }
                Err(why) => check.say(&format!("the outline of {}", name(id)), &why.to_string()),
            }
        })?;

        let mut stated = HashSet::new();
        states(&disk, |id, joined| {
            stated.insert(id);
            check.checked.groups += 1;
            check.checked.state_bytes += joined.len() as u64;
            let place = format!("the state of {}", name(id));
            match snapshot::open(id, joined) {
                Ok(bytes) => {
                    if let Err(why) = state(bytes) {
                        check.say(&place, &why);
                    }
                }
                Err(why) => check.say(&place, &why.to_string()),
            }
            if !outlines.contains_key(&id) {
                check.say(&place, "it has no outline");
            }
        })?;
        for id in outlines.keys().filter(|id| !stated.contains(id)) {
            check.say(&name(*id), "its state is missing");
        }

        let mut sleepers: HashMap<GroupId, u128> = HashMap::new();
        let (from, to) = key::SLEEPERS;
        pages(&disk, from, to, |key, sealed| {
            check.checked.sleepers += 1;
            let (Some(id), Some(position)) = (key::group(key), key::position_of_sleeper(key))
            else {
                return check.say("the key of a sleeper", "names no series");
            };
            let place = format!("series {position} of {}", name(id));
            let opened = value::open(SLEEPER_VERSION, key, sealed).map_err(|e| e.to_string());
            if let Err(why) = opened.and_then(&mut *sleeper) {
                check.say(&format!("the state of {place}"), &why);
            }
            if outlines
                .get(&id)
                .is_none_or(|o| o.asleep >> position & 1 == 0)
            {
                check.say(&format!("the state of {place}"), "no outline names it");
            }
            *sleepers.entry(id).or_default() |= 1 << position;
        })?;
        for (id, outline) in &outlines {
            let there = sleepers.get(id).copied().unwrap_or(0);
            for position in positions(outline.asleep & !there) {
                let place = format!("series {position} of {}", name(*id));
                check.say(&place, "its state is missing");
            }
        }

        let mut spans = Spans::new();
        let mut seen = HashSet::new();
        let (from, to) = key::BLOCKS;
        pages(&disk, from, to, |key, sealed| {
            seen.insert(key.to_vec());
            check.checked.blocks += 1;
            check.checked.block_bytes += sealed.len() as u64;
            check.block(key, sealed, &mut spans);
        })?;
        check.listed("block", &seen, &outlines, |o| &o.blocks, key::block);
        for ((id, position), mut spans) in spans {
            spans.sort_unstable();
            if spans.windows(2).any(|w| w[1].0 <= w[0].1) {
                let place = format!("series {position} of {}", name(id));
                check.say(&place, "its chunks overlap");
            }
        }

        let mut seen = HashSet::new();
        let (from, to) = key::ROLLUPS;
        pages(&disk, from, to, |key, sealed| {
            seen.insert(key.to_vec());
            check.checked.rollup_blocks += 1;
            check.checked.rollup_bytes += sealed.len() as u64;
            check.rollup(key, sealed);
        })?;
        check.listed(
            "block of rollups",
            &seen,
            &outlines,
            |o| &o.rollups,
            key::rollup,
        );
        Ok(())
    }
}

impl Check<'_> {
    fn say(&mut self, place: &str, what: &str) {
        (self.complain)(Complaint {
            place: place.to_owned(),
            what: what.to_owned(),
        });
    }

    fn block(&mut self, key: &[u8], sealed: &[u8], spans: &mut Spans) {
        let Some(id) = key::group_of_block(key) else {
            return self.say("the key of a block", "names no group");
        };
        let stored = match value::open_any(block::VERSION, key, sealed).and_then(block::read) {
            Ok(stored) => stored,
            Err(why) => {
                return self.say(&format!("a block of {}", name(id)), &why.to_string());
            }
        };
        for chunk in stored {
            self.checked.chunks += 1;
            self.checked.samples += u64::from(chunk.samples);
            match chunk_times(&chunk) {
                Ok(()) => spans
                    .entry((id, chunk.position))
                    .or_default()
                    .push((chunk.first_ms, chunk.last_ms)),
                Err(why) => {
                    let place = format!("a chunk of series {} of {}", chunk.position, name(id));
                    self.say(&place, &why);
                }
            }
        }
    }

    fn rollup(&mut self, key: &[u8], sealed: &[u8]) {
        let Some(id) = key::group_of_block(key) else {
            return self.say("the key of a block of rollups", "names no group");
        };
        let place = format!("a block of rollups of {}", name(id));
        let opened = value::open(rollup::VERSION, key, sealed).and_then(rollup::read);
        let entries = match opened {
            Ok(entries) => entries,
            Err(why) => return self.say(&place, &why.to_string()),
        };
        for (_, _, bytes) in entries {
            match decode_rows(bytes) {
                Ok(rows) => self.checked.rows += rows.len() as u64,
                Err(why) => self.say(&place, &why.to_string()),
            }
        }
    }

    /// That outlines and keys name the same blocks.
    fn listed(
        &mut self,
        what: &str,
        seen: &HashSet<Vec<u8>>,
        outlines: &HashMap<GroupId, Outline>,
        of: impl Fn(&Outline) -> &Vec<BlockRef>,
        key: impl Fn(GroupId, BlockRef) -> Vec<u8>,
    ) {
        let mut named = HashSet::new();
        for (id, outline) in outlines {
            for at in of(outline) {
                let key = key(*id, *at);
                if !seen.contains(&key) {
                    self.say(&name(*id), &format!("a {what} of it is missing"));
                }
                named.insert(key);
            }
        }
        for key in seen.difference(&named) {
            let of =
                key::group_of_block(key).map_or_else(String::new, |id| format!(" of {}", name(id)));
            self.say(&format!("a {what}{of}"), "no outline names it");
        }
    }
}

/// That a chunk can be read and has the samples that it says.
fn chunk_times(chunk: &Stored<'_>) -> Result<(), String> {
    if usize::from(chunk.position) >= GROUP_SERIES {
        return Err("its series is beyond the group".to_owned());
    }
    let times: Vec<i64> = match chunk.form {
        Form::Xor | Form::Decimal => {
            let samples = chunk.floats().map_err(|e| e.to_string())?;
            samples.into_iter().map(|(t, _)| t).collect()
        }
        Form::Anchor => return Ok(()),
        Form::Histogram | Form::FloatHistogram => {
            let samples = histogram_chunk::decode(chunk.bytes, chunk.form.encoding())
                .map_err(|e| e.to_string())?;
            samples.into_iter().map(|h| h.timestamp_ms).collect()
        }
    };
    if times.len() != usize::from(chunk.samples) {
        return Err(format!(
            "it has {} samples and says {}",
            times.len(),
            chunk.samples
        ));
    }
    if times.first() != Some(&chunk.first_ms) || times.last() != Some(&chunk.last_ms) {
        return Err("it does not span the time that it says".to_owned());
    }
    match times.windows(2).all(|w| w[0] < w[1]) {
        true => Ok(()),
        false => Err("its times do not rise".to_owned()),
    }
}

fn name(id: GroupId) -> String {
    format!("group {}/{}", id.partition, id.number)
}
