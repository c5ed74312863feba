//! One page with a picture of each series: value, band, score, anomalies. Nothing is loaded from
//! anywhere; colours follow the reader's light or dark.

use std::fmt::Write as _;

use super::compare::Compared;
use super::picture::Column;
use super::player::{Anomaly, Drawn, Past};
use super::report::{gravest, lasting, number, short};

/// Of a picture, in units of its own.
const WIDTH: f64 = 1000.0;
const LEFT: f64 = 64.0;
const VALUE_TOP: f64 = 8.0;
const VALUE_HEIGHT: f64 = 150.0;
const SCORE_TOP: f64 = VALUE_TOP + VALUE_HEIGHT + 14.0;
const SCORE_HEIGHT: f64 = 54.0;
const HEIGHT: f64 = SCORE_TOP + SCORE_HEIGHT + 20.0;
/// Marks on the axis of time.
const MARKS: i64 = 5;
/// Rows of each table.
const ROWS: usize = 200;

const STYLE: &str = "
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--dim:#5b6470;--grid:#dfe3e8;--line:#1f5fa8;
--band:#1f5fa81f;--score:#7a4fb5;--low:#e6b800;--medium:#ef8a17;--high:#d9480f;--critical:#b00020}
@media(prefers-color-scheme:dark){:root{--bg:#14171b;--fg:#e4e7eb;--dim:#98a2b0;--grid:#2b3138;
--line:#6cb0ff;--band:#6cb0ff2b;--score:#c3a1f5;--low:#ffd43b;--medium:#ffa94d;--high:#ff7849;--critical:#ff5d73}}
body{background:var(--bg);color:var(--fg);font:14px/1.45 system-ui,sans-serif;max-width:1080px;margin:24px auto;padding:0 16px}
h1{font-size:20px;margin:0 0 4px}h2{font-size:14px;margin:28px 0 2px;font-family:ui-monospace,monospace;overflow-wrap:anywhere}
p{margin:2px 0;color:var(--dim)}table{border-collapse:collapse;margin:8px 0 20px;width:100%}
th,td{text-align:left;padding:3px 10px 3px 0;border-bottom:1px solid var(--grid);white-space:nowrap}
td:last-child{white-space:normal;overflow-wrap:anywhere;font-family:ui-monospace,monospace;font-size:12px}
td.n,th.n{text-align:right}th{color:var(--dim);font-weight:500}
svg{width:100%;height:auto;display:block}svg text{fill:var(--dim);font:11px system-ui,sans-serif}
.grid{stroke:var(--grid)}.value{fill:none;stroke:var(--line);stroke-width:1.3;stroke-linejoin:round}
.band{fill:var(--band)}.score{fill:none;stroke:var(--score);stroke-width:1.2}.over{stroke:var(--dim);stroke-dasharray:4 4}
.low{fill:var(--low)}.medium{fill:var(--medium)}.high{fill:var(--high)}.critical{fill:var(--critical)}
.shade{opacity:.22}.mark{opacity:.95}.dot{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:6px}
.dot.low{background:var(--low)}.dot.medium{background:var(--medium)}.dot.high{background:var(--high)}.dot.critical{background:var(--critical)}
";

/// The whole page; `pictures` series at most.
pub(super) fn render(past: &Past, compared: Option<&Compared>, pictures: usize) -> String {
    let mut out = String::with_capacity(1 << 20);
    // Writing to a string cannot fail.
    let _ = page(past, compared, pictures, &mut out);
    out
}

fn page(
    past: &Past,
    compared: Option<&Compared>,
    pictures: usize,
    out: &mut String,
) -> std::fmt::Result {
    write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>saimon backtest</title><style>{STYLE}</style></head><body>\
         <h1>What saimon would have said</h1>"
    )?;
    if let (Some(first), Some(last)) = (past.first_ms, past.last_ms) {
        write!(out, "<p>{} to {}, UTC</p>", short(first), short(last))?;
    }
    write!(
        out,
        "<p>{} series, {} samples, {} over the line, {} anomalies</p>",
        past.series,
        past.samples,
        past.over_line,
        past.anomalies.len()
    )?;
    out.push_str("<p>");
    for severity in ["low", "medium", "high", "critical"] {
        let count = past.anomalies.iter().filter(|a| a.severity == severity);
        write!(
            out,
            "<span class=\"dot {severity}\"></span>{} {severity} &nbsp; ",
            count.count()
        )?;
    }
    out.push_str("</p>");
    if let Some(c) = compared {
        write!(out, "<p>{} anomalies under both configurations</p>", c.both)?;
        table("Added by the other configuration", &gravest(&c.added), out)?;
        table("Lost under the other configuration", &gravest(&c.lost), out)?;
    }
    table("Anomalies", &gravest(&past.anomalies), out)?;
    let mut drawn: Vec<&Drawn> = past.drawn.iter().collect();
    let grave = |d: &Drawn| d.anomalies.iter().map(|i| past.anomalies[*i].grave).max();
    drawn.sort_by(|a, b| grave(b).cmp(&grave(a)).then(a.series.cmp(&b.series)));
    for d in drawn.iter().take(pictures) {
        let anomalies: Vec<&Anomaly> = d.anomalies.iter().map(|i| &past.anomalies[*i]).collect();
        picture(d, &anomalies, out)?;
    }
    if drawn.len() > pictures {
        write!(
            out,
            "<p>{} more series had anomalies; --pictures draws them.</p>",
            drawn.len() - pictures
        )?;
    }
    out.push_str("</body></html>\n");
    Ok(())
}

fn table(title: &str, all: &[&Anomaly], out: &mut String) -> std::fmt::Result {
    if all.is_empty() {
        return Ok(());
    }
    write!(
        out,
        "<h2>{title}</h2><table><tr><th>start<th class=\"n\">lasted<th>severity<th class=\"n\">score\
         <th>direction<th>reason<th class=\"n\">value<th class=\"n\">expected<th>series</tr>"
    )?;
    for a in all.iter().take(ROWS) {
        write!(
            out,
            "<tr><td>{}<td class=\"n\">{}<td><span class=\"dot {2}\"></span>{2}",
            short(a.start_ms),
            lasting(a.end_ms - a.start_ms),
            a.severity,
        )?;
        write!(
            out,
            "<td class=\"n\">{:.3}<td>{}<td>{}<td class=\"n\">{}<td class=\"n\">{}<td>{}</tr>",
            a.score,
            a.direction,
            a.reason,
            number(a.value),
            number(a.expected),
            escape(&a.series)
        )?;
    }
    out.push_str("</table>");
    if all.len() > ROWS {
        write!(out, "<p>{} more</p>", all.len() - ROWS)?;
    }
    Ok(())
}

/// From times and values to places.
struct Frame {
    first_ms: i64,
    span_ms: f64,
    low: f64,
    high: f64,
}

impl Frame {
    fn of(columns: &[Column]) -> Option<Self> {
        let (first, last) = (columns.first()?, columns.last()?);
        let finite = |v: &f64| v.is_finite();
        let values = columns.iter().flat_map(|c| [c.low, c.high].map(f64::from));
        let (mut low, mut high) = values
            .filter(finite)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
                (l.min(v), h.max(v))
            });
        // The band is shown as far as it helps to see the value: that of a young series is wide.
        let room = (0.2 * (high - low))
            .max(high.abs().max(low.abs()) * 0.01)
            .max(1e-9);
        let bands = columns
            .iter()
            .flat_map(|c| [c.lower, c.upper].map(f64::from));
        for edge in bands.filter(finite) {
            let edge = edge.clamp(low - room, high + room);
            (low, high) = (low.min(edge), high.max(edge));
        }
        let margin = (high - low) * 0.04;
        Some(Self {
            first_ms: first.first_ms,
            span_ms: (last.last_ms - first.first_ms).max(1) as f64,
            low: low - margin,
            high: high + margin.max(1e-12),
        })
    }

    fn x(&self, t_ms: i64) -> f64 {
        LEFT + (t_ms - self.first_ms) as f64 / self.span_ms * (WIDTH - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        VALUE_TOP + VALUE_HEIGHT * (1.0 - share.clamp(0.0, 1.0))
    }
}

