//! On real files: what is written is read, in order, by readers that come and go.

use std::fs;
use std::path::Path;

use super::*;
use crate::engine::tap::{Row, rows};
use crate::telemetry::Metrics;

const LARGE: u64 = 1 << 40;

fn spec(name: &str, limit: u64) -> ReaderSpec {
    ReaderSpec {
        name: name.to_owned(),
        limit,
    }
}

fn open(dir: &Path, specs: &[ReaderSpec]) -> (Writer, Vec<Reader>) {
    Queue::open(dir, specs, u64::MAX, &Metrics::new().output).unwrap()
}

fn one(dir: &Path) -> (Writer, Reader) {
    let (writer, mut readers) = open(dir, &[spec("a", LARGE)]);
    (writer, readers.remove(0))
}

/// A record of some rows; labels that hardly shrink when compressed.
fn batch(seq: u64, times: std::ops::Range<i64>) -> Rows {
    let mut rng = fastrand::Rng::with_seed(seq);
    let labels: Vec<Vec<u8>> = times
        .clone()
        .map(|_| std::iter::repeat_with(|| rng.u8(..)).take(100).collect())
        .collect();
    let row = |(t_ms, labels)| Row {
        labels,
        t_ms,
        score: Some(0.5),
        extra: None,
        bounds: None,
    };
    Rows::of(seq, times.zip(labels.iter().map(Vec::as_slice)).map(row))
}

/// Times of all rows that there are, and what was met on the way.
fn read(reader: &mut Reader) -> (Vec<i64>, u64, u64) {
    let (mut times, mut full, mut damaged) = (Vec::new(), 0, 0);
    loop {
        let met = reader.advance().unwrap();
        full += met.full;
        damaged += met.damaged;
        let Some(record) = met.record else {
            return (times, full, damaged);
        };
        let read: Vec<_> = rows(&record.rows).map(|r| r.unwrap().t_ms).collect();
        assert_eq!(read.len() as u64, record.count);
        times.extend(read);
    }
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_settled_is_not_read_again_and_what_was_under_way_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, mut reader) = one(dir.path());
    for seq in 0..5 {
        let at = seq as i64 * 10;
        writer.append(&batch(seq, at..at + 10)).unwrap();
    }
    assert_eq!(reader.pending(), 50);
    for _ in 0..2 {
        reader.advance().unwrap();
    }
    reader.intend(3).unwrap();
    reader.commit().unwrap();
    reader.advance().unwrap();
    reader.intend(4).unwrap();
    // Killed.
    drop((writer, reader));
    let (mut writer, mut reader) = one(dir.path());
    assert_eq!(writer.have()[7], 4);
    let intent = reader.intent().unwrap();
    assert_eq!((reader.row(), intent.until_row, intent.lanes), (20, 30, 4));
    assert_eq!(read(&mut reader), ((20..50).collect(), 0, 0));
    writer.append(&batch(9, 50..52)).unwrap();
    assert_eq!(read(&mut reader), (vec![50, 51], 0, 0));
    reader.rewind();
    assert_eq!(reader.row(), 20);
    reader.commit().unwrap();
    drop((writer, reader));
    let (writer, mut reader) = one(dir.path());
    assert_eq!((writer.have()[0], reader.intent()), (9, None));
    assert_eq!(reader.pending(), 32);
}

#[test]
fn a_torn_end_is_cut_at_every_byte_and_is_not_had() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = one(dir.path());
    writer.append(&batch(1, 0..3)).unwrap();
    let segment = dir.path().join(segment::name(1));
    let whole = fs::metadata(&segment).unwrap().len();
    writer.append(&batch(2, 3..6)).unwrap();
    let bytes = fs::read(&segment).unwrap();
    drop(writer);
    for cut in whole..bytes.len() as u64 {
        fs::write(&segment, &bytes[..cut as usize]).unwrap();
        let (mut writer, mut reader) = one(dir.path());
        assert_eq!(writer.have()[0], 1, "cut at {cut}");
        assert_eq!(read(&mut reader), (vec![0, 1, 2], 0, 0), "cut at {cut}");
        if cut == whole + 5 {
            writer.append(&batch(2, 3..6)).unwrap();
            assert_eq!(read(&mut reader), (vec![3, 4, 5], 0, 0));
            fs::remove_file(dir.path().join(segment::name(2))).unwrap();
        }
    }
}

