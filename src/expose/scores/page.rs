//! Renders a page of scores piece by piece, as the client takes it.
//!
//! What always holds: families do not interleave, each has its help and type once, and a
//! series that ended since the page was decided is left out.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::group_lines;
use super::plan::{self, ANOMALY, CONTRIBUTION, EntrySet, Plan, SCORE, Wanted};
use crate::expose::accept::{Form, Format, Names};
use crate::score::board::{Alarm, Block, Board};
use crate::score::label_text::{self, Family};

/// Bytes that are rendered at once, in well under a millisecond: large enough to fill the socket,
/// small enough for a thread that serves others too.
const PIECE: usize = 64 * 1024;

/// Room behind a piece for its last line, so that the buffer seldom grows.
const LINE: usize = 1024;

/// Renders the whole page of `board` at once, without selectors. For benches and tools; requests are
/// served in pieces.
pub fn render(board: &Board, lines_max: usize, form: Form, out: &mut Vec<u8>) {
    let mut page = Page::whole(board, lines_max, form);
    while page.render_until(out, usize::MAX) {}
}

/// Where in the page the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Start,
    /// From this entry on.
    Scores(usize),
    AnomalyHead,
    Anomalies(usize),
    ContributionHead,
    Contributions(usize),
    /// Lines of a family of groups, from this group on.
    Groups(group_lines::Family, usize),
    /// Lines of incidents, from this one on.
    Incidents(usize),
    End,
    Done,
}

/// A page on its way to a client.
#[derive(Debug)]
pub(super) struct Page {
    plan: Plan,
    form: Form,
    at: Position,
    /// Where each block begins, because blocks need not be equally long.
    starts: Vec<usize>,
}

impl Page {
    fn whole(board: &Board, lines_max: usize, form: Form) -> Self {
        let wanted = Wanted {
            selectors: &[],
            lines_max,
            names: form.names,
        };
        Self::new(plan::plan(board, &wanted, &|| false), form)
    }

    pub(super) fn new(plan: Plan, form: Form) -> Self {
        let starts = plan
            .blocks
            .iter()
            .scan(0, |next, block| {
                let start = *next;
                *next += block.len();
                Some(start)
            })
            .collect();
        Self {
            plan,
            form,
            at: Position::Start,
            starts,
        }
    }

    /// Appends until `out` has `enough` bytes; false when the page is done.
    fn render_until(&mut self, out: &mut Vec<u8>, enough: usize) -> bool {
        while out.len() < enough {
            self.at = match self.at {
                Position::Start => {
                    let help = "how unlikely the newest sample is, from 0 to below 1; anomalous from 0.7 on";
                    head(out, SCORE, help);
                    Position::Scores(0)
                }
                Position::Scores(from) => {
                    let next = self.lines(&self.plan.scores, from, out, enough, score_line);
                    next.map_or(Position::AnomalyHead, Position::Scores)
                }
                Position::AnomalyHead => {
                    let help = "1 while an anomaly of the series is pending or active";
                    head(out, ANOMALY, help);
                    Position::Anomalies(0)
                }
                Position::Anomalies(from) => {
                    let next = self.lines(&self.plan.anomalies, from, out, enough, anomaly_line);
                    next.map_or(Position::ContributionHead, Position::Anomalies)
                }
                Position::ContributionHead => {
                    let help =
                        "share of a detector or rule in an active anomaly, at most three of each";
                    head(out, CONTRIBUTION, help);
                    Position::Contributions(0)
                }
                Position::Contributions(from) => {
                    let of = &self.plan.contributions;
                    let next = self.lines(of, from, out, enough, contribution_lines);
                    let groups = Position::Groups(group_lines::Family::Score, 0);
                    next.map_or(groups, Position::Contributions)
                }
                Position::Groups(_, _) if self.plan.groups.is_empty() => Position::Incidents(0),
                Position::Groups(family, from) => {
                    if from == 0 {
                        head(out, family.name(), family.help());
                    }
                    // One at least, or the head would come twice.
                    self.plan.groups[from].render(family, out);
                    match family.next() {
                        _ if from + 1 < self.plan.groups.len() => {
                            Position::Groups(family, from + 1)
                        }
                        Some(family) => Position::Groups(family, 0),
                        None => Position::Incidents(0),
                    }
                }
                Position::Incidents(at) => match self.plan.incidents.get(at) {
                    Some((family, line)) => {
                        let before = at.checked_sub(1).and_then(|i| self.plan.incidents.get(i));
                        if before.is_none_or(|(before, _)| before != family) {
                            head(out, family.name(), family.help());
                        }
                        out.extend_from_slice(line.as_bytes());
                        Position::Incidents(at + 1)
                    }
                    None => Position::End,
                },
                Position::End => {
                    out.append(&mut self.plan.changes);
                    if self.form.format == Format::OpenMetrics {
                        out.extend_from_slice(b"# EOF\n");
                    }
                    Position::Done
                }
                Position::Done => return false,
            };
        }
        true
    }