fn picture(drawn: &Drawn, anomalies: &[&Anomaly], out: &mut String) -> std::fmt::Result {
    let columns = drawn.picture.columns();
    let Some(frame) = Frame::of(columns) else {
        return Ok(());
    };
    write!(
        out,
        "<h2>{}</h2><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"value, band and score of {}\">",
        escape(&drawn.series),
        escape(&drawn.series)
    )?;
    axes(&frame, out)?;
    for a in anomalies {
        let (x, to) = (frame.x(a.start_ms), frame.x(a.end_ms));
        let width = (to - x).max(2.0);
        let title = format!(
            "{} to {}, {}: {}, score {:.3}, {} {} instead of {}",
            short(a.start_ms),
            short(a.end_ms),
            lasting(a.end_ms - a.start_ms),
            a.severity,
            a.score,
            a.reason,
            number(a.value),
            number(a.expected)
        );
        write!(
            out,
            "<g class=\"{}\"><title>{title}</title>\
             <rect class=\"shade\" x=\"{x:.1}\" y=\"{VALUE_TOP}\" width=\"{width:.1}\" height=\"{:.1}\"/>\
             <rect class=\"mark\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"4\"/></g>",
            a.severity,
            SCORE_TOP + SCORE_HEIGHT - VALUE_TOP,
            SCORE_TOP - 9.0
        )?;
    }
    band(&frame, columns, out)?;
    value(&frame, columns, out)?;
    score(&frame, columns, out)?;
    out.push_str("</svg>");
    Ok(())
}

