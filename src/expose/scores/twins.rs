//! Two series that would be one on a page.
//!
//! Series whose names differ only in characters that the client cannot read (`a.b` and `a_b`) have
//! the same text once their names are escaped. A page must not show a series twice: Prometheus drops
//! the second line and counts it, other readers refuse the page. So one of them is shown: the one
//! whose names are plain, else the one whose own names come first, hence always the same one. The
//! other is counted as left out; a client that takes UTF-8 names sees both.

use std::collections::HashMap;
use std::collections::hash_map::{Entry as Place, RandomState};
use std::hash::BuildHasher as _;

use super::plan::EntrySet;
use crate::expose::accept::Names;
use crate::score::board::{Block, LabelText};
use crate::score::label_text::{self, Family};

/// Takes all but one of each kind out of `set`; how many that were.
///
/// Texts are compared by a hash of 64 bits whose key strangers do not know: that two texts of a
/// million meet by chance is as likely as one in ten million.
pub(super) fn take_out(
    blocks: &[Block],
    set: &mut EntrySet,
    names: Names,
    family: Family,
) -> usize {
    if names == Names::Utf8 {
        return 0;
    }
    let keys = RandomState::new();
    let key = |text: &LabelText| keys.hash_one(text.shown(names, family));
    let mut shown: HashMap<u64, (usize, LabelText)> = HashMap::new();
    let mut twins = Vec::new();
    for (at, text) in members(blocks, set, true) {
        match shown.entry(key(&text)) {
            Place::Vacant(place) => {
                place.insert((at, text));
            }
            Place::Occupied(place) if place.get().1.utf8() <= text.utf8() => twins.push(at),
            Place::Occupied(mut place) => twins.push(place.insert((at, text)).0),
        }
    }
    if !shown.is_empty() {
        for (_, text) in members(blocks, set, false) {
            twins.extend(shown.remove(&key(&text)).map(|(at, _)| at));
        }
    }
    for at in &twins {
        set.remove(*at);
    }
    twins.len()
}

/// The members with odd names, or those without.
fn members<'a>(
    blocks: &'a [Block],
    set: &'a EntrySet,
    odd: bool,
) -> impl Iterator<Item = (usize, LabelText)> + 'a {
    let entries = blocks
        .iter()
        .flat_map(|b| (0..b.len()).map(move |i| (b, i)));
    let members = entries.enumerate().filter(|(at, _)| set.has(*at));
    members.filter_map(move |(at, (block, i))| {
        let canonical = block.labels(i)?;
        (label_text::is_odd(&canonical) == odd).then(|| (at, label_text::render(&canonical)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::board::Board;
    use crate::series::labels::encode;

    /// Which of these series a page shows, each given by one label.
    fn left(names: Names, series: &[&str]) -> Vec<usize> {
        let (board, mut writers) = Board::new(1);
        for name in series {
            let labels = encode([("__name__", "m"), (name, "1")]);
            writers[0].add_labels(&labels);
        }
        writers[0].publish_labels();
        let blocks = board.blocks();
        let mut set = EntrySet::empty(1024);
        (0..series.len()).for_each(|at| set.add(at));
        let out = take_out(&blocks, &mut set, names, Family::Score);
        let left: Vec<_> = (0..series.len()).filter(|at| set.has(*at)).collect();
        assert_eq!(left.len() + out, series.len());
        left
    }

    #[test]
    fn one_of_each_kind_is_left_and_always_the_same_one() {
        let all = ["a/b", "c", "a.b", "a_b", "d.e", "d-e"];
        assert_eq!(left(Names::Underscores, &all), [1, 3, 5]);
        assert_eq!(left(Names::Dots, &all), [0, 1, 2, 3, 4, 5]);
        assert_eq!(left(Names::Utf8, &all), [0, 1, 2, 3, 4, 5]);
        assert_eq!(left(Names::Underscores, &["a_b", "a.b"]), [0]);
        assert_eq!(left(Names::Underscores, &["a.b", "a/b", "a-b"]), [2]);
        assert_eq!(left(Names::Underscores, &["a-b", "a/b", "a.b"]), [0]);
        assert_eq!(left(Names::Values, &["a.b", "U__a_2e_b", "a/b"]), [1, 2]);
        assert_eq!(left(Names::Dots, &["a/b", "a-b"]), [1]);
    }
}