    /// Lines of the members of `set` from `from` on; where to go on, or `None` after the last.
    fn lines(
        &self,
        set: &EntrySet,
        mut from: usize,
        out: &mut Vec<u8>,
        enough: usize,
        line: fn(&Block, usize, Names, &mut Vec<u8>),
    ) -> Option<usize> {
        while let Some(at) = set.next(from) {
            if out.len() >= enough {
                return Some(at);
            }
            let block = self.starts.partition_point(|start| *start <= at) - 1;
            let within = at - self.starts[block];
            line(&self.plan.blocks[block], within, self.form.names, out);
            from = at + 1;
        }
        None
    }
}

impl Body for Page {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut out = Vec::with_capacity(PIECE + LINE);
        self.get_mut().render_until(&mut out, PIECE);
        let piece = (!out.is_empty()).then(|| Ok(Frame::data(Bytes::from(out))));
        Poll::Ready(piece)
    }

    fn is_end_stream(&self) -> bool {
        self.at == Position::Done
    }
}

fn head(out: &mut Vec<u8>, name: &str, help: &str) {
    for text in ["# HELP ", name, " ", help, "\n# TYPE ", name, " gauge\n"] {
        out.extend_from_slice(text.as_bytes());
    }
}

fn score_line(block: &Block, at: usize, names: Names, out: &mut Vec<u8>) {
    let (Some(score), Some(labels)) = (block[at].score(), block.text(at)) else {
        return;
    };
    out.extend_from_slice(SCORE.as_bytes());
    out.extend_from_slice(labels.shown(names, Family::Score).as_bytes());
    out.extend_from_slice(b"} ");
    number(score, out);
    out.push(b'\n');
}