fn axes(frame: &Frame, out: &mut String) -> std::fmt::Result {
    for share in [0.0, 0.5, 1.0] {
        let value = frame.low + (frame.high - frame.low) * share;
        let y = frame.y(value);
        write!(
            out,
            "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{WIDTH}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            number(value)
        )?;
    }
    for (score, name) in [(0.0, "0"), (0.7, "0.7"), (1.0, "1")] {
        let y = SCORE_TOP + SCORE_HEIGHT * (1.0 - score);
        let class = if score == 0.7 { "over" } else { "grid" };
        write!(
            out,
            "<path class=\"{class}\" d=\"M{LEFT} {y:.1}H{WIDTH}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
            LEFT - 6.0,
            y + 4.0
        )?;
    }
    for i in 0..=MARKS {
        let t_ms = frame.first_ms + (frame.span_ms * i as f64 / MARKS as f64) as i64;
        let anchor = match i {
            0 => "start",
            MARKS => "end",
            _ => "middle",
        };
        write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            frame.x(t_ms),
            HEIGHT - 4.0,
            short(t_ms)
        )?;
    }
    Ok(())
}

/// The band of each stretch of columns that has one.
fn band(frame: &Frame, columns: &[Column], out: &mut String) -> std::fmt::Result {
    let known = |c: &Column| !c.lower.is_nan() && !c.upper.is_nan();
    for part in columns.split(|c| !known(c)).filter(|p| p.len() > 1) {
        out.push_str("<path class=\"band\" d=\"");
        for (i, c) in part.iter().enumerate() {
            let to = if i == 0 { 'M' } else { 'L' };
            write!(
                out,
                "{to}{:.1} {:.1}",
                frame.x(c.first_ms),
                frame.y(c.upper.into())
            )?;
        }
        for c in part.iter().rev() {
            write!(
                out,
                "L{:.1} {:.1}",
                frame.x(c.first_ms),
                frame.y(c.lower.into())
            )?;
        }
        out.push_str("Z\"/>");
    }
    Ok(())
}

/// Each column from its lowest to its highest.
fn value(frame: &Frame, columns: &[Column], out: &mut String) -> std::fmt::Result {
    out.push_str("<path class=\"value\" d=\"");
    let mut to = 'M';
    for c in columns {
        let middle = c.first_ms + (c.last_ms - c.first_ms) / 2;
        let x = frame.x(middle);
        for value in [c.low, c.high] {
            write!(out, "{to}{x:.1} {:.1}", frame.y(value.into()))?;
            to = 'L';
            if c.low == c.high {
                break;
            }
        }
    }
    out.push_str("\"/>");
    Ok(())
}

fn score(frame: &Frame, columns: &[Column], out: &mut String) -> std::fmt::Result {
    out.push_str("<path class=\"score\" d=\"");
    let mut to = 'M';
    for c in columns {
        if c.score.is_nan() {
            to = 'M';
            continue;
        }
        let y = SCORE_TOP + SCORE_HEIGHT * (1.0 - f64::from(c.score));
        write!(out, "{to}{:.1} {y:.1}", frame.x(c.first_ms))?;
        to = 'L';
    }
    out.push_str("\"/>");
    Ok(())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