#[test]
fn too_much_waiting_gives_up_the_oldest_of_that_reader_only() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, mut readers) = open(dir.path(), &[spec("slow", 1 << 20), spec("fast", LARGE)]);
    let [slow, fast] = &mut readers[..] else {
        panic!()
    };
    let mut fast_times = Vec::new();
    for i in 0..400 {
        writer
            .append(&batch(i, i as i64 * 100..i as i64 * 100 + 100))
            .unwrap();
        if i % 50 == 0 {
            fast_times.extend(read(fast).0);
            fast.commit().unwrap();
        }
    }
    fast_times.extend(read(fast).0);
    fast.commit().unwrap();
    assert_eq!(fast_times, (0..40_000).collect::<Vec<_>>());
    let (times, full, damaged) = read(slow);
    assert_eq!((full + times.len() as u64, damaged), (40_000, 0));
    assert!(full > 20_000 && times.len() > 5_000, "{full}");
    assert_eq!(times, (full as i64..40_000).collect::<Vec<_>>());
    slow.commit().unwrap();
    // What nobody needs is deleted, the newest file is not.
    let left = files(dir.path());
    assert_eq!(
        left.iter().filter(|n| n.ends_with(".scores")).count(),
        1,
        "{left:?}"
    );
}

#[test]
fn a_new_reader_begins_with_what_comes_and_one_that_left_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = one(dir.path());
    writer.append(&batch(1, 0..3)).unwrap();
    drop(writer);
    let (mut writer, mut readers) = open(dir.path(), &[spec("b", LARGE)]);
    writer.append(&batch(2, 3..5)).unwrap();
    assert_eq!(read(&mut readers[0]), (vec![3, 4], 0, 0));
    assert_eq!(
        files(dir.path())
            .iter()
            .filter(|n| n.ends_with(".cursor"))
            .count(),
        1
    );
}

#[test]
fn damage_costs_its_segment_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = open(dir.path(), &[spec("a", 1 << 20)]);
    // Segments of an eighth of the limit: about ten of these records each.
    for i in 0..30 {
        writer
            .append(&batch(i, i as i64 * 100..i as i64 * 100 + 100))
            .unwrap();
    }
    drop(writer);
    let first = dir.path().join(segment::name(1));
    let mut bytes = fs::read(&first).unwrap();
    bytes[segment::HEADER + segment::RECORD + 9] ^= 1;
    fs::write(&first, bytes).unwrap();
    let (mut writer, mut readers) = open(dir.path(), &[spec("a", 1 << 20)]);
    let (times, full, damaged) = read(&mut readers[0]);
    assert_eq!(full, 0);
    assert!(damaged > 0);
    assert_eq!(times, (damaged as i64..3000).collect::<Vec<_>>());
    writer.append(&batch(30, 3000..3001)).unwrap();
    assert_eq!(read(&mut readers[0]).0, [3000]);
}

#[test]
fn numbers_of_another_log_are_not_taken_for_those_of_this_one() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = one(dir.path());
    writer.append(&batch(1_000, 0..1)).unwrap();
    drop(writer);
    let metrics = Metrics::new().output;
    let (writer, _) = Queue::open(dir.path(), &[spec("a", LARGE)], 7, &metrics).unwrap();
    assert_eq!(writer.have()[0], 7);
}

#[test]
fn a_queue_of_a_newer_version_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = one(dir.path());
    writer.append(&batch(1, 0..1)).unwrap();
    drop(writer);
    let first = dir.path().join(segment::name(1));
    let mut bytes = fs::read(&first).unwrap();
    bytes[8] = 200;
    fs::write(&first, &bytes).unwrap();
    let metrics = Metrics::new().output;
    let error = Queue::open(dir.path(), &[spec("a", LARGE)], 7, &metrics).unwrap_err();
    assert!(
        matches!(error, QueueError::Newer { found: 200, .. }),
        "{error}"
    );
    assert_eq!(fs::read(&first).unwrap(), bytes);
}