fn anomaly_line(block: &Block, at: usize, names: Names, out: &mut Vec<u8>) {
    let (Some(alarm), Some(labels)) = (block[at].alarm(), block.text(at)) else {
        return;
    };
    let Alarm {
        state,
        severity,
        side,
        reason,
    } = alarm;
    let source = labels.shown(names, Family::Anomaly);
    let parts = [
        ANOMALY,
        &source,
        ",state=\"",
        state.as_str(),
        "\",severity=\"",
        severity.as_str(),
        "\",direction=\"",
        side.as_str(),
        "\",reason=\"",
        reason.as_str(),
        "\"} 1\n",
    ];
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

fn contribution_lines(block: &Block, at: usize, names: Names, out: &mut Vec<u8>) {
    let parts = block[at].parts();
    if parts.iter().next().is_none() {
        return;
    }
    let Some(canonical) = block.labels(at) else {
        return;
    };
    let source = label_text::form(&canonical, names, Family::Contribution);
    for (part, share) in parts.iter() {
        for text in [CONTRIBUTION, &source, ",part=\"", part, "\"} "] {
            out.extend_from_slice(text.as_bytes());
        }
        match share < 1.0 {
            true => number(share, out),
            false => out.push(b'1'),
        }
        out.push(b'\n');
    }
}

/// From here on a score is printed with all its digits: up here they tell the grave from the graver.
const FINE: f32 = 0.999;

/// Prints a score in [0, 1).
///
/// Three decimals, rounded down: so what is printed is never 1, and it lies on the same side of 0.7
/// and of every other threshold of three decimals as the score itself does. (A threshold t is
/// compared as the `f32` next to t, which is what "k/1000 in `f32`" is here.)
pub(super) fn number(score: f32, out: &mut Vec<u8>) {
    if score >= FINE {
        use std::io::Write as _;
        // The shortest text that reads back as this f32, which 1 never is.
        let _ = write!(out, "{score}");
        return;
    }
    let mut thousandths = (score * 1000.0) as u16;
    // The product above is rounded: put right what it got wrong.
    while f32::from(thousandths + 1) / 1000.0 <= score {
        thousandths += 1;
    }
    while f32::from(thousandths) / 1000.0 > score {
        thousandths -= 1;
    }
    let digit = |n: u16| b'0' + (n % 10) as u8;
    out.extend_from_slice(&[
        b'0',
        b'.',
        digit(thousandths / 100),
        digit(thousandths / 10),
        digit(thousandths),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Severity;
    use crate::model::watch::Rule;
    use crate::score::board::{AlarmState, Parts, Reason, Side};
    use crate::score::judge::Evidence;
    use crate::series::labels::encode;

    fn printed(score: f32) -> String {
        let mut out = Vec::new();
        number(score, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_at_the_edges() {
        assert_eq!(printed(0.0), "0.000");
        assert_eq!(printed(f32::MIN_POSITIVE), "0.000");
        assert_eq!(printed(0.1234), "0.123");
        assert_eq!(printed(0.7), "0.700");
        assert_eq!(printed(0.69996), "0.699");
        assert_eq!(printed(0.7_f32.next_down()), "0.699");
        assert_eq!(printed(0.998_999_9), "0.998");
        assert_eq!(printed(0.999), "0.999");
        assert_eq!(printed(0.9996), "0.9996");
        assert_eq!(printed(1.0_f32.next_down()), "0.99999994");
    }

    #[test]
    fn no_number_changes_sides_of_any_thousandth() {
        for k in 1..=999_u16 {
            let line = f32::from(k) / 1000.0;
            let decimal = f64::from(k) / 1000.0;
            for (score, above) in [
                (line, true),
                (line.next_down(), false),
                (line.next_up(), true),
            ] {
                let read: f64 = printed(score).parse().unwrap();
                assert_eq!(read >= decimal, above, "{score:?} printed as {read}");
            }
        }
    }

    #[test]
    fn what_is_printed_is_in_order_and_close() {
        let mut last = 0.0;
        for i in 0..100_000_u32 {
            let score = i as f32 / 100_000.0;
            let text = printed(score);
            let read: f64 = text.parse().unwrap();
            assert!(text.len() >= 5 && read < 1.0, "{text}");
            assert!(read >= last && (f64::from(score) - read).abs() < 0.001_001);
            last = read;
        }
    }

    fn board() -> (std::sync::Arc<Board>, crate::score::board::BoardWriter) {
        let (board, mut writers) = Board::new(1);
        (board, writers.remove(0))
    }

    #[test]
    fn the_whole_page_byte_for_byte() {
        let (board, mut writer) = board();
        let alarm = Alarm {
            state: AlarmState::Active,
            severity: Severity::High,
            side: Side::Up,
            reason: Reason::LevelShift,
        };
        let mut add = |labels: &[(&str, &str)]| writer.add_labels(&encode(labels.iter().copied()));
        let a = add(&[("__name__", "up"), ("job", "a")]);
        let b = add(&[("__name__", "x"), ("state", "on"), ("o.k", "\"")]);
        let ended = add(&[("__name__", "gone")]);
        let still = add(&[("__name__", "y"), ("part", "p")]);
        let _young = add(&[("__name__", "young")]);
        writer.publish_labels();
        writer.set(a, 0.123_456, None);
        writer.set(b, 0.96, Some(alarm));
        let evidence = |shares, rule| Evidence {
            size: 9.0,
            deviation: 2.0,
            own: 2.0,
            expected: 0.0,
            side: Side::Up,
            shares,
            rule,
        };
        let parts = Parts::of(&evidence([0.75, 0.0, 0.0, 0.0, 0.25], None));
        writer.tell_parts(b, parts);
        writer.set(still, 0.8, Some(alarm));
        let rule = evidence([0.0; 5], Some(Rule::Flatline));
        writer.tell_parts(still, Parts::of(&rule));
        writer.tell_parts(a, parts);
        assert_eq!(
            writer.entry(a).parts(),
            Parts::default(),
            "it has no anomaly"
        );
        writer.set(ended, 0.5, None);
        writer.hide(ended);
        let expected = "\
# HELP saimon_anomaly_score how unlikely the newest sample is, from 0 to below 1; anomalous from 0.7 on
# TYPE saimon_anomaly_score gauge
saimon_anomaly_score{job=\"a\",source_metric=\"up\"} 0.123
saimon_anomaly_score{o_k=\"\\\"\",state=\"on\",source_metric=\"x\"} 0.960
saimon_anomaly_score{part=\"p\",source_metric=\"y\"} 0.800
# HELP saimon_anomaly 1 while an anomaly of the series is pending or active
# TYPE saimon_anomaly gauge
saimon_anomaly{exported_state=\"on\",o_k=\"\\\"\",source_metric=\"x\",state=\"active\",severity=\"high\",direction=\"up\",reason=\"level_shift\"} 1
saimon_anomaly{part=\"p\",source_metric=\"y\",state=\"active\",severity=\"high\",direction=\"up\",reason=\"level_shift\"} 1
# HELP saimon_anomaly_contribution share of a detector or rule in an active anomaly, at most three of each
# TYPE saimon_anomaly_contribution gauge
saimon_anomaly_contribution{o_k=\"\\\"\",state=\"on\",source_metric=\"x\",part=\"jump\"} 0.746
saimon_anomaly_contribution{o_k=\"\\\"\",state=\"on\",source_metric=\"x\",part=\"forest\"} 0.238
saimon_anomaly_contribution{exported_part=\"p\",source_metric=\"y\",part=\"flatline\"} 1
";
        let page = |form: Form| {
            let mut out = Vec::new();
            render(&board, 100, form, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(page(Format::Text.into()), expected);
        assert_eq!(page(Format::Text1.into()), expected);
        let open: Form = Format::OpenMetrics.into();
        assert_eq!(page(open), format!("{expected}# EOF\n"));
        let named = expected.replace("o_k=", "\"o.k\"=");
        let utf8 = Form::new(Format::OpenMetrics, Names::Utf8);
        // Its own order of names: that of the source.
        let line = |page: &str| page.lines().nth(3).unwrap().to_owned();
        assert_eq!(line(&page(utf8)), line(&named));
        let values = Form::new(Format::OpenMetrics, Names::Values);
        assert!(page(values).contains("{U__o_2e_k=\"\\\"\",state=\"on\","));
    }

    #[test]
    fn pieces_make_the_same_page_and_stay_small() {
        let (board, mut writer) = board();
        for i in 0..100_000 {
            let instance = format!("host-{i}:9100");
            let at = writer.add_labels(&encode([
                ("__name__", "node_load1"),
                ("instance", &*instance),
            ]));
            writer.set(at, 0.25, None);
        }
        writer.publish_labels();
        let mut whole = Vec::new();
        render(&board, 100_000, Format::OpenMetrics.into(), &mut whole);
        let mut page = Page::whole(&board, 100_000, Format::OpenMetrics.into());
        let mut joined = Vec::new();
        let mut pieces = 0;
        loop {
            let mut piece = Vec::new();
            page.render_until(&mut piece, PIECE);
            if piece.is_empty() {
                break;
            }
            assert!(piece.len() < PIECE + LINE);
            pieces += 1;
            joined.extend(piece);
        }
        assert_eq!(pieces, whole.len().div_ceil(PIECE));
        assert!(joined == whole, "pieces differ from the whole");
    }

    #[test]
    fn a_series_that_ends_while_the_page_is_under_way_is_left_out() {
        let (board, mut writer) = board();
        let at = writer.add_labels(&encode([("__name__", "m")]));
        writer.publish_labels();
        writer.set(at, 0.5, None);
        let mut page = Page::whole(&board, 10, Format::Text.into());
        writer.remove(at);
        let mut out = Vec::new();
        page.render_until(&mut out, usize::MAX);
        assert!(!String::from_utf8(out).unwrap().contains("source_metric"));
    }
}
